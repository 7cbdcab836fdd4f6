//! Copies the blobs of an image from one registry to another and tells what it cost.
//!
//! `cargo run --release -p stratum-registry --example pass_through -- 127.0.0.1:5000/a:1 127.0.0.1:5001/b:1`

#![expect(clippy::print_stdout, reason = "prints its figures")]

use std::error::Error;
use std::time::Instant;

use oci::{Document, Reference};
use stratum_registry::{Options, Registries, Tls};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: pass_through SOURCE TARGET");
    let (from, to): (Reference, Reference) = (next()?.parse()?, next()?.parse()?);
    let started = Instant::now();
    let registries = Registries::new(Options { tls: Tls::NoVerify, ..Options::default() })?;
    let pulled = registries.resolve(&from)?;
    let Document::Manifest(manifest) = pulled.document else { return Err("an index: name one of its images".into()) };
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let mut upload = registries.open_upload(&to)?;
        let mut reader = registries.blob(&from, blob)?;
        while let Some(piece) = reader.next_piece()? {
            upload.send_piece(piece)?;
        }
        upload.commit(&blob.digest)?;
        println!("{} {} bytes", blob.digest, blob.size);
    }
    let digest = registries.put_manifest(&to, &pulled.descriptor.media_type, &pulled.bytes)?;
    println!("{digest} {} ms", started.elapsed().as_millis());
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("RssAnon"))
        .for_each(|l| println!("{l}"));
    Ok(())
}
