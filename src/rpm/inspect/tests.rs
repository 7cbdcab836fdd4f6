use super::*;
use crate::database::read;
use crate::keys::Keyring;
use crate::testing::{Blob, NOW, Signing, binary, keyring, keyring_of, number, rows, secret_key, string};

const FEDORA: &str = "fedora-38-database/in.rpmdb.sqlite";
const FEDORA_KEY: &str = "fedora-38-database/RPM-GPG-KEY-fedora-38-primary";

fn fedora(key: &str) -> Vec<Package> {
    inspect(&rows(FEDORA), &keyring(&[key]), &Policy::at(NOW))
}

#[test]
fn real_packages_are_good_with_their_distributions_key() {
    let packages = fedora(FEDORA_KEY);
    let labels: Vec<String> = packages.iter().map(Package::label).collect();
    assert_eq!(labels, ["coreutils-9.1-12.fc38.x86_64", "libgcc-13.1.1-2.fc38.x86_64"]);
    for package in &packages {
        assert!(package.verdict.is_good(), "{:?}", package.verdict);
        assert_eq!(package.signatures, ["809a8d7ceb10b464".parse().unwrap()]);
        assert_eq!(package.anomalies, []);
        assert_eq!(package.vendor.as_deref(), Some("Fedora Project"));
    }
}

#[test]
fn real_packages_are_of_an_unknown_key_with_any_other() {
    for package in fedora("signature-verdicts/release.asc") {
        assert_eq!(package.verdict, Verdict::UnknownKey { key: "809a8d7ceb10b464".parse().unwrap() });
    }
}

#[test]
fn one_flipped_bit_makes_a_real_package_bad() {
    let key = keyring(&[FEDORA_KEY]);
    let mut rows = rows(FEDORA);
    // In the middle of the header, where its strings are.
    let middle = rows[0].blob.len() / 2;
    rows[0].blob[middle] ^= 1;
    let package = inspect_row(&rows[0], &key, &Policy::at(NOW));
    assert!(matches!(package.verdict, Verdict::Bad { .. } | Verdict::Malformed { .. }));
    assert!(inspect_row(&rows[1], &key, &Policy::at(NOW)).verdict.is_good());
}

/// A signed package with some dribbles.
fn signed_row(keyring: &mut Keyring) -> Row {
    let key = secret_key(1);
    *keyring = keyring_of(&key);
    let package = Blob::package().with_signed(string(tag::VENDOR, "v")).with_signed(number(tag::SIZE, 9));
    let signature = Signing::default().sign(&key, &package.signed_bytes());
    let digest = Header::sha256(&package.signed_bytes());
    let stored = package
        .with(binary(tag::SIG_MD5, &[0xab; 16]))
        .with(binary(tag::DSA_HEADER, &signature))
        .with(string(tag::SHA256_HEADER, &digest))
        .with(number(tag::INSTALL_TIME, 5));
    Row { hnum: 3, blob: stored.bytes() }
}

#[test]
fn a_package_has_a_stable_json_form() {
    let mut keyring = Keyring::default();
    let row = signed_row(&mut keyring);
    let package = inspect_row(&row, &keyring, &Policy::at(NOW));
    let json = serde_json::to_value(&package).unwrap();
    let certificate = &keyring.certificates()[0];
    let expected = serde_json::json!({
        "hnum": 3,
        "nevra": {"name": "foo", "epoch": null, "version": "1.0", "release": "1", "arch": "noarch"},
        "vendor": "v", "license": null, "source_rpm": null, "buildtime": null, "size": 9, "installtime": 5,
        "sigmd5": "ab".repeat(16),
        "sha256header": Header::sha256(&Header::parse(&row.blob).unwrap().signed_bytes()),
        "signatures": [certificate.keys()[0].id().to_string()],
        "verdict": {
            "verdict": "good", "key": certificate.keys()[0].id().to_string(),
            "fingerprint": certificate.fingerprint().to_string(), "name": "test 1", "signed_at": 1_710_000_000,
        },
        "anomalies": [],
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Package>(json).unwrap(), package);
}

#[test]
fn no_changed_byte_of_a_signed_header_is_called_good() {
    let mut keyring = Keyring::default();
    let row = signed_row(&mut keyring);
    let genuine = Header::parse(&row.blob).unwrap().signed_bytes();
    for at in 0..row.blob.len() {
        for bit in [0, 7] {
            let mut changed = row.clone();
            changed.blob[at] ^= 1 << bit;
            let package = inspect_row(&changed, &keyring, &Policy::at(NOW));
            if package.verdict.is_good() {
                let signed = Header::parse(&changed.blob).unwrap().signed_bytes();
                assert!(signed == genuine, "byte {at}, bit {bit}");
            }
        }
        let cut = Row { hnum: 1, blob: row.blob[..at].to_vec() };
        assert!(!inspect_row(&cut, &keyring, &Policy::at(NOW)).verdict.is_good());
    }
}

#[test]
fn a_row_that_is_no_header_is_reported_and_not_skipped() {
    let rows = [Row { hnum: 9, blob: vec![1, 2, 3] }, Row { hnum: 4, blob: Blob::package().bytes() }];
    let packages = inspect(&rows, &Keyring::default(), &Policy::at(NOW));
    assert_eq!(packages.iter().map(Package::label).collect::<Vec<_>>(), ["row 9", "foo-1.0-1.noarch"]);
    assert!(matches!(packages[0].verdict, Verdict::Malformed { .. }));
    assert_eq!(packages[1].verdict, Verdict::Unsigned);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let mut keyring = Keyring::default();
    let row = signed_row(&mut keyring);
    let rows: Vec<Row> = (1..100).map(|hnum| Row { hnum, ..row.clone() }).collect();
    let alone = inspect_with(1, &rows, &keyring, &Policy::at(NOW));
    assert_eq!(inspect_with(7, &rows, &keyring, &Policy::at(NOW)), alone);
    assert_eq!(inspect(&rows, &keyring, &Policy::at(NOW)), alone);
    assert!(alone.iter().all(|package| package.verdict.is_good()));
}

mod distribution;
