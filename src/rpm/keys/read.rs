//! From a key file's bytes to its transferable public keys, nothing verified yet.
//!
//! Distributions ship several armoured blocks in one file, with comments between them; `gpg --export`
//! without `--armor` gives binary. A file that is cut short or has a broken packet is refused whole:
//! what is missing could be a revocation.

use std::io::Read;

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{SignedPublicKey, SignedPublicKeyParser};
use pgp::errors::Error;
use pgp::packet::{Packet, PacketParser};

use super::{KeyError, MAX_KEY_FILE};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The keys in `bytes`; no error where there are none.
pub(super) fn public_keys(label: &str, bytes: &[u8]) -> Result<Vec<SignedPublicKey>, KeyError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_KEY_FILE {
        return Err(KeyError::TooLarge { label: label.to_owned() });
    }
    let parse = |why: String| KeyError::Parse { label: label.to_owned(), why };
    let mut keys = Vec::new();
    for packets in binary_blocks(bytes).map_err(parse)? {
        keys.extend(keys_of_packets(&packets).map_err(parse)?);
    }
    Ok(keys)
}

/// Each block's packets, as bytes.
fn binary_blocks(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let is_packet = bytes.first().is_some_and(|first| first & 0x80 != 0);
    // Packet data can hold the marker only in a made-up user id, so the marker means text.
    if is_packet && !contains(bytes, BEGIN.as_bytes()) {
        return Ok(vec![bytes.to_vec()]);
    }
    let text = String::from_utf8_lossy(bytes);
    let blocks: Vec<&str> = text.split(BEGIN).skip(1).collect();
    if blocks.is_empty() {
        return Err("neither a public key block nor binary packets".to_owned());
    }
    blocks.into_iter().map(dearmor).collect()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The packets of one armoured block; `rest` is what follows its first line.
fn dearmor(rest: &str) -> Result<Vec<u8>, String> {
    let (body, _) = rest.split_once(END).ok_or("a public key block has no end")?;
    let block = format!("{BEGIN}{body}{END}\n");
    let mut armor = Dearmor::new(block.as_bytes());
    armor.read_header().map_err(|error| error.to_string())?;
    if armor.typ != Some(BlockType::PublicKey) {
        return Err("a block is not a public key block".to_owned());
    }
    let mut packets = Vec::new();
    armor.read_to_end(&mut packets).map_err(|error| error.to_string())?;
    Ok(packets)
}

fn keys_of_packets(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, String> {
    let packets: Vec<Packet> = PacketParser::new(bytes)
        .filter(|packet| !packet.as_ref().is_err_and(may_be_skipped))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let is_secret = |packet: &Packet| matches!(packet, Packet::SecretKey(_) | Packet::SecretSubkey(_));
    if packets.iter().any(is_secret) {
        return Err("it holds a secret key; export the public one".to_owned());
    }
    // Marker, padding and GnuPG's trust packets mean nothing to others.
    let means_something =
        |packet: &Packet| !matches!(packet, Packet::Marker(_) | Packet::Padding(_) | Packet::Trust(_));
    let packets = packets.into_iter().filter(means_something).map(Ok).peekable();
    SignedPublicKeyParser::from_packets(packets).collect::<Result<_, Error>>().map_err(|error| error.to_string())
}

/// Packets of a kind or version the library does not know (RFC 9580, 4.3: ignored where not critical).
fn may_be_skipped(error: &Error) -> bool {
    let inner = if let Error::InvalidPacketContent { source } = error { source } else { error };
    matches!(inner, Error::Unsupported { .. })
}
