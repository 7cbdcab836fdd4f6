use std::io::Write as _;
use std::path::PathBuf;

use super::*;

const SHA256: &str = "dbd5f2b8c5ab8f71e4548020d7e388153af92314ecabf5b2daba79b83bb0130d";

fn sha256() -> Checksum {
    Checksum { algorithm: ChecksumAlgorithm::Sha256, hex: SHA256.into() }
}

/// A repomd.xml with this inside of the first `<data>`, and this after it.
fn repomd(inside: &str, after: &str) -> String {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">";
    format!("{head}<revision>1735689600</revision><data type=\"primary\">{inside}</data>{after}</repomd>\n")
}

fn data(href: &str) -> String {
    format!("<checksum type=\"sha256\">{SHA256}</checksum><location href=\"{href}\"/>")
}

fn package(parts: &str) -> String {
    let version = "<version epoch=\"0\" ver=\"2.3\" rel=\"1.tn42\"/>";
    let checksum = format!("<checksum type=\"sha256\" pkgid=\"YES\">{SHA256}</checksum>");
    let rest = "<size package=\"6537\" installed=\"129\" archive=\"384\"/>";
    format!("<package type=\"rpm\"><name>aurora</name><arch>x86_64</arch>{version}{checksum}{rest}{parts}</package>")
}

/// A primary file with these packages.
fn primary(packages: &str) -> String {
    let head = "<metadata xmlns=\"http://linux.duke.edu/metadata/common\" packages=\"1\">";
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{head}\n{packages}</metadata>")
}

fn located() -> PackageLocation {
    let (href, nevra) = ("a/aurora.rpm".into(), "aurora-2.3-1.tn42.x86_64".into());
    PackageLocation { href, base: None, checksum: sha256(), size: 6537, nevra }
}

fn packages(bytes: &[u8]) -> Result<Vec<PackageLocation>, RepositoryError> {
    let mut packages = Vec::new();
    let count = read_primary(bytes, "p.xml", &mut |package| packages.push(package))?;
    assert_eq!(count, packages.len() as u64);
    Ok(packages)
}

/// The error says this, at the last place in `text` where `place` begins.
#[track_caller]
fn check(error: &RepositoryError, text: &str, place: &str, problem: &str) {
    let offset = text.rfind(place).unwrap();
    assert_eq!((error.problem.to_string().as_str(), error.offset), (problem, offset as u64));
}

#[track_caller]
fn check_repomd(text: &str, place: &str, problem: &str) {
    check(&Repomd::parse(text.as_bytes()).unwrap_err(), text, place, problem);
}

#[track_caller]
fn check_primary(text: &str, place: &str, problem: &str) {
    check(&packages(text.as_bytes()).unwrap_err(), text, place, problem);
}

#[track_caller]
fn check_unread(bytes: &[u8], message: &str) {
    let error = packages(bytes).unwrap_err().to_string();
    assert!(error.starts_with(&format!("p.xml: {message}")), "{error}");
}

#[track_caller]
fn check_href(href: &str, wanted: &str) {
    let path = super::href::relative(href);
    match path {
        Ok(path) => assert_eq!(path, wanted),
        Err(problem) => assert_eq!(problem.to_string(), format!("href is {href:?}; it must be {wanted}")),
    }
}

#[test]
fn a_repomd_names_files_with_checksums_and_sizes() {
    let inside = format!(
        "{}<open-checksum type=\"sha512\">{}</open-checksum><timestamp>1.5</timestamp><size>10</size><open-size>20</open-size>",
        data("repodata/p.xml.gz"),
        "AB".repeat(64),
    );
    let other = "<tags><distro cpeid=\"x\">y</distro></tags><data type=\"group\"><checksum type=\"sha\"> 0123456789abcdef0123456789abcdef01234567 </checksum><location href=\"./repodata/c&amp;&#43;.xml\"/></data>";
    let found = Repomd::parse(repomd(&inside, other).as_bytes()).unwrap();
    assert_eq!(found.revision.as_deref(), Some("1735689600"));
    let open = Checksum { algorithm: ChecksumAlgorithm::Sha512, hex: "ab".repeat(64) };
    let file = MetadataFile {
        kind: "primary".into(),
        href: "repodata/p.xml.gz".into(),
        checksum: sha256(),
        open_checksum: Some(open),
        size: Some(10),
        open_size: Some(20),
    };
    assert_eq!(found.file("primary"), Some(&file));
    assert_eq!(file.checksum.digest_text(), Some(format!("sha256:{SHA256}")));
    let group = found.file("group").unwrap();
    assert_eq!(group.href, "repodata/c&+.xml");
    assert_eq!(group.checksum.to_string(), "sha:0123456789abcdef0123456789abcdef01234567");
    assert_eq!(group.checksum.digest_text(), None);
    assert_eq!(found.file("filelists"), None);
}

#[test]
fn a_repomd_that_can_be_read_in_two_ways_is_refused() {
    let again = format!("<data type=\"primary\">{}</data>", data("q.xml"));
    check_repomd(&repomd(&data("p.xml"), &again), "<data", "data type \"primary\" occurs twice");
    let other = format!("<data type=\"other\">{}</data>", data("p.xml").replace("db", "00"));
    check_repomd(&repomd(&data("p.xml"), &other), "<data", "href \"p.xml\" occurs twice");
    let size = "<size>1</size><size>2</size>";
    check_repomd(&repomd(size, ""), "<size", "element \"size\" occurs twice");
    let twice = "<location href=\"x\" href=\"y\"/>";
    check_repomd(&repomd(twice, ""), "<location", "attribute \"href\" occurs twice");
    let base = "<location xml:base=\"http://e.example/\" href=\"y\"/>";
    let problem = "xml:base is \"http://e.example/\"; it must be absent from the location of metadata";
    check_repomd(&repomd(base, ""), "<location", problem);
}

#[test]
fn a_mistake_in_a_repomd_is_named_with_its_place() {
    let error = Repomd::parse(b"<html/>").unwrap_err().to_string();
    assert_eq!(error, "repomd.xml: metadata begins with <html> where <repomd> is expected, at byte 0");
    let malformed = |reason: &str| format!("metadata is not well-formed XML in UTF-8: {reason}");
    check_repomd("", "", &malformed("no element in it"));
    check_repomd("x<repomd/>", "x", &malformed("text outside of its element"));
    check_repomd("<repomd/><repomd/>", "<repomd", &malformed("a second outermost element"));
    check_repomd("<repomd/>x", "x", &malformed("text outside of its element"));
    check_repomd("<repomd><data type='x'>", "", &malformed("it ends inside of an element"));
    check_repomd("<repomd><data/></repomd>", "<data", "<data> has no type");
    check_repomd(&repomd("", ""), "<data", "<data> has no location");
    check_repomd(&repomd("<location href=\"x\"/>", ""), "<data", "<data> has no checksum");
    let digits = "checksum is \"00\"; it must be the hexadecimal digits of its type";
    check_repomd(&repomd("<checksum type=\"sha256\">00</checksum>", ""), "<checksum", digits);
    check_repomd(&repomd("<size>-1</size>", ""), "<size", "size is \"-1\"; it must be a number of bytes");
    check_repomd(&repomd("<size><b/></size>", ""), "<b/>", "size is \"b\"; it must be text without elements");
    let error = Repomd::parse(b"<repomd><revision>\xff</revision></repomd>").unwrap_err().to_string();
    assert!(error.starts_with("repomd.xml: metadata is not well-formed XML in UTF-8: "), "{error}");
}

#[test]
fn no_document_type_and_no_entity_of_its_own_is_read() {
    let bomb = "<!DOCTYPE repomd [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><repomd>&b;</repomd>";
    check_repomd(bomb, "<!DOCTYPE", "metadata has a document type declaration, which is never read");
    let entity = "metadata uses the entity \"b\", which XML does not predefine";
    check_repomd("<repomd>&b;</repomd>", "&b;", entity);
    let text = Repomd::parse(b"<repomd><revision><![CDATA[<1>]]>&lt;&#x41;&gt;</revision></repomd>").unwrap();
    assert_eq!(text.revision.as_deref(), Some("<1><A>"));
}

#[test]
fn depth_pieces_and_counts_are_bounded() {
    let deep = format!("<repomd>{}<b>", "<a>".repeat(63));
    check_repomd(&deep, "<b>", "metadata has more than 64 elements inside of each other");
    let wide = format!("<repomd><data {}/></repomd>", (0..100).map(|at| format!("a{at}='' ")).collect::<String>());
    check_repomd(&wide, "<data", "metadata has more than 64 attributes of one element");
    let long = primary(&format!("<!--{}-->", "x".repeat(5 << 20)));
    check_primary(&long, "<!--", "metadata has more than 4194304 bytes in one tag, text or comment");
    let long = format!("<repomd><revision>{}</revision></repomd>", "x".repeat(70_000));
    let error = Repomd::parse(long.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "repomd.xml: metadata has more than 65536 bytes in a text, at byte 18");
    check_repomd(&format!("<{}", " ".repeat(17 << 20)), "<", "metadata has more than 16777216 bytes");
    let many: String = (0..1001).map(|at| format!("<data type=\"k{at}\">{}</data>", data("x"))).collect();
    check_repomd(&format!("<repomd>{many}</repomd>"), "<data", "metadata has more than 1000 metadata files");
}

#[test]
fn a_path_stays_in_the_repository() {
    check_href("repodata/x.xml.gz", "repodata/x.xml.gz");
    check_href("./Packages//a/./b+c~1^2%2B.rpm", "Packages//a/b+c~1^2%2B.rpm");
    check_href("a:b", "a path relative to the repository");
    check_href("https://e.example/x", "a path relative to the repository");
    check_href("/etc/passwd", "a path relative to the repository");
    check_href("../x", "a path without .. in it");
    check_href("a/%2E./x", "a path without .. in it");
    check_href("a/%2e/x", "a path without .. in it");
    check_href("a%2F..%2Fx", "a path without an escaped slash, backslash or NUL");
    check_href("a\\b", "a path without spaces, control characters and \\?#");
    check_href("a b", "a path without spaces, control characters and \\?#");
    check_href("a\u{7f}", "a path without spaces, control characters and \\?#");
    check_href("a?b", "a path without spaces, control characters and \\?#");
    check_href(".", "the path of a file");
    check_href("", "the path of a file");
    check_href("a/", "the path of a file");
}

#[test]
fn a_primary_gives_its_packages_in_order() {
    let skipped = "<format><rpm:license>MIT &amp; X</rpm:license><file>/usr/bin/aurora</file><name>no</name></format>";
    let first = package(&format!("<location href=\"a/aurora.rpm\"/>{skipped}"));
    let based = "<location xml:base=\"http://e.example/\" href=\"a/aurora.rpm\"/>";
    let second = package(based).replace("epoch=\"0\"", "epoch=\"7\"");
    let found = packages(primary(&format!("{first}<other/>{second}")).as_bytes()).unwrap();
    let (base, nevra) = (Some("http://e.example/".into()), "aurora-7:2.3-1.tn42.x86_64".into());
    assert_eq!(found, [located(), PackageLocation { base, nevra, ..located() }]);
}

#[test]
fn a_mistake_in_a_primary_is_named_with_its_place() {
    check_primary(&primary(&package("")), "<package", "<package> has no location");
    let outside = primary(&package("<location href=\"../x.rpm\"/>"));
    check_primary(&outside, "<location", "href is \"../x.rpm\"; it must be a path without .. in it");
    check_primary(&primary(&package("<name>x</name>")), "<name", "element \"name\" occurs twice");
    let spaced = primary(&package("").replace("aurora", "au rora"));
    check_primary(&spaced, "<name", "name is \"au rora\"; it must be a word of at most 1024 bytes");
    let epoch = primary(&package("").replace("epoch=\"0\"", "epoch=\"x\""));
    check_primary(&epoch, "<version", "epoch is \"x\"; it must be a number");
    let cut = primary(&package("")).replace("</package></metadata>", "");
    check_primary(&cut, "", "metadata is not well-formed XML in UTF-8: it ends inside of an element");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One uncompressed LZMA2 chunk in a stream without checks, with a dictionary of this size byte (xz file
/// format 1.1.0): the crate's encoder is not built in.
fn xz(bytes: &[u8], dictionary: u8) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let flags = [0, 0];
    let mut out = [b"\xfd7zXZ\0".as_slice(), &flags, &crc(&flags)].concat();
    let header = [2, 0, 0x21, 1, dictionary, 0, 0, 0];
    let mut block = [header.as_slice(), &crc(&header), &[1]].concat();
    block.extend(u16::try_from(bytes.len() - 1).unwrap().to_be_bytes());
    block.extend(bytes);
    block.push(0);
    let unpadded = block.len();
    block.resize(unpadded.next_multiple_of(4), 0);
    out.extend(block);
    let number = |value: usize| [u8::try_from(value & 0x7f).unwrap() | 0x80, u8::try_from(value >> 7).unwrap()];
    let mut index = [&[0, 1], number(unpadded).as_slice(), &number(bytes.len())].concat();
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc(&index));
    let footer = [u32::try_from(index.len() / 4 - 1).unwrap().to_le_bytes().as_slice(), &flags].concat();
    out.extend(index);
    out.extend(crc(&footer));
    out.extend(footer);
    out.extend(b"YZ");
    out
}

#[test]
fn a_primary_is_read_in_every_compression() {
    let text = primary(&package("<location href=\"a/aurora.rpm\"/>"));
    let bytes = text.as_bytes();
    let (start, end) = bytes.split_at(100);
    let members = [gzip(start), gzip(end)].concat();
    let frames = [zstd::encode_all(start, 3).unwrap(), zstd::encode_all(end, 3).unwrap()].concat();
    let skipped = [b"\x50\x2a\x4d\x18\x01\0\0\0x", frames.as_slice()].concat();
    let streams = [bzip2(start), bzip2(end)].concat();
    let marked = ["\u{feff}", &text].concat();
    for form in [bytes, &members, &frames, &skipped, &streams, &xz(bytes, 16), marked.as_bytes()] {
        assert_eq!(packages(form).unwrap(), [located()]);
    }
}

#[test]
fn what_cannot_be_decompressed_is_named() {
    check_unread(b"", "metadata is neither XML nor XML in gzip, zstd, xz or bzip2, at byte 0");
    check_unread(b"404 not found", "metadata is neither XML nor XML in gzip, zstd, xz or bzip2, at byte 0");
    let zchunk = "metadata in zchunk is not read; use the file of the same kind without _zck, at byte 0";
    check_unread(b"\0ZCK1\x01", zchunk);
    let text = primary(&package("<location href=\"a/aurora.rpm\"/>"));
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let forms = [gzip(text.as_bytes()), zstd, bzip2(text.as_bytes()), xz(text.as_bytes(), 16)];
    for (form, name) in forms.iter().zip(["gzip", "zstd", "bzip2", "xz"]) {
        check_unread(&form[..form.len() / 2], &format!("cannot read metadata as {name}: "));
    }
}

#[test]
fn a_decoder_may_not_ask_for_gibibytes() {
    // A dictionary of 1.5 GiB.
    check_unread(&xz(primary("").as_bytes(), 37), "cannot read metadata as xz: needed memory too big");
    // A frame of zstd with a window of 1 TiB (RFC 8878, 3.1.1.1.2).
    check_unread(b"\x28\xb5\x2f\xfd\x00\xf0\x01\0\0", "cannot read metadata as zstd: ");
}

#[test]
fn a_failing_reader_is_told_with_the_place() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("connection lost"))
        }
    }
    let text = primary(&package("<location href=\"a/aurora.rpm\"/>"));
    let start = text.find("<name>").unwrap() + 3;
    let reader = std::io::Read::chain(&text.as_bytes()[..start], Failing);
    let error = read_primary(reader, "p.xml", &mut |_| {}).unwrap_err();
    check(&error, &text, "<name>", "cannot read metadata as plain XML: connection lost");
}

fn metalink(files: &str) -> String {
    let head = "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" generator=\"mirrormanager\" xmlns:mm0=\"http://mm.example/\">";
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{head}<files>{files}</files></metalink>")
}

#[test]
fn a_metalink_gives_checksums_and_the_best_mirrors_first() {
    let hash = |kind: &str, digits: &str| format!("<hash type=\"{kind}\">{digits}</hash>");
    let newest = hash("md5", &"0".repeat(32)) + &hash("sha256", SHA256);
    let older = hash("sha512", &"1".repeat(128));
    let url = |preference: u32, url: &str| format!("<url protocol=\"x\" preference=\"{preference}\">{url}</url>");
    let urls = [
        url(90, "http://b.example/f/repodata/repomd.xml"),
        url(100, "rsync://a.example/f/repodata/repomd.xml"),
        url(100, "https://a.example/f/repodata/repomd.xml"),
        url(100, "https://a.example/f/other.xml"),
        url(90, "http://c.example/f/repodata/repomd.xml"),
    ];
    let text = metalink(&format!(
        "<file name=\"repomd.xml\"><mm0:timestamp>1</mm0:timestamp><size>5000</size><verification>{newest}</verification>\
         <mm0:alternates><mm0:alternate><size>4</size><verification>{older}</verification></mm0:alternate></mm0:alternates>\
         <resources maxconnections=\"1\">{}</resources></file>",
        urls.concat(),
    ));
    let found = Metalink::parse(text.as_bytes()).unwrap();
    assert_eq!(found.mirrors, ["https://a.example/f/", "http://b.example/f/", "http://c.example/f/"]);
    assert_eq!(found.size, Some(5000));
    let digests: Vec<String> = found.repomd.iter().filter_map(Checksum::digest_text).collect();
    assert_eq!(digests, [format!("sha256:{SHA256}"), format!("sha512:{}", "1".repeat(128))]);
    assert_eq!(found.repomd.len(), 3);
}

#[test]
fn a_metalink_must_be_about_one_repomd() {
    #[track_caller]
    fn check(files: &str, message: &str) {
        let error = Metalink::parse(metalink(files).as_bytes()).unwrap_err();
        assert_eq!(error.problem.to_string(), message);
    }
    check("", "<files> has no file repomd.xml");
    check("<file name=\"other.xml\"/>", "<files> has no file repomd.xml");
    check("<file name=\"repomd.xml\"/><file name=\"repomd.xml\"/>", "file \"repomd.xml\" occurs twice");
    let error = Metalink::parse(b"<html>404</html>").unwrap_err().to_string();
    assert_eq!(error, "metalink: metadata begins with <html> where <metalink> is expected, at byte 0");
}

#[test]
fn a_mirror_list_gives_its_web_addresses() {
    let text = b"# repo = x\nhttp://a.example/f/\r\n\n  https://b.example/\nftp://c.example/\nhttp://\nhttp:///x\nhttp://d.example/ x\nhttp://\xff/\nfile:///etc\n";
    assert_eq!(parse_mirrorlist(text), ["http://a.example/f/", "https://b.example/"]);
    assert_eq!(parse_mirrorlist(b"<html>\n<a href=\"http://x/\">\n</html>"), [""; 0]);
    assert_eq!(parse_mirrorlist("http://a/\n".repeat(20_000).as_bytes()).len(), 10_000);
}

#[test]
fn no_cut_or_flipped_byte_makes_a_parser_panic() {
    let text = primary(&package("<location href=\"a/&#97;urora.rpm\"/><a><![CDATA[x]]><!--y--></a>"));
    let primaries = [
        text.clone().into_bytes(),
        gzip(text.as_bytes()),
        xz(text.as_bytes(), 0),
        bzip2(text.as_bytes()),
        zstd::encode_all(text.as_bytes(), 1).unwrap(),
    ];
    for bytes in primaries {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            // Any answer will do.
            drop(packages(&changed));
            drop(packages(&bytes[..at]));
        }
    }
    let small = repomd(&data("x"), "");
    let link = metalink(
        "<file name=\"repomd.xml\"><resources><url preference=\"1\">http://x/repodata/repomd.xml</url></resources></file>",
    );
    for at in 0..small.len().max(link.len()) {
        drop(small.as_bytes().get(..at).map(Repomd::parse));
        drop(link.as_bytes().get(..at).map(Metalink::parse));
    }
}

/// The repositories of the distribution beside the repository, or a note that there are none.
#[expect(clippy::disallowed_methods, reason = "a test asks where the material beside the repository is")]
fn repositories() -> Vec<PathBuf> {
    let Some(state) = std::env::var_os("STRATUM_DISTRO").map(PathBuf::from) else {
        eprintln!("skipped: STRATUM_DISTRO is not set");
        return Vec::new();
    };
    ["os", "updates", "extra", "unsigned"].map(|name| state.join("www/42").join(name).join("x86_64")).to_vec()
}

#[test]
fn what_createrepo_writes_is_read_and_true() {
    use sha2::Digest as _;
    let digest = |bytes: &[u8]| {
        let digits = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Some(format!("sha256:{digits}"))
    };
    for root in repositories() {
        let found = Repomd::parse(&std::fs::read(root.join("repodata/repomd.xml")).unwrap()).unwrap();
        let kinds: Vec<&str> = found.files.iter().map(|file| file.kind.as_str()).collect();
        assert_eq!(kinds, ["primary", "filelists", "other"], "{}", root.display());
        for file in &found.files {
            let bytes = std::fs::read(root.join(&file.href)).unwrap();
            assert_eq!((file.size, file.checksum.digest_text()), (Some(bytes.len() as u64), digest(&bytes)));
        }
        let primary = std::fs::File::open(root.join(&found.files[0].href)).unwrap();
        let mut packages = Vec::new();
        let count = read_primary(primary, &found.files[0].href, &mut |package| packages.push(package)).unwrap();
        assert!(count > 0);
        for package in packages {
            let bytes = std::fs::read(root.join(&package.href)).unwrap();
            assert_eq!((package.size, package.checksum.digest_text()), (bytes.len() as u64, digest(&bytes)));
            // A file's name has no epoch.
            let without = package.nevra.replacen("-1:", "-", 1);
            assert_eq!(package.href.rsplit('/').next(), Some(format!("{without}.rpm").as_str()));
        }
    }
}
