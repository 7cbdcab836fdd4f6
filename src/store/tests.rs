use std::io::Write;

use super::*;

fn store(directory: &Path) -> Store {
    Store::open(open_directory(directory).unwrap(), directory, "test").unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_blob_has_a_name_only_when_its_bytes_are_right() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let digest = oci::Digest::of(b"abc");
    let mut blob = store.start_blob().unwrap();
    blob.write_all(b"abx").unwrap();
    assert!(matches!(blob.commit(&digest), Err(StoreError::Mismatch { .. })));
    assert!(!store.has_blob(&digest));
    assert_eq!(store.keep_blob(b"abc").unwrap(), digest);
    assert_eq!(store.small_blob(&digest, 3).unwrap(), b"abc");
    assert!(store.small_blob(&digest, 2).is_err());
}

#[test]
fn a_dropped_blob_and_an_ended_process_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    drop(store.start_blob().unwrap());
    drop(store);
    assert_eq!(names(&directory.path().join("scratch")), Vec::<String>::new());
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let living = store(directory.path());
    let left = directory.path().join("scratch/999999-0/work/work");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(directory.path().join("scratch/999999-0/lock"), "").unwrap();
    std::fs::set_permissions(&left, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    remove_left_overs(directory.path());
    let second = store(directory.path());
    assert_eq!(names(&directory.path().join("scratch")).len(), 2);
    drop((living, second));
}

#[test]
fn a_layer_is_there_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let diff_id = DiffId(oci::Digest::of(b"layer"));
    assert_eq!(store.layer(&diff_id), None);
    let tree = store.scratch().fresh_folder("layer").unwrap();
    std::fs::write(store.path(&tree.join("file")), "x").unwrap();
    let kept = store.keep_layer(&diff_id, &tree).unwrap();
    assert_eq!(store.layer(&diff_id), Some(kept.clone()));
    assert_eq!(std::fs::read(store.path(&kept.join("file"))).unwrap(), b"x");
    let again = store.scratch().fresh_folder("layer").unwrap();
    assert_eq!(store.keep_layer(&diff_id, &again).unwrap(), kept);
}

#[test]
fn an_image_is_found_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    assert_eq!(store.image("a/b:1").unwrap(), None);
    let manifest = oci::Descriptor::new("x", oci::Digest::of(b"m"), 1);
    let image = StoredImage { name: "a/b:1".to_owned(), manifest };
    store.keep_image(&image).unwrap();
    store.keep_image(&image).unwrap();
    assert_eq!(store.image("a/b:1").unwrap(), Some(image));
}

#[test]
fn a_place_asked_for_is_taken_or_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let demanded = Candidate { path: "/proc/nowhere".into(), origin: "--store", is_demanded: true };
    let good = Candidate { path: directory.path().join("a/b"), origin: "TMPDIR", is_demanded: false };
    let error = choose(&[demanded.clone(), good.clone()]).unwrap_err().to_string();
    assert!(error.starts_with("no place for the store: /proc/nowhere (--store): cannot be made"), "{error}");
    let passed = Candidate { is_demanded: false, ..demanded };
    let (chosen, skipped) = choose(&[passed, good.clone()]).unwrap();
    assert_eq!((chosen, skipped.len()), (good, 1));
}
