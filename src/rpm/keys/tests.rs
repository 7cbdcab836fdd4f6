use super::*;
use crate::testing::{keyring, read_fixture, secret_key, testdata};

const VERDICTS: &str = "signature-verdicts";

fn load(name: &str) -> Keyring {
    keyring(&[&format!("{VERDICTS}/{name}")])
}

#[track_caller]
fn check(name: &str, shown: &str) {
    let describe = |key: &SigningKey| {
        let end = key.expires().map_or(String::new(), |end| format!(" until {end}"));
        let sign = if key.may_sign() { " signs" } else { "" };
        let revoked = if key.is_revoked() { " revoked" } else { "" };
        format!("{} from {}{end}{sign}{revoked}", key.id(), key.created())
    };
    let keyring = load(name);
    let keys: Vec<String> = keyring.certificates().iter().flat_map(|c| c.keys().iter().map(describe)).collect();
    assert_eq!(keys.join(", "), shown);
}

#[test]
fn keys_are_read_with_their_flags_and_times() {
    check("release.asc", "5a59dc6d5980acf0 from 1704067200 signs");
    check("second.asc", "b9547a020a2f7482 from 1704067200 signs");
    check("subkey.asc", "3e376bf8d98b4fde from 1704067200, 4489362b2cffc383 from 1704067200 signs");
    check("expired.asc", "958b3d699f9c3541 from 1546300800 until 1577836800 signs");
    check("revoked-after.asc", "2348d9e2f2c440a4 from 1704067200 signs revoked");
    check("../fedora-38-database/RPM-GPG-KEY-fedora-38-primary", "809a8d7ceb10b464 from 1644353990 signs");
}

#[test]
fn a_certificate_has_its_name_and_fingerprint() {
    let keyring = load("release.asc");
    let certificate = &keyring.certificates()[0];
    assert_eq!(certificate.fingerprint().to_string(), "e03552c978906d1d271865845a59dc6d5980acf0");
    assert_eq!(certificate.user_id(), "Tundra release (test key, not a secret) <release@tundra.invalid>");
}

#[test]
fn a_directory_gives_all_its_key_files_and_a_revocation_in_any_copy_counts() {
    let keyring = keyring(&[VERDICTS]);
    assert_eq!(keyring.certificates().len(), 5);
    let revoked: Vec<bool> = keyring.certificates().iter().map(|c| c.keys()[0].is_revoked()).collect();
    assert_eq!(revoked.iter().filter(|revoked| **revoked).count(), 1);
}

#[test]
fn several_blocks_with_text_between_them_are_all_read() {
    let (a, b) = (read_fixture("signature-verdicts/release.asc"), read_fixture("signature-verdicts/second.asc"));
    let both = [b"The keys:\n".as_slice(), &a, b"\n# and\n", &b, b"end\n"].concat();
    let mut keyring = Keyring::default();
    keyring.add("both", &both).unwrap();
    assert_eq!(keyring.certificates().len(), 2);
    let windows = String::from_utf8(a).unwrap().replace('\n', "\r\n");
    keyring.add("windows", windows.as_bytes()).unwrap();
    assert_eq!(keyring.certificates().len(), 2);
}

#[test]
fn binary_keys_are_read() {
    use pgp::ser::Serialize;
    let keys = [1, 2].map(|seed| secret_key(seed).to_public_key().to_bytes().unwrap()).concat();
    let mut keyring = Keyring::default();
    keyring.add("binary", &keys).unwrap();
    assert_eq!(keyring.certificates().len(), 2);
    assert_eq!(fingerprints(&keys).len(), 2);
}

#[track_caller]
fn refused(bytes: &[u8], message: &str) {
    let mut keyring = Keyring::default();
    let error = keyring.add("x.asc", bytes).unwrap_err().to_string();
    assert!(error.starts_with("x.asc: ") && error.contains(message), "{error}");
    assert!(keyring.certificates().is_empty());
}

#[test]
fn what_is_no_key_is_refused_with_the_files_name() {
    refused(b"", "neither a public key block nor binary packets");
    refused(b"hello", "neither a public key block nor binary packets");
    let armour = read_fixture("signature-verdicts/release.asc");
    refused(&armour[..armour.len() / 2], "a public key block has no end");
    let error = Keyring::load(&[testdata("signature-verdicts/none.asc")]).unwrap_err();
    assert!(error.to_string().contains("none.asc: cannot read"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Keyring::load(&[directory.path()]), Err(KeyError::EmptyDirectory { .. })));
}

#[test]
fn a_secret_key_is_refused() {
    use pgp::ser::Serialize;
    refused(&secret_key(1).to_bytes().unwrap(), "secret key");
}

#[test]
fn a_key_whose_self_signature_is_not_its_own_is_refused() {
    use pgp::ser::Serialize;
    let (a, b) = (secret_key(1).to_public_key(), secret_key(2).to_public_key());
    let mixed = pgp::composed::SignedPublicKey { details: b.details, ..a };
    refused(&mixed.to_bytes().unwrap(), "has no valid self-signature");
}

#[test]
fn a_key_cut_short_is_refused() {
    use pgp::ser::Serialize;
    let whole = secret_key(1).to_public_key().to_bytes().unwrap();
    for length in 0..whole.len() {
        assert!(Keyring::default().add("cut", &whole[..length]).is_err(), "at {length}");
    }
}

/// Packets of an armoured fixture.
fn packets(name: &str) -> pgp::composed::SignedPublicKey {
    read::public_keys(name, &read_fixture(&format!("{VERDICTS}/{name}"))).unwrap().remove(0)
}

#[test]
fn a_subkey_bound_to_another_key_does_not_count() {
    use pgp::ser::Serialize;
    let subkey = packets("subkey.asc").public_subkeys;
    let thief = pgp::composed::SignedPublicKey { public_subkeys: subkey, ..packets("release.asc") };
    let mut keyring = Keyring::default();
    keyring.add("thief", &thief.to_bytes().unwrap()).unwrap();
    let ids: Vec<String> = keyring.certificates()[0].keys().iter().map(|key| key.id().to_string()).collect();
    assert_eq!(ids, ["5a59dc6d5980acf0"]);
}

#[test]
fn a_revocation_by_another_key_does_not_count() {
    use pgp::ser::Serialize;
    let mut key = packets("release.asc");
    key.details.revocation_signatures = packets("revoked-after.asc").details.revocation_signatures;
    assert_eq!(key.details.revocation_signatures.len(), 1);
    let mut keyring = Keyring::default();
    keyring.add("release", &key.to_bytes().unwrap()).unwrap();
    assert!(!keyring.certificates()[0].keys()[0].is_revoked());
}

#[test]
fn no_changed_byte_makes_a_key_panic_or_become_another() {
    use pgp::ser::Serialize;
    let whole = secret_key(1).to_public_key().to_bytes().unwrap();
    let genuine = fingerprints(&whole);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let mut keyring = Keyring::default();
            if keyring.add("changed", &changed).is_ok() {
                assert_eq!(keyring.certificates()[0].fingerprint(), &genuine[0]);
            }
        }
    }
}

#[test]
fn ids_are_text_of_fixed_length() {
    assert_eq!("5A59DC6D5980ACF0".parse::<KeyId>().unwrap().to_string(), "5a59dc6d5980acf0");
    assert!("5980acf0".parse::<KeyId>().is_err());
    assert!("5a59dc6d5980acfg".parse::<KeyId>().is_err());
    assert!("5a59dc6d5980acf0".parse::<Fingerprint>().is_err());
}
