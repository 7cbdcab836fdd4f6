//! A repository file from any image is rewritten without panics, comes back as it was, and is never too large.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gateway::{Gateway, Options, Origin};
use libfuzzer_sys::fuzz_target;

/// One for all inputs: making a store is slow, and what is learned is bounded by the run.
static GATEWAY: LazyLock<(tempfile::TempDir, Gateway)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let opened = store::open_directory(directory.path()).unwrap();
    let store = store::Store::open(opened, directory.path(), "fuzz").unwrap();
    let gateway = Gateway::new(Options::default(), Arc::new(store)).unwrap();
    (directory, gateway)
});

fuzz_target!(|content: &[u8]| {
    let (_, gateway) = &*GATEWAY;
    let variables = BTreeMap::from([("known".to_owned(), "http://a.example".to_owned())]);
    for origin in [Origin::Site, Origin::Image] {
        let Ok(first) = gateway.rewrite("fuzz.repo", content, origin, &variables) else { continue };
        let second = gateway.rewrite("fuzz.repo", content, origin, &variables).unwrap();
        assert_eq!(first, second);
        // Each byte can at most become an escape, and each URL gets a head.
        assert!(first.len() <= content.len() * 60 + 100);
        drop(gateway.restore(&first));
    }
});
