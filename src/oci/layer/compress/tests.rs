use std::io::Read as _;

use super::*;

/// Text, noise and zeros, more than enough to fill every slot.
fn mixed(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (bytes.len() >> 19) % 3 {
            0 => bytes.extend_from_slice(&(state >> 11).to_le_bytes()),
            1 => bytes.extend_from_slice(format!("line {} of the file\n", state >> 56).as_bytes()),
            _ => bytes.extend_from_slice(&[0; 8]),
        }
    }
    bytes.truncate(length);
    bytes
}

fn compress(bytes: &[u8], options: &CompressOptions, piece: usize) -> (Compressed, Vec<u8>) {
    let mut blob = Vec::new();
    let mut stream = compressing(&mut blob, options).unwrap();
    for piece in bytes.chunks(piece) {
        stream.write_all(piece).unwrap();
    }
    (stream.finish().unwrap(), blob)
}

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

#[test]
fn the_bytes_do_not_depend_on_threads_or_on_how_they_are_written() {
    let bytes = mixed(9_300_000);
    for compression in ALL {
        let with = |threads, piece| compress(&bytes, &CompressOptions { compression, threads, level: None }, piece);
        let (sums, blob) = with(1, 1 << 20);
        assert_eq!((sums.digest.clone(), sums.size), (Digest::of(&blob), blob.len() as u64));
        assert_eq!((sums.diff_id.0.clone(), sums.uncompressed), (Digest::of(&bytes), bytes.len() as u64));
        for (threads, piece) in [(2, 777), (4, 3_000_000), (99, 65_536)] {
            assert_eq!(with(threads, piece), (sums.clone(), blob.clone()), "{compression:?} {threads}");
        }
    }
}

#[test]
fn what_was_compressed_can_be_read() {
    for compression in ALL {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK] {
            let bytes = mixed(length);
            let (_, blob) = compress(&bytes, &CompressOptions { compression, threads: 2, level: None }, 100_000);
            let mut back = Vec::new();
            crate::layer::decompressor(compression, blob.as_slice()).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{compression:?} {length}");
        }
    }
}

/// Takes so many bytes and then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("the sink is full"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_ends_the_stream_with_its_error() {
    let bytes = mixed(30 << 20);
    for compression in ALL {
        for room in [0, 100_000, 1 << 20] {
            let mut stream =
                compressing(Full(room), &CompressOptions { compression, threads: 3, level: Some(1) }).unwrap();
            let error = stream.write_all(&bytes).unwrap_err();
            assert_eq!(error.to_string(), "the sink is full", "{compression:?}");
            let after = stream.write_all(&bytes).unwrap_err().to_string();
            assert_eq!(after, "writing the layer failed before");
            assert!(stream.finish().is_err());
        }
        let mut stream = compressing(Full(0), &CompressOptions { compression, ..CompressOptions::default() }).unwrap();
        stream.write_all(b"short").unwrap();
        assert!(stream.finish().is_err());
    }
}

#[test]
fn a_stream_that_is_given_up_ends() {
    let options = CompressOptions { threads: 4, ..CompressOptions::default() };
    let mut stream = compressing(io::sink(), &options).unwrap();
    stream.write_all(&mixed(6 << 20)).unwrap();
    // Dropping joins the threads: if one waited for ever, so would this test.
    drop(stream);
}

#[test]
fn levels_that_do_not_exist_are_named() {
    let gzip = CompressOptions { level: Some(13), ..CompressOptions::default() };
    assert_eq!(compressing(io::sink(), &gzip).unwrap_err().to_string(), "Gzip has no level 13: use 1 to 12");
    let zstd = CompressOptions { compression: Compression::Zstd, level: Some(0), threads: 1 };
    assert_eq!(compressing(io::sink(), &zstd).unwrap_err().to_string(), "Zstd has no level 0: use 1 to 22");
}
