//! Against a made-up distribution beside the repository, whose expected answers come from rpm itself.
//!
//! `STRATUM_DISTRO` names its state folder (see `shared/distro/README.md`); without it these skip.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

/// The state folder, or a note that there is none.
#[expect(clippy::disallowed_methods, reason = "a test asks where the material beside the repository is")]
fn state() -> Option<PathBuf> {
    let state = std::env::var_os("STRATUM_DISTRO").map(PathBuf::from);
    if state.is_none() {
        eprintln!("skipped: STRATUM_DISTRO is not set");
    }
    state
}

fn keys(state: &Path, names: &[&str]) -> Keyring {
    let files: Vec<PathBuf> = names.iter().map(|name| state.join(format!("keys/{name}.asc"))).collect();
    Keyring::load(&files).unwrap()
}

fn packages(database: &Path, keyring: &Keyring) -> Vec<Package> {
    let rows = read(database, tempfile::tempdir().unwrap().path()).unwrap();
    inspect(&rows, keyring, &Policy::at(NOW))
}

fn json(file: &Path) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The key id at the end of what rpm prints for a signature tag, if it is one.
fn printed_key(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| *text != "(none)").and_then(|text| text.rsplit(' ').next())
}

#[test]
fn every_package_of_the_roots_is_as_rpm_says() {
    let Some(state) = state() else { return };
    let keyring = keys(&state, &["release", "second", "subkey"]);
    for root in ["small", "smallapp", "base"] {
        let database = state.join("work").join(root).join("usr/lib/sysimage/rpm/rpmdb.sqlite");
        let found = packages(&database, &keyring);
        let expected = json(&state.join(format!("expect-{root}.json")));
        assert_eq!(found.len(), expected.len(), "{root}");
        let by_name: BTreeMap<String, &Package> = found.iter().map(|package| (package.label(), package)).collect();
        for row in &expected {
            check_row(row, &by_name);
        }
    }
}

#[track_caller]
fn check_row(row: &Value, found: &BTreeMap<String, &Package>) {
    let text = |key: &str| row[key].as_str().unwrap();
    let epoch = if text("epoch") == "(none)" { String::new() } else { format!("{}:", text("epoch")) };
    let arch = if text("arch") == "(none)" { String::new() } else { format!(".{}", text("arch")) };
    let label = format!("{}-{epoch}{}-{}{arch}", text("name"), text("version"), text("release"));
    let package = found[&label];
    assert_eq!(package.anomalies, [], "{label}");
    assert_eq!(package.installtime.map(u64::from), row["installtime"].as_u64(), "{label}");
    assert_eq!(package.buildtime.map(u64::from), row["buildtime"].as_u64(), "{label}");
    assert_eq!(package.size.map(|size| size.to_string()).as_deref(), row["size"].as_str(), "{label}");
    assert_eq!(package.sigmd5.as_deref().unwrap_or("(none)"), text("sigmd5"), "{label}");
    let printed: Vec<&str> = ["rsaheader", "dsaheader"].iter().filter_map(|key| printed_key(&row[key])).collect();
    let signatures: Vec<String> = package.signatures.iter().map(ToString::to_string).collect();
    assert_eq!(signatures, printed, "{label}");
    assert_eq!(package.is_gpg_pubkey(), text("name") == "gpg-pubkey", "{label}");
    assert!(package.verdict.is_good() || package.is_gpg_pubkey(), "{label}: {:?}", package.verdict);
}

#[test]
fn a_row_only_in_the_log_and_a_second_database_are_seen() {
    let Some(state) = state() else { return };
    let keyring = keys(&state, &["release", "second", "subkey"]);
    let databases = state.join("rpmdbs");
    let whole = packages(&databases.join("sqlite/rpmdb.sqlite"), &keyring);
    assert_eq!(packages(&databases.join("sqlite-wal/rpmdb.sqlite"), &keyring), whole);
    let lying = databases.join("lying-location");
    assert_eq!(packages(&lying.join("usr/lib/sysimage/rpm/rpmdb.sqlite"), &keyring), whole);
    assert_eq!(packages(&lying.join("var/lib/rpm/rpmdb.sqlite"), &keyring), []);
    for (name, message) in [("zero", "empty file"), ("sqlite-short", "cut short: 60000 bytes")] {
        let error = read(&databases.join(name).join("rpmdb.sqlite"), &state).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
