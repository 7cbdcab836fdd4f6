//! SPDX 2.3 as JSON (ISO/IEC 5962 and its second revision; spdx-2.3.schema.json).

use std::collections::BTreeMap;

use oci::Digest;
use oci::digest::Algorithm;
use serde::Serialize;

use super::content::{Content, License, Listed};
use super::{Base, SbomError, Subject, TOOL, in_lines, uuid};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_namespace: Option<String>,
    creation_info: Creation,
    packages: Vec<Package<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<Extracted>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<&'a str>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_declared: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalReference>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum<'a> {
    algorithm: &'static str,
    checksum_value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalReference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extracted {
    license_id: String,
    extracted_text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const BASE: &str = "SPDXRef-Base";
/// Every document must say when it was created; this is said of images that do not.
const NEVER: &str = "1970-01-01T00:00:00Z";

/// The document.
pub(super) fn document(subject: &Subject, content: &Content) -> Result<Vec<u8>, SbomError> {
    let mut packages = vec![image_package(subject)];
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    if let Some(base) = &subject.base {
        packages.push(base_package(base));
        relationships.push(related(IMAGE, "DESCENDANT_OF", BASE));
    }
    for (number, package) in content.packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}-{}", number + 1, plain(&package.name));
        relationships.push(related(IMAGE, "CONTAINS", &id));
        packages.push(rpm_package(id, package));
    }
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: &subject.name,
        document_namespace: None,
        creation_info: creation(subject, content),
        packages,
        has_extracted_licensing_infos: extracted(content),
        relationships,
    };
    document.document_namespace = Some(format!("urn:uuid:{}", uuid(&in_lines(&document)?)));
    in_lines(&document)
}

fn creation(subject: &Subject, content: &Content) -> Creation {
    let (name, version) = TOOL;
    // Whole seconds in UTC are all that is allowed.
    let seconds = subject.created.as_ref().filter(|time| time.ends_with('Z')).and_then(|time| time.get(..19));
    let unreadable = content.unreadable;
    let comment = format!("{unreadable} rows of the package database name no package, so packages are missing here");
    Creation {
        created: seconds.map_or_else(|| NEVER.to_owned(), |seconds| format!("{seconds}Z")),
        creators: [format!("Tool: {name}-{version}")],
        comment: (unreadable > 0).then_some(comment),
    }
}

fn related(one: &str, relationship_type: &'static str, other: &str) -> Relationship {
    Relationship { spdx_element_id: one.to_owned(), relationship_type, related_spdx_element: other.to_owned() }
}

fn image_package(subject: &Subject) -> Package<'_> {
    Package {
        id: IMAGE.to_owned(),
        name: subject.name.clone(),
        version_info: subject.version.as_deref(),
        download_location: "NOASSERTION",
        primary_package_purpose: Some("CONTAINER"),
        checksums: subject.digest.as_ref().map(checksum).into_iter().collect(),
        external_refs: vec![purl(subject.purl())],
        ..Package::default()
    }
}

fn base_package(base: &Base) -> Package<'_> {
    let digest = base.digest.as_str();
    Package {
        id: BASE.to_owned(),
        name: base.name.as_ref().map_or_else(|| digest.to_owned(), oci::Reference::name),
        version_info: Some(base.name.as_ref().and_then(oci::Reference::tag).unwrap_or(digest)),
        download_location: "NOASSERTION",
        primary_package_purpose: Some("CONTAINER"),
        checksums: vec![checksum(&base.digest)],
        external_refs: base.purl().map(purl).into_iter().collect(),
        ..Package::default()
    }
}

fn checksum(digest: &Digest) -> Checksum<'_> {
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => "SHA256",
        Algorithm::Sha512 => "SHA512",
    };
    Checksum { algorithm, checksum_value: digest.hex() }
}

fn rpm_package(id: String, package: &Listed) -> Package<'_> {
    Package {
        id,
        name: package.name.clone(),
        version_info: Some(&package.version),
        download_location: "NOASSERTION",
        supplier: package.vendor.as_ref().map(|vendor| format!("Organization: {vendor}")),
        license_declared: package.license.as_ref().map(license),
        source_info: package.source_rpm.as_ref().map(|source| format!("built from the source package {source}")),
        comment: comment(package),
        external_refs: vec![purl(package.purl.clone())],
        ..Package::default()
    }
}

fn purl(reference_locator: String) -> ExternalReference {
    ExternalReference { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator }
}

/// A package's MD5 and SHA-256 are of its header, or of header and payload, and not of its file: they are no checksums.
fn comment(package: &Listed) -> Option<String> {
    let one = |what: &str, value: &Option<String>| value.as_ref().map(|value| format!("{what} {value}"));
    let values = [one("sigmd5", &package.sigmd5), one("sha256header", &package.sha256header)];
    let keys = package.keys.iter().map(|key| format!("signing key {key}"));
    let all: Vec<String> = values.into_iter().flatten().chain(keys).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// A licence as an expression: any other text is one of the document's own licences.
fn license(license: &License) -> String {
    match license {
        License::Expression(expression) => expression.clone(),
        License::Name(name) => own_license(name),
    }
}

fn own_license(name: &str) -> String {
    let digest = Digest::of(name.as_bytes());
    format!("LicenseRef-{}", digest.hex().get(..16).unwrap_or_default())
}

/// What the licences are that are on no list: expressions may name some too.
fn extracted(content: &Content) -> Vec<Extracted> {
    let mut all = BTreeMap::new();
    for license in content.packages.iter().filter_map(|package| package.license.as_ref()) {
        match license {
            License::Name(name) => drop(all.insert(own_license(name), name.clone())),
            License::Expression(expression) => {
                let words = expression.split(|c: char| c.is_whitespace() || c == '(' || c == ')');
                let own = words.filter(|word| word.starts_with("LicenseRef-"));
                all.extend(own.map(|id| (id.to_owned(), format!("what the package calls {id}"))));
            }
        }
    }
    all.into_iter().map(|(license_id, extracted_text)| Extracted { license_id, extracted_text }).collect()
}

/// A name as it may stand in an identifier.
fn plain(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    name.chars().map(allowed).collect()
}
