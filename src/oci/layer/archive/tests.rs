use super::*;
use crate::layer::testing::Tar;

/// The members as path and content, or the error.
fn read(tar: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let limits = Limits::default();
    let mut archive = Archive::new(tar, &limits);
    let mut members = Vec::new();
    while let Some(member) = archive.next()? {
        let mut content = Vec::new();
        archive.content(|piece| {
            match piece {
                Piece::Bytes(bytes) => content.extend_from_slice(bytes),
                Piece::Hole(length) => content.resize(content.len() + usize::try_from(length).unwrap(), 0),
            }
            Ok::<(), ArchiveError>(())
        })?;
        members.push((String::from_utf8_lossy(&member.path).into_owned(), content));
    }
    Ok(members)
}

#[track_caller]
fn check(tar: Tar, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect();
    assert_eq!(read(&tar.end()).unwrap(), expected);
}

#[track_caller]
fn refused(tar: Tar, what: &str) {
    let error = read(&tar.end()).unwrap_err().to_string();
    assert!(error.ends_with(what), "{error}");
}

#[test]
fn the_size_of_a_pax_record_overrides_the_headers() {
    let inner = Tar::default().file("hidden", "evil").bytes;
    let size = inner.len().to_string();
    let tar = Tar::default().pax(&[("size", size.as_bytes())]).raw(b'0', b"outer", 0, |_| {}).content(&inner);
    let text = String::from_utf8(inner).unwrap();
    check(tar.file("after", "x"), &[("outer", &text), ("after", "x")]);
}

#[test]
fn links_and_directories_have_no_content_whatever_their_size_says() {
    let tar = Tar::default().raw(b'1', b"link", 512, |header| header.set_link_name("a").unwrap());
    let tar = tar.raw(b'5', b"dir/", 1 << 40, |_| {}).pax(&[("size", b"1024")]).raw(b'5', b"dir2/", 0, |_| {});
    check(tar.file("a", "x"), &[("link", ""), ("dir/", ""), ("dir2/", ""), ("a", "x")]);
}

#[test]
fn numbers_that_no_file_has_are_refused() {
    let size = |field: [u8; 12]| Tar::default().raw(b'0', b"f", 0, move |header| header.as_old_mut().size = field);
    refused(size([0xff; 12]), "the size is not a number, or a negative one");
    refused(size(*b"777777777778"), "the size is not a number, or a negative one");
    refused(size(*b"-00000000001"), "the size is not a number, or a negative one");
    let mut huge = [0xff; 12];
    huge[0] = 0x80;
    refused(size(huge), "the size is not a number, or a negative one");
    refused(Tar::default().pax(&[("uid", b"4294967295")]).file("f", ""), "the uid is no 32-bit number");
    refused(Tar::default().pax(&[("size", b"-1")]).file("f", ""), "the PAX size is not a number");
    refused(Tar::default().pax(&[("size", b"18446744073709551615")]).file("f", ""), "or a negative one");
}

#[test]
fn a_tar_that_is_cut_short_is_an_error_anywhere_but_between_entries() {
    let tar = Tar::default().file("a", "content").file("b", "more");
    for length in 0..tar.bytes.len() {
        let is_between = length % 1024 == 0;
        assert_eq!(read(tar.bytes.get(..length).unwrap()).is_ok(), is_between, "{length}");
    }
}

#[test]
fn extended_headers_are_limited_and_need_an_entry() {
    refused(Tar::default().raw(b'x', b"", 2 << 20, |_| {}), "an extended header of more than 1 MiB");
    refused(Tar::default().raw(b'L', b"", u64::MAX >> 1, |_| {}), "an extended header of more than 1 MiB");
    refused(Tar::default().pax(&[("path", b"a")]), "an extended header without an entry");
}

#[test]
fn a_wrong_checksum_and_a_lone_zero_block_are_errors() {
    let mut tar = Tar::default().file("a", "").bytes;
    tar[0] = b'b';
    assert!(read(&tar).unwrap_err().to_string().ends_with("the checksum of a header is wrong"));
    let lone = [&[0; 512], Tar::default().file("a", "").bytes.as_slice()].concat();
    assert!(read(&lone).unwrap_err().to_string().ends_with("a lone block of zeros"));
}

#[test]
fn global_headers_are_not_applied() {
    let text = b"15 path=global\n";
    let tar = Tar::default().raw(b'g', b"g", text.len() as u64, |_| {}).content(text);
    check(tar.file("a", "x"), &[("a", "x")]);
}

#[test]
fn kinds_that_layers_do_not_have_are_refused() {
    refused(Tar::default().raw(b'M', b"f", 0, |_| {}), "f: entries of type `M` are not supported");
}

#[test]
fn files_with_holes_of_every_format_are_whole() {
    let zero = Tar::default().pax(&[
        ("GNU.sparse.size", b"7"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"1"),
        ("GNU.sparse.offset", b"3"),
        ("GNU.sparse.numbytes", b"2"),
    ]);
    check(zero.raw(b'0', b"f", 3, |_| {}).content(b"abc"), &[("f", "a\0\0bc\0\0")]);
    let one =
        Tar::default().pax(&[("GNU.sparse.size", b"7"), ("GNU.sparse.map", b"0,1,3,2"), ("GNU.sparse.name", b"real")]);
    check(one.raw(b'0', b"f", 3, |_| {}).content(b"abc"), &[("real", "a\0\0bc\0\0")]);
    let old = |header: &mut tar::Header| {
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(7);
        gnu.sparse[0].set_offset(0);
        gnu.sparse[0].set_length(1);
        gnu.sparse[1].set_offset(3);
        gnu.sparse[1].set_length(2);
        gnu.sparse[2].set_offset(7);
        gnu.sparse[2].set_length(0);
    };
    check(Tar::default().raw(b'S', b"f", 3, old).content(b"abc").file("g", "x"), &[("f", "a\0\0bc\0\0"), ("g", "x")]);
}

#[test]
fn maps_that_lie_are_refused() {
    let with = |map: &[u8], size: &[u8], stored| {
        Tar::default()
            .pax(&[("GNU.sparse.size", size), ("GNU.sparse.map", map)])
            .raw(b'0', b"f", stored, |_| {})
            .content(b"abc")
    };
    refused(with(b"0,1,3,2", b"4", 3), "a sparse file is larger than it says");
    refused(with(b"0,1,3,2", b"7", 2), "a sparse file has less content than its map says");
    refused(with(b"0,1,3,1", b"7", 3), "a sparse file has more content than its map says");
    refused(with(b"3,2,0,1", b"7", 3), "the pieces of a sparse file overlap");
    refused(with(b"0,1,3", b"7", 3), "a malformed GNU.sparse record");
    refused(with(b"0,18446744073709551615", b"7", 3), "a sparse file has less content than its map says");
}

#[test]
fn what_gnu_tar_makes_of_a_sparse_file_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(directory.path().join("s")).unwrap();
    for at in 0..60_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 10], at * 100_000).unwrap();
    }
    file.set_len(7_000_000).unwrap();
    let expected = std::fs::read(directory.path().join("s")).unwrap();
    for arguments in [["--format=gnu", "-S"], ["--format=posix", "-S"], ["--sparse-version=0.1", "-S"]] {
        let output = std::process::Command::new("tar")
            .arg("-C")
            .arg(directory.path())
            .args(arguments)
            .args(["-cf", "-", "s"])
            .output();
        let Ok(output) = output else {
            eprintln!("skipped: there is no tar program");
            return;
        };
        assert!(output.status.success() && output.stdout.len() < 2_000_000, "{arguments:?}");
        let members = read(&output.stdout).unwrap();
        assert_eq!(members, [("s".to_owned(), expected.clone())], "{arguments:?}");
    }
}
