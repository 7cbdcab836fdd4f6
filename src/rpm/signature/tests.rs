use pgp::packet::{SignatureType, Subpacket, SubpacketData};
use pgp::types::{Duration, KeyDetails};

use super::*;
use crate::keys::Keyring;
use crate::testing::{Blob, MADE, NOW, Signing, binary, keyring, keyring_of, rows, secret_key, string, strings};

const KEY: u64 = 1;

fn judged(blob: &Blob, keyring: &Keyring) -> Judgement {
    let bytes = blob.bytes();
    let header = Header::parse(&bytes).unwrap();
    judge(&header, &header.signed_bytes(), keyring, &Policy::at(NOW))
}

/// The verdict on a package whose header is signed in that way, with that key in the keyring.
#[track_caller]
fn check(signing: Signing, verdict: &str) {
    let key = secret_key(KEY);
    let packet = signing.sign(&key, &Blob::package().signed_bytes());
    let found = judged(&Blob::package().with(binary(tag::DSA_HEADER, &packet)), &keyring_of(&key));
    assert_eq!(word(&found.verdict), verdict);
}

/// The verdict in a few words.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Good { name, signed_at, .. } => format!("good: {name} at {signed_at}"),
        Verdict::ImportedKey { .. } => "imported key".into(),
        Verdict::Unsigned => "unsigned".into(),
        Verdict::LegacyOnly => "legacy only".into(),
        Verdict::Bad { why, .. } => format!("bad: {why:?}"),
        Verdict::UnknownKey { key } => format!("unknown key {key}"),
        Verdict::Expired { expired_at, .. } => format!("expired at {expired_at}"),
        Verdict::Revoked { .. } => "revoked".into(),
        Verdict::WeakHash { hash, .. } => format!("weak hash {hash}"),
        Verdict::Malformed { why } => format!("malformed: {why}"),
    }
}

fn with(data: SubpacketData) -> Signing {
    Signing { extra: vec![Subpacket::critical(data).unwrap()], ..Signing::default() }
}

#[test]
fn a_signature_of_a_known_key_is_good() {
    check(Signing::default(), "good: test 1 at 1710000000");
    check(Signing { hash: HashAlgorithm::Sha512, ..Signing::default() }, "good: test 1 at 1710000000");
}

#[test]
fn a_signature_packet_of_version_3_is_good() {
    let key = secret_key(KEY);
    let packet = Signing::default().sign_v3(&key, &Blob::package().signed_bytes());
    let blob = Blob::package().with(binary(tag::RSA_HEADER, &packet));
    assert_eq!(word(&judged(&blob, &keyring_of(&key)).verdict), "good: test 1 at 1710000000");
    assert!(word(&judged(&blob, &keyring_of(&secret_key(2))).verdict).starts_with("unknown key"));
    let other = Blob::named("bar").with(binary(tag::RSA_HEADER, &packet));
    assert_eq!(word(&judged(&other, &keyring_of(&key)).verdict), "bad: Mismatch");
}

#[test]
fn weak_hashes_have_their_own_verdict() {
    let key = secret_key(KEY);
    for (number, verdict) in [(1, "weak hash MD5"), (2, "weak hash SHA1"), (3, "weak hash RIPEMD160")] {
        let mut packet = Signing::default().sign(&key, &Blob::package().signed_bytes());
        // Two bytes of packet header, then version, type, key algorithm, hash.
        assert_eq!(packet[2..6], [4, 0, 22, 8]);
        packet[5] = number;
        let blob = Blob::package().with(binary(tag::DSA_HEADER, &packet));
        assert_eq!(word(&judged(&blob, &keyring_of(&key)).verdict), verdict);
    }
}

#[test]
fn a_signature_over_text_is_not_one_over_a_header() {
    let text = Signing { kind: SignatureType::Text, ..Signing::default() };
    check(text, "malformed: the signature is not one over binary data");
}

#[test]
fn a_signatures_time_is_judged() {
    check(Signing { at: MADE - 1, ..Signing::default() }, "bad: BeforeKey");
    let later = u32::try_from(NOW).unwrap() + 3600;
    check(Signing { at: later, ..Signing::default() }, "good: test 1 at 1800003600");
    check(Signing { at: later + 86_400, ..Signing::default() }, "bad: FromTheFuture");
    let ended = SubpacketData::SignatureExpirationTime(Duration::from_secs(60));
    check(with(ended), "expired at 1710000060");
    let lasting = SubpacketData::SignatureExpirationTime(Duration::from_secs(1 << 30));
    check(with(lasting), "good: test 1 at 1710000000");
}

#[test]
fn a_critical_subpacket_of_unknown_meaning_is_refused() {
    let unknown = SubpacketData::Experimental(101, vec![1].into());
    check(with(unknown), "malformed: the signature holds a critical subpacket of unknown meaning");
}

#[test]
fn an_array_of_signatures_is_good_if_any_is() {
    let (known, unknown) = (secret_key(KEY), secret_key(2));
    let signed = Blob::package().signed_bytes();
    let texts = [&unknown, &known].map(|key| STANDARD.encode(Signing::default().sign(key, &signed)));
    let blob = Blob::package().with(strings(tag::OPENPGP, &[&texts[0], &texts[1]]));
    let found = judged(&blob, &keyring_of(&known));
    assert_eq!(word(&found.verdict), "good: test 1 at 1710000000");
    assert_eq!(found.keys, [&unknown, &known].map(|key| KeyId::from(key.legacy_key_id())));
    let only_unknown = Blob::package().with(strings(tag::OPENPGP, &[&texts[0]]));
    assert!(word(&judged(&only_unknown, &keyring_of(&known)).verdict).starts_with("unknown key"));
    let nonsense = Blob::package().with(strings(tag::OPENPGP, &["?"]));
    let malformed = "malformed: a signature in tag 278 is not base64";
    assert_eq!(word(&judged(&nonsense, &keyring_of(&known)).verdict), malformed);
}

#[test]
fn a_bad_signature_beside_a_good_one_is_told() {
    let (a, b) = (secret_key(KEY), secret_key(2));
    let mut both = keyring_of(&a);
    both.add("b", &pgp::ser::Serialize::to_bytes(&b.to_public_key()).unwrap()).unwrap();
    let good = Signing::default().sign(&a, &Blob::package().signed_bytes());
    let bad = Signing::default().sign(&b, b"something else");
    let blob = Blob::package().with(binary(tag::DSA_HEADER, &good)).with(binary(tag::RSA_HEADER, &bad));
    let found = judged(&blob, &both);
    assert!(found.verdict.is_good());
    assert_eq!(found.contradicted, [KeyId::from(b.legacy_key_id())]);
}

#[test]
fn without_a_header_signature_there_is_nothing_to_believe() {
    let keyring = keyring_of(&secret_key(KEY));
    let check = |blob: &Blob, verdict: &str| assert_eq!(word(&judged(blob, &keyring).verdict), verdict);
    check(&Blob::package(), "unsigned");
    check(&Blob::package().with(binary(tag::SIG_PGP, &[1])), "legacy only");
    check(&Blob::package().with(binary(tag::SIG_GPG, &[1])), "legacy only");
    check(&Blob::named("gpg-pubkey"), "imported key");
    check(&Blob::named("gpg-pubkey").with_signed(strings(1117, &["evil"])), "unsigned");
    // A signature inside the region would sign itself; only rpm's place for it is looked at.
    check(&Blob::package().with_signed(binary(tag::RSA_HEADER, &[1])), "unsigned");
    check(&Blob::package().with(string(tag::RSA_HEADER, "x")), "malformed: tag 268 is not binary");
}

#[test]
fn what_is_no_signature_packet_is_malformed() {
    let key = secret_key(KEY);
    let packet = Signing::default().sign(&key, &Blob::package().signed_bytes());
    let doubled = [&packet[..], &packet].concat();
    let empty_user_id = [0xcd, 1, b'x'];
    for bytes in [&doubled[..], &[0], &[0xff; 20], &empty_user_id, &packet[..packet.len() - 1]] {
        let blob = Blob::package().with(binary(tag::RSA_HEADER, bytes));
        assert!(matches!(judged(&blob, &keyring_of(&key)).verdict, Verdict::Malformed { .. }));
    }
    let many = vec![binary(tag::RSA_HEADER, &packet); 1];
    let texts = vec![STANDARD.encode(&packet); MAX_SIGNATURES + 1];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let blob = Blob { dribbles: many, ..Blob::package() }.with(strings(tag::OPENPGP, &texts));
    assert!(matches!(judged(&blob, &keyring_of(&key)).verdict, Verdict::Malformed { .. }));
}

/// Name and verdict of every row of the fixture, by a keyring of these files.
fn fixture(keys: &[&str], policy: &Policy) -> Vec<String> {
    let files: Vec<String> = keys.iter().map(|key| format!("signature-verdicts/{key}.asc")).collect();
    let keyring = keyring(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let packages = crate::inspect(&rows("signature-verdicts/in.rpmdb.sqlite"), &keyring, policy);
    assert!(packages.iter().all(|package| package.anomalies.is_empty()));
    packages.iter().map(|package| format!("{} {}", package.label(), word(&package.verdict))).collect()
}

#[test]
fn every_way_of_signing_has_its_verdict() {
    let all = ["release", "second", "subkey", "expired", "revoked-after"];
    let expected = [
        "epochal-1:1.0~rc1^git2-1.tn42.noarch good: Tundra release (test key, not a secret) <release@tundra.invalid> at 1704067200",
        "gpg-pubkey-0a2f7482-65920080 imported key",
        "nosig-1.0-1.tn42.noarch unsigned",
        "sig-ed25519-1.0-1.tn42.noarch good: Tundra second (test key, not a secret) <second@tundra.invalid> at 1704067200",
        "sig-expired-1.0-1.tn42.noarch good: Tundra expired (test key, not a secret) <expired@tundra.invalid> at 1559347200",
        "sig-revoked-1.0-1.tn42.noarch revoked",
        "sig-subkey-1.0-1.tn42.noarch good: Tundra subkey (test key, not a secret) <subkey@tundra.invalid> at 1704067200",
        "sig-twice-1.0-1.tn42.noarch good: Tundra release (test key, not a secret) <release@tundra.invalid> at 1704067200",
        "sig-untrusted-1.0-1.tn42.noarch unknown key 92ec4f3b222929ae",
        "sig-v3-1.0-1.tn42.noarch good: Tundra release (test key, not a secret) <release@tundra.invalid> at 1704067200",
    ];
    assert_eq!(fixture(&all, &Policy::at(NOW)), expected);
}

#[test]
fn a_policy_can_refuse_expired_keys() {
    let strict = Policy { expired_keys: ExpiredKeys::Refuse, ..Policy::at(NOW) };
    let expired = "sig-expired-1.0-1.tn42.noarch expired at 1577836800".to_owned();
    assert!(fixture(&["expired"], &strict).contains(&expired));
    let while_valid = Policy { now: 1_570_000_000, ..strict };
    let verdicts = fixture(&["expired"], &while_valid);
    assert!(verdicts.iter().any(|line| line.starts_with("sig-expired-1.0-1.tn42.noarch good")));
}

/// The row `sig-expired`'s verdict with its key changed by `change`.
#[track_caller]
fn check_key(change: impl Fn(&SigningKey) -> SigningKey, verdict: &str) {
    let rows = rows("signature-verdicts/in.rpmdb.sqlite");
    let header = Header::parse(&rows[4].blob).unwrap();
    let signature = packet::read(header.dribbles().binary(tag::RSA_HEADER).unwrap()).unwrap();
    let keyring = keyring(&["signature-verdicts/expired.asc"]);
    let certificate = &keyring.certificates()[0];
    let key = change(&certificate.keys()[0]);
    assert!(key.verifies(&signature, &header.signed_bytes()));
    let found = judge_verified(&signature, certificate, &key, &Policy::at(NOW));
    assert_eq!(word(&found), verdict);
}

#[test]
fn a_signature_after_the_keys_end_is_expired() {
    check_key(|key| key.ending(1_559_347_200), "expired at 1559347200");
    check_key(|key| key.ending(1_550_000_000), "expired at 1550000000");
}

#[test]
fn a_key_that_may_not_sign_makes_a_signature_bad() {
    check_key(SigningKey::without_signing, "bad: KeyMayNotSign");
}
