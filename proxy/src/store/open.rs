//! Opens what is stored. Whatever cannot be had is a miss; only what is known to be gone or bad leaves the inventory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::blob::Place;
use super::{Blob, BlobId, Record, RecordId, Space, Store};

/// Blobs up to this size are read in one go and may be kept in memory.
const SMALL: u64 = 256 << 10;

impl Store {
    /// Opens a blob of a known length, or `None` if it is not there whole. Waits for the disk unless it is in memory.
    pub async fn blob(self: &Arc<Self>, space: &Space, id: BlobId, length: u64) -> Option<Blob> {
        self.inventory.touch(&space.owner, id);
        if let Some(bytes) = self.evictor.bodies.get(&id)
            && bytes.len() as u64 == length
        {
            return Some(Blob::memory(id, bytes));
        }
        let path = self.blob_path(space, id);
        let (store, owner) = (Arc::clone(self), space.owner.clone());
        tokio::task::spawn_blocking(move || store.open_blob(owner, path, id, length)).await.ok().flatten()
    }

    /// Opens a blob of this owner of whatever length, or `None` if its owner has none.
    pub async fn owned_blob(self: &Arc<Self>, space: &Space, id: BlobId) -> Option<Blob> {
        // The file tells whose it is: what is in memory may be another owner's.
        let path = self.blob_path(space, id);
        let length = tokio::task::spawn_blocking(move || fs::symlink_metadata(path).ok().map(|found| found.len()));
        let length = length.await.ok().flatten()?;
        self.blob(space, id, length).await
    }

    fn open_blob(&self, owner: String, path: PathBuf, id: BlobId, length: u64) -> Option<Blob> {
        // Before it is opened, so that it is not evicted between the two.
        let pin = self.inventory.pin(&owner, id);
        let (file, metadata) = match open_file(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.inventory.forget(&owner, id);
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
            self.inventory.forget(&owner, id);
            return None;
        }
        let evictor = Arc::clone(&self.evictor);
        let place = Place { path, owner, evictor, condemned: AtomicBool::new(false), _pin: pin };
        let blob = Blob::stored(id, length, file, place);
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
fn open_file(path: &std::path::Path) -> io::Result<(File, fs::Metadata)> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}
