use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::*;
use crate::manifest::{Descriptor, Format, Manifest, media_type};
use crate::{ImageConfig, Platform};

/// Writes an image of one small layer and gives its descriptor.
fn image(writer: &LayoutWriter, name: Option<&str>, content: &str) -> Descriptor {
    let mut tar = Vec::new();
    let mut blob = writer.start_blob().unwrap();
    let options = crate::layer::CompressOptions::default();
    let mut layer = crate::layer::LayerWriter::new(&mut tar, Format::Oci, &options).unwrap();
    let kind = crate::layer::tar_write::EntryKind::Regular { size: content.len() as u64 };
    let entry = crate::layer::testing::entry("file", kind);
    layer.add(&entry, &mut content.as_bytes()).unwrap();
    let written = layer.finish().unwrap();
    blob.write_all(&tar).unwrap();
    blob.commit(&written.descriptor.digest).unwrap();
    let mut config = ImageConfig::scratch(&Platform::host());
    config.rootfs.diff_ids.push(written.diff_id);
    let config = config.to_bytes().unwrap();
    let digest = writer.put_blob(&config).unwrap();
    let config = Descriptor::new(media_type::OCI_CONFIG, digest, config.len() as u64);
    let manifest = Manifest::new(Format::Oci, config, vec![written.descriptor]).to_bytes().unwrap();
    let descriptor = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&manifest), manifest.len() as u64);
    writer.put_manifest(&descriptor, &manifest, name).unwrap();
    descriptor
}

fn fresh() -> (tempfile::TempDir, LayoutWriter) {
    let directory = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::create_or_open(&directory.path().join("layout")).unwrap();
    (directory, writer)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_found_by_name_digest_and_alone() {
    let (directory, writer) = fresh();
    let first = image(&writer, Some("one"), "1");
    let layout = Layout::open(&directory.path().join("layout")).unwrap();
    assert_eq!(layout.find(&Name::Only).unwrap().digest, first.digest);
    let second = image(&writer, Some("two"), "2");
    assert_eq!(layout.find(&Name::Tag("one".to_owned())).unwrap().digest, first.digest);
    assert_eq!(layout.find(&Name::Digest(second.digest.clone())).unwrap().size, second.size);
    let message = |name| layout.find(&name).unwrap_err().to_string().split_once(": ").unwrap().1.to_owned();
    assert_eq!(message(Name::Only), "there is not exactly one image: say which one is meant; the layout has: one, two");
    assert_eq!(message(Name::Tag("x".to_owned())), "there is no image named `x`; the layout has: one, two");
    assert_eq!(names(&directory.path().join("layout")), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(names(&directory.path().join("layout/blobs")), ["sha256"], "no temporary file stays");
}

#[test]
fn a_name_points_to_the_image_written_last() {
    let (_directory, writer) = fresh();
    image(&writer, Some("a"), "1");
    let second = image(&writer, Some("a"), "2");
    image(&writer, None, "3");
    image(&writer, None, "3");
    let index = writer.layout().unwrap().index().unwrap();
    assert_eq!(index.manifests.len(), 2);
    assert_eq!(writer.layout().unwrap().find(&Name::Tag("a".to_owned())).unwrap().digest, second.digest);
}

#[test]
fn the_index_and_marker_are_what_the_specification_says() {
    let (directory, writer) = fresh();
    image(&writer, Some("a"), "1");
    let layout = directory.path().join("layout");
    let index = oci_spec::image::ImageIndex::from_file(layout.join("index.json")).unwrap();
    assert_eq!((index.schema_version(), index.manifests().len()), (2, 1));
    assert_eq!(index.manifests()[0].annotations().as_ref().unwrap()[REF_NAME], "a");
    let marker = oci_spec::image::OciLayout::from_file(layout.join("oci-layout")).unwrap();
    assert_eq!(marker.image_layout_version(), "1.0.0");
}

#[test]
fn a_blob_is_verified_while_it_is_read() {
    let (directory, writer) = fresh();
    let digest = writer.put_blob(b"content").unwrap();
    let layout = writer.layout().unwrap();
    let descriptor = Descriptor::new("x", digest.clone(), 7);
    assert_eq!(layout.small_blob(&descriptor, 7).unwrap(), b"content");
    let mut text = String::new();
    layout.blob(&descriptor).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    assert!(matches!(layout.small_blob(&descriptor, 6), Err(LayoutError::TooLarge { limit: 6, .. })));
    assert!(matches!(layout.blob(&Descriptor::new("x", digest.clone(), 8)), Err(LayoutError::Size { found: 7, .. })));
    let path = directory.path().join("layout/blobs/sha256").join(digest.hex());
    fs::write(path, "CONTENT").unwrap();
    assert!(matches!(layout.small_blob(&descriptor, 7), Err(LayoutError::Digest { .. })));
    let error = layout.blob(&descriptor).unwrap().read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("has the digest") && error.ends_with("it is damaged"), "{error}");
    let other = Descriptor::new("x", Digest::of(b"other"), 5);
    assert!(matches!(layout.blob(&other), Err(LayoutError::Missing { .. })));
    let empty = Descriptor::new("x", writer.put_blob(b"").unwrap(), 0);
    assert_eq!(layout.blob(&empty).unwrap().read_to_end(&mut Vec::new()).unwrap(), 0);
}

#[test]
fn a_blob_of_another_digest_never_gets_its_name() {
    let (directory, writer) = fresh();
    let mut blob = writer.start_blob().unwrap();
    blob.write_all(b"abc").unwrap();
    let wanted = Digest::of(b"other");
    assert!(matches!(blob.commit(&wanted), Err(LayoutError::Digest { .. })));
    writer.start_blob().unwrap().abort();
    assert!(!writer.has_blob(&wanted));
    assert_eq!(names(&directory.path().join("layout/blobs")), ["sha256"]);
}

#[test]
fn symlinks_in_a_layout_are_not_followed() {
    let (directory, writer) = fresh();
    fs::write(directory.path().join("secret"), "secret").unwrap();
    let digest = Digest::of(b"secret");
    let blobs = directory.path().join("layout/blobs");
    std::os::unix::fs::symlink("../../../secret", blobs.join("sha256").join(digest.hex())).unwrap();
    let descriptor = Descriptor::new("x", digest.clone(), 6);
    assert!(matches!(writer.layout().unwrap().blob(&descriptor), Err(LayoutError::Read { .. })));
    assert!(!writer.has_blob(&digest));
    fs::remove_dir_all(blobs.join("sha256")).unwrap();
    std::os::unix::fs::symlink(directory.path(), blobs.join("sha256")).unwrap();
    let error = LayoutWriter::create_or_open(&directory.path().join("layout")).unwrap_err();
    assert!(matches!(error, LayoutError::NotALayout { .. }), "{error}");
}

#[test]
fn directories_of_somebody_else_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "").unwrap();
    assert!(matches!(LayoutWriter::create_or_open(directory.path()), Err(LayoutError::NotALayout { .. })));
    assert_eq!(names(directory.path()), ["thesis.txt"]);
    assert!(matches!(Layout::open(directory.path()), Err(LayoutError::NotALayout { .. })));
    fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = Layout::open(directory.path()).unwrap_err().to_string();
    assert!(error.ends_with("its version is not 1.0.0"), "{error}");
}

#[test]
fn an_index_too_large_is_not_read() {
    let (directory, writer) = fresh();
    fs::write(directory.path().join("layout/index.json"), vec![b' '; 5 << 20]).unwrap();
    let error = writer.layout().unwrap().index().unwrap_err().to_string();
    assert!(error.contains("more than the 4194304 allowed"), "{error}");
}

#[test]
fn writers_at_once_lose_nothing() {
    let (directory, _writer) = fresh();
    let path = directory.path().join("layout");
    std::thread::scope(|scope| {
        for at in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let writer = LayoutWriter::create_or_open(path).unwrap();
                for name in 0..5 {
                    image(&writer, Some(&format!("{at}-{name}")), &format!("{name}"));
                }
            });
        }
    });
    assert_eq!(Layout::open(&path).unwrap().index().unwrap().manifests.len(), 20);
}

/// Runs a program of others, `false` if it is not installed.
fn run(program: &str, arguments: &[&str]) -> bool {
    match std::process::Command::new(program).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(_) => {
            eprintln!("skipped: there is no program {program}");
            false
        }
    }
}

#[test]
fn readers_written_in_go_take_what_we_write() {
    let (directory, writer) = fresh();
    // More than one gzip member, one of them stored.
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + u8::try_from(state >> 26).unwrap())
    };
    let content: String = std::iter::repeat_with(&mut next).take(3_000_000).collect();
    image(&writer, Some("it"), &content);
    let layout = directory.path().join("layout");
    let reference = format!("{}:it", layout.display());
    let bundle = directory.path().join("bundle");
    if run("umoci", &["unpack", "--rootless", "--image", &reference, bundle.to_str().unwrap()]) {
        assert_eq!(fs::read_to_string(bundle.join("rootfs/file")).unwrap(), content);
    }
    let copy = format!("dir:{}", directory.path().join("copy").display());
    run("skopeo", &["--insecure-policy", "copy", &format!("oci:{reference}"), &copy]);
    let archive = format!("docker-archive:{}", directory.path().join("archive").display());
    run("skopeo", &["--insecure-policy", "copy", &format!("oci:{reference}"), &archive]);
}
