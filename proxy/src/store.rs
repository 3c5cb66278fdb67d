//! What lies on disk: content-addressed blobs, shared by the proxies of one owner, and records that say what is known
//! of one key. No database: everything else is rebuilt from what lies there.
//!
//! A commit is data, fsync, rename, directory fsync, and the record last, so that a crash at any point leaves either
//! the old state or the new one. A record whose blob is gone, short or not a regular file is a miss, never an error.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

pub use blob::{Blob, BlobId};
pub use body::{BodyError, ByteStream};
pub use inventory::{Inventory, Usage};
pub use record::{Artifact, Document, Record, RecordId, Space, State, Variant};
pub use sink::Sink;
pub use staging::Staging;

pub mod blob;
pub mod body;
pub mod buffer;
pub mod inventory;
pub mod record;
pub mod sink;
pub mod spool;
pub mod staging;
pub mod survey;
mod window;

/// Blobs up to this size are read in one go and may be kept in memory.
const SMALL: u64 = 256 << 10;

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; made when absent.
    pub root: PathBuf,
    /// Whether commits wait for the disk (`fsync`). Ephemeral volumes do without.
    pub durable: bool,
    /// Bytes at which eviction starts.
    pub max_size: u64,
    /// Bytes of small blobs kept in memory.
    pub memory: u64,
}

/// Why the last attempt to write failed; `None` while writing works.
pub type Fault = Option<String>;

/// Records and blobs below one directory.
pub struct Store {
    options: Options,
    inventory: Arc<Inventory>,
    /// Small blobs that were served lately.
    bodies: quick_cache::sync::Cache<BlobId, Bytes, BodyWeight>,
    /// Records that were read lately.
    records: quick_cache::sync::Cache<RecordId, Arc<Record>>,
    fault: Mutex<Fault>,
    /// Whether this process sweeps and evicts; others on the volume only read and fill.
    keeper: AtomicBool,
    /// Held for as long as this process is the keeper.
    lock: Mutex<Option<File>>,
    /// Where this process writes, and the lock that says that it lives; made with the first file.
    spool: Mutex<Option<(PathBuf, File)>>,
    next_spool: AtomicU64,
}

/// Weighs a blob in memory by its length.
#[derive(Clone)]
struct BodyWeight;

impl quick_cache::Weighter<BlobId, Bytes> for BodyWeight {
    fn weight(&self, _: &BlobId, body: &Bytes) -> u64 {
        body.len() as u64 + 64
    }
}

/// Records kept in memory; each is about a kilobyte.
const RECORDS_IN_MEMORY: usize = 16 << 10;

impl Store {
    /// Opens the directory. A directory that cannot be made or written is no error: the store serves what it can
    /// read and [`Store::fault`] says what is wrong.
    pub fn open(options: Options) -> Self {
        let items = (options.memory / (32 << 10)).max(16) as usize;
        let store = Self {
            inventory: Arc::new(Inventory::new(options.max_size)),
            bodies: quick_cache::sync::Cache::with_weighter(items, options.memory, BodyWeight),
            records: quick_cache::sync::Cache::new(RECORDS_IN_MEMORY),
            fault: Mutex::new(None),
            keeper: AtomicBool::new(false),
            lock: Mutex::new(None),
            spool: Mutex::new(None),
            next_spool: AtomicU64::new(0),
            options,
        };
        if let Err(error) = fs::create_dir_all(&store.options.root) {
            store.report(&error);
        }
        store.try_keep();
        store
    }

    /// Becomes the one process that sweeps and evicts on this volume, if no other is. Returns whether it is now.
    pub fn try_keep(&self) -> bool {
        if self.keeper.load(Ordering::Acquire) {
            return true;
        }
        let path = self.options.root.join("lock");
        let Ok(file) = open_lock(&path) else { return false };
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        *self.lock.lock() = Some(file);
        self.keeper.store(true, Ordering::Release);
        true
    }

    /// Whether this process sweeps and evicts.
    pub fn is_keeper(&self) -> bool {
        self.keeper.load(Ordering::Acquire)
    }

    /// How the store behaves.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What is stored, in bytes and objects.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Why writing fails, if it does.
    pub fn fault(&self) -> Fault {
        self.fault.lock().clone()
    }

    /// Notes that a write failed; said once until writing works again.
    pub fn report(&self, error: &io::Error) {
        let mut fault = self.fault.lock();
        if fault.is_none() {
            tracing::warn!(error = %error, storage = %self.options.root.display(),
                "the cache cannot be written: requests are served without being kept");
        }
        *fault = Some(error.to_string());
    }

    /// Notes that a write succeeded.
    fn healthy(&self) {
        let mut fault = self.fault.lock();
        if fault.take().is_some() {
            tracing::info!(storage = %self.options.root.display(), "the cache can be written again");
        }
    }

    /// Opens a blob of a known length, or `None` if it is not there whole. Blocks on the disk unless it is in memory.
    pub async fn blob(self: &Arc<Self>, space: &Space, id: BlobId, length: u64) -> Option<Blob> {
        self.inventory.touch(id);
        if let Some(bytes) = self.bodies.get(&id)
            && bytes.len() as u64 == length
        {
            return Some(Blob::memory(id, bytes));
        }
        let path = self.blob_path(space, id);
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || store.open_blob(&path, id, length)).await.ok().flatten()
    }

    fn open_blob(&self, path: &std::path::Path, id: BlobId, length: u64) -> Option<Blob> {
        // A planted symbolic link is not followed, and only a regular file of the recorded length is a blob.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let file = match File::options().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(blob = %id, error = %error, "a blob cannot be opened and is taken to be absent");
                }
                self.inventory.forget(id);
                return None;
            }
        };
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() != length {
            tracing::warn!(blob = %id, length, found = metadata.len(), "a blob is damaged and is removed");
            let _ = fs::remove_file(path);
            self.inventory.forget(id);
            return None;
        }
        let blob = Blob::file(id, length, file);
        if length > SMALL {
            return Some(blob);
        }
        match blob.read_all() {
            Ok(bytes) => {
                self.keep_in_memory(id, &bytes);
                Some(Blob::memory(id, bytes))
            }
            Err(error) => {
                tracing::warn!(blob = %id, error = %error, "a blob cannot be read and is removed");
                let _ = fs::remove_file(path);
                self.inventory.forget(id);
                None
            }
        }
    }

    /// Keeps a small blob in memory.
    fn keep_in_memory(&self, id: BlobId, bytes: &Bytes) {
        if bytes.len() as u64 <= SMALL.min(self.options.memory / 8) {
            self.bodies.insert(id, bytes.clone());
        }
    }

    /// Starts a file that may become a blob. Fails where the disk does.
    pub fn stage(&self) -> io::Result<Staging> {
        let opened = self.spool_directory().and_then(|directory| {
            let number = self.next_spool.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(number.to_string());
            Ok(Staging::new(File::options().create_new(true).read(true).write(true).open(&path)?, path))
        });
        if let Err(error) = &opened {
            self.report(error);
            // Somebody may have removed the directory by hand: the next attempt makes another.
            *self.spool.lock() = None;
        }
        opened
    }

    /// The directory in which this process writes: its lock keeps others from sweeping it.
    fn spool_directory(&self) -> io::Result<PathBuf> {
        let mut spool = self.spool.lock();
        if let Some((directory, _)) = spool.as_ref() {
            return Ok(directory.clone());
        }
        let directory = self.options.root.join("spool").join(format!("{:016x}", fastrand::u64(..)));
        fs::create_dir_all(&directory)?;
        let lock = open_lock(&directory.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        *spool = Some((directory.clone(), lock));
        Ok(directory)
    }

    /// Makes a finished file the blob of its digest. Blocks on the disk.
    pub fn commit(&self, space: &Space, staging: Staging, id: BlobId) -> io::Result<()> {
        let path = self.blob_path(space, id);
        let length = staging.length()?;
        let result = staging.commit(&path, self.options.durable);
        match &result {
            Ok(()) => {
                self.inventory.insert(id, &space.owner, length);
                self.healthy();
            }
            Err(error) => self.report(error),
        }
        result
    }

    /// The record of a key, if one can be read. A broken record is removed and is a miss.
    pub async fn record(self: &Arc<Self>, space: &Space, id: RecordId) -> Option<Arc<Record>> {
        if let Some(record) = self.records.get(&id) {
            return Some(record);
        }
        let path = self.record_path(space, id);
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let bytes = fs::read(&path).ok()?;
            match Record::decode(&bytes) {
                Ok(record) => {
                    let record = Arc::new(record);
                    store.records.insert(id, Arc::clone(&record));
                    Some(record)
                }
                Err(error) => {
                    tracing::warn!(record = %path.display(), error = %error, "a record is broken and is removed");
                    let _ = fs::remove_file(&path);
                    None
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    /// The record of a key, if this process has it in memory.
    pub fn record_in_memory(&self, id: RecordId) -> Option<Arc<Record>> {
        self.records.get(&id)
    }

    /// Makes a record known to this process at once, before it is on disk.
    pub fn remember(&self, id: RecordId, record: Arc<Record>) {
        self.records.insert(id, record);
    }

    /// Writes a record to disk, whole or not at all. Blocks on the disk.
    pub fn persist(self: &Arc<Self>, space: &Space, id: RecordId, record: &Record) -> io::Result<()> {
        let staging = self.stage()?;
        let result = staging
            .write_at(0, &record.encode())
            .and_then(|()| staging.commit(&self.record_path(space, id), self.options.durable));
        match &result {
            Ok(()) => self.healthy(),
            Err(error) => self.report(error),
        }
        result
    }

    /// Forgets a key.
    pub fn forget(&self, space: &Space, id: RecordId) {
        self.records.remove(&id);
        let _ = fs::remove_file(self.record_path(space, id));
    }

    /// Forgets what was read of all keys, so that the disk decides again.
    fn forget_records_in_memory(&self) {
        self.records.clear();
    }

    /// Where the records of a proxy lie.
    pub fn records_directory(&self, space: &Space) -> PathBuf {
        self.options.root.join("owners").join(&space.owner).join("records").join(&space.directory)
    }

    fn record_path(&self, space: &Space, id: RecordId) -> PathBuf {
        let name = id.to_string();
        self.records_directory(space).join(&name[..2]).join(&name[2..])
    }

    fn blob_path(&self, space: &Space, id: BlobId) -> PathBuf {
        self.blob_path_of(&space.owner, id)
    }

    fn blob_path_of(&self, owner: &str, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.options.root.join("owners").join(owner).join("blobs").join(&name[..2]).join(&name)
    }

    /// Removes what is least recently used until the store is below its low-water mark again. Only the keeper does.
    /// Blocks on the disk.
    pub fn evict(&self) -> usize {
        if !self.keeper.load(Ordering::Acquire) {
            return 0;
        }
        let victims = self.inventory.victims();
        for (owner, id) in &victims {
            self.bodies.remove(id);
            let _ = fs::remove_file(self.blob_path_of(owner, *id));
        }
        victims.len()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("root", &self.options.root).finish_non_exhaustive()
    }
}

/// Opens a lock file, for reading only: a descriptor that may write would keep a volume from being made read-only.
fn open_lock(path: &std::path::Path) -> io::Result<File> {
    if let Err(error) = File::create_new(path)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    File::open(path)
}
