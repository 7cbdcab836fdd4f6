//! Metadata of a repository as anything: parsed or refused with its file named, never a panic, and no path
//! that leaves the repository. The first byte says which kind it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rpm::repository::{Metalink, Repomd, parse_mirrorlist, read_primary};

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 4 {
        0 => match Repomd::parse(bytes) {
            Ok(repomd) => repomd.files.iter().for_each(|file| check(&file.href)),
            Err(error) => assert_eq!(error.file, "repomd.xml"),
        },
        1 => {
            let mut seen = 0;
            let read = read_primary(bytes, "primary.xml", &mut |package| {
                check(&package.href);
                seen += 1;
            });
            match read {
                Ok(count) => assert_eq!(count, seen),
                Err(error) => assert_eq!(error.file, "primary.xml"),
            }
        }
        2 => {
            if let Ok(metalink) = Metalink::parse(bytes) {
                assert!(metalink.mirrors.iter().all(|mirror| mirror.ends_with('/')));
            }
        }
        _ => assert!(parse_mirrorlist(bytes).iter().all(|mirror| mirror.contains("://"))),
    }
});

fn check(href: &str) {
    assert!(!href.is_empty() && !href.starts_with('/'));
    assert!(href.split('/').all(|segment| segment != ".." && segment != "."));
}
