//! The verdict on the signatures of one header.
//!
//! What comes in: a checked header, a keyring of the site, a policy with the time to judge by. What goes
//! out: a [`Verdict`]; only [`Verdict::Good`] means that the package is what a trusted key signed.
//! Signatures are taken from tags 278 (any algorithm), 268 (RSA) and 267 (DSA, ECDSA, EdDSA); a good one
//! of a trusted key is enough. Those over header and payload (259, 262) cannot be verified here.
//!
//! Nothing printed by rpm is believed, no clock is asked, and a check that cannot be made is not passed.

mod packet;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::Signature;
use serde::{Deserialize, Serialize};

use crate::header::{Header, HeaderError, tag};
use crate::keys::{self, Certificate, Fingerprint, KeyId, Keyring, SigningKey};

/// Most signatures that are looked at in one header.
pub const MAX_SIGNATURES: usize = 16;
/// Largest signature packet that is read, in bytes.
pub const MAX_SIGNATURE: usize = 64 * 1024;
/// How far in the future a signature's time may lie, in seconds: clocks of signing hosts differ.
const CLOCK_SKEW: u64 = 24 * 60 * 60;

/// How to judge keys by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The time of the judgement, seconds since 1970.
    pub now: u64,
    /// What a key's expiry means for signatures made before it.
    pub expired_keys: ExpiredKeys,
}

impl Policy {
    /// The usual policy: a signature made while its key was valid stays good.
    #[must_use]
    pub fn at(now: u64) -> Self {
        Self { now, expired_keys: ExpiredKeys::GoodIfSignedBefore }
    }
}

/// What a key's expiry means for signatures made before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredKeys {
    /// They stay good, as old packages of a distribution must.
    GoodIfSignedBefore,
    /// They are refused once the key is expired.
    Refuse,
}

/// What is to be thought of a package by its header signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// A trusted key signed exactly this header.
    Good {
        /// The key or subkey that signed.
        key: KeyId,
        /// The primary key of its certificate.
        fingerprint: Fingerprint,
        /// User id of the certificate.
        name: String,
        /// When the signature says it was made, seconds since 1970.
        signed_at: u64,
    },
    /// The row is not a package but a key that the image's rpm trusts. It is no trust anchor here.
    ImportedKey {
        /// Primary keys in it, unverified; none where the row's armour cannot be read.
        fingerprints: Vec<Fingerprint>,
    },
    /// There is no signature.
    Unsigned,
    /// There are only signatures over header and payload, which a database cannot prove.
    LegacyOnly,
    /// A key of the keyring is named, but the signature does not stand.
    Bad {
        /// The key named.
        key: KeyId,
        /// Why not.
        why: BadSignature,
    },
    /// The signature names a key that is not in the keyring.
    UnknownKey {
        /// The key named.
        key: KeyId,
    },
    /// The signature verifies, but was made after its key's end, or has itself ended, or the policy
    /// refuses expired keys.
    Expired {
        /// The key.
        key: KeyId,
        /// When the signature says it was made, seconds since 1970.
        signed_at: u64,
        /// Since when key or signature is expired, seconds since 1970.
        expired_at: u64,
    },
    /// The signature verifies, but its key is revoked.
    Revoked {
        /// The key.
        key: KeyId,
        /// The primary key of its certificate.
        fingerprint: Fingerprint,
    },
    /// The signature uses a hash that can be made to collide. It was not verified.
    WeakHash {
        /// The key named.
        key: KeyId,
        /// The hash, as in "MD5" or "SHA1".
        hash: String,
    },
    /// The header or the signature is not well formed.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

/// Why a signature of a known key does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadSignature {
    /// It is not that key's signature over these bytes: one of the two was changed or exchanged.
    Mismatch,
    /// The key may not sign data (it only certifies or encrypts).
    KeyMayNotSign,
    /// It says it was made before its key existed.
    BeforeKey,
    /// It says it was made in the future.
    FromTheFuture,
}

impl Verdict {
    /// Whether the package is proven to be signed by a trusted key.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good { .. })
    }

    /// Which verdict speaks for a header with several signatures: the least is reported.
    fn rank(&self) -> u8 {
        match self {
            Self::Good { .. } => 0,
            Self::Bad { .. } => 1,
            Self::Revoked { .. } => 2,
            Self::Expired { .. } => 3,
            Self::WeakHash { .. } => 4,
            Self::UnknownKey { .. } => 5,
            Self::Malformed { .. } => 6,
            Self::LegacyOnly => 7,
            Self::Unsigned => 8,
            Self::ImportedKey { .. } => 9,
        }
    }
}

impl From<&HeaderError> for Verdict {
    fn from(error: &HeaderError) -> Self {
        Self::Malformed { why: error.to_string() }
    }
}

/// The verdict on a header and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict on the header as a whole.
    pub verdict: Verdict,
    /// The keys named by its header signatures, in order of tags 278, 268, 267.
    pub keys: Vec<KeyId>,
    /// Keys whose signature is bad although another one is good.
    pub contradicted: Vec<KeyId>,
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, keys: Vec::new(), contradicted: Vec::new() }
    }
}

/// Judges a header by its signatures.
///
/// `signed` is what [`Header::signed_bytes`] returned.
#[must_use]
pub fn judge(header: &Header<'_>, signed: &[u8], keyring: &Keyring, policy: &Policy) -> Judgement {
    if header.is_gpg_pubkey() {
        let armour = header.region().raw_string(tag::DESCRIPTION).unwrap_or_default();
        return Verdict::ImportedKey { fingerprints: keys::fingerprints(armour) }.into();
    }
    let stored = match stored_signatures(header) {
        Ok(stored) => stored,
        Err(why) => return Verdict::Malformed { why }.into(),
    };
    if stored.is_empty() {
        let legacy = [tag::SIG_PGP, tag::SIG_GPG].iter().any(|tag| header.dribbles().has(*tag));
        return if legacy { Verdict::LegacyOnly } else { Verdict::Unsigned }.into();
    }
    let mut keys = Vec::new();
    let mut verdicts = Vec::new();
    for bytes in &stored {
        match packet::read(bytes) {
            Ok(signature) => {
                keys.extend(packet::issuers(&signature).first().copied());
                verdicts.push(judge_one(&signature, signed, keyring, policy));
            }
            Err(why) => verdicts.push(Verdict::Malformed { why }),
        }
    }
    combine(keys, verdicts)
}

/// One verdict out of those on each signature: a good one decides, else the most telling.
fn combine(keys: Vec<KeyId>, verdicts: Vec<Verdict>) -> Judgement {
    let bad = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Bad { key, .. } => Some(*key),
        Verdict::Good { .. }
        | Verdict::ImportedKey { .. }
        | Verdict::Unsigned
        | Verdict::LegacyOnly
        | Verdict::UnknownKey { .. }
        | Verdict::Expired { .. }
        | Verdict::Revoked { .. }
        | Verdict::WeakHash { .. }
        | Verdict::Malformed { .. } => None,
    });
    let bad: Vec<KeyId> = bad.collect();
    let verdict = verdicts.into_iter().min_by_key(Verdict::rank).unwrap_or(Verdict::Unsigned);
    let contradicted = if verdict.is_good() { bad } else { Vec::new() };
    Judgement { verdict, keys, contradicted }
}

/// The signature packets of the header, in order of tags 278, 268, 267.
fn stored_signatures(header: &Header<'_>) -> Result<Vec<Vec<u8>>, String> {
    let dribbles = header.dribbles();
    let mut stored = Vec::new();
    if dribbles.has(tag::OPENPGP) {
        let texts = dribbles.strings(tag::OPENPGP).ok_or("tag 278 is not an array of strings")?;
        for text in texts.into_iter().take(MAX_SIGNATURES + 1) {
            // Four characters of base64 carry three bytes.
            if text.len() > MAX_SIGNATURE / 3 * 4 {
                return Err("a signature is too long".to_owned());
            }
            stored.push(STANDARD.decode(text).map_err(|_| "a signature in tag 278 is not base64")?);
        }
    }
    for tag in [tag::RSA_HEADER, tag::DSA_HEADER] {
        if dribbles.has(tag) {
            let packet = dribbles.binary(tag).ok_or_else(|| format!("tag {tag} is not binary"))?;
            stored.push(packet.to_vec());
        }
    }
    if stored.len() > MAX_SIGNATURES {
        return Err(format!("more than {MAX_SIGNATURES} signatures"));
    }
    Ok(stored)
}

fn judge_one(signature: &Signature, signed: &[u8], keyring: &Keyring, policy: &Policy) -> Verdict {
    let issuers = packet::issuers(signature);
    let Some(&named) = issuers.first() else {
        return Verdict::Malformed { why: "a signature names no key".to_owned() };
    };
    if let Some(hash) = packet::weak_hash(signature) {
        return Verdict::WeakHash { key: named, hash };
    }
    let candidates = issuers.iter().flat_map(|id| keyring.find(*id)).take(MAX_SIGNATURES);
    let verdicts = candidates.map(|(certificate, key)| {
        if key.verifies(signature, signed) {
            judge_verified(signature, certificate, key, policy)
        } else {
            Verdict::Bad { key: key.id(), why: BadSignature::Mismatch }
        }
    });
    verdicts.min_by_key(Verdict::rank).unwrap_or(Verdict::UnknownKey { key: named })
}

/// The verdict on a signature that is the key's over these bytes.
fn judge_verified(signature: &Signature, certificate: &Certificate, signer: &SigningKey, policy: &Policy) -> Verdict {
    let (key, fingerprint) = (signer.id(), certificate.fingerprint().clone());
    let bad = |why| Verdict::Bad { key, why };
    let Some(signed_at) = packet::signed_at(signature) else {
        return Verdict::Malformed { why: "a signature has no time".to_owned() };
    };
    if !signer.may_sign() {
        return bad(BadSignature::KeyMayNotSign);
    }
    if signer.is_revoked() {
        return Verdict::Revoked { key, fingerprint };
    }
    if signed_at < signer.created() {
        return bad(BadSignature::BeforeKey);
    }
    if signed_at > policy.now.saturating_add(CLOCK_SKEW) {
        return bad(BadSignature::FromTheFuture);
    }
    let key_judged_at = match policy.expired_keys {
        ExpiredKeys::GoodIfSignedBefore => signed_at,
        ExpiredKeys::Refuse => policy.now.max(signed_at),
    };
    let key_end = signer.expires().filter(|end| *end <= key_judged_at);
    let own_end = packet::expires(signature, signed_at).filter(|end| *end <= policy.now);
    match key_end.into_iter().chain(own_end).min() {
        Some(expired_at) => Verdict::Expired { key, signed_at, expired_at },
        None => Verdict::Good { key, fingerprint, name: certificate.user_id().to_owned(), signed_at },
    }
}

/// Whether the hash must not be believed: collisions are known, or within reach.
fn is_weak(hash: HashAlgorithm) -> bool {
    !matches!(
        hash,
        HashAlgorithm::Sha224
            | HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}
