//! What a real docker-registry makes of it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use http::{CaBundle, HttpError, Identity, Secret};
use oci::manifest::media_type;
use oci::{Descriptor, Digest, Document, Format, Manifest, Reference};
use stratum_registry::{Credentials, Kind, Mounted, Options, Registries, RegistryError, Tls};

use crate::real::{Mode, Real};
use crate::{anonymous, conf, descriptor, image, is_refused_with_credentials, noise, quick, with};

const LAYER: usize = 3_000_000;

/// Pushes an image of one layer and returns its manifest.
fn push(registries: &Registries, to: &Reference, layer: &[u8]) -> Manifest {
    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\"}";
    registries.put_blob(to, config).unwrap();
    let mut upload = registries.open_upload(to).unwrap();
    upload.write_all(layer).unwrap();
    upload.commit(&Digest::of(layer)).unwrap();
    let mut manifest = Manifest::new(Format::Oci, descriptor(config), vec![descriptor(layer)]);
    manifest.config.media_type = media_type::OCI_CONFIG.to_owned();
    registries.put_manifest(to, media_type::OCI_MANIFEST, &manifest.to_bytes().unwrap()).unwrap();
    manifest
}

#[test]
fn what_was_pushed_is_pulled() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let (registries, name, layer) = (anonymous(), image(real.address, "a/b:1"), noise(LAYER));
    let manifest = push(&registries, &name, &layer);
    let pulled = registries.resolve(&name).unwrap();
    assert_eq!(pulled.bytes, manifest.to_bytes().unwrap());
    assert_eq!(registries.head(&name).unwrap().unwrap(), pulled.descriptor);
    let pinned = name.pinned(pulled.descriptor.digest.clone());
    assert_eq!(registries.resolve(&pinned).unwrap().document, Document::Manifest(manifest.clone()));
    let mut read = Vec::new();
    registries.blob(&pinned, &manifest.layers[0]).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == layer);
    let config = registries.small_blob(&name, &manifest.config, 1000).unwrap();
    assert_eq!(Digest::of(&config), manifest.config.digest);
}

#[test]
fn a_blob_is_mounted_and_an_unknown_one_is_written_to_the_upload_opened_instead() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let (registries, layer) = (anonymous(), noise(LAYER));
    let (from, to) = (image(real.address, "from:1"), image(real.address, "to:1"));
    push(&registries, &from, &layer);
    let digest = Digest::of(&layer);
    assert!(!registries.has_blob(&to, &digest).unwrap());
    assert!(matches!(registries.mount(&to, &from, &digest).unwrap(), Mounted::Yes));
    assert!(registries.has_blob(&to, &digest).unwrap());
    let other = Digest::of(b"other");
    let Mounted::No(mut upload) = registries.mount(&to, &from, &other).unwrap() else { panic!("mounted") };
    upload.write_all(b"other").unwrap();
    upload.commit(&other).unwrap();
    assert!(registries.has_blob(&to, &other).unwrap());
}

#[test]
fn nothing_is_committed_before_the_commit_and_nothing_stays_of_what_is_cancelled() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let (registries, name, layer) = (anonymous(), image(real.address, "a:1"), noise(LAYER));
    let digest = Digest::of(&layer);
    for is_closed in [false, true] {
        let mut upload = registries.open_upload(&name).unwrap();
        upload.write_all(&layer).unwrap();
        if is_closed {
            upload.close_stream().unwrap();
        }
        assert_eq!(real.uploads("a"), 1);
        upload.cancel();
        assert_eq!(real.uploads("a"), 0, "closed: {is_closed}");
        assert!(!registries.has_blob(&name, &digest).unwrap());
    }
    let mut upload = registries.open_upload(&name).unwrap();
    upload.write_all(&layer).unwrap();
    upload.close_stream().unwrap();
    assert!(!registries.has_blob(&name, &digest).unwrap());
    upload.commit(&digest).unwrap();
    assert!(registries.has_blob(&name, &digest).unwrap());
    assert_eq!(real.uploads("a"), 0);
}

#[test]
fn the_registry_refuses_a_digest_that_lies() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let name = image(real.address, "a:1");
    let mut upload = anonymous().open_upload(&name).unwrap();
    upload.write_all(&noise(LAYER)).unwrap();
    let error = upload.commit(&Digest::of(b"lie")).unwrap_err();
    let RegistryError::Server { code, .. } = &error else { panic!("{error:?}") };
    assert_eq!(code.as_deref(), Some("DIGEST_INVALID"));
    assert!(!anonymous().has_blob(&name, &Digest::of(b"lie")).unwrap());
}

#[test]
fn what_does_not_exist_is_not_found() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let name = image(real.address, "no/such:1");
    let error = anonymous().resolve(&name).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::NoSuchImage);
    assert_eq!(anonymous().head(&name).unwrap(), None);
    let error = anonymous().blob(&name, &descriptor(b"x")).unwrap_err();
    assert!(matches!(error, RegistryError::BlobNotFound { .. }), "{error:?}");
}

#[test]
fn a_password_is_asked_for_and_checked() {
    let Some(real) = Real::start(Mode::Password) else { return };
    let name = image(real.address, "a:1");
    push(&with("user:U*U"), &name, &noise(LAYER));
    assert!(with("user:U*U").resolve(&name).is_ok());
    assert!(!is_refused_with_credentials(&anonymous(), &name));
    assert!(is_refused_with_credentials(&with("user:wrong"), &name));
}

/// Asks for `name` with verified TLS and the certificates of `ca` besides the usual ones.
fn verified(name: &Reference, ca: Option<Vec<u8>>) -> Result<Option<Descriptor>, RegistryError> {
    let mut options = quick(Credentials::default());
    options.tls = Tls::Verify;
    options.http.extra_roots = ca.into_iter().map(|pem| CaBundle { label: "ca.pem".to_owned(), pem }).collect();
    Registries::new(options).unwrap().head(name)
}

#[track_caller]
fn is_not_trusted(answer: Result<Option<Descriptor>, RegistryError>) {
    let Err(RegistryError::Unreachable { source, .. }) = answer else { panic!("{answer:?}") };
    assert!(matches!(source, HttpError::Certificate { .. }), "{source:?}");
}

#[test]
fn a_certificate_is_checked_unless_told_otherwise() {
    let Some(real) = Real::start(Mode::Tls) else { return };
    let name = image(real.address, "a:1");
    push(&anonymous(), &name, &noise(LAYER));
    assert!(verified(&name, Some(real.file("ca.pem"))).unwrap().is_some());
    is_not_trusted(verified(&name, None));
}

#[test]
fn a_registry_that_wants_a_client_certificate_gets_it() {
    let Some(real) = Real::start(Mode::ClientCertificate) else { return };
    let name = image(real.address, "a:1");
    let mut options = quick(Credentials::default());
    options.tls = Tls::Verify;
    options.http.extra_roots = vec![CaBundle { label: "ca.pem".to_owned(), pem: real.file("ca.pem") }];
    let error = Registries::new(options.clone()).unwrap().head(&name).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    let directory = real.dir.path().join("certs.d").join(real.address.to_string());
    std::fs::create_dir_all(&directory).unwrap();
    for (from, to) in [("ca.pem", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")] {
        std::fs::write(directory.join(to), real.file(from)).unwrap();
    }
    let without =
        Options { certs_d: vec![real.dir.path().join("certs.d")], tls: Tls::Verify, ..quick(Credentials::default()) };
    assert_eq!(Registries::new(without).unwrap().head(&name).unwrap(), None);
    let key = Secret::new(String::from_utf8(real.file("client.key")).unwrap());
    let certificates = real.file("client.pem");
    options.http.identity = Some(Identity { label: "client.pem".to_owned(), certificates, key });
    assert_eq!(Registries::new(options).unwrap().head(&name).unwrap(), None);
}

#[test]
fn a_registry_that_is_called_insecure_may_show_any_certificate_or_none_and_no_other_registry_may() {
    for mode in [Mode::Tls, Mode::Plain] {
        let Some(real) = Real::start(mode) else { return };
        let Some(other) = Real::start(Mode::Tls) else { return };
        let name = image(real.address, "a:1");
        let conf = conf(&format!("[[registry]]\nlocation = \"{}\"\ninsecure = true", real.address));
        let mut options = quick(Credentials::default());
        (options.tls, options.conf) = (Tls::Verify, conf);
        let registries = Registries::new(options).unwrap();
        assert_eq!(registries.head(&name).unwrap(), None);
        registries.put_blob(&name, b"hello").unwrap();
        is_not_trusted(registries.head(&image(other.address, "a:1")));
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_when_it_is_given_and_for_its_own_names() {
    let Some(real) = Real::start(Mode::SelfSigned) else { return };
    let name = image(real.address, "a:1");
    assert_eq!(verified(&name, Some(real.file("leaf.pem"))).unwrap(), None);
    is_not_trusted(verified(&name, None));
    let other: Reference = format!("localhost:{}/a:1", real.address.port()).parse().unwrap();
    is_not_trusted(verified(&other, Some(real.file("leaf.pem"))));
}

#[test]
fn a_registry_that_dies_in_the_middle_is_an_error() {
    let Some(mut real) = Real::start(Mode::Plain) else { return };
    let mut upload = anonymous().open_upload(&image(real.address, "a:1")).unwrap();
    upload.write_all(&noise(LAYER)).unwrap();
    real.kill();
    let layer = noise(LAYER);
    let error = std::iter::repeat_with(|| upload.write_all(&layer)).find_map(Result::err).unwrap();
    let error = RegistryError::from_io(error).unwrap();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    assert_eq!((error.kind(), error.is_transient()), (Kind::Service, true));
}

#[test]
fn nothing_stays_of_an_upload_that_is_cancelled_while_it_runs() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut options = quick(Credentials::default());
    options.http.cancelled = Some(Arc::clone(&cancelled));
    let mut upload = Registries::new(options).unwrap().open_upload(&image(real.address, "a:1")).unwrap();
    upload.write_all(&noise(LAYER)).unwrap();
    assert!((0..500).any(|_| {
        sleep(Duration::from_millis(10));
        real.uploads("a") == 1
    }));
    cancelled.store(true, Ordering::Relaxed);
    drop(upload);
    assert!((0..500).any(|_| {
        sleep(Duration::from_millis(10));
        real.uploads("a") == 0
    }));
}
