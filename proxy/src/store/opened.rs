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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{large, open, path, put, space};
    use super::super::{Blob, Space, Store};
    use super::*;

    async fn blob(store: &Arc<Store>, id: BlobId) -> Option<Blob> {
        store.blob(&space(), id, large(0).len() as u64).await
    }

    fn file(blob: &Blob) -> Arc<File> {
        Arc::clone(blob.as_file().unwrap())
    }

    #[tokio::test]
    async fn a_file_is_opened_once_and_what_happens_to_it_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root, 1 << 30);
        let id = put(&store, &large(1));
        let first = file(&blob(&store, id).await.unwrap());
        assert!(Arc::ptr_eq(&first, &file(&blob(&store, id).await.unwrap())));
        // Replaced, by another process for example.
        let path = path(&store, id);
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        let second = file(&blob(&store, id).await.unwrap());
        assert!(!Arc::ptr_eq(&first, &second));
        // Cut: a miss, and gone.
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert!(blob(&store, id).await.is_none());
        assert!(!path.exists());
        let id = put(&store, &large(2));
        blob(&store, id).await.unwrap();
        fs::remove_file(self::path(&store, id)).unwrap();
        assert!(blob(&store, id).await.is_none());
    }

    #[tokio::test]
    async fn what_is_kept_open_is_evicted_all_the_same_and_gives_its_room_back() {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root, large(0).len() as u64 * 2);
        let id = put(&store, &large(1));
        let held = Arc::downgrade(&file(&blob(&store, id).await.unwrap()));
        assert!(held.upgrade().is_some());
        store.inventory().retire("team", id, i64::MAX);
        put(&store, &large(2));
        assert_eq!(store.evict(), 1);
        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn all_are_closed_at_once_but_for_those_that_are_being_sent() {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root, 1 << 30);
        let (idle, sent) = (put(&store, &large(1)), put(&store, &large(2)));
        let closed = Arc::downgrade(&file(&blob(&store, idle).await.unwrap()));
        let sending = blob(&store, sent).await.unwrap();
        store.close_files();
        assert!(closed.upgrade().is_none());
        assert_eq!(sending.read_all().unwrap(), large(2));
    }

    #[tokio::test]
    async fn an_owner_has_the_file_of_no_other() {
        let root = tempfile::tempdir().unwrap();
        let store = open(&root, 1 << 30);
        let id = put(&store, &large(1));
        blob(&store, id).await.unwrap();
        let other = Space::new("other", "npm", "npm", &"https://registry.example/".parse().unwrap());
        assert!(store.blob(&other, id, large(0).len() as u64).await.is_none());
    }
}
