//! Where bytes go that will become a blob: a file, and memory once the disk fails. Counts, bounds and hashes them.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use sha2::Digest as _;

use super::{Blob, BlobId, Staging, Store};

/// Takes the bytes of one blob.
pub struct Sink {
    target: Target,
    hasher: sha2::Sha256,
    length: u64,
    limit: u64,
}

enum Target {
    File(Staging),
    Memory(Vec<u8>),
}

/// More bytes than the sink takes; found in the `io::Error` of a write.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("larger than the limit")]
pub struct PastLimit;

impl Sink {
    /// Into a new file where the disk takes one. At most `limit` bytes.
    pub fn new(store: &Store, limit: u64) -> Self {
        let target = store.stage().map_or_else(|_| Target::Memory(Vec::new()), Target::File);
        Self { target, hasher: sha2::Sha256::new(), length: 0, limit }
    }

    /// Takes fewer bytes than it was made for.
    pub fn lower_limit(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }

    /// Bytes taken.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether the bytes are in memory because the disk does not take them.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.target, Target::Memory(_))
    }

    /// The blob, and the file that has to be committed for it to last.
    pub fn finish(self) -> (Blob, Option<Staging>) {
        let id = BlobId::from_digest(self.hasher.finalize().into());
        match self.target {
            Target::File(staging) => (Blob::file(id, self.length, Arc::clone(staging.file())), Some(staging)),
            Target::Memory(bytes) => (Blob::memory(id, bytes.into()), None),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length + bytes.len() as u64 > self.limit {
            return Err(io::Error::other(PastLimit));
        }
        match &mut self.target {
            Target::Memory(all) => all.extend_from_slice(bytes),
            Target::File(staging) => {
                if staging.write_at(self.length, bytes).is_err() {
                    let mut all = taken(staging.file(), self.length)?;
                    all.extend_from_slice(bytes);
                    self.target = Target::Memory(all);
                }
            }
        }
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the disk took before it failed.
fn taken(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
