//! A real docker-registry that is killed and comes back.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci::Digest;
use stratum_registry::{Credentials, Kind, Options, Registries, RegistryError};

use crate::real::{Mode, Real};
use crate::{descriptor, image, noise, quick};

const BLOB: usize = 50_000_000;

/// Bytes after which the registry dies.
const MIDDLE: usize = 25_000_000;

/// Registries that are given a second to come back.
fn patient() -> Registries {
    let options = quick(Credentials::default());
    let mut http = options.http;
    http.retry.delays = vec![Duration::from_millis(50); 20];
    Registries::new(Options { http, ..options }).unwrap()
}

fn read(registries: &Registries, name: &oci::Reference, content: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(content.len());
    registries.blob(name, &descriptor(content)).unwrap().read_to_end(&mut read).unwrap();
    read
}

/// Gives `content`, and lets the registry die and come back in the middle of it, once.
struct Deadly<'c> {
    content: &'c [u8],
    given: usize,
    victim: Arc<Mutex<Option<Real>>>,
    revived: Arc<Mutex<Option<Real>>>,
}

impl Read for Deadly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= MIDDLE
            && let Some(mut real) = self.victim.lock().unwrap().take()
        {
            real.restart();
            *self.revived.lock().unwrap() = Some(real);
        }
        let mut rest = &self.content[self.given..];
        let read = rest.read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

#[test]
fn a_push_through_a_restart_succeeds_where_the_bytes_can_be_read_again() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let (name, content) = (image(real.address, "a:1"), noise(BLOB));
    let content: &'static [u8] = Vec::leak(content);
    let (victim, revived) = (Arc::new(Mutex::new(Some(real))), Arc::default());
    let mut opened = 0;
    let mut open = || -> io::Result<Box<dyn Read + Send>> {
        opened += 1;
        Ok(Box::new(Deadly { content, given: 0, victim: Arc::clone(&victim), revived: Arc::clone(&revived) }))
    };
    let registries = patient();
    registries.put_blob_from(&name, &Digest::of(content), &mut open).unwrap();
    assert!(read(&registries, &name, content) == content);
    assert_eq!(opened, 2);
}

#[test]
fn a_push_through_a_restart_commits_the_blob_or_nothing() {
    let Some(mut real) = Real::start(Mode::Plain) else { return };
    let (registries, content) = (patient(), noise(BLOB));
    let digest = Digest::of(&content);
    // So little that all of it is at hand, and so much that it is not.
    for (repository, length) in [("little", 4_000_000), ("much", MIDDLE)] {
        let name = image(real.address, repository);
        let mut upload = registries.open_upload(&name).unwrap();
        upload.send(&content[..length]).unwrap();
        real.restart();
        let pushed = upload.send(&content[length..]).and_then(|()| upload.commit(&digest));
        assert_eq!(registries.has_blob(&name, &digest).unwrap(), pushed.is_ok());
        match pushed {
            Ok(()) => assert!(read(&registries, &name, &content) == content),
            Err(error) => {
                assert_eq!(length, MIDDLE, "{error:?}");
                assert_eq!((error.kind(), error.is_transient()), (Kind::Service, true), "{error:?}");
            }
        }
    }
}

#[test]
fn a_pull_through_a_restart_goes_on_where_it_was() {
    let Some(mut real) = Real::start(Mode::Plain) else { return };
    let (registries, name, content) = (patient(), image(real.address, "a:1"), noise(BLOB));
    let mut upload = registries.open_upload(&name).unwrap();
    upload.send(&content).unwrap();
    upload.commit(&Digest::of(&content)).unwrap();
    let mut reader = registries.blob(&name, &descriptor(&content)).unwrap();
    let mut read = vec![0; MIDDLE];
    reader.read_exact(&mut read).unwrap();
    real.restart();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == content);
}

#[test]
fn a_pull_from_a_registry_that_stays_dead_is_a_transient_error() {
    let Some(mut real) = Real::start(Mode::Plain) else { return };
    let (name, content) = (image(real.address, "a:1"), noise(BLOB));
    let registries = crate::anonymous();
    let mut upload = registries.open_upload(&name).unwrap();
    upload.send(&content).unwrap();
    upload.commit(&Digest::of(&content)).unwrap();
    let mut reader = registries.blob(&name, &descriptor(&content)).unwrap();
    real.kill();
    let error = RegistryError::from_io(reader.read_to_end(&mut Vec::new()).unwrap_err()).unwrap();
    assert_eq!((error.kind(), error.is_transient()), (Kind::Service, true), "{error:?}");
}
