//! What a site shows its steps and puts into its images: nothing of the one is in a layer, all of the other is.

use serde_json::Value;

use crate::support::builder::{Builder, as_everyone};
use crate::support::scratch::Person;
use crate::support::shared;

const REPOSITORY: &str = "[s]\nname=s\nbaseurl=http://site.example/\n";

/// A stage with files that the next one's steps are not to see.
const STAGES: &str = "FROM base AS b\n\
    RUN mkdir -p /etc/yum.repos.d /opt/kept && echo ubi > /etc/yum.repos.d/ubi.repo && echo x > /opt/kept/x\n\
    RUN chmod 750 /opt/kept && ln -s kept /opt/link && touch -d '2001-02-03 04:05:06' /opt/kept\n\
    FROM b\n";

/// The arguments for a site with this configuration and a repository file.
fn site(builder: &Builder, text: &str) -> Vec<String> {
    builder.scratch.write("site.repo", REPOSITORY);
    builder.scratch.write("site.yaml", format!("version: 1\n{text}"));
    vec!["--config".to_owned(), builder.scratch.at("site.yaml")]
}

fn with<'a>(arguments: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn repositories_are_seen_whatever_the_user_and_are_in_no_layer() {
    let builder = Builder::new(Person::Me).unwrap();
    let arguments = site(&builder, "yum_repos: [site.repo]\nnetwork: {mode: none}\n");
    let dockerfile = "FROM base AS b\nUSER 1234\nRUN test -r /etc/yum.repos.d/site.repo\n\
        FROM base\nCOPY --from=b / /copied/\nUSER 4321\nRUN grep -q site.example /etc/yum.repos.d/site.repo\n";
    builder.build_with(dockerfile, &with(&arguments, &[])).expect(0);
    let image = builder.image();
    assert_eq!(image.config["config"]["User"], "4321");
    assert!(image.tree().names().iter().all(|name| !name.contains("yum.repos.d")), "{:?}", image.tree().names());
}

#[test]
fn a_stage_on_nothing_sees_no_repository_of_the_site_but_one_given_for_the_build() {
    let builder = Builder::new(Person::Me).unwrap();
    let arguments = site(&builder, "yum_repos: [site.repo]\nnetwork: {mode: none}\n");
    builder.scratch.write("own.repo", REPOSITORY);
    let own = builder.scratch.at("own.repo");
    let dockerfile = "FROM scratch\nCOPY --from=base / /\nRUN test ! -e /etc/yum.repos.d\n";
    builder.build_with(dockerfile, &with(&arguments, &[])).expect(0);
    let dockerfile = "FROM scratch\nCOPY --from=base / /\nRUN test \"$(ls /etc/yum.repos.d)\" = own.repo\n";
    builder.build_with(dockerfile, &with(&arguments, &["--add-repo", &own])).expect(0);
}

const HIDING: &str = "hide_files: {tmpdir: /tmp, files: [/etc/yum.repos.d/ubi.repo, /opt/link/x, /no/such]}\n\
    network: {mode: none}\n";

#[test]
fn hidden_files_are_not_seen_and_stay_as_they_are() {
    as_everyone(|builder| {
        let arguments = site(builder, HIDING);
        let dockerfile = format!(
            "{STAGES}RUN test -d /etc/yum.repos.d && test -z \"$(ls -A /etc/yum.repos.d /opt/kept | grep -e ubi -e '^x')\"\n\
             RUN ! cat /opt/kept/x && test \"$(stat -c %a /opt/kept)\" = 750 && touch /etc/yum.repos.d/own.repo\n"
        );
        for layering in [&[][..], &["--layers"], &["--squash"]] {
            builder.build_with(&dockerfile, &with(&arguments, layering)).expect(0);
            let tree = builder.image().tree();
            assert_eq!(
                (tree.text("etc/yum.repos.d/ubi.repo"), tree.text("opt/kept/x")),
                ("ubi\n".into(), "x\n".into())
            );
            assert!(tree.has("etc/yum.repos.d/own.repo") && !tree.has("no"), "{layering:?}");
        }
        builder.build_with(&dockerfile, &with(&arguments, &[])).expect(0);
        let names = builder.image().top_layer().names();
        assert!(!names.iter().any(|name| name.contains("ubi") || name.contains("opt")), "{names:?}");
    });
}

#[test]
fn a_file_that_a_step_makes_in_place_of_a_hidden_one_is_not_lost() {
    let builder = Builder::new(Person::Me).unwrap();
    let arguments = site(&builder, HIDING);
    let dockerfile = format!(
        "{STAGES}RUN echo new > /etc/yum.repos.d/ubi.repo\nRUN grep -q new /etc/yum.repos.d/ubi.repo\n\
         RUN touch /opt/kept/x && rm /opt/kept/x\n"
    );
    builder.build_with(&dockerfile, &with(&arguments, &[])).expect(0);
    let tree = builder.image().tree();
    assert_eq!(tree.text("etc/yum.repos.d/ubi.repo"), "new\n");
    assert_eq!(tree.text("opt/kept/x"), "x\n", "what is hidden cannot be removed");
    builder.build_with(&dockerfile, &with(&arguments, &["--layers"])).expect(0);
    assert_eq!(builder.image().tree().text("etc/yum.repos.d/ubi.repo"), "new\n");
}

#[test]
fn steps_that_reach_repositories_themselves_see_the_sites_certificates() {
    let builder = Builder::new(Person::Me).unwrap();
    let Some(bundle) = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        eprintln!("skipped: no bundle of certificates on this machine");
        return;
    };
    builder.scratch.copy(std::path::Path::new(bundle), "ca.pem");
    let arguments = site(&builder, "yum_repos: [site.repo]\nbuilder_ca_bundle: ca.pem\n");
    let seen = "FROM base\nRUN grep -q sslcacert=/tmp/ca.pem /etc/yum.repos.d/site.repo && grep -q BEGIN /tmp/ca.pem\n";
    builder.build_with(seen, &with(&arguments, &["--network", "host"])).expect(0);
    let names = builder.image().tree().names();
    assert!(!names.iter().any(|name| name.contains("ca.pem") || name.contains("site.repo")), "{names:?}");
    let unseen = "FROM base\nRUN ! grep sslcacert /etc/yum.repos.d/site.repo && ! test -e /tmp/ca.pem\n";
    builder.build_with(unseen, &with(&arguments, &["--network", "gateway"])).expect(0);
}

#[test]
fn help_manifest_and_dockerfile_are_in_the_image() {
    let builder = Builder::new(Person::Me).unwrap();
    let list = "plugins: {prebuild: [{name: add_help}, {name: add_content_sets}, \
        {name: add_dockerfile, args: {use_final_dockerfile: true, destdir: /opt/about}}, {name: add_labels_in_dockerfile}]}\n\
        image_labels: {vendor: corp}\n";
    let arguments = site(&builder, list);
    builder.scratch.write("context/help.md", "# NAME\napp - does *it*\n");
    builder.scratch.write("context/content_sets.yml", "x86_64: [a-rpms, b-rpms]\naarch64: [a-rpms, b-rpms]\n");
    let labels = "LABEL name=ns/app com.redhat.component=app-container version=1 release=2 maintainer=Ada\n";
    let dockerfile = format!("FROM base\n{labels}");
    let arguments = with(&arguments, &["--source-date-epoch", "0"]);
    builder.build_with(&dockerfile, &arguments).expect(0);
    let image = builder.image();
    let layer = image.top_layer();
    let page = layer.text("help.1");
    assert!(page.contains(".TH \"ns/app\" \"1\" \"January 1, 1970\" \"Ada\" \"Container Image Pages\"\n.SH NAME\n"));
    assert!(page.ends_with("app \\- does \\fIit\\fR\n"), "{page}");
    assert!(layer.text("opt/about/Dockerfile-ns-app-1-2").contains("\"vendor\"=\"corp\""));
    let text = layer.text("root/buildinfo/content_manifests/app-container-1-2.json");
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["content_sets"], serde_json::json!(["a-rpms", "b-rpms"]));
    let layers = image.config["rootfs"]["diff_ids"].as_array().unwrap().len() as u64;
    assert_eq!(manifest["metadata"]["image_layer_index"].as_u64(), Some(layers - 1));
    check_manifest(&manifest);
}

/// A content manifest is what atomic-reactor's schema says.
#[track_caller]
fn check_manifest(manifest: &Value) {
    let Some(schema) = shared("schemas/osbs/content_manifest.json") else { return };
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let index = compiler.compile(schema.to_str().unwrap(), &mut schemas).unwrap();
    if let Err(error) = schemas.validate(manifest, index) {
        panic!("the content manifest does not fit its schema: {error:#}");
    }
}
