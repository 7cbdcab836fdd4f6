//! One certificate, with everything its own signatures say about it verified.
//!
//! What comes in: a parsed transferable public key. What goes out: which of its keys may sign packages,
//! from when until when, and whether one is revoked. A statement counts only if the primary key's
//! signature on it verifies (RFC 9580, 5.2.1 and 10.1): user ids, direct-key signatures, subkey bindings
//! with the subkey's signature back, revocations.
//!
//! Self-signatures by SHA-1 are accepted, because distributions' keys in use have them and the site chose
//! the file; by MD5 they are not. Any valid revocation, whatever its reason, revokes for all times.

use std::cmp::Reverse;

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, KeyVersion, SignedUser, Tag, VerifyingKey};

use super::id::{Fingerprint, KeyId};

/// A primary key or subkey.
#[derive(Clone, Debug)]
pub struct SigningKey {
    material: Material,
    id: KeyId,
    created: u64,
    /// When the newest verified statement about this key was made.
    stated: u64,
    /// As stated of this key itself.
    own: Validity,
    /// With what the primary key's end means for a subkey.
    effective: Validity,
    may_sign: bool,
}

#[derive(Clone, Copy, Debug)]
struct Validity {
    expires: Option<u64>,
    revoked: bool,
}

#[derive(Clone, Debug)]
enum Material {
    Primary(PublicKey),
    Sub(PublicSubkey),
}

impl SigningKey {
    /// Its 64-bit id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// When it was made, seconds since 1970.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created
    }

    /// The first second in which it is expired, if it ever is. A subkey expires with its primary key.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        self.effective.expires
    }

    /// Whether it, or the primary key it is bound to, is revoked.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.effective.revoked
    }

    /// Whether it is allowed to sign data.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.may_sign
    }

    /// Whether `signature` is this key's over `signed`.
    pub(crate) fn verifies(&self, signature: &Signature, signed: &[u8]) -> bool {
        match &self.material {
            Material::Primary(key) => signature.verify(key, signed).is_ok(),
            Material::Sub(key) => signature.verify(key, signed).is_ok(),
        }
    }
}

/// A primary key with its names and subkeys.
#[derive(Clone, Debug)]
pub struct Certificate {
    fingerprint: Fingerprint,
    user_id: String,
    /// The primary key first.
    keys: Vec<SigningKey>,
}

impl Certificate {
    /// The primary key's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The user id of the newest verified self-signature.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The primary key, then the subkeys whose binding verified.
    #[must_use]
    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// Verifies what the certificate says of itself; the error says why it is of no use.
    pub(super) fn evaluate(key: SignedPublicKey) -> Result<Self, String> {
        let primary = &key.primary_key;
        let fingerprint = Fingerprint::of(primary);
        if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
            return Err(format!("{fingerprint} is a key of an obsolete version"));
        }
        if matches!(primary.algorithm(), PublicKeyAlgorithm::Unknown(_)) {
            return Err(format!("{fingerprint} uses an algorithm that is not supported"));
        }
        let statements = newest_statements(&key);
        if statements.is_empty() {
            return Err(format!("{fingerprint} has no valid self-signature"));
        }
        let keys = vec![primary_key(&key, &statements)];
        let mut user_id = statements.into_iter().map(|statement| statement.user_id);
        let user_id = user_id.find(|id| !id.is_empty()).unwrap_or_default();
        let mut certificate = Self { fingerprint, user_id, keys };
        for subkey in &key.public_subkeys {
            certificate.keys.extend(bound_subkey(primary, subkey));
        }
        certificate.settle();
        if certificate.keys.iter().any(|key| key.may_sign) {
            Ok(certificate)
        } else {
            Err(format!("{} has no key that may sign", certificate.fingerprint))
        }
    }

    /// Takes over what another copy of this certificate knows.
    pub(super) fn merge(&mut self, other: Self) {
        for (at, new) in other.keys.into_iter().enumerate() {
            match self.keys.iter_mut().find(|old| old.material.fingerprint() == new.material.fingerprint()) {
                Some(old) => {
                    let revoked = old.own.revoked || new.own.revoked;
                    if new.stated > old.stated {
                        *old = new;
                        if at == 0 {
                            self.user_id.clone_from(&other.user_id);
                        }
                    }
                    old.own.revoked = revoked;
                }
                None => self.keys.push(new),
            }
        }
        self.settle();
    }

    /// Lets subkeys share the primary key's end.
    fn settle(&mut self) {
        let Some(primary) = self.keys.first().map(|primary| primary.own) else { return };
        for key in &mut self.keys {
            key.effective.revoked = key.own.revoked || primary.revoked;
            key.effective.expires = earlier(key.own.expires, primary.expires);
        }
    }
}

impl Material {
    fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Primary(key) => Fingerprint::of(key),
            Self::Sub(key) => Fingerprint::of(key),
        }
    }
}

/// What a verified self-signature says about the primary key.
struct Statement<'a> {
    /// Empty for a direct-key signature.
    user_id: String,
    signature: &'a Signature,
}

/// The newest valid direct-key signature and the newest valid user id, the newer of the two first.
///
/// Among user ids of one time, the one called primary is meant, else the first.
fn newest_statements(key: &SignedPublicKey) -> Vec<Statement<'_>> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter().filter(|signature| {
        has_type(signature, &[SignatureType::Key]) && is_acceptable(signature) && signature.verify_key(primary).is_ok()
    });
    let direct = direct.map(|signature| Statement { user_id: String::new(), signature });
    let names = key.details.users.iter().filter_map(|user| certified_name(primary, user));
    let rank = |statement: &Statement<'_>| Reverse((created(statement.signature), statement.signature.is_primary()));
    let newest = [direct.min_by_key(rank), names.min_by_key(rank)];
    let mut newest: Vec<Statement<'_>> = newest.into_iter().flatten().collect();
    newest.sort_by_key(|statement| Reverse(created(statement.signature)));
    newest
}

/// The newest certification of a user id, if the primary key made it and has not revoked it since.
fn certified_name<'a>(primary: &PublicKey, user: &'a SignedUser) -> Option<Statement<'a>> {
    const CERTIFICATIONS: [SignatureType; 4] = [
        SignatureType::CertGeneric,
        SignatureType::CertPersona,
        SignatureType::CertCasual,
        SignatureType::CertPositive,
    ];
    let valid = |types: &'static [SignatureType]| {
        user.signatures.iter().filter(move |signature| {
            has_type(signature, types)
                && is_acceptable(signature)
                && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    };
    let newest = valid(&CERTIFICATIONS).max_by_key(|signature| created(signature))?;
    let revoked = valid(&[SignatureType::CertRevocation]).any(|revocation| created(revocation) >= created(newest));
    let user_id = String::from_utf8_lossy(user.id.id()).into_owned();
    (!revoked).then_some(Statement { user_id, signature: newest })
}

/// What is said by neither statement is taken as nothing said; what is said by both, from the newer.
fn primary_key(key: &SignedPublicKey, statements: &[Statement<'_>]) -> SigningKey {
    let primary = &key.primary_key;
    let revoked =
        key.details.revocation_signatures.iter().any(|signature| {
            has_type(signature, &[SignatureType::KeyRevocation]) && signature.verify_key(primary).is_ok()
        });
    let said = || statements.iter().map(|statement| statement.signature);
    // Without the flags, a primary key may sign (as keys made before the flags existed).
    let may_sign = said().find_map(signs_by_flags).unwrap_or(true);
    let own = Validity { expires: said().find_map(|signature| expiry(primary, signature)), revoked };
    SigningKey {
        id: primary.legacy_key_id().into(),
        created: primary.created_at().as_secs().into(),
        stated: said().map(created).max().unwrap_or(0),
        own,
        effective: own,
        may_sign,
        material: Material::Primary(primary.clone()),
    }
}

/// A subkey whose newest verified binding stands.
fn bound_subkey(primary: &PublicKey, subkey: &SignedPublicSubKey) -> Option<SigningKey> {
    let valid = |kind: SignatureType| {
        subkey.signatures.iter().filter(move |signature| {
            has_type(signature, &[kind]) && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        })
    };
    let binding = valid(SignatureType::SubkeyBinding)
        .filter(|signature| is_acceptable(signature))
        .max_by_key(|signature| created(signature))?;
    // A subkey that signs must itself say whose it is (RFC 9580, 5.2.1.9), or it could be borrowed.
    let bound_back = binding
        .embedded_signature()
        .is_some_and(|back| is_acceptable(back) && back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    let revoked = valid(SignatureType::SubkeyRevocation).next().is_some();
    let own = Validity { expires: expiry(&subkey.key, binding), revoked };
    Some(SigningKey {
        id: subkey.key.legacy_key_id().into(),
        created: subkey.key.created_at().as_secs().into(),
        stated: created(binding),
        own,
        effective: own,
        may_sign: bound_back && signs_by_flags(binding) == Some(true),
        material: Material::Sub(subkey.key.clone()),
    })
}

fn has_type(signature: &Signature, types: &[SignatureType]) -> bool {
    signature.typ().is_some_and(|kind| types.contains(&kind))
}

/// Whether the hash is strong enough for a statement of the key about itself.
fn is_acceptable(signature: &Signature) -> bool {
    !matches!(signature.hash_alg(), None | Some(HashAlgorithm::Md5 | HashAlgorithm::None))
}

/// Seconds since 1970; a signature without a time is older than any other.
fn created(signature: &Signature) -> u64 {
    signature.created().map_or(0, |time| time.as_secs().into())
}

/// What the key flags say about signing data, if they are there.
fn signs_by_flags(signature: &Signature) -> Option<bool> {
    let is_flags = |data: &SubpacketData| matches!(data, SubpacketData::KeyFlags(_));
    let config = signature.config()?;
    config.hashed_subpackets().any(|packet| is_flags(&packet.data)).then(|| signature.key_flags().sign())
}

/// The earliest end that `signature` sets for `key`: the key's lifetime, or the signature's own.
fn expiry(key: &impl VerifyingKey, signature: &Signature) -> Option<u64> {
    let after = |from: u64, seconds: u32| (seconds > 0).then(|| from + u64::from(seconds));
    let made = key.created_at().as_secs().into();
    let lifetime = signature.key_expiration_time().and_then(|time| after(made, time.as_secs()));
    let statement = signature.signature_expiration_time().and_then(|time| after(created(signature), time.as_secs()));
    earlier(lifetime, statement)
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
impl SigningKey {
    /// The same key with another end, for tests of the judgement.
    pub(crate) fn ending(&self, end: u64) -> Self {
        let effective = Validity { expires: Some(end), ..self.effective };
        Self { effective, ..self.clone() }
    }

    /// The same key with other flags.
    pub(crate) fn without_signing(&self) -> Self {
        Self { may_sign: false, ..self.clone() }
    }
}
