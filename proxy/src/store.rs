//! What lies on disk: content-addressed blobs, shared by the proxies of one owner, and records that say what is known
//! of one key. No database: everything else is rebuilt from what lies there.
//!
//! A commit is data, fsync, rename, directory fsync, and the record last, so that a crash at any point leaves either
//! the old state or the new one. A record whose blob is gone, short or not a regular file is a miss, never an error.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

pub use crate::blob_id::BlobId;
pub use blob::Blob;
pub use body::{BodyError, ByteStream};
use inventory::on_disk;
pub use inventory::{Inventory, Reservation, Usage};
pub use record::{Artifact, Document, Record, RecordId, Space, State, Variant};
pub use records::Kept;
pub use sink::Sink;
pub use staging::Staging;
pub use turns::Turns;

use evict::Evictor;
use health::{Health, Step};
use records::Records;

pub mod blob;
mod bodies;
pub mod body;
mod boot;
pub mod buffer;
pub mod descriptors;
mod evict;
mod health;
pub mod inventory;
mod open;
mod opened;
pub mod record;
mod records;
pub mod sink;
pub mod spool;
pub mod staging;
pub mod survey;
#[cfg(test)]
mod tests;
mod turns;
mod window;

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

/// Why the last attempt failed; `None` while it works.
pub type Fault = Option<String>;

/// Records and blobs below one directory.
pub struct Store {
    options: Options,
    inventory: Arc<Inventory>,
    records: Arc<Records>,
    evictor: Arc<Evictor>,
    health: Arc<Health>,
    /// Held for as long as this process is the keeper.
    lock: Mutex<Option<File>>,
    /// Where this process writes, and the lock that says that it lives; made with the first file.
    spool: Mutex<Option<(PathBuf, File)>>,
    next_spool: AtomicU64,
    surveys: survey::Turn,
    /// Held by whoever remembers or writes a record, and alone by a purge while it begins.
    purging: RwLock<()>,
    /// Until when the uses of blobs are on disk, on the inventory's scale.
    uses_noted: AtomicI64,
}

impl Store {
    /// Opens the directory. A directory that cannot be made or written is no error: the store serves what it can
    /// read and [`Store::fault`] says what is wrong.
    pub fn open(options: Options) -> Self {
        descriptors::raise_limit();
        let inventory = Arc::new(Inventory::new(options.max_size));
        let bodies = bodies::bodies(options.memory);
        let records: Arc<Records> = Arc::default();
        let evictor = Evictor::new(options.root.clone(), Arc::clone(&inventory), bodies, Arc::clone(&records));
        let evictor = Arc::new(evictor);
        let store = Self {
            inventory,
            records,
            health: Arc::new(Health::new(Arc::clone(&evictor))),
            evictor,
            lock: Mutex::new(None),
            spool: Mutex::new(None),
            next_spool: AtomicU64::new(0),
            surveys: survey::Turn::default(),
            purging: RwLock::default(),
            uses_noted: AtomicI64::new(0),
            options,
        };
        if let Err(error) = fs::create_dir_all(&store.options.root) {
            store.report(&error);
        }
        // Another process that lives has seen to it.
        if store.try_keep()
            && let Err(error) = boot::settle(&store.options.root, store.options.durable)
        {
            store.report(&error);
        }
        // Before the first fill finds out, and tells only whoever waits for it.
        store.try_write();
        store
    }

    /// Becomes the one process that sweeps and evicts on this volume, if no other is. Returns whether it is now.
    pub fn try_keep(&self) -> bool {
        if self.is_keeper() {
            return true;
        }
        let path = self.options.root.join("lock");
        let Ok(file) = open_lock(&path) else { return false };
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        *self.lock.lock() = Some(file);
        self.evictor.keeper.store(true, Ordering::Release);
        true
    }

    /// Whether this process sweeps and evicts.
    pub fn is_keeper(&self) -> bool {
        self.evictor.keeper.load(Ordering::Acquire)
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
        self.health.fault()
    }

    /// Whether the volume takes no writes because it is mounted read-only, or belongs to somebody else.
    pub fn is_read_only(&self) -> bool {
        matches!(self.health.fault_kind(), Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied))
    }

    /// Whether the volume takes no writes because it, or a quota, is full.
    pub fn is_full(&self) -> bool {
        matches!(self.health.fault_kind(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Why what is stored cannot be opened or read, if so: requests are misses then.
    pub fn read_fault(&self) -> Fault {
        self.health.read_fault()
    }

    /// Notes that a write failed; said once until writing works again.
    pub fn report(&self, error: &io::Error) {
        self.health.report(error, Step::Staging);
    }

    /// Writes a small file and removes it again, so that [`Store::fault`] says what holds now: nobody else tries while
    /// there is nothing to fetch. Blocks on the disk.
    pub fn try_write(&self) {
        let Ok(staging) = self.stage() else { return };
        let written = staging.write_at(0, b"trial");
        staging.remove();
        if written.is_ok() {
            self.health.tried();
        }
    }

    /// Starts a file that may become a blob. Fails where the disk does.
    pub fn stage(&self) -> io::Result<Staging> {
        let opened = self.spool_directory().and_then(|directory| {
            let number = self.next_spool.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(number.to_string());
            let file = File::options().create_new(true).read(true).write(true).open(&path)?;
            Ok(Staging::new(file, path, Arc::clone(&self.health)))
        });
        if let Err(error) = &opened {
            self.report(error);
            // Somebody has removed the directory by hand: the next attempt makes another. After any other failure files
            // that are being written lie there still, and its lock keeps them.
            if error.kind() == io::ErrorKind::NotFound {
                *self.spool.lock() = None;
            }
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
        self.commit_reserved(space, staging, id, None)
    }

    /// Makes a finished file the blob of its digest; what was promised to it ends in the step in which the blob begins
    /// to count. Blocks on the disk.
    pub fn commit_reserved(
        &self,
        space: &Space,
        staging: Staging,
        id: BlobId,
        reservation: Option<Reservation>,
    ) -> io::Result<()> {
        let path = self.blob_path(space, id);
        let result = staging.length().and_then(|length| staging.commit(&path, self.options.durable).map(|()| length));
        match result {
            Ok(length) => {
                match reservation {
                    Some(reservation) => {
                        self.inventory.insert_reserved(&space.owner, id, on_disk(length), reservation);
                    }
                    None => self.inventory.insert(&space.owner, id, on_disk(length)),
                }
                self.health.written();
                Ok(())
            }
            Err(error) => {
                self.health.report(&error, Step::Commit);
                Err(error)
            }
        }
    }

    /// The record of a key, if this process has it in memory.
    pub fn record_in_memory(&self, id: RecordId) -> Option<Arc<Record>> {
        self.records.get(id)
    }

    /// Notes a use of a record, and of a blob that belongs to it.
    pub fn touch(&self, space: &Space, record: RecordId, blob: BlobId) {
        self.inventory.touch(&space.place, record);
        self.inventory.touch(&space.owner, blob);
    }

    /// Makes a record known to this process at once, before it is on disk.
    pub fn remember(&self, space: &Space, id: RecordId, record: Arc<Record>) {
        // A use, and noted first: the one before is not evicted from now on, and this one with it.
        self.inventory.touch(&space.place, id);
        self.records.remember(id, record);
    }

    /// Keeps in memory what is remembered of a key until it is on disk, however much else is remembered meanwhile.
    pub fn keep(&self, id: RecordId) -> Kept {
        self.records.keep(id)
    }

    /// For as long as this is held no purge begins; one that waits goes first. For work that waits for the disk. Not to
    /// be asked for twice by one thread.
    pub fn no_purge(&self) -> RwLockReadGuard<'_, ()> {
        self.purging.read()
    }

    /// The same for a moment, before a purge that waits for others: who serves requests does not wait for their disk.
    pub fn no_purge_yet(&self) -> RwLockReadGuard<'_, ()> {
        self.purging.read_recursive()
    }

    /// Writes a record to disk, whole or not at all. Blocks on the disk.
    pub fn persist(self: &Arc<Self>, space: &Space, id: RecordId, record: &Record) -> io::Result<()> {
        let staging = self.stage()?;
        let bytes = record.encode();
        // The staging has reported it if the write failed.
        staging.write_at(0, &bytes)?;
        let _turn = self.evictor.turns.wait(id);
        let result = staging.commit(&self.record_path(space, id), self.options.durable);
        match &result {
            Ok(()) => {
                self.inventory.insert_record(&space.place, id, record.kind(), on_disk(bytes.len() as u64));
                self.health.written();
            }
            Err(error) => self.health.report(error, Step::Commit),
        }
        result
    }

    /// Forgets a key.
    pub fn forget(&self, space: &Space, id: RecordId) {
        let _turn = self.evictor.turns.wait(id);
        let _ = fs::remove_file(self.record_path(space, id));
        self.inventory.forget(&space.place, id);
        self.records.forget(id);
    }

    /// Where the records of a proxy lie.
    pub fn records_directory(&self, space: &Space) -> PathBuf {
        self.options.root.join("owners").join(&space.place)
    }

    fn record_path(&self, space: &Space, id: RecordId) -> PathBuf {
        record_path(&self.options.root, &space.place, id)
    }

    fn blob_path(&self, space: &Space, id: BlobId) -> PathBuf {
        blob_path(&self.options.root, &space.owner, id)
    }

    /// Closes the files that are kept open for the next request, so that what others have removed gives its room back.
    pub fn close_files(&self) {
        self.evictor.opened.close_all();
    }

    /// Removes what is least recently used until the store is below its low-water mark again. Only the keeper does.
    /// Blocks on the disk.
    pub fn evict(&self) -> usize {
        self.evictor.evict(0)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("root", &self.options.root).finish_non_exhaustive()
    }
}

fn blob_path(root: &Path, owner: &str, id: BlobId) -> PathBuf {
    let name = id.to_string();
    root.join("owners").join(owner).join("blobs").join(&name[..2]).join(&name)
}

fn record_path(root: &Path, place: &str, id: RecordId) -> PathBuf {
    let name = id.to_string();
    root.join("owners").join(place).join(&name[..2]).join(&name[2..])
}

/// Opens a lock file, for reading only: a descriptor that may write would keep a volume from being made read-only.
fn open_lock(path: &Path) -> io::Result<File> {
    if let Err(error) = File::create_new(path)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    File::open(path)
}
