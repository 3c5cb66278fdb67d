//! Reads what lies on the volume when a process starts: rebuilds the inventory, removes what a crash left and what
//! belongs to no proxy any more. Runs beside the first requests; nothing waits for it. And keeps on disk when blobs
//! were used, so that the next process knows.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, flock, utimensat};

use super::inventory::{Id, Kind, on_disk};
use super::record::place;
use super::{BlobId, Record, RecordId, Space, Store, blob_path, record_path};

/// What a survey found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Blobs taken into the inventory.
    pub blobs: u64,
    /// Records taken into it.
    pub records: u64,
    /// Files removed because a crash left them or their names mean nothing.
    pub swept: u64,
    /// Directories of records of proxies or upstreams that are configured no more.
    pub retired: u64,
}

/// Who surveys: one at a time.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Surveying>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Surveying {
    #[default]
    No,
    Yes,
    /// And somebody asked for another one since it began.
    Again,
}

impl Turn {
    /// Whether the caller surveys now; otherwise the one who does goes once more.
    fn begin(&self) -> bool {
        let mut state = self.0.lock();
        let first = *state == Surveying::No;
        *state = if first { Surveying::Yes } else { Surveying::Again };
        first
    }

    /// Whether that was all.
    fn end(&self) -> bool {
        let mut state = self.0.lock();
        let all = *state == Surveying::Yes;
        *state = if all { Surveying::No } else { Surveying::Yes };
        all
    }
}

impl Store {
    /// Walks the volume; `spaces` says which are in force, and is asked at the moment when something is to be removed.
    /// `None` if another thread is at it, which then goes once more, or if this process is not the keeper. Blocks on
    /// the disk.
    pub fn survey(&self, spaces: impl Fn() -> Vec<Space>) -> Option<Survey> {
        if !self.try_keep() || !self.surveys.begin() {
            return None;
        }
        let mut found = self.survey_once(&spaces);
        while !self.surveys.end() {
            let more = self.survey_once(&spaces);
            found = Survey { swept: found.swept + more.swept, retired: found.retired + more.retired, ..more };
        }
        Some(found)
    }

    fn survey_once(&self, spaces: &impl Fn() -> Vec<Space>) -> Survey {
        let mut found = Survey { swept: self.sweep_spools(), ..Survey::default() };
        for owner in directories(&self.options().root.join("owners")) {
            let Some(name) = owner.file_name().and_then(|name| name.to_str()) else { continue };
            for fan in directories(&owner.join("blobs")) {
                self.take_blobs(&fan, name, &mut found);
            }
            for records in directories(&owner.join("records")) {
                // Of a proxy that is configured with another upstream now. Proxies that are not configured at all may
                // belong to somebody who uses the same directory at other times.
                let named = records.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let same = |space: &&Space| space.owner == name && space.is_of_same_proxy(named);
                if spaces().iter().find(same).is_some_and(|space| space.directory != named) {
                    found.retired += 1;
                    self.retire(name, named, &records);
                } else {
                    self.take_records(&records, &place(name, named), &mut found);
                }
            }
        }
        found
    }

    /// Has the blobs of these records evicted first, and removes the records once all of them are gone: an address
    /// that is mistyped and corrected a minute later costs nothing.
    fn retire(&self, owner: &str, directory: &str, records: &Path) {
        let before = self.inventory().now();
        let mut held = false;
        for fan in directories(records) {
            for entry in fs::read_dir(&fan).into_iter().flatten().flatten() {
                let Some(record) = fs::read(entry.path()).ok().and_then(|bytes| Record::decode(&bytes).ok()) else {
                    continue;
                };
                for id in record.blobs() {
                    held |= self.inventory().retire(owner, id, before);
                }
            }
        }
        if !held {
            let _ = fs::remove_dir_all(records);
            self.inventory().forget_all(&place(owner, directory));
        }
    }

    fn take_records(&self, directory: &Path, place: &str, found: &mut Survey) {
        for fan in directories(directory) {
            for entry in fs::read_dir(&fan).into_iter().flatten().flatten() {
                let Some(id) = id_of(&fan, &entry.path()) else { continue };
                found.records += 1;
                if self.inventory().holds(place, id) {
                    continue;
                }
                // What is counted and what is there are to be the same.
                let _turn = self.evictor.turns.wait(id);
                let record = fs::read(entry.path()).ok().and_then(|bytes| Record::decode(&bytes).ok());
                // One that is broken is removed when it is asked for.
                let (Some(record), Ok(metadata)) = (record, entry.metadata()) else { continue };
                self.inventory().adopt(place, id, record.kind(), on_disk(metadata.len()), self.used(&metadata));
            }
        }
    }

    /// When a file was used last, on the inventory's scale. Not its access time: many volumes keep none, and a hit in
    /// memory is no access.
    fn used(&self, metadata: &fs::Metadata) -> i64 {
        let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        let age = i64::try_from(age.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
        self.inventory().now().saturating_sub(age)
    }

    /// Removes the spools of processes that are gone: those whose lock can be had.
    fn sweep_spools(&self) -> u64 {
        let mut swept = 0;
        for directory in directories(&self.options().root.join("spool")) {
            let lock = File::options().create(true).truncate(false).write(true).open(directory.join("lock"));
            // Held until the directory is gone, so that no other process takes it in between.
            if let Ok(lock) = lock
                && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                swept += fs::read_dir(&directory).map_or(0, |entries| entries.count().saturating_sub(1) as u64);
                let _ = fs::remove_dir_all(&directory);
            }
        }
        swept
    }

    fn take_blobs(&self, fan: &Path, owner: &str, found: &mut Survey) {
        for entry in fs::read_dir(fan).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(BlobId::from_hex);
            match (id, entry.metadata()) {
                (Some(id), Ok(metadata)) if metadata.is_file() => {
                    let (length, used) = (on_disk(metadata.len()), self.used(&metadata));
                    self.inventory().adopt(owner, id, Kind::Blob, length, used);
                    found.blobs += 1;
                }
                (_, Ok(metadata)) if !metadata.is_dir() => {
                    found.swept += u64::from(fs::remove_file(entry.path()).is_ok());
                }
                _ => {}
            }
        }
    }

    /// Dates the files of the blobs and records that were used since the last time, so that the next process evicts in
    /// the right order. Returns how many. Blocks on the disk.
    pub fn note_uses(&self) -> usize {
        let now = self.inventory().now();
        let since = self.uses_noted.load(Ordering::Relaxed);
        let used = self.inventory().used_since(since);
        for (place, id, ago) in &used {
            let time =
                SystemTime::now().checked_sub(*ago).and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
            let Some(time) = time else { continue };
            let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
            let times = Timestamps { last_access: time, last_modification: time };
            // One that is gone meanwhile, or a volume that is read-only: the order is a matter of degree.
            let path = match *id {
                Id::Blob(id) => blob_path(&self.options().root, place, id),
                Id::Record(id) => record_path(&self.options().root, place, id),
            };
            let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
        }
        // Not before: whoever does it at the end of the process must not rely on one that did not get so far.
        self.uses_noted.store(now, Ordering::Relaxed);
        used.len()
    }

    /// Removes the records of a package, of one version where given, and its pins with them. Returns how many.
    /// `begin` is called with what tells these records when no record is being written or remembered, and before any
    /// is removed. Blocks on the disk; walks the proxy's records, since a purge is rare and an index would have to be
    /// kept.
    pub fn purge(
        &self,
        space: &Space,
        package: &str,
        version: Option<&str>,
        begin: impl FnOnce(&dyn Fn(&Record) -> bool),
    ) -> usize {
        let concerned = |record: &Record| record.is_of(package, version);
        {
            let _alone = self.purging.write();
            begin(&concerned);
            // What is only in memory yet must not be written behind the walk.
            self.records.forget_where(concerned);
        }
        let mut purged = 0;
        for fan in directories(&self.records_directory(space)) {
            for entry in fs::read_dir(&fan).into_iter().flatten().flatten() {
                let Some(record) = fs::read(entry.path()).ok().and_then(|bytes| Record::decode(&bytes).ok()) else {
                    continue;
                };
                if concerned(&record) && self.remove_record(&space.place, &fan, &entry.path()) {
                    purged += 1;
                }
            }
        }
        // What was read before it was removed. Not while a record is on its way from memory to disk.
        let _alone = self.purging.write();
        self.records.forget_where(concerned);
        purged
    }

    fn remove_record(&self, place: &str, fan: &Path, path: &Path) -> bool {
        let Some(id) = id_of(fan, path) else { return fs::remove_file(path).is_ok() };
        let _turn = self.evictor.turns.wait(id);
        self.inventory().forget(place, id);
        fs::remove_file(path).is_ok()
    }
}

impl Store {
    /// Package and file of every document of a space. Blocks on the disk; walks the proxy's records.
    pub fn documents(&self, space: &Space) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for fan in directories(&self.records_directory(space)) {
            for entry in fs::read_dir(&fan).into_iter().flatten().flatten() {
                let record = fs::read(entry.path()).ok().and_then(|bytes| Record::decode(&bytes).ok());
                if let Some(record) = record.filter(|record| record.document().is_some()) {
                    found.push((record.package, record.file));
                }
            }
        }
        found
    }
}

/// The record that lies in this file of a directory of its kind.
fn id_of(fan: &Path, path: &Path) -> Option<RecordId> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    RecordId::from_hex(&(name(fan)? + &name(path)?))
}

fn directories(parent: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
