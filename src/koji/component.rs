//! The components of an image as Koji's metadata has them: one RPM each.
//!
//! Comes in: rows that `rpm -qa` printed with [`QUERY_TAGS`], or packages that this program has read itself. Goes out:
//! [`Component`]s, keys that rpm keeps beside its packages left out. It judges no signature.

use rpm::Package;
use serde::{Deserialize, Serialize};

/// The tags of a row, in order; [`SEPARATOR`] between them (atomic-reactor, `rpm_util`).
pub const QUERY_TAGS: [&str; 13] = [
    "NAME",
    "VERSION",
    "RELEASE",
    "ARCH",
    "EPOCH",
    "SIZE",
    "SIGMD5",
    "BUILDTIME",
    "RPMTAG_MODULARITYLABEL",
    "SIGPGP:pgpsig",
    "SIGGPG:pgpsig",
    "DSAHEADER:pgpsig",
    "RSAHEADER:pgpsig",
];
/// Between the tags of a row.
pub const SEPARATOR: &str = ";";
/// What rpm prints for a tag that is not there.
const NONE: &str = "(none)";
/// What rpm prints before the number of a key.
const KEY_ID: &str = "Key ID ";
/// The name of the keys that rpm keeps beside its packages.
const KEYS: &str = "gpg-pubkey";

/// An RPM in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// `rpm`, the only type that Koji takes here.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its release.
    pub release: String,
    /// Its epoch; none is not the same as zero.
    #[serde(default)]
    pub epoch: Option<u32>,
    /// Its architecture; empty where nobody says.
    #[serde(default)]
    pub arch: String,
    /// Hexadecimal MD5 of the package file's header and payload.
    #[serde(default)]
    pub sigmd5: Option<String>,
    /// The key that signed it, hexadecimal; none for an unsigned one.
    #[serde(default)]
    pub signature: Option<String>,
    /// The module it belongs to, `NAME:STREAM:VERSION:CONTEXT`.
    #[serde(default)]
    pub module: Option<String>,
}

/// A row that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// An epoch that is no number.
    #[error("`{row}`: the epoch is no number")]
    Epoch {
        /// The row.
        row: String,
    },
}

/// Reads what `rpm -qa` printed with [`QUERY_TAGS`].
///
/// # Errors
/// [`RowError`] with the first row that is none.
pub fn of_rows<'r>(rows: impl IntoIterator<Item = &'r str>) -> Result<Vec<Component>, RowError> {
    let rows = rows.into_iter().map(|row| row.trim_end_matches(['\r', '\n'])).filter(|row| !row.is_empty());
    rows.filter_map(|row| of_row(row).transpose()).collect()
}

/// The component of a row; none for a key, and for a line that is no row.
fn of_row(row: &str) -> Result<Option<Component>, RowError> {
    let tags: Vec<Option<&str>> = row.split(SEPARATOR).map(|tag| (tag != NONE).then_some(tag)).collect();
    // What has too few tags is no row of a package but a line that rpm says something else in; more tags are none of ours.
    let Some([name, version, release, arch, epoch, _, sigmd5, _, module, signatures @ ..]) =
        tags.get(..QUERY_TAGS.len())
    else {
        return Ok(None);
    };
    if *name == Some(KEYS) {
        return Ok(None);
    }
    let owned = |tag: &Option<&str>| tag.map(str::to_owned);
    let epoch = epoch.map(str::parse).transpose().map_err(|_| RowError::Epoch { row: row.to_owned() })?;
    Ok(Some(Component {
        kind: "rpm".to_owned(),
        name: owned(name).unwrap_or_default(),
        version: owned(version).unwrap_or_default(),
        release: owned(release).unwrap_or_default(),
        epoch,
        arch: owned(arch).unwrap_or_default(),
        sigmd5: owned(sigmd5),
        signature: signatures.iter().flatten().find(|text| !text.is_empty()).map(|text| key_of(text).to_owned()),
        module: module.filter(|module| !module.is_empty()).map(str::to_owned),
    }))
}

/// The key in what rpm prints of a signature; all of it where no key is named.
fn key_of(text: &str) -> &str {
    text.split_once(KEY_ID).map_or(text, |(_, key)| key)
}

/// The components among packages that this program has read, in their order; each NEVRA once, for the hub refuses a
/// list that has one twice. The signature is the key that the header signature names, whatever is to be thought of it.
#[must_use]
pub fn of_packages(packages: &[Package]) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    for package in packages.iter().filter(|package| !package.is_gpg_pubkey()) {
        let Some(nevra) = &package.nevra else { continue };
        let component = Component {
            kind: "rpm".to_owned(),
            name: nevra.name.clone(),
            version: nevra.version.clone(),
            release: nevra.release.clone(),
            epoch: nevra.epoch,
            arch: nevra.arch.clone().unwrap_or_default(),
            sigmd5: package.sigmd5.clone(),
            signature: package.signatures.first().map(ToString::to_string),
            module: None,
        };
        if component.name != KEYS && !components.contains(&component) {
            components.push(component);
        }
    }
    components
}

/// The names of RPMs that differ between the lists of several platforms in version, release or signature, sorted.
/// Names among `exceptions` may differ; a package that a list lacks is no difference.
#[must_use]
pub fn differing(lists: &[&[Component]], exceptions: &[String]) -> Vec<String> {
    let mut known = std::collections::BTreeMap::new();
    let mut differing = std::collections::BTreeSet::new();
    let compared = lists.iter().flat_map(|list| list.iter()).filter(|one| !exceptions.contains(&one.name));
    for one in compared {
        let what = (&one.version, &one.release, &one.signature);
        if *known.entry((&one.kind, &one.name)).or_insert(what) != what {
            differing.insert(one.name.clone());
        }
    }
    differing.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "bash;1;2;x86_64;(none);10;f0;170;(none);";

    #[track_caller]
    fn signature(signatures: &str, expected: Option<&str>) {
        let components = of_rows([format!("{ROW}{signatures}\n").as_str()]).unwrap();
        assert_eq!(components.first().unwrap().signature.as_deref(), expected);
    }

    #[test]
    fn the_first_signature_names_the_key() {
        let by = |key: &str| format!("RSA/SHA256, Mon 01 Jan 2024 00:00:00, Key ID {key}");
        signature(&format!("(none);(none);(none);{}", by("ab")), Some("ab"));
        signature(&format!("(none);{};{};{}", by("a"), by("b"), by("c")), Some("a"));
        signature("(none);(none);(none);(none)", None);
        signature("(none);(none);(none);odd", Some("odd"));
    }

    #[test]
    fn a_row_is_a_component_and_a_key_is_none() {
        let rows = [
            "m;1;2;noarch;0;10;f0;170;nodejs:18:8080:abcd;(none);(none);(none);(none)",
            "gpg-pubkey;1;2;(none);(none);0;(none);170;(none);(none);(none);(none);(none)",
            "",
        ];
        let expected = Component {
            kind: "rpm".to_owned(),
            name: "m".to_owned(),
            version: "1".to_owned(),
            release: "2".to_owned(),
            epoch: Some(0),
            arch: "noarch".to_owned(),
            sigmd5: Some("f0".to_owned()),
            signature: None,
            module: Some("nodejs:18:8080:abcd".to_owned()),
        };
        assert_eq!(of_rows(rows).unwrap(), [expected]);
    }

    #[test]
    fn what_is_no_row_is_no_component() {
        let row = format!("{ROW};;;RSA/SHA256, x, Key ID ab");
        let lines = ["bash;1", row.as_str(), &format!("{row};more")];
        let signed: Vec<_> = of_rows(lines).unwrap().into_iter().map(|one| (one.name, one.signature)).collect();
        assert_eq!(signed, vec![("bash".to_owned(), Some("ab".to_owned())); 2]);
        let row = ROW.replacen("(none)", "x", 1) + "(none);(none);(none);(none)";
        assert!(matches!(of_rows([row.as_str()]), Err(RowError::Epoch { .. })));
    }

    fn rpm(name: &str, version: &str, signature: Option<&str>) -> Component {
        let signature = signature.map(str::to_owned);
        Component { kind: "rpm".into(), name: name.into(), version: version.into(), signature, ..Component::default() }
    }

    #[test]
    fn platforms_have_the_same_packages_but_for_exceptions() {
        let one = [rpm("a", "1", Some("k")), rpm("b", "1", None), rpm("c", "1", Some("k"))];
        let other = [rpm("a", "1", Some("k")), rpm("b", "2", None), rpm("c", "1", None), rpm("d", "9", None)];
        assert_eq!(differing(&[&one, &other], &[]), ["b", "c"]);
        assert_eq!(differing(&[&one, &other], &["c".to_owned()]), ["b"]);
        assert!(differing(&[&one], &[]).is_empty());
    }
}
