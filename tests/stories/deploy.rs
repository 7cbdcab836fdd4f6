//! An operator applies the manifests of docs/deploy and asks what carries over from what is there.

use std::fs;

use serde_json::{Value, json};

use crate::support::git;
use crate::support::scratch::Scratch;
use crate::support::{repository, shared, testdata};

/// The documents of a manifest.
fn documents(name: &str) -> Vec<Value> {
    let path = repository().join("docs/deploy/openshift").join(name);
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_manifests_are_what_the_cluster_takes() {
    let Some(path) = shared("schemas/k8s/openshift-build-v1.openapi.json") else { return };
    let mut api: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    close(&mut api);
    let check = |file: &str, kind: &str, definition: &str| {
        let schema = json!({ "$ref": format!("#/definitions/{definition}"), "definitions": api["definitions"] });
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("file:///api.json", schema).unwrap();
        let schema = compiler.compile("file:///api.json", &mut schemas).unwrap();
        let found: Vec<Value> = documents(file).into_iter().filter(|document| document["kind"] == kind).collect();
        assert!(!found.is_empty(), "{file} has no {kind}");
        for document in found {
            schemas.validate(&document, schema).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    };
    let build = "com.github.openshift.api.build.v1.BuildConfig";
    check("buildconfig-privileged.yaml", "BuildConfig", build);
    check("buildconfig-unprivileged.yaml", "BuildConfig", build);
    let constraints = "com.github.openshift.api.security.v1.SecurityContextConstraints";
    check("scc.yaml", "SecurityContextConstraints", constraints);
}

/// Makes every type of the API refuse fields it does not have, as the cluster warns of them.
fn close(api: &mut Value) {
    for definition in api["definitions"].as_object_mut().unwrap().values_mut() {
        if definition.get("properties").is_some() {
            definition["additionalProperties"] = json!(false);
        }
    }
}

#[test]
fn the_other_manifests_name_each_other() {
    let mut named = Vec::new();
    for file in ["rbac.yaml", "secrets.yaml"] {
        for document in documents(file) {
            let text = |key: &str| document["metadata"][key].as_str().unwrap_or_default().to_owned();
            assert_eq!(text("namespace"), "osbs", "{file}: {document}");
            named.push(format!("{} {}", document["kind"].as_str().unwrap(), text("name")));
        }
    }
    for build in ["buildconfig-privileged.yaml", "buildconfig-unprivileged.yaml"] {
        let spec = &documents(build)[0]["spec"];
        assert!(named.contains(&format!("ServiceAccount {}", spec["serviceAccount"].as_str().unwrap())));
        for secret in spec["strategy"]["customStrategy"]["secrets"].as_array().unwrap() {
            let name = secret["secretSource"]["name"].as_str().unwrap();
            assert!(named.contains(&format!("Secret {name}")), "{build}: {name} is in none of {named:?}");
        }
    }
}

#[test]
fn the_build_configs_are_built_with_the_configuration_beside_them() {
    let scratch = Scratch::new();
    scratch.write(
        "webd/Dockerfile",
        "FROM scratch\nLABEL com.redhat.component=webd name=containers/webd version=1 release=2\n",
    );
    let Some((uri, commit)) = git::commit(&scratch, "webd") else { return };
    let secret = documents("secrets.yaml").into_iter().find(|one| one["metadata"]["name"] == "reactor-config").unwrap();
    let text = secret["stringData"]["config.yaml"].as_str().unwrap();
    let keys = testdata("base/keys").display().to_string();
    let config = text.replace("/var/run/secrets/atomic-reactor/keys", &keys);
    // Where OpenShift puts the BuildConfig's pushSecret.
    scratch.write("push/.dockerconfigjson", "{}");
    let config = config.replace("/var/run/secrets/openshift.io/push", &scratch.at("push"));
    let config = scratch.write("config.yaml", config);
    for file in ["buildconfig-privileged.yaml", "buildconfig-unprivileged.yaml"] {
        let mut spec = documents(file).remove(0)["spec"].take();
        spec.as_object_mut().unwrap().remove("runPolicy");
        let build = json!({"kind": "Build", "metadata": {"name": "webd-1", "namespace": "osbs"}, "spec": spec});
        let run = scratch.stratum(&["inside-build", "--dry-run"]).env("BUILD", &build.to_string());
        let run =
            run.env("SOURCE_URI", &uri).env("SOURCE_REF", &commit).env("OUTPUT_IMAGE", "containers/webd:candidate");
        let run = run.env("OUTPUT_REGISTRY", "registry.example.org");
        let variables = spec["strategy"]["customStrategy"]["env"].as_array().unwrap();
        let variables = variables.iter().map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap()));
        let run = variables.fold(run, |run, (name, value)| run.env(name, value));
        let outcome = run.env("REACTOR_CONFIG", config.to_str().unwrap()).run().expect(0);
        for name in ["containers/webd:1-2", "containers/webd:candidate"] {
            assert!(outcome.stdout.contains(&format!("docker://registry.example.org/{name}")), "{}", outcome.stdout);
        }
        assert!(!outcome.stderr.contains("unknown key"), "{}", outcome.stderr);
    }
}

#[test]
fn an_operator_sees_key_by_key_what_carries_over() {
    let scratch = Scratch::new();
    let file = scratch.write("config.yaml", fs::read(testdata("migrate/reactor-config.yaml")).unwrap());
    let file = file.display().to_string();
    let outcome = scratch.stratum(&["migrate", "atomic-reactor", &file]).run().expect(0);
    let text = &outcome.stdout;
    let row = |key: &str| {
        let found = text.lines().find(|line| line.split_whitespace().nth(2) == Some(key));
        found.unwrap_or_else(|| panic!("no row for {key} in {text}")).to_owned()
    };
    assert!(row("source_registry").contains("   11  kept "), "{text}");
    assert!(row("smtp").contains("unused"), "{text}");
    assert!(row("surprise").contains("unknown"), "{text}");
    assert!(text.contains("as check_base_image"), "{text}");
    assert!(text.contains("no signature of a package is verified"), "{text}");
    scratch.stratum(&["migrate", "atomic-reactor", "--strict", &file]).run().expect(2).says("are not known here");
    let outcome = scratch.stratum(&["migrate", "atomic-reactor", "--format", "json", &file]).run().expect(0);
    let reports: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(reports[0]["rows"].as_array().unwrap().iter().any(|row| row["fate"] == "kept"));
    let broken = scratch.write("broken.yaml", "registry: [\n").display().to_string();
    scratch.stratum(&["migrate", "atomic-reactor", &broken]).run().expect(2).says("broken.yaml:");
}
