//! Opens what is stored. Whatever cannot be had is a miss; only what is known to be gone or bad leaves the inventory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::blob::Place;
use super::body::{self, Seen};
use super::inventory::Pin;
use super::opened::Held;
use super::{Blob, BlobId, Record, RecordId, Space, Store};

/// Blobs up to this size are read in one go and may be kept in memory. Larger ones are cheaper from the page cache: the
/// kernel sends its pages without a copy, and what a copy costs depends on which pages it meets (for 100 KB 27 to 48 us
/// from one start of the process to the next).
const SMALL: u64 = 64 << 10;

impl Store {
    /// Opens a blob of a known length, or `None` if it is not there whole. Waits for the disk unless it is in memory.
    pub async fn blob(self: &Arc<Self>, space: &Space, id: BlobId, length: u64) -> Option<Blob> {
        self.inventory.touch(&space.owner, id);
        if let Some(bytes) = self.evictor.bodies.get(&id)
            && bytes.len() as u64 == length
        {
            return Some(Blob::memory(id, bytes));
        }
        // Before it is opened, so that it is not evicted between the two.
        let pin = Arc::new(self.inventory.pin(&space.owner, id));
        if let Some(held) = self.evictor.opened.get(&space.owner, id, length) {
            return Some(Blob::stored(id, length, held, pin));
        }
        let path = self.blob_path(space, id);
        if let Some(blob) = self.blob_at_hand(space, &path, id, length, &pin) {
            return Some(blob);
        }
        let (store, owner) = (Arc::clone(self), space.owner.clone());
        tokio::task::spawn_blocking(move || store.open_blob(&owner, &path, id, length, &pin)).await.ok().flatten()
    }

    /// Opens a blob if the kernel has all that this takes in memory: another thread would cost more than the file. What
    /// is wrong with one is not decided here.
    fn blob_at_hand(&self, space: &Space, path: &Path, id: BlobId, length: u64, pin: &Arc<Pin>) -> Option<Blob> {
        let (file, metadata) = open_at_hand(path)?;
        if !metadata.is_file() || metadata.len() != length {
            return None;
        }
        self.health.read();
        if length > SMALL {
            return Some(self.stored(&space.owner, path, id, length, file, pin));
        }
        let mut bytes = vec![0; length as usize];
        if length > 0 && body::ready(&file, 0, &mut bytes) != Some(bytes.len()) {
            return None;
        }
        let bytes = Bytes::from(bytes);
        self.keep_in_memory(id, &bytes);
        Some(Blob::memory(id, bytes))
    }

    fn stored(&self, owner: &str, path: &Path, id: BlobId, length: u64, file: File, pin: &Arc<Pin>) -> Blob {
        let evictor = Arc::downgrade(&self.evictor);
        let place = Place {
            path: path.to_owned(),
            owner: owner.to_owned(),
            evictor,
            condemned: AtomicBool::new(false),
            seen: Seen::default(),
        };
        let held = Held { file: Arc::new(file), place: Arc::new(place) };
        if length > SMALL {
            self.evictor.opened.keep(id, held.clone());
        }
        Blob::stored(id, length, held, Arc::clone(pin))
    }

    /// Opens a blob that another key of this owner may have brought, or `None` if it is not there in this length: what
    /// says so is not what has been verified, so that nothing counts as damaged.
    pub async fn owned_blob(self: &Arc<Self>, space: &Space, id: BlobId, length: u64) -> Option<Blob> {
        // The file tells whose it is: what is in memory may be another owner's.
        let path = self.blob_path(space, id);
        let found = tokio::task::spawn_blocking(move || fs::symlink_metadata(path).ok().map(|found| found.len()));
        if found.await.ok().flatten()? != length {
            return None;
        }
        self.blob(space, id, length).await
    }

    fn open_blob(&self, owner: &str, path: &Path, id: BlobId, length: u64, pin: &Arc<Pin>) -> Option<Blob> {
        let (file, metadata) = match open_file(path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.inventory.forget(owner, id);
                return None;
            }
            Err(error) => {
                self.health.report_unreadable(&error);
                return None;
            }
        };
        self.health.read();
        if !metadata.is_file() || metadata.len() != length {
            tracing::warn!(blob = %id, length, found = metadata.len(), "a blob is damaged and is removed");
            let _ = fs::remove_file(path);
            self.inventory.forget(owner, id);
            return None;
        }
        let blob = self.stored(owner, path, id, length, file, pin);
        if length > SMALL {
            return Some(blob);
        }
        match blob.read_all() {
            Ok(bytes) => {
                self.keep_in_memory(id, &bytes);
                Some(Blob::memory(id, bytes))
            }
            Err(error) => {
                self.health.report_unreadable(&error);
                None
            }
        }
    }

    /// Keeps a small blob in memory.
    fn keep_in_memory(&self, id: BlobId, bytes: &Bytes) {
        if bytes.len() as u64 <= SMALL.min(self.options.memory / 8) {
            self.evictor.bodies.insert(id, bytes.clone());
        }
    }

    /// The record of a key, if one can be read. A broken record is removed and is a miss.
    pub async fn record(self: &Arc<Self>, space: &Space, id: RecordId) -> Option<Arc<Record>> {
        self.inventory.touch(&space.place, id);
        if let Some(record) = self.records.get(id) {
            return Some(record);
        }
        let path = self.record_path(space, id);
        let health = Arc::clone(&self.health);
        let (inventory, place) = (Arc::clone(&self.inventory), space.place.clone());
        let read = move || {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        health.report_unreadable(&error);
                    }
                    return None;
                }
            };
            health.read();
            let record = Record::decode(&bytes).inspect_err(|error| {
                tracing::warn!(record = %path.display(), error = %error, "a record is broken and is removed");
                let _ = fs::remove_file(&path);
                inventory.forget(&place, id);
            });
            record.ok()
        };
        self.records.get_or_read(id, read).await
    }
}

/// A planted symbolic link is not followed and a pipe not waited for; only a regular file is a blob.
const OPENING: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

fn open_file(path: &Path) -> io::Result<(File, fs::Metadata)> {
    let file = File::options().read(true).custom_flags(OPENING.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// The same without waiting for the disk. Kernels before 5.12, and sandboxes that do not know the call, have it fail.
#[cfg(target_os = "linux")]
fn open_at_hand(path: &Path) -> Option<(File, fs::Metadata)> {
    use rustix::fs::{CWD, Mode, ResolveFlags, openat2};
    let flags = OPENING | OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?);
    let metadata = file.metadata().ok()?;
    Some((file, metadata))
}

#[cfg(not(target_os = "linux"))]
fn open_at_hand(_: &Path) -> Option<(File, fs::Metadata)> {
    None
}
