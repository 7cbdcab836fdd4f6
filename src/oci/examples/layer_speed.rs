//! How fast layers are written and unpacked: `layer_speed write UPPER BLOB [gzip|zstd|none [LEVEL [THREADS]]]` and
//! `layer_speed apply BLOB DIRECTORY`. Prints one line with bytes, files, seconds, and peak memory.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Instant;

use stratum_oci::layer::{ApplyOptions, CompressOptions, DiffOptions, apply, decompressor, write_upper};
use stratum_oci::manifest::Compression;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    let (bytes, entries) = match arguments.as_slice() {
        ["write", upper, blob, how @ ..] => write(Path::new(upper), Path::new(blob), &options(how)?)?,
        ["apply", blob, directory] => unpack(Path::new(blob), Path::new(directory))?,
        _ => {
            return Err(
                "usage: layer_speed write UPPER BLOB [gzip|zstd|none [LEVEL [THREADS]]] | apply BLOB DIR".into()
            );
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let rate = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
    let (mb_rate, file_rate) = (rate(bytes >> 20), rate(entries));
    println!(
        "{bytes} bytes, {entries} entries, {seconds:.2} s: {mb_rate:.0} MiB/s, {file_rate:.0} entries/s; {}",
        usage()?
    );
    Ok(())
}

fn options(how: &[&str]) -> Result<CompressOptions, Box<dyn Error>> {
    let compression = match how.first() {
        None | Some(&"gzip") => Compression::Gzip,
        Some(&"zstd") => Compression::Zstd,
        Some(&"none") => Compression::None,
        Some(other) => return Err(format!("no compression {other}").into()),
    };
    let level = how.get(1).map(|text| text.parse()).transpose()?;
    let threads = how.get(2).map_or(Ok(2), |text| text.parse())?;
    Ok(CompressOptions { compression, level, threads })
}

fn write(upper: &Path, blob: &Path, compress: &CompressOptions) -> Result<(u64, u64), Box<dyn Error>> {
    let options = DiffOptions { compress: compress.clone(), ..DiffOptions::default() };
    let written = write_upper(File::open(upper)?.as_fd(), &[], &options, File::create(blob)?)?;
    println!("{} {}", written.descriptor.digest, written.descriptor.size);
    Ok((written.uncompressed, written.entries))
}

fn unpack(blob: &Path, directory: &Path) -> Result<(u64, u64), Box<dyn Error>> {
    let tar = decompressor(Compression::Gzip, File::open(blob)?)?;
    let applied = apply(tar, File::open(directory)?.as_fd(), &ApplyOptions::default())?;
    Ok((applied.bytes, applied.entries))
}

/// Processor seconds and peak memory, as the kernel counts them.
fn usage() -> Result<String, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    // Of proc_pid_stat(5), utime and stime, in hundredths of a second.
    let processor = f64::from(ticks(11) + ticks(12)) / 100.0;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    Ok(format!("cpu {processor:.2} s, {}", line("VmHWM").split_whitespace().collect::<Vec<_>>().join(" ")))
}
