use rpm::{Nevra, Package, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::{Distribution, Finding, Severity};

fn package(name: &str, epoch: Option<u32>, arch: &str) -> Package {
    let (version, release) = ("1.0~rc1".to_owned(), "2.fc42".to_owned());
    Package {
        hnum: 1,
        nevra: Some(Nevra { name: name.to_owned(), epoch, version, release, arch: Some(arch.to_owned()) }),
        vendor: Some("Fedora Project".to_owned()),
        license: Some("GPL-2.0-or-later AND MIT".to_owned()),
        source_rpm: Some(format!("{name}-1.0~rc1-2.fc42.src.rpm")),
        buildtime: None,
        size: None,
        installtime: Some(7),
        sigmd5: Some("0123456789abcdef0123456789abcdef".to_owned()),
        sha256header: Some("ab".repeat(32)),
        signatures: Vec::new(),
        verdict: Verdict::Unsigned,
        anomalies: Vec::new(),
    }
}

fn report(packages: Vec<Package>) -> Report {
    let distribution = Distribution::parse(b"ID=fedora\nVERSION_ID=42\n");
    Report { databases: Vec::new(), packages, imported_keys: Vec::new(), findings: Vec::new(), distribution }
}

fn subject() -> Subject {
    Subject {
        name: "r.example/team/App".to_owned(),
        version: Some("1.0".to_owned()),
        digest: Some(oci::Digest::of(b"manifest")),
        architecture: "amd64".to_owned(),
        repository: Some("r.example/team/App".to_owned()),
        created: Some("2024-05-06T07:08:09Z".to_owned()),
        base: Some(Base { name: "r.example/fedora:42".parse().ok(), digest: oci::Digest::of(b"base") }),
    }
}

fn document(packages: Vec<Package>, format: Format) -> Value {
    let sbom = make(&subject(), &report(packages), format).unwrap();
    serde_json::from_slice(&sbom.document).unwrap()
}

fn cyclonedx(packages: Vec<Package>) -> Value {
    document(packages, Format::CycloneDx)
}

/// Holds a document to the schema its publisher has; skips aloud where the schemas are not beside the repository.
fn validate(document: &Value, format: Format) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/schemas/sbom");
    if !folder.exists() {
        eprintln!("skipped: {} is absent", folder.display());
        return;
    }
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    for name in ["bom-1.6.schema.json", "jsf-0.82.schema.json", "spdx.schema.json", "spdx-2.3.schema.json"] {
        let schema = serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        compiler.add_resource(&format!("http://cyclonedx.org/schema/{name}"), schema).unwrap();
    }
    let name = match format {
        Format::CycloneDx => "bom-1.6.schema.json",
        Format::Spdx => "spdx-2.3.schema.json",
    };
    let index = compiler.compile(&format!("http://cyclonedx.org/schema/{name}"), &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{error:#}");
    }
}

#[test]
fn the_document_is_of_the_image_and_lists_its_packages() {
    let document = cyclonedx(vec![package("libstdc++", Some(1), "x86_64")]);
    validate(&document, Format::CycloneDx);
    let digest = oci::Digest::of(b"manifest");
    let base = oci::Digest::of(b"base");
    let image = format!("pkg:oci/app@{digest}?arch=amd64&repository_url=r.example%2Fteam%2FApp");
    let purl = "pkg:rpm/fedora/libstdc%2B%2B@1.0~rc1-2.fc42?arch=x86_64&distro=fedora-42&epoch=1";
    let expected = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": document["serialNumber"],
        "version": 1,
        "metadata": {
            "timestamp": "2024-05-06T07:08:09Z",
            "tools": {"components": [{"type": "application", "name": "stratum", "version": TOOL.1}]},
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": "r.example/team/App",
                "version": "1.0",
                "hashes": [{"alg": "SHA-256", "content": digest.hex()}],
                "purl": image,
                "pedigree": {"ancestors": [{
                    "type": "container",
                    "name": "r.example/fedora",
                    "version": "42",
                    "hashes": [{"alg": "SHA-256", "content": base.hex()}],
                    "purl": format!("pkg:oci/fedora@{base}?repository_url=r.example%2Ffedora"),
                }]},
            },
        },
        "components": [{
            "type": "library",
            "bom-ref": purl,
            "supplier": {"name": "Fedora Project"},
            "publisher": "Fedora Project",
            "name": "libstdc++",
            "version": "1:1.0~rc1-2.fc42",
            "licenses": [{"expression": "GPL-2.0-or-later AND MIT", "acknowledgement": "declared"}],
            "purl": purl,
            "properties": [
                {"name": "stratum:rpm:sourceRpm", "value": "libstdc++-1.0~rc1-2.fc42.src.rpm"},
                {"name": "stratum:rpm:sigmd5", "value": "0123456789abcdef0123456789abcdef"},
                {"name": "stratum:rpm:sha256header", "value": "ab".repeat(32)},
            ],
        }],
        "dependencies": [{"ref": image, "dependsOn": [purl]}],
        "compositions": [{"aggregate": "unknown", "assemblies": [image]}],
    });
    assert_eq!(document, expected);
}

#[test]
fn spdx_says_the_same() {
    let mut old = package("old", None, "noarch");
    old.license = Some("GPLv2+ and MIT".to_owned());
    let mut own = package("own", None, "noarch");
    own.license = Some("LicenseRef-Fedora-Public-Domain OR MIT".to_owned());
    let document = document(vec![old, own], Format::Spdx);
    validate(&document, Format::Spdx);
    assert_eq!(document["creationInfo"]["created"], "2024-05-06T07:08:09Z");
    let packages = document["packages"].as_array().unwrap();
    let names: Vec<&Value> = packages.iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["r.example/team/App", "r.example/fedora", "old", "own"]);
    assert_eq!(packages[2]["supplier"], "Organization: Fedora Project");
    let reference = &packages[3]["externalRefs"][0];
    assert_eq!(reference["referenceLocator"], "pkg:rpm/fedora/own@1.0~rc1-2.fc42?arch=noarch&distro=fedora-42");
    let extracted = document["hasExtractedLicensingInfos"].as_array().unwrap();
    let texts: Vec<&Value> = extracted.iter().map(|one| &one["extractedText"]).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().any(|text| *text == "GPLv2+ and MIT"), "{texts:?}");
    let declared: Vec<&str> = packages.iter().filter_map(|package| package["licenseDeclared"].as_str()).collect();
    let known: Vec<&str> = extracted.iter().filter_map(|one| one["licenseId"].as_str()).collect();
    assert_eq!((known.contains(&declared[0]), declared[1]), (true, "LicenseRef-Fedora-Public-Domain OR MIT"));
    assert!(known.contains(&"LicenseRef-Fedora-Public-Domain"));
}

#[test]
fn what_a_header_does_not_say_is_absent() {
    let mut bare = package("bare", None, "noarch");
    (bare.vendor, bare.license, bare.source_rpm) = (Some(" ".to_owned()), None, Some(String::new()));
    (bare.sigmd5, bare.sha256header) = (None, None);
    let mut report = report(vec![bare]);
    report.distribution = None;
    let subject = Subject { base: None, created: None, digest: None, version: None, repository: None, ..subject() };
    let sbom = make(&subject, &report, Format::CycloneDx).unwrap();
    let document: Value = serde_json::from_slice(&sbom.document).unwrap();
    validate(&document, Format::CycloneDx);
    let purl = "pkg:rpm/bare@1.0~rc1-2.fc42?arch=noarch";
    let expected =
        json!([{"type": "library", "bom-ref": purl, "name": "bare", "version": "1.0~rc1-2.fc42", "purl": purl}]);
    assert_eq!(document["components"], expected);
    let image = json!({"type": "container", "bom-ref": "pkg:oci/app?arch=amd64", "name": "r.example/team/App",
        "purl": "pkg:oci/app?arch=amd64"});
    assert_eq!((&document["metadata"]["component"], document["metadata"].get("timestamp")), (&image, None));
    let spdx = make(&subject, &report, Format::Spdx).unwrap();
    validate(&serde_json::from_slice(&spdx.document).unwrap(), Format::Spdx);
}

#[track_caller]
fn check_license(text: &str, is_expression: bool) {
    let mut one = package("a", None, "noarch");
    one.license = Some(text.to_owned());
    let document = cyclonedx(vec![one]);
    let expected = match is_expression {
        true => json!([{"expression": text, "acknowledgement": "declared"}]),
        false => json!([{"license": {"name": text, "acknowledgement": "declared"}}]),
    };
    assert_eq!(document["components"][0]["licenses"], expected, "{text}");
}

#[test]
fn a_licence_is_an_expression_only_where_spdx_reads_it_so() {
    for text in [
        "MIT",
        "GPL-2.0-or-later WITH Bison-exception-2.2",
        "(MIT OR Apache-2.0) AND LicenseRef-Fedora-Public-Domain",
        "LGPL-2.1-or-later AND (GPL-3.0-or-later OR BSD-3-Clause)",
    ] {
        check_license(text, true);
    }
    for text in [
        "GPLv2+",
        "GPLv2+ and MIT",
        "MIT and Zlib",
        "BSD",
        "Public Domain",
        "MIT AND",
        "mit",
        "MIT/Apache-2.0",
        "GPL-2.0+",
        "DocumentRef-a:LicenseRef-b",
        "((((",
    ] {
        check_license(text, false);
    }
}

#[test]
fn packages_of_one_name_are_told_apart() {
    let mut again = package("glibc", None, "x86_64");
    again.sha256header = Some("cd".repeat(32));
    let mut third = again.clone();
    third.sha256header = Some("ef".repeat(32));
    let packages = vec![third, package("glibc", None, "x86_64"), package("glibc", None, "i686"), again];
    let document = cyclonedx(packages);
    validate(&document, Format::CycloneDx);
    let references: Vec<&str> =
        document["components"].as_array().unwrap().iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
    let purl = |arch: &str| format!("pkg:rpm/fedora/glibc@1.0~rc1-2.fc42?arch={arch}&distro=fedora-42");
    let (i686, x86_64) = (purl("i686"), purl("x86_64"));
    assert_eq!(references, [i686, x86_64.clone(), format!("{x86_64}#2"), format!("{x86_64}#3")]);
    assert_eq!(document["dependencies"][0]["dependsOn"], json!(references));
}

#[test]
fn the_bytes_follow_from_the_image_alone() {
    let (one, two) = (package("a", None, "noarch"), package("b", None, "noarch"));
    let made = |packages: Vec<Package>| make(&subject(), &report(packages), Format::CycloneDx).unwrap();
    let expected = made(vec![one.clone(), two.clone()]);
    // Another order of rows, another database that has all twice, another time of installation, another verdict.
    let mut other = one.clone();
    (other.hnum, other.installtime, other.verdict) = (9, Some(8), Verdict::LegacyOnly);
    assert_eq!(made(vec![two.clone(), other, one.clone()]), expected);
    let serial = |sbom: &Sbom| {
        let document: Value = serde_json::from_slice(&sbom.document).unwrap();
        document["serialNumber"].as_str().unwrap().to_owned()
    };
    let number = serial(&expected);
    assert!(number.starts_with("urn:uuid:") && number.as_bytes()[23] == b'8', "{number}");
    assert_ne!(serial(&made(vec![one])), number);
}

#[test]
fn the_list_of_package_urls_is_buildahs() {
    let sbom =
        make(&subject(), &report(vec![package("b", None, "noarch"), package("a", None, "noarch")]), Format::Spdx);
    let expected = "{\"image_contents\":{\"dependencies\":[\"pkg:rpm/fedora/a@1.0~rc1-2.fc42?arch=noarch&distro=fedora-42\",\
        \"pkg:rpm/fedora/b@1.0~rc1-2.fc42?arch=noarch&distro=fedora-42\"]}}\n";
    assert_eq!(String::from_utf8(sbom.unwrap().purl_list()).unwrap(), expected);
    let none = make(&subject(), &report(Vec::new()), Format::CycloneDx).unwrap();
    assert_eq!(none.purl_list(), b"{\"image_contents\":{}}\n");
}

#[test]
fn an_image_without_packages_has_a_document() {
    let document = cyclonedx(Vec::new());
    validate(&document, Format::CycloneDx);
    assert_eq!(document["components"], json!([]));
    validate(&self::document(Vec::new(), Format::Spdx), Format::Spdx);
}

#[test]
fn a_row_that_names_no_package_makes_the_document_incomplete() {
    let mut broken = package("a", None, "noarch");
    broken.nevra = None;
    let long = package(&"a".repeat(256), None, "noarch");
    let document = cyclonedx(vec![broken.clone(), long]);
    validate(&document, Format::CycloneDx);
    assert_eq!(
        (&document["components"], &document["compositions"][0]["aggregate"]),
        (&json!([]), &json!("incomplete"))
    );
    let spdx = self::document(vec![broken], Format::Spdx);
    assert_eq!(
        spdx["creationInfo"]["comment"],
        "1 rows of the package database name no package, so packages are missing here"
    );
}

#[test]
fn a_database_that_cannot_be_read_gives_no_document() {
    let mut report = report(Vec::new());
    let (subject, message) = ("var/lib/rpm/Packages".to_owned(), "it is cut off".to_owned());
    report.findings.push(Finding { severity: Severity::Error, code: Code::DatabaseUnreadable, subject, message });
    let error = make(&self::subject(), &report, Format::CycloneDx).unwrap_err();
    let text = "var/lib/rpm/Packages: it is cut off, so packages would be missing from the bill of materials";
    assert_eq!(error.to_string(), text);
}

#[test]
fn texts_have_limits() {
    let mut long = package("a", None, "noarch");
    long.vendor = Some("v".repeat(64 * 1024 + 1));
    assert_eq!(cyclonedx(vec![long.clone()])["components"][0].get("supplier"), None);
    long.vendor = Some("v".repeat(64 * 1024));
    let many = vec![long; 1024];
    assert!(matches!(make(&subject(), &report(many), Format::CycloneDx), Err(SbomError::TooLarge)));
}
