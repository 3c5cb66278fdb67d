//! Reads what lies on the volume when a process starts: rebuilds the inventory, removes what a crash left and what
//! belongs to no proxy any more. Runs beside the first requests; nothing waits for it.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::{BlobId, Record, Space, Store};

/// What a survey found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Blobs taken into the inventory.
    pub blobs: u64,
    /// Files removed because a crash left them or their names mean nothing.
    pub swept: u64,
    /// Directories of records of proxies or upstreams that are configured no more.
    pub retired: u64,
}

impl Store {
    /// Walks the volume. Only the keeper does; blocks on the disk.
    pub fn survey(self: &Arc<Self>, spaces: &[Space]) -> Survey {
        let mut found = Survey::default();
        if !self.try_keep() {
            return found;
        }
        found.swept += self.sweep_spools();
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
                if spaces.iter().find(same).is_some_and(|space| space.directory != named) {
                    found.retired += 1;
                    let _ = fs::remove_dir_all(&records);
                }
            }
        }
        found
    }

    /// Removes the spools of processes that are gone: those whose lock can be had.
    fn sweep_spools(&self) -> u64 {
        let mut swept = 0;
        for directory in directories(&self.options().root.join("spool")) {
            let lock = File::options().create(true).truncate(false).write(true).open(directory.join("lock"));
            let gone = lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
            if gone {
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
                    let age = metadata.accessed().or_else(|_| metadata.modified()).ok();
                    let age = age.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default();
                    let used = i32::try_from(age.as_secs()).map_or(i32::MIN, |age| -age);
                    self.inventory().adopt_if_unknown(id, owner, metadata.len(), used);
                    found.blobs += 1;
                }
                (_, Ok(metadata)) if !metadata.is_dir() => {
                    found.swept += u64::from(fs::remove_file(entry.path()).is_ok());
                }
                _ => {}
            }
        }
    }

    /// Removes the records of a package, of one version where given, and its pins with them. Returns how many.
    /// Blocks on the disk; walks the proxy's records, since a purge is rare and an index would have to be kept.
    pub fn purge(&self, space: &Space, package: &str, version: Option<&str>) -> usize {
        let mut purged = 0;
        for fan in directories(&self.records_directory(space)) {
            for entry in fs::read_dir(&fan).into_iter().flatten().flatten() {
                let Some(record) = fs::read(entry.path()).ok().and_then(|bytes| Record::decode(&bytes).ok()) else {
                    continue;
                };
                // A document about the whole package is purged with any of its versions: it lists them.
                let concerned = record.package == package
                    && version.is_none_or(|version| record.version == version || record.version.is_empty());
                if concerned && fs::remove_file(entry.path()).is_ok() {
                    purged += 1;
                }
            }
        }
        self.forget_records_in_memory();
        purged
    }
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
