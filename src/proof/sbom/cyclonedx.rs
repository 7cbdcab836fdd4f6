//! CycloneDX 1.6 as JSON (ECMA-424; bom-1.6.schema.json).

use oci::Digest;
use oci::digest::Algorithm;
use serde::Serialize;

use super::content::{Content, License, Listed};
use super::{Base, SbomError, Subject, TOOL, in_lines, uuid};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    dependencies: Vec<Dependency>,
    compositions: [Composition; 1],
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    tools: Tools<'a>,
    component: Component<'a>,
}

#[derive(Serialize)]
struct Tools<'a> {
    components: [Component<'a>; 1],
}

#[derive(Default, Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organization<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'a str>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licenses: Option<[LicenseChoice<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pedigree: Option<Pedigree<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property<'a>>,
}

#[derive(Serialize)]
struct Organization<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Hash<'a> {
    alg: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LicenseChoice<'a> {
    Expression { expression: &'a str, acknowledgement: &'static str },
    Named { license: NamedLicense<'a> },
}

#[derive(Serialize)]
struct NamedLicense<'a> {
    name: &'a str,
    acknowledgement: &'static str,
}

/// What the package says, and nobody has looked into.
const DECLARED: &str = "declared";

#[derive(Serialize)]
struct Pedigree<'a> {
    ancestors: [Box<Component<'a>>; 1],
}

#[derive(Serialize)]
struct Property<'a> {
    name: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(rename = "dependsOn", skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

#[derive(Serialize)]
struct Composition {
    aggregate: &'static str,
    assemblies: [String; 1],
}

/// The document.
pub(super) fn document(subject: &Subject, content: &Content) -> Result<Vec<u8>, SbomError> {
    let image = subject.purl();
    let named: Vec<(String, &Listed)> = content.named().collect();
    let references = named.iter().map(|(reference, _)| reference.clone()).collect();
    let mut document = Document {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: None,
        version: 1,
        metadata: Metadata {
            timestamp: subject.created.as_deref(),
            tools: Tools { components: [tool()] },
            component: image_component(subject, &image),
        },
        components: named.into_iter().map(|(reference, package)| package_component(reference, package)).collect(),
        dependencies: vec![Dependency { reference: image.clone(), depends_on: references }],
        compositions: [Composition { aggregate: aggregate(content), assemblies: [image] }],
    };
    document.serial_number = Some(format!("urn:uuid:{}", uuid(&in_lines(&document)?)));
    in_lines(&document)
}

/// Files that belong to no package may be anything, so nobody knows whether packages are all there is.
fn aggregate(content: &Content) -> &'static str {
    if content.unreadable == 0 { "unknown" } else { "incomplete" }
}

fn tool() -> Component<'static> {
    let (name, version) = TOOL;
    Component { kind: "application", name: name.to_owned(), version: Some(version), ..Component::default() }
}

fn image_component<'a>(subject: &'a Subject, purl: &str) -> Component<'a> {
    Component {
        kind: "container",
        reference: Some(purl.to_owned()),
        name: subject.name.clone(),
        version: subject.version.as_deref(),
        hashes: subject.digest.as_ref().map(hash).into_iter().collect(),
        purl: Some(purl.to_owned()),
        pedigree: subject.base.as_ref().map(|base| Pedigree { ancestors: [Box::new(base_component(base))] }),
        ..Component::default()
    }
}

fn base_component(base: &Base) -> Component<'_> {
    let digest = base.digest.as_str();
    let tag = base.name.as_ref().and_then(oci::Reference::tag);
    Component {
        kind: "container",
        // A component must have a name.
        name: base.name.as_ref().map_or_else(|| digest.to_owned(), oci::Reference::name),
        version: Some(tag.unwrap_or(digest)),
        hashes: vec![hash(&base.digest)],
        purl: base.purl(),
        ..Component::default()
    }
}

fn hash(digest: &Digest) -> Hash<'_> {
    let alg = match digest.algorithm() {
        Algorithm::Sha256 => "SHA-256",
        Algorithm::Sha512 => "SHA-512",
    };
    Hash { alg, content: digest.hex() }
}

fn package_component(reference: String, package: &Listed) -> Component<'_> {
    Component {
        kind: "library",
        reference: Some(reference),
        supplier: package.vendor.as_deref().map(|name| Organization { name }),
        publisher: package.vendor.as_deref(),
        name: package.name.clone(),
        version: Some(&package.version),
        licenses: package.license.as_ref().map(|license| [choice(license)]),
        purl: Some(package.purl.clone()),
        properties: properties(package),
        ..Component::default()
    }
}

fn choice(license: &License) -> LicenseChoice<'_> {
    match license {
        License::Expression(expression) => LicenseChoice::Expression { expression, acknowledgement: DECLARED },
        License::Name(name) => LicenseChoice::Named { license: NamedLicense { name, acknowledgement: DECLARED } },
    }
}

/// A package's MD5 and SHA-256 are of its header, or of header and payload, and not of its file: they are no `hashes`.
fn properties<'p>(package: &'p Listed) -> Vec<Property<'p>> {
    let one = |name, value: &'p Option<String>| value.as_deref().map(|value| Property { name, value });
    let values = [
        one("stratum:rpm:sourceRpm", &package.source_rpm),
        one("stratum:rpm:sigmd5", &package.sigmd5),
        one("stratum:rpm:sha256header", &package.sha256header),
    ];
    let keys = package.keys.iter().map(|key| Property { name: "stratum:rpm:signingKeyId", value: key });
    values.into_iter().flatten().chain(keys).collect()
}
