//! One OpenPGP signature packet, as stored beside a header.
//!
//! What comes in: bytes out of a database. What goes out: a signature over binary data, of version 3, 4
//! or 6, that stands alone and asks for nothing this program does not know. A signature of another type
//! is refused even if it verifies: a signed *text*, for example, is the same text with other line ends.

use pgp::packet::{Packet, PacketParser, Signature, SignatureType, SignatureVersion, Subpacket, SubpacketData};

use super::MAX_SIGNATURE;
use crate::keys::KeyId;

/// The signature in `bytes`; the error says what it is instead.
pub(super) fn read(bytes: &[u8]) -> Result<Signature, String> {
    if bytes.len() > MAX_SIGNATURE {
        return Err("a signature is too long".to_owned());
    }
    let mut packets = PacketParser::new(bytes);
    let signature = match packets.next() {
        Some(Ok(Packet::Signature(signature))) => signature,
        Some(Ok(_)) | None => return Err("it is not an OpenPGP signature".to_owned()),
        Some(Err(error)) => return Err(format!("it is not an OpenPGP signature: {error}")),
    };
    if packets.next().is_some() {
        return Err("something follows the signature".to_owned());
    }
    check(&signature).map(|()| signature)
}

fn check(signature: &Signature) -> Result<(), String> {
    use SignatureVersion as Version;
    if !matches!(signature.version(), Version::V3 | Version::V4 | Version::V6) {
        return Err("the signature is of an unknown version".to_owned());
    }
    if signature.typ() != Some(SignatureType::Binary) {
        return Err("the signature is not one over binary data".to_owned());
    }
    let mut hashed = signature.config().into_iter().flat_map(|config| config.hashed_subpackets());
    if hashed.any(is_critical_unknown) {
        return Err("the signature holds a critical subpacket of unknown meaning".to_owned());
    }
    Ok(())
}

/// RFC 9580, 5.2.3.7: a signature with a critical subpacket one does not understand is in error.
fn is_critical_unknown(packet: &Subpacket) -> bool {
    let unknown =
        matches!(packet.data, SubpacketData::Experimental(..) | SubpacketData::Other(..) | SubpacketData::Notation(_));
    packet.is_critical && unknown
}

/// The key ids it names, in order and without repetition; hints only. Never the wildcard.
pub(super) fn issuers(signature: &Signature) -> Vec<KeyId> {
    let ids = signature.issuer_key_id().into_iter().filter(|id| !id.is_wildcard());
    let ids = ids.map(|id| KeyId::from(*id));
    let of_fingerprints = signature.issuer_fingerprint().into_iter().filter_map(KeyId::of_fingerprint);
    let mut named = Vec::new();
    for id in ids.chain(of_fingerprints) {
        if !named.contains(&id) {
            named.push(id);
        }
    }
    named
}

/// The name of its hash, if that must not be believed.
pub(super) fn weak_hash(signature: &Signature) -> Option<String> {
    let hash = signature.hash_alg().filter(|hash| super::is_weak(*hash))?;
    Some(hash.to_string())
}

/// When it was made, seconds since 1970, from its signed part.
pub(super) fn signed_at(signature: &Signature) -> Option<u64> {
    signature.created().map(|time| time.as_secs().into())
}

/// When it ends, if it says so.
pub(super) fn expires(signature: &Signature, signed_at: u64) -> Option<u64> {
    let seconds = signature.signature_expiration_time()?.as_secs();
    (seconds > 0).then(|| signed_at.saturating_add(seconds.into()))
}
