//! Removes blobs and records: the least recently used when the store is full, more at once when the disk is, and those
//! that turn out to be damaged.

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
use super::inventory::{Candidate, Id, Inventory, Kind};
use super::opened::Opened;
use super::records::Records;
use super::{BlobId, Record, RecordId, Turns, blob_path, record_path};

/// When the disk is full, this part of the store goes at once ...
const EMERGENCY_PERCENT: u64 = 3;
/// ... but not more often than this: somebody else may be filling the disk.
const EMERGENCY_PAUSE: Duration = Duration::from_secs(10);

/// What a document is made of was used with it: in the same request, which may have taken this long, in milliseconds.
const REQUEST: i64 = 10_000;

/// Removes blobs and records of one store.
#[derive(Debug)]
pub(super) struct Evictor {
    pub(super) root: PathBuf,
    pub(super) inventory: Arc<Inventory>,
    pub(super) bodies: Bodies,
    pub(super) opened: Opened,
    pub(super) records: Arc<Records>,
    /// Taken while a record's file and what is counted of it change.
    pub(super) turns: Turns,
    /// Whether this process sweeps and evicts; others on the volume only read and fill.
    pub(super) keeper: AtomicBool,
    /// When the last emergency began.
    emergency: Mutex<Option<Instant>>,
}

impl Evictor {
    pub(super) fn new(root: PathBuf, inventory: Arc<Inventory>, bodies: Bodies, records: Arc<Records>) -> Self {
        Self {
            root,
            inventory,
            bodies,
            opened: Opened::default(),
            records,
            turns: Turns::default(),
            keeper: AtomicBool::new(false),
            emergency: Mutex::new(None),
        }
    }

    /// Removes what has to go and at least `least` bytes. Returns how many blobs and records went. Blocks on the disk.
    pub(super) fn evict(&self, least: u64) -> usize {
        if !self.keeper.load(Ordering::Acquire) {
            return 0;
        }
        let before = self.inventory.usage().evictions;
        for document in self.inventory.surplus_documents() {
            self.evict_record(&document);
        }
        for candidate in self.inventory.candidates(least) {
            self.evict_one(&candidate);
        }
        (self.inventory.usage().evictions - before) as usize
    }

    fn evict_one(&self, candidate: &Candidate) {
        match candidate.id() {
            Id::Blob(id) if self.inventory.take_out(candidate) => {
                self.remove_blob(&self.inventory.place_of(candidate), id);
            }
            Id::Blob(_) => {}
            Id::Record(_) => self.evict_record(candidate),
        }
    }

    fn remove_blob(&self, owner: &str, id: BlobId) {
        self.bodies.remove(&id);
        let _ = fs::remove_file(blob_path(&self.root, owner, id));
        // Whoever opened it a moment before does not keep it open.
        self.opened.close(id);
    }

    /// Removes a record, and with a document what only it names.
    fn evict_record(&self, candidate: &Candidate) {
        let Id::Record(id) = candidate.id() else { return };
        let place = self.inventory.place_of(candidate);
        let path = record_path(&self.root, &place, id);
        let named = fs::read(&path).ok().and_then(|bytes| Record::decode(&bytes).ok());
        if !self.remove_record(candidate, &place, id, &path) {
            return;
        }
        let owner = place.split('/').next().unwrap_or_default();
        for blob in named.filter(|record| record.kind() == Kind::Document).iter().flat_map(Record::blobs) {
            if self.inventory.take_out_idle(owner, blob, candidate.used.saturating_add(REQUEST)) {
                self.remove_blob(owner, blob);
            }
        }
    }

    fn remove_record(&self, candidate: &Candidate, place: &str, id: RecordId, path: &Path) -> bool {
        let _turn = self.turns.wait(id);
        // Looked up first: whatever is remembered from here on is a use, and stays known.
        let seen = self.records.get(id);
        if !self.inventory.take_out(candidate) {
            return false;
        }
        tracing::trace!(place, record = %id, "a record is evicted");
        let _ = fs::remove_file(path);
        self.records.forget_same(id, seen.as_ref());
        true
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
        self.opened.close(id);
        let replaced = place.zip(mine).is_some_and(|(place, mine)| place.ino() != mine.ino());
        if !replaced {
            tracing::warn!(blob = %id, error = %reason, "a blob is damaged and is removed");
            self.bodies.remove(&id);
            let _ = fs::remove_file(path);
            self.inventory.forget(owner, id);
        }
    }
}
