//! Where bytes go that will become a blob: a file, and memory once the disk fails. Counts, bounds and hashes them.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::{Blob, BlobId, Staging, Store};
use crate::digest::{Algorithm, Digests, Hasher};
use crate::memory::{Budget, Permit};

/// Takes the bytes of one blob.
pub struct Sink {
    target: Target,
    hasher: Hasher,
    length: u64,
    limit: u64,
    memory_limit: u64,
    budget: Budget,
    /// What the bytes in memory take: twice as many, with what will be made of them.
    permit: Option<Permit>,
    /// What was taken for these bytes with those that they are made of, and how many it stands for.
    granted: Option<(Arc<Permit>, u64)>,
}

enum Target {
    File(Staging),
    Memory(Vec<u8>),
}

/// More bytes than the sink takes; found in the `io::Error` of a write.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("larger than the limit")]
pub struct PastLimit;

/// The disk takes no more and the bytes are too many for memory; found in the `io::Error` of a write.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the disk takes no more, and {0} bytes are too many to hold in memory")]
pub struct PastMemory(pub u64);

/// The disk takes no more and neither does the budget of memory; found in the `io::Error` of a write.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the disk takes no more, and there is no memory to spare")]
pub struct NoMemory;

impl NoMemory {
    /// Whether this is why a write failed.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// Bytes in place of a file unless it is said otherwise.
const MEMORY_LIMIT: u64 = 64 << 20;

impl Sink {
    /// Into a new file where the disk takes one. At most `limit` bytes, and 64 MiB of them in memory.
    pub fn new(store: &Store, limit: u64, budget: &Budget) -> Self {
        Self::bounded(store, limit, MEMORY_LIMIT, budget)
    }

    /// Into a new file where the disk takes one. At most `limit` bytes, and no more than `memory_limit` of them once
    /// the disk fails; a write past that fails with [`PastMemory`], and one that `budget` has nothing left for with
    /// [`NoMemory`]. Blocks on the disk.
    pub fn bounded(store: &Store, limit: u64, memory_limit: u64, budget: &Budget) -> Self {
        let target = store.stage().map_or_else(|_| Target::Memory(Vec::new()), Target::File);
        let (hasher, budget) = (Hasher::under([]), budget.clone());
        Self { target, hasher, length: 0, limit, memory_limit, budget, permit: None, granted: None }
    }

    /// Has up to so many bytes count as part of what was taken for those that they are made of.
    #[must_use]
    pub fn granted(self, permit: Option<&Arc<Permit>>, bytes: u64) -> Self {
        Self { granted: permit.map(|permit| (Arc::clone(permit), bytes)), ..self }
    }

    /// Takes memory that was waited for, before the first byte.
    pub fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// The same, before its first byte, computing digests under these as well.
    #[must_use]
    pub fn hashing(self, algorithms: &[Algorithm]) -> Self {
        Self { hasher: Hasher::under(algorithms.iter().copied()), ..self }
    }

    /// The digests of all bytes taken so far.
    pub fn digests(&self) -> Digests {
        self.hasher.clone().finish()
    }

    fn take_memory(&mut self, more: usize) -> io::Result<()> {
        let length = self.length + more as u64;
        if length > self.memory_limit {
            return Err(io::Error::new(io::ErrorKind::StorageFull, PastMemory(length)));
        }
        if self.granted.as_ref().is_some_and(|(_, bytes)| length <= *bytes) {
            return Ok(());
        }
        let taken = self.budget.extend(&mut self.permit, length * 2);
        taken.map_err(|_| io::Error::new(io::ErrorKind::StorageFull, NoMemory))
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
        let id = BlobId::from_digest(self.hasher.finish().sha256_bytes());
        match self.target {
            Target::File(staging) => (Blob::file(id, self.length, Arc::clone(staging.file())), Some(staging)),
            Target::Memory(bytes) => {
                let own = self.permit.map(|mut permit| {
                    permit.shrink(self.length * 2);
                    Arc::new(permit)
                });
                match own.or(self.granted.map(|(permit, _)| permit)) {
                    Some(permit) => (Blob::held(id, bytes, permit), None),
                    None => (Blob::memory(id, bytes.into()), None),
                }
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length + bytes.len() as u64 > self.limit {
            return Err(io::Error::other(PastLimit));
        }
        if self.is_in_memory() {
            self.take_memory(bytes.len())?;
        }
        match &mut self.target {
            Target::Memory(all) => all.extend_from_slice(bytes),
            Target::File(staging) => {
                if staging.write_at(self.length, bytes).is_err() {
                    let file = Arc::clone(staging.file());
                    self.take_memory(bytes.len())?;
                    let mut all = taken(&file, self.length)?;
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::store::Options;

    fn store(root: &tempfile::TempDir) -> Store {
        Store::open(Options { root: root.path().into(), durable: false, max_size: 1 << 20, memory: 1 << 20 })
    }

    /// A sink whose file takes what it is given at first and then nothing.
    fn filling(store: &Store, memory_limit: u64) -> Sink {
        let mut sink = Sink::bounded(store, 1 << 20, memory_limit, &Budget::new(16 << 10));
        sink.write_all(b"on disk, ").unwrap();
        sink
    }

    /// Has the disk fail from now on: a device that is always full takes the place of the file.
    fn fill_disk(store: &Store, sink: &mut Sink) {
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let gone = store.options().root.join("gone");
        sink.target = Target::File(Staging::new(full, gone, Arc::clone(&store.health)));
    }

    #[test]
    fn a_full_disk_is_told_and_the_rest_goes_to_memory() {
        let root = tempfile::tempdir().unwrap();
        let store = store(&root);
        let mut sink = filling(&store, 20);
        assert!(store.fault().is_none());
        fill_disk(&store, &mut sink);
        sink.write_all(b"in memory").unwrap();
        assert!(store.fault().is_some());
        assert!(sink.is_in_memory());
        // Nine and nine bytes of twenty.
        let error = sink.write_all(b"abc").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<PastMemory>));
        sink.write_all(b"ab").unwrap();
        let (blob, staging) = sink.finish();
        assert!(staging.is_none());
        assert_eq!(blob.length(), 20);
    }

    #[test]
    fn what_is_on_disk_is_not_read_back_past_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let store = store(&root);
        let mut sink = filling(&store, 8);
        fill_disk(&store, &mut sink);
        assert!(sink.write_all(b"x").is_err());
        assert!(!sink.is_in_memory());
    }
    #[test]
    fn what_the_disk_does_not_take_counts_until_it_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let store = store(&root);
        let mut sink = filling(&store, 1 << 20);
        let budget = sink.budget.clone();
        fill_disk(&store, &mut sink);
        let other = budget.take_now(12 << 10).unwrap();
        let error = sink.write(&[7; 4 << 10]).unwrap_err();
        assert!(NoMemory::is_in(&error), "{error}");
        assert!(!sink.is_in_memory());
        drop(other);
        sink.write_all(&[7; 4 << 10]).unwrap();
        let other = budget.take_now(1).unwrap();
        assert!(NoMemory::is_in(&sink.write(&[7; 4 << 10]).unwrap_err()));
        drop(other);
        let (blob, _) = sink.finish();
        assert!(blob.permit().is_some());
        let bytes = blob.read_all().unwrap();
        drop(blob);
        assert!(budget.take_now(16 << 10).is_err());
        drop(bytes);
        assert!(budget.take_now(16 << 10).is_ok());
    }
}
