use std::io::{Read as _, Write as _};
use std::path::Path;

use super::*;
use crate::Platform;

const LAYER: &[u8] = &[0; 1024];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config() -> Vec<u8> {
    let mut config = ImageConfig::scratch(&Platform::host());
    config.rootfs.diff_ids.push(DiffId(Digest::of(LAYER)));
    config.to_bytes().unwrap()
}

fn tarball(entries: &[(&str, &[u8])]) -> Arc<Tarball> {
    let entries = entries.iter().map(|(name, bytes)| ((*name).to_owned(), Content::Bytes(bytes.to_vec())));
    written(entries.collect())
}

fn written(entries: BTreeMap<String, Content>) -> Arc<Tarball> {
    let mut file = tempfile::tempfile().unwrap();
    crate::tarball::write(entries, &mut file).unwrap();
    Arc::new(Tarball::index(Path::new("a.tar"), file).unwrap())
}

fn open(manifest: &str, layer: &[u8], wanted: &Wanted) -> Result<DockerImage, DockerArchiveError> {
    DockerImage::open(tarball(&[("c.json", &config()), ("l", layer), ("manifest.json", manifest.as_bytes())]), wanted)
}

#[track_caller]
fn check_refused(manifest: &str, message: &str) {
    assert_eq!(open(manifest, LAYER, &Wanted::Only).unwrap_err().to_string(), message);
}

#[test]
fn layers_are_read_compressed_or_not() {
    let manifest = r#"[{"Config":"c.json","RepoTags":null,"Layers":["l"]}]"#;
    for (bytes, media_type) in [
        (LAYER.to_vec(), crate::manifest::media_type::DOCKER_LAYER),
        (gzip(LAYER), crate::manifest::media_type::DOCKER_LAYER_GZIP),
    ] {
        let image = open(manifest, &bytes, &Wanted::Only).unwrap();
        let layer = image.manifest.layers[0].clone();
        assert_eq!((layer.media_type.as_str(), &layer.digest), (media_type, &Digest::of(&bytes)));
        let mut read = Vec::new();
        image.layer(&layer).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}

#[test]
fn a_layer_that_is_not_the_configs_fails_when_it_is_read() {
    let manifest = r#"[{"Config":"c.json","Layers":["l"]}]"#;
    let image = open(manifest, &[1; 1024], &Wanted::Only).unwrap();
    let error = image.layer(&image.manifest.layers[0].clone()).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("it is damaged"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    check_refused(r#"[{"Config":"x","Layers":["l"]}]"#, "a.tar: manifest.json names `x`, which is not in the archive");
    let outside = "a.tar: manifest.json names `../../etc/passwd`, which is not in the archive";
    check_refused(r#"[{"Config":"c.json","Layers":["../../etc/passwd"]}]"#, outside);
    check_refused(r#"[{"Config":"c.json","Layers":[]}]"#, "a.tar: manifest.json lists 0 layers, the config 1");
    check_refused("[{", "a.tar: manifest.json is malformed: EOF while parsing an object at line 1 column 2");
    let error = DockerImage::open(tarball(&[("oci-layout", b"")]), &Wanted::Only).unwrap_err().to_string();
    assert!(error.ends_with("for a layout in a tar say oci-archive:"), "{error}");
}

#[test]
fn a_list_of_images_larger_than_any_is_not_read() {
    let manifest = " ".repeat(5 << 20);
    check_refused(&manifest, "a.tar/manifest.json: it has 5242880 bytes, more than the 4194304 allowed");
}

#[test]
fn an_image_is_found_by_name_and_position() {
    let item = |name: &str| format!(r#"{{"Config":"c.json","RepoTags":["{name}"],"Layers":["l"]}}"#);
    let manifest = format!("[{},{}]", item("a:1"), item("docker.io/library/b:latest"));
    let find = |wanted: Wanted| open(&manifest, LAYER, &wanted).map(drop).map_err(|error| error.to_string());
    assert_eq!(find(Wanted::Tag("docker.io/library/a:1".parse().unwrap())), Ok(()));
    assert_eq!(find(Wanted::Tag("b".parse().unwrap())), Ok(()));
    assert_eq!(find(Wanted::Position(1)), Ok(()));
    let present = "the archive has: a:1, docker.io/library/b:latest";
    assert_eq!(find(Wanted::Position(2)), Err(format!("a.tar: there is no image @2; {present}")));
    let only = format!("a.tar: there is not exactly one image: say which one is meant; {present}");
    assert_eq!(find(Wanted::Only), Err(only));
}

#[test]
fn what_is_written_is_read_back() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(LAYER).unwrap();
    let layer = (DiffId(Digest::of(LAYER)), Part::whole(Arc::new(file)).unwrap());
    let names: Vec<Reference> = ["b.example/a:1", "c"].iter().map(|name| name.parse().unwrap()).collect();
    let config = config();
    let entries = entries(&config, vec![layer], &names).unwrap();
    let shown: Vec<&String> = entries.keys().filter(|name| !name.contains('/')).collect();
    let (hex, layer) = (Digest::of(&config).hex().to_owned(), Digest::of(LAYER).hex().to_owned());
    let mut expected = [format!("{hex}.json"), format!("{layer}.tar"), "manifest.json".into(), "repositories".into()];
    expected.sort();
    assert_eq!(shown, expected.iter().collect::<Vec<_>>());
    let image = DockerImage::open(written(entries), &Wanted::Tag("c".parse().unwrap())).unwrap();
    assert_eq!((image.config, image.manifest.layers.len()), (config, 1));
}
