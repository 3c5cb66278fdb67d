//! Reads an index file once it is verified, behind the clients' backs: decoded and split into lines as a stream, never
//! in memory whole.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use liblzma::stream::{CONCATENATED, Stream};

use super::Cache;
use super::document::stage;
use super::names::{Gathering, MOST};
use super::write::Finished;
use crate::error::Error;
use crate::intent::ScanIndex;
use crate::store::Blob;

/// Bytes of one line; what is longer names no file.
const LINE: usize = 4 << 10;
/// Memory that a decoder may take: the dictionary of the strongest presets of xz, and a little more.
const DECODER: u64 = 72 << 20;
/// The base-2 logarithm of the largest window of zstd.
const ZSTD_WINDOW: u32 = 26;
/// Decoded bytes of one index. The largest of real ones have some 100 MB.
const DECODED: u64 = 1 << 30;
/// Memory for the entries: they are gathered, and written out once.
const ENTRIES: u64 = 2 * 56 * MOST as u64;

impl Cache {
    /// What an index names, staged; `None` if it names nothing or means nothing to us. An error where there was no
    /// memory or no thread to find out.
    pub(super) async fn learn(
        self: &Arc<Self>,
        blob: Blob,
        scan: Box<dyn ScanIndex>,
        files: &mut Vec<Finished>,
    ) -> Result<Option<Blob>, Error> {
        // Entries are at least a line each, and compress to no less than a few bytes.
        let needed = (blob.length() * 2).min(ENTRIES) + DECODER;
        let mut permit = self.engine.memory.take_with(blob.patience(), needed).await?;
        let store = Arc::clone(&self.engine.store);
        let work = move || {
            let bytes = scanned(&blob, scan)?;
            let mut files = Vec::new();
            let names = bytes.map(|bytes| {
                // Decoder and entries are gone: what is left of them may be held for long where the disk fails.
                permit.shrink(bytes.len() as u64);
                stage(&store, &Arc::new(permit), bytes.into(), &mut files)
            });
            Ok::<_, io::Error>((names, files))
        };
        let (names, staged) = self.engine.workshop.run(work).await?.unwrap_or_else(|error| {
            tracing::warn!(proxy = %self.settings.name, error = %error,
                "an index cannot be read: the files that it names are not verified");
            (None, Vec::new())
        });
        files.extend(staged);
        Ok(names)
    }
}

/// What a blob names, in the form on disk.
fn scanned(blob: &Blob, mut scan: Box<dyn ScanIndex>) -> io::Result<Option<Vec<u8>>> {
    let mut gathering = Gathering::default();
    let mut decoded = decoder(blob)?.take(DECODED);
    let mut buffer = vec![0; 64 << 10];
    let mut line: Vec<u8> = Vec::with_capacity(LINE);
    let mut is_too_long = false;
    loop {
        let count = match decoded.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = &buffer[..count];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            is_too_long |= line.len() + end > LINE;
            if line.is_empty() && !is_too_long {
                scan.line(&rest[..end], &mut |file| gathering.take(&file));
            } else if !is_too_long {
                line.extend_from_slice(&rest[..end]);
                scan.line(&line, &mut |file| gathering.take(&file));
            }
            line.clear();
            is_too_long = false;
            rest = &rest[end + 1..];
        }
        is_too_long |= line.len() + rest.len() > LINE;
        if !is_too_long {
            line.extend_from_slice(rest);
        }
    }
    if decoded.limit() == 0 {
        return Err(io::Error::other("it grows without end"));
    }
    if !is_too_long && !line.is_empty() {
        scan.line(&line, &mut |file| gathering.take(&file));
    }
    scan.end(&mut |file| gathering.take(&file));
    Ok(gathering.finish())
}

/// The bytes of a blob without their compression, which their first bytes tell.
fn decoder(blob: &Blob) -> io::Result<Box<dyn Read>> {
    let mut first = [0; 6];
    let count = blob.read_at(0, &mut first)?;
    let reader = BufReader::with_capacity(64 << 10, Reader { blob: blob.clone(), position: 0 });
    Ok(match &first[..count] {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let stream = Stream::new_stream_decoder(DECODER, CONCATENATED).map_err(io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
        }
        [0x5d, 0, 0, ..] => {
            let stream = Stream::new_lzma_decoder(DECODER).map_err(io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
        }
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        // apt knows it and asks for it last of all; no archive is known that has nothing else. The index itself is verified.
        [0x04, 0x22, 0x4d, 0x18, ..] => return Err(io::Error::other("it is compressed by lz4, which is not read")),
        _ => Box::new(reader),
    })
}

/// Reads a blob from its beginning.
struct Reader {
    blob: Blob,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read_at(self.position, buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::digest::Digest;
    use crate::intent::NamedFile;
    use crate::store::BlobId;

    /// Takes each line for a path.
    struct Lines;

    impl ScanIndex for Lines {
        fn line(&mut self, line: &[u8], found: &mut dyn FnMut(NamedFile)) {
            let path = String::from_utf8_lossy(line).into_owned();
            found(NamedFile { path, digest: Digest::sha256(line), size: 0, is_likely: true });
        }

        fn end(&mut self, _: &mut dyn FnMut(NamedFile)) {}
    }

    fn read(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        scanned(&Blob::memory(BlobId::of(bytes), bytes.to_vec().into()), Box::new(Lines))
    }

    /// The bytes that a compressor makes of a text.
    fn written<W: Write>(mut encoder: W, text: &[u8], finish: impl FnOnce(W) -> io::Result<Vec<u8>>) -> Vec<u8> {
        encoder.write_all(text).unwrap();
        finish(encoder).unwrap()
    }

    #[test]
    fn every_compression_of_archives_is_read() {
        use liblzma::stream::{LzmaOptions, Stream};
        use liblzma::write::XzEncoder;

        let paths: Vec<_> = (0..1000).map(|number| format!("pool/{number}.deb")).collect();
        let text = paths.join("\n").into_bytes();
        let plain = read(&text).unwrap().unwrap();
        assert_eq!(plain.len(), 1000 * 56);
        let lzma = Stream::new_lzma_encoder(&LzmaOptions::new_preset(6).unwrap()).unwrap();
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        let zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        for (name, bytes) in [
            ("gz", written(gzip, &text, flate2::write::GzEncoder::finish)),
            ("bz2", written(bzip2, &text, bzip2::write::BzEncoder::finish)),
            ("zst", written(zstd, &text, zstd::stream::write::Encoder::finish)),
            ("xz", written(XzEncoder::new(Vec::new(), 6), &text, XzEncoder::finish)),
            ("lzma", written(XzEncoder::new_stream(Vec::new(), lzma), &text, XzEncoder::finish)),
        ] {
            assert!(bytes.len() < text.len());
            assert!(read(&bytes).unwrap().as_ref() == Some(&plain), "{name}");
            // A part is an error, and not an index of fewer files.
            assert!(read(&bytes[..bytes.len() / 2]).is_err(), "half of {name}");
        }
    }

    #[test]
    fn what_is_not_read_says_so() {
        let lz4 = [&[0x04, 0x22, 0x4d, 0x18][..], b"d@\xa7 pool/a.deb\n"].concat();
        assert!(read(&lz4).unwrap_err().to_string().contains("lz4"));
    }
}
