//! Files of blobs that were served lately, kept open: to open one costs more than to send it where it is small.

use std::fs::File;
use std::sync::Arc;

use super::BlobId;
use super::blob::Place;

/// Files that are kept open at most.
const FILES: usize = 256;

/// Open files by digest. They keep nothing from eviction: whoever removes a blob closes its file here. What other
/// processes remove from the volume takes room until [`Opened::close_all`].
#[derive(Debug)]
pub(super) struct Opened(quick_cache::sync::Cache<BlobId, Held>);

/// An open file and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) file: Arc<File>,
    pub(super) place: Arc<Place>,
}

impl Default for Opened {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::new(FILES))
    }
}

impl Opened {
    /// The file of this owner's blob, unless it was removed, replaced or cut meanwhile.
    pub(super) fn get(&self, owner: &str, id: BlobId, length: u64) -> Option<Held> {
        let held = self.0.get(&id).filter(|held| held.place.owner == owner)?;
        let now = rustix::fs::fstat(&held.file);
        if now.is_ok_and(|now| now.st_nlink > 0 && u64::try_from(now.st_size) == Ok(length)) {
            return Some(held);
        }
        self.close(id);
        None
    }

    /// Keeps a file open.
    pub(super) fn keep(&self, id: BlobId, held: Held) {
        self.0.insert(id, held);
    }

    /// Closes the file of a blob as soon as nobody is sent it any more.
    pub(super) fn close(&self, id: BlobId) {
        self.0.remove(&id);
    }

    /// Closes all of them.
    pub(super) fn close_all(&self) {
        self.0.clear();
    }
}
