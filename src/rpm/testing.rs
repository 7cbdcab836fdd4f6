//! What the tests of several modules share: fixtures, a maker of headers, a signing key.

use std::path::{Path, PathBuf};

use pgp::composed::{KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketTrait, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Password, SigningKey, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::database::{Row, read_sqlite};
use crate::header::tag;
use crate::keys::Keyring;

/// A time after everything in the fixtures.
pub(crate) const NOW: u64 = 1_800_000_000;
/// When made-up keys are made and made-up signatures signed.
pub(crate) const MADE: u32 = 1_700_000_000;
pub(crate) const SIGNED: u32 = 1_710_000_000;

pub(crate) fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/rpm").join(file)
}

pub(crate) fn read_fixture(file: &str) -> Vec<u8> {
    std::fs::read(testdata(file)).unwrap()
}

pub(crate) fn rows(file: &str) -> Vec<Row> {
    read_sqlite(&testdata(file), tempfile::tempdir().unwrap().path()).unwrap()
}

pub(crate) fn keyring(files: &[&str]) -> Keyring {
    Keyring::load(&files.iter().map(|file| testdata(file)).collect::<Vec<_>>()).unwrap()
}

/// A header to be, entry by entry.
#[derive(Clone, Default)]
pub(crate) struct Blob {
    pub(crate) region: Vec<Value>,
    pub(crate) dribbles: Vec<Value>,
}

/// One entry: tag, type number, count, bytes.
pub(crate) type Value = (u32, u32, u32, Vec<u8>);

pub(crate) fn string(tag: u32, text: &str) -> Value {
    (tag, 6, 1, format!("{text}\0").into())
}

pub(crate) fn strings(tag: u32, texts: &[&str]) -> Value {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
    (tag, 8, u32::try_from(texts.len()).unwrap(), bytes)
}

pub(crate) fn binary(tag: u32, bytes: &[u8]) -> Value {
    (tag, 7, u32::try_from(bytes.len()).unwrap(), bytes.to_vec())
}

pub(crate) fn number(tag: u32, value: u32) -> Value {
    (tag, 4, 1, value.to_be_bytes().into())
}

impl Blob {
    /// A package `foo-1.0-1.noarch`.
    pub(crate) fn package() -> Self {
        Self::named("foo")
    }

    pub(crate) fn named(name: &str) -> Self {
        let names = [(tag::NAME, name), (tag::VERSION, "1.0"), (tag::RELEASE, "1")];
        let mut region: Vec<Value> = names.map(|(tag, text)| string(tag, text)).into();
        region.push(string(tag::ARCH, "noarch"));
        Self { region, dribbles: Vec::new() }
    }

    pub(crate) fn with(mut self, dribble: Value) -> Self {
        self.dribbles.push(dribble);
        self
    }

    pub(crate) fn with_signed(mut self, value: Value) -> Self {
        self.region.push(value);
        self
    }

    /// The row's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        self.region.iter().for_each(|value| put(&mut index, &mut data, value));
        let spanned = u32::try_from(index.len() + 16).unwrap();
        let at = u32::try_from(data.len()).unwrap();
        let entry = |offset: u32| [63_u32, 7, offset, 16].map(u32::to_be_bytes).concat();
        data.extend(entry(spanned.wrapping_neg()));
        self.dribbles.iter().for_each(|value| put(&mut index, &mut data, value));
        let index = [entry(at), index].concat();
        let lengths = [index.len() / 16, data.len()].map(|n| u32::try_from(n).unwrap().to_be_bytes());
        [lengths.concat(), index, data].concat()
    }

    /// What a signature of it covers.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        crate::header::Header::parse(&self.bytes()).unwrap().signed_bytes()
    }
}

fn put(index: &mut Vec<u8>, data: &mut Vec<u8>, (tag, kind, count, bytes): &Value) {
    let width = match kind {
        3 => 2,
        4 => 4,
        5 => 8,
        _ => 1,
    };
    data.resize(data.len().next_multiple_of(width), 0);
    let offset = u32::try_from(data.len()).unwrap();
    index.extend([*tag, *kind, offset, *count].map(u32::to_be_bytes).concat());
    data.extend(bytes);
}

/// An Ed25519 key made from `seed`, which may sign.
pub(crate) fn secret_key(seed: u64) -> SignedSecretKey {
    let mut params = SecretKeyParamsBuilder::default();
    params.key_type(KeyType::Ed25519Legacy).can_sign(true).can_certify(true);
    params.primary_user_id(format!("test {seed}")).created_at(Timestamp::from_secs(MADE));
    params.build().unwrap().generate(StdRng::seed_from_u64(seed)).unwrap()
}

/// A keyring of that key alone.
pub(crate) fn keyring_of(key: &SignedSecretKey) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.add("test key", &key.to_public_key().to_bytes().unwrap()).unwrap();
    keyring
}

/// How a made-up signature differs from a plain one.
pub(crate) struct Signing {
    pub(crate) kind: SignatureType,
    pub(crate) hash: HashAlgorithm,
    pub(crate) at: u32,
    pub(crate) extra: Vec<Subpacket>,
}

impl Default for Signing {
    fn default() -> Self {
        Self { kind: SignatureType::Binary, hash: HashAlgorithm::Sha256, at: SIGNED, extra: Vec::new() }
    }
}

impl Signing {
    /// A version 4 signature packet over `data`.
    pub(crate) fn sign(self, key: &SignedSecretKey, data: &[u8]) -> Vec<u8> {
        let key = &key.primary_key;
        let mut config = SignatureConfig::v4(self.kind, key.algorithm(), self.hash);
        let time = SubpacketData::SignatureCreationTime(Timestamp::from_secs(self.at));
        config.hashed_subpackets = [vec![Subpacket::regular(time).unwrap()], self.extra].concat();
        let issuer = SubpacketData::IssuerKeyId(key.legacy_key_id());
        config.unhashed_subpackets = vec![Subpacket::regular(issuer).unwrap()];
        packet(&config.sign(key, &Password::empty(), data).unwrap())
    }

    /// A version 3 signature packet over `data`.
    pub(crate) fn sign_v3(self, key: &SignedSecretKey, data: &[u8]) -> Vec<u8> {
        let key = &key.primary_key;
        let time = Timestamp::from_secs(self.at);
        let id = key.legacy_key_id();
        let config = SignatureConfig::v3(self.kind, key.algorithm(), self.hash, time, id);
        // RFC 9580, 5.2.4: after the data come only the type and the time.
        let hashed = [data, &[u8::from(self.kind)], &self.at.to_be_bytes()].concat();
        let hash = self.hash.digest(&hashed).unwrap();
        let value = key.sign(&Password::empty(), self.hash, &hash).unwrap();
        packet(&Signature::from_config(config, [hash[0], hash[1]], value).unwrap())
    }
}

fn packet(signature: &Signature) -> Vec<u8> {
    let mut bytes = Vec::new();
    signature.to_writer_with_header(&mut bytes).unwrap();
    bytes
}
