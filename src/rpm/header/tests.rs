use super::*;
use crate::testing::{Blob, binary, number, rows, string, strings};

#[track_caller]
fn refused(blob: &[u8], error: &HeaderError) {
    assert_eq!(Header::parse(blob).map(|_| ()), Err(error.clone()));
}

/// The blob with the 32 bits at `at` of the stored form replaced.
fn patched(blob: &Blob, at: usize, value: u32) -> Vec<u8> {
    let mut bytes = blob.bytes();
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// Where field `field` of index entry `entry` is stored; 0 is the tag, then type, offset, count.
fn field(entry: usize, field: usize) -> usize {
    8 + entry * 16 + field * 4
}

#[test]
fn a_stored_header_is_read() {
    let rows = rows("fedora-38-database/in.rpmdb.sqlite");
    let header = Header::parse(&rows[0].blob).unwrap();
    assert_eq!(header.nevra().unwrap().to_string(), "libgcc-13.1.1-2.fc38.x86_64");
    assert_eq!(header.region().string(tag::VENDOR).unwrap(), "Fedora Project");
    assert_eq!(header.region().string(tag::LICENSE).map(|text| text.len() > 10), Some(true));
    let signed = header.signed_bytes();
    assert_eq!(header.dribbles().string(tag::SHA256_HEADER).unwrap(), Header::sha256(&signed));
    assert_eq!(header.anomalies(&signed), []);
    assert!(!header.is_gpg_pubkey());
}

#[test]
fn values_are_read_by_their_type_and_no_other() {
    let blob = Blob::package()
        .with_signed(strings(1117, &["a", "", "b"]))
        .with_signed((1030, 3, 2, vec![0x81, 0xa4, 0x41, 0xed]))
        .with_signed((5008, 5, 1, vec![0, 0, 0, 1, 0, 0, 0, 0]))
        .with_signed(number(tag::EPOCH, 4))
        .with_signed((tag::DESCRIPTION, 9, 2, b"first\0second\0".to_vec()))
        .with((1029, 1, 3, vec![0, 1, 2]))
        .with(binary(tag::SIG_MD5, &[7; 16]))
        .bytes();
    let header = Header::parse(&blob).unwrap();
    let region = header.region();
    assert_eq!(region.strings(1117).unwrap(), [&b"a"[..], b"", b"b"]);
    assert_eq!(region.u16s(1030).unwrap(), [0o100644, 0o40755]);
    assert_eq!(region.u64s(5008).unwrap(), [1 << 32]);
    assert_eq!(region.u32s(tag::EPOCH).unwrap(), [4]);
    assert_eq!(region.string(tag::DESCRIPTION).unwrap(), "first");
    assert_eq!(header.dribbles().u8s(1029).unwrap(), [0, 1, 2]);
    assert_eq!(header.dribbles().binary(tag::SIG_MD5).unwrap(), [7; 16]);
    assert_eq!((region.u32(tag::NAME), region.string(1117), region.binary(9999)), (None, None, None));
    assert_eq!(header.nevra().unwrap().to_string(), "foo-4:1.0-1.noarch");
}

#[test]
fn a_dribble_is_never_read_as_a_fact_of_the_package() {
    let blob = Blob::package().with(string(tag::NAME, "bar")).with(string(tag::VENDOR, "x")).bytes();
    let header = Header::parse(&blob).unwrap();
    assert_eq!(header.nevra().unwrap().name, "foo");
    assert_eq!(header.region().string(tag::VENDOR), None);
    let signed = header.signed_bytes();
    let anomalies = [HeaderAnomaly::Shadow { tag: tag::NAME }, HeaderAnomaly::UnknownDribble { tag: tag::VENDOR }];
    assert_eq!(header.anomalies(&signed), anomalies);
}

#[test]
fn dribbles_do_not_change_the_signed_bytes() {
    let plain = Blob::package();
    assert_eq!(plain.clone().with(number(tag::INSTALL_TIME, 1)).signed_bytes(), plain.signed_bytes());
}

#[test]
fn a_wrong_or_repeated_digest_is_an_anomaly() {
    let wrong = string(tag::SHA1_HEADER, "0000000000000000000000000000000000000000");
    let blob = Blob::package().with(wrong.clone()).with(wrong).bytes();
    let header = Header::parse(&blob).unwrap();
    let anomalies = [
        HeaderAnomaly::DuplicateDribble { tag: tag::SHA1_HEADER },
        HeaderAnomaly::DigestMismatch { tag: tag::SHA1_HEADER },
    ];
    assert_eq!(header.anomalies(&header.signed_bytes()), anomalies);
}

#[test]
fn an_imported_key_is_known_by_more_than_its_name() {
    let is_key = |blob: &Blob| Header::parse(&blob.bytes()).unwrap().is_gpg_pubkey();
    let key = Blob::named("gpg-pubkey");
    assert!(is_key(&key));
    assert!(!is_key(&Blob::package()));
    assert!(!is_key(&key.clone().with_signed(strings(1117, &["evil"]))));
    assert!(!is_key(&key.clone().with_signed(string(1124, "cpio"))));
    assert!(!is_key(&key.clone().with_signed(string(1024, "rm -rf /"))));
    assert!(!is_key(&key.clone().with(strings(1117, &["evil"]))));
    assert!(!is_key(&key.with(binary(tag::RSA_HEADER, &[0]))));
}

#[test]
fn a_header_without_a_region_is_refused() {
    let blob = Blob::package();
    refused(&patched(&blob, field(0, 0), 62), &HeaderError::NoRegion);
    refused(&patched(&blob, field(0, 1), 6), &HeaderError::NoRegion);
    refused(&patched(&blob, field(0, 3), 32), &HeaderError::NoRegion);
    refused(&patched(&blob, field(0, 2), 0), &HeaderError::Trailer);
    refused(&patched(&blob, field(0, 2), u32::MAX), &HeaderError::Trailer);
}

#[test]
fn a_trailer_that_contradicts_the_index_is_refused() {
    let blob = Blob::package();
    let trailer = blob.bytes().len() - 16;
    for back in [0_u32, 16, 5 * 16 + 1, 6 * 16, 1 << 20] {
        let bytes = patched(&blob, trailer + 8, back.wrapping_neg());
        // Pointing back to fewer entries leaves the rest as dribbles whose values are in the region.
        let expected = if back == 16 { HeaderError::Overlap { tag: tag::NAME } } else { HeaderError::Trailer };
        refused(&bytes, &expected);
    }
    refused(&patched(&blob, trailer, 61), &HeaderError::Trailer);
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    let bytes = Blob::package().bytes();
    for length in 0..bytes.len() {
        assert!(Header::parse(&bytes[..length]).is_err());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(Header::parse(&longer), Err(HeaderError::Length { .. })));
    let mut many = bytes;
    many[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(Header::parse(&many), Err(HeaderError::Length { entries: u32::MAX, .. })));
}

#[test]
fn entries_out_of_place_are_refused() {
    let blob = Blob::package().with_signed(number(tag::EPOCH, 4)).with(number(tag::INSTALL_TIME, 1));
    // Name 1, version 2, release 3, arch 4, epoch 5, install time 6.
    refused(&patched(&blob, field(1, 2), u32::MAX), &extent(tag::NAME, u32::MAX));
    refused(&patched(&blob, field(5, 3), 9), &extent(tag::EPOCH, 20));
    refused(&patched(&blob, field(5, 2), 21), &extent(tag::EPOCH, 21));
    refused(&patched(&blob, field(2, 2), 0), &HeaderError::Overlap { tag: tag::NAME });
    refused(&patched(&blob, field(6, 2), 20), &HeaderError::Overlap { tag: tag::INSTALL_TIME });
    refused(&patched(&blob, field(2, 0), 99), &HeaderError::ReservedTag { tag: 99, index: 1 });
    refused(&patched(&blob, field(2, 1), 0), &kind(0, 1));
    refused(&patched(&blob, field(2, 1), 10), &kind(10, 1));
    refused(&patched(&blob, field(2, 3), 0), &kind(6, 0));
    refused(&patched(&blob, field(2, 3), 2), &kind(6, 2));
    refused(&patched(&blob, field(2, 0), tag::NAME), &HeaderError::Duplicate { tag: tag::NAME });
}

fn extent(tag: u32, offset: u32) -> HeaderError {
    HeaderError::Extent { tag, offset }
}

fn kind(kind: u32, count: u32) -> HeaderError {
    HeaderError::Type { tag: tag::VERSION, kind, count }
}

#[test]
fn a_name_that_could_be_mistaken_is_refused() {
    for name in ["", "a b", "a\nb", "../a", "\u{7f}"] {
        let blob = Blob::named(name).bytes();
        let error = Header::parse(&blob).unwrap().nevra().unwrap_err();
        assert_eq!(error, HeaderError::Name { tag: tag::NAME });
    }
    let mut blob = Blob::package();
    blob.region[1] = string(tag::VERSION, "1-2");
    let bytes = blob.bytes();
    let error = Header::parse(&bytes).unwrap().nevra().unwrap_err();
    assert_eq!(error, HeaderError::Name { tag: tag::VERSION });
}

#[test]
fn work_is_linear_where_every_entry_claims_all_data() {
    let mut blob = Blob::package();
    // Each claims as many strings as there are bytes; searching for all their ends would take hours.
    let entry = (2000, 8, 1_000_000, b"\0".to_vec());
    blob.dribbles = (0..60_000).map(|tag| (2000 + tag, entry.1, entry.2, entry.3.clone())).collect();
    blob.dribbles.push(binary(99_999, &vec![0; 1_000_000]));
    assert!(matches!(Header::parse(&blob.bytes()), Err(HeaderError::Overlap { .. } | HeaderError::Extent { .. })));
}
