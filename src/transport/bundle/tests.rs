use std::fs;

use oci::Platform;
use oci::layout::LayoutError;
use oci::manifest::{Format, Manifest};

use super::*;

const LAYER: &[u8] = &[0; 1024];

fn threads() -> Arc<ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap())
}

fn bundle(text: &str) -> Result<Bundle, TransportError> {
    let location: Location = text.parse().unwrap();
    let (kind, path) = match &location {
        Location::OciArchive { path, .. } => (Kind::OciArchive, path),
        Location::DockerArchive { path, .. } => (Kind::DockerArchive, path),
        Location::Directory(path) => (Kind::Directory, path),
        Location::Registry(_) | Location::Layout { .. } | Location::Store(_) => panic!("{location}"),
    };
    Bundle::open(kind, path, &location, &threads())
}

/// Puts a layer and a config; gives the manifest.
fn fill(bundle: &Bundle) -> (Descriptor, Vec<u8>) {
    let put = |bytes: &[u8]| bundle.put(&Digest::of(bytes), bytes).unwrap();
    let mut config = ImageConfig::scratch(&Platform::host());
    config.rootfs.diff_ids.push(DiffId(Digest::of(LAYER)));
    let config = config.to_bytes().unwrap();
    put(LAYER);
    put(&config);
    let layer = Descriptor::new(oci::manifest::media_type::OCI_LAYER, Digest::of(LAYER), LAYER.len() as u64);
    let config = Descriptor::new(Format::Oci.config(), Digest::of(&config), config.len() as u64);
    let bytes = Manifest::new(Format::Oci, config, vec![layer]).to_bytes().unwrap();
    (Descriptor::new(Format::Oci.manifest(), Digest::of(&bytes), bytes.len() as u64), bytes)
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn nothing_is_there_before_the_end_and_nothing_stays_without_one() {
    for kind in ["oci-archive", "docker-archive", "dir"] {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("{kind}:{}", directory.path().join("out").display());
        let unfinished = bundle(&text).unwrap();
        fill(&unfinished);
        let pending = unfinished.start_blob(Algorithm::Sha256).unwrap();
        assert!(!directory.path().join("out/manifest.json").exists() && !directory.path().join("out").is_file());
        drop(pending);
        drop(unfinished);
        assert_eq!(names(directory.path()), Vec::<String>::new(), "{kind}");
        let finished = bundle(&text).unwrap();
        let (descriptor, bytes) = fill(&finished);
        finished.finish(&descriptor, &bytes, &[]).unwrap();
        drop(finished);
        assert_eq!(names(directory.path()), ["out"], "{kind}");
    }
}

#[test]
fn a_wrong_digest_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = bundle(&format!("dir:{}", directory.path().join("out").display())).unwrap();
    let error = bundle.put(&Digest::of(b"other"), b"bytes").unwrap_err();
    assert!(matches!(error, TransportError::Layout(LayoutError::Digest { .. })), "{error}");
    assert_eq!(names(&directory.path().join("out")), Vec::<String>::new());
}

#[test]
fn a_directory_holds_one_image_and_what_is_not_ours_stays() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("dir:{}", directory.path().display());
    let old = "0".repeat(64);
    fs::write(directory.path().join("notes.txt"), "").unwrap();
    let error = bundle(&text).unwrap_err().to_string();
    assert!(error.ends_with("there are files in it that are no image of `dir:`; nothing in it is changed"), "{error}");
    fs::write(directory.path().join("version"), image_directory::VERSION_TEXT).unwrap();
    fs::write(directory.path().join(&old), "old").unwrap();
    let written = bundle(&text).unwrap();
    let (descriptor, bytes) = fill(&written);
    assert!(directory.path().join(&old).exists(), "the old image is there until the new one is");
    written.finish(&descriptor, &bytes, &[]).unwrap();
    let names = names(directory.path());
    assert!(!names.contains(&old) && names.contains(&"notes.txt".to_owned()), "{names:?}");
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn a_layer_that_is_not_the_configs_is_not_written_for_docker() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = bundle(&format!("docker-archive:{}", directory.path().join("out").display())).unwrap();
    let (_, bytes) = fill(&bundle);
    let text = String::from_utf8(bytes).unwrap();
    let other = [1; 1024];
    bundle.put(&Digest::of(&other), &other).unwrap();
    let text = text.replace(Digest::of(LAYER).as_str(), Digest::of(&other).as_str());
    let descriptor = Descriptor::new("", Digest::of(text.as_bytes()), text.len() as u64);
    let error = bundle.finish(&descriptor, text.as_bytes(), &[]).unwrap_err();
    assert!(format!("{:?}", error).contains("DiffId"), "{error:?}");
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

#[test]
fn a_position_is_for_reading() {
    assert!(matches!(bundle("docker-archive:/tmp/a:@0"), Err(TransportError::Unfit { .. })));
}
