//! Removes blobs: the least recently used when the store is full, more at once when the disk is, and those that
//! turn out to be damaged.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::bodies::Bodies;
use super::inventory::Inventory;
use super::{BlobId, blob_path};

/// When the disk is full, this part of the store goes at once ...
const EMERGENCY_PERCENT: u64 = 3;
/// ... but not more often than this: somebody else may be filling the disk.
const EMERGENCY_PAUSE: Duration = Duration::from_secs(10);

/// Removes blobs of one store.
#[derive(Debug)]
pub(super) struct Evictor {
    pub(super) root: PathBuf,
    pub(super) inventory: Arc<Inventory>,
    pub(super) bodies: Bodies,
    /// Whether this process sweeps and evicts; others on the volume only read and fill.
    pub(super) keeper: AtomicBool,
    /// When the last emergency began.
    emergency: Mutex<Option<Instant>>,
}

impl Evictor {
    pub(super) fn new(root: PathBuf, inventory: Arc<Inventory>, bodies: Bodies) -> Self {
        Self { root, inventory, bodies, keeper: AtomicBool::new(false), emergency: Mutex::new(None) }
    }

    /// Removes what has to go and at least `least` bytes. Returns how many blobs went. Blocks on the disk.
    pub(super) fn evict(&self, least: u64) -> usize {
        if !self.keeper.load(Ordering::Acquire) {
            return 0;
        }
        let victims = self.inventory.victims(least);
        for (owner, id) in &victims {
            self.bodies.remove(id);
            let _ = fs::remove_file(blob_path(&self.root, owner, *id));
        }
        victims.len()
    }

    /// Makes room on a full disk, on a thread of its own: this is called where waiting is not possible.
    pub(super) fn start_emergency(self: &Arc<Self>) {
        {
            let mut last = self.emergency.lock();
            if !self.keeper.load(Ordering::Acquire) || last.is_some_and(|last| last.elapsed() < EMERGENCY_PAUSE) {
                return;
            }
            *last = Some(Instant::now());
        }
        let evictor = Arc::clone(self);
        let work = move || {
            let bytes = evictor.inventory.usage().bytes;
            let evicted = evictor.evict((bytes / 100 * EMERGENCY_PERCENT).max(1));
            tracing::warn!(evicted, "the disk is full: the cache makes room");
        };
        if let Err(error) = std::thread::Builder::new().name("eviction".to_owned()).spawn(work) {
            tracing::error!(error = %error, "no thread to make room on the full disk");
        }
    }

    /// Removes a blob that cannot be read, unless another file has taken its place. Blocks on the disk.
    pub(super) fn condemn(&self, owner: &str, id: BlobId, path: &Path, file: &File, reason: &io::Error) {
        let place = fs::symlink_metadata(path).ok();
        let mine = file.metadata().ok();
        let replaced = place.zip(mine).is_some_and(|(place, mine)| place.ino() != mine.ino());
        if !replaced {
            tracing::warn!(blob = %id, error = %reason, "a blob is damaged and is removed");
            self.bodies.remove(&id);
            let _ = fs::remove_file(path);
            self.inventory.forget(owner, id);
        }
    }
}
