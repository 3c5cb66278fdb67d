//! What was begun before a purge is not remembered after it: neither a document that was on its way nor what it names,
//! nor that something is absent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::{Record, Space, Store};

/// When something was begun: after so many purges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Since(u64);

/// The purges of one proxy.
#[derive(Debug)]
pub(super) struct Purges {
    store: Arc<Store>,
    space: Space,
    count: AtomicU64,
}

impl Purges {
    pub(super) fn new(store: Arc<Store>, space: Space) -> Self {
        Self { store, space, count: AtomicU64::new(0) }
    }

    /// For what begins now.
    pub(super) fn since(&self) -> Since {
        Since(self.count.load(Ordering::Acquire))
    }

    /// Does what keeps something that was begun then, unless there was a purge meanwhile. None begins before it is
    /// done. Must not be called from within another such deed.
    pub(super) fn unless_since<T>(&self, begun: Since, act: impl FnOnce() -> T) -> Option<T> {
        let _no_purge = self.store.no_purge_yet();
        (self.since() == begun).then(act)
    }

    /// The same for what waits for the disk.
    pub(super) fn write_unless_since<T>(&self, begun: Since, write: impl FnOnce() -> T) -> Option<T> {
        let _no_purge = self.store.no_purge();
        (self.since() == begun).then(write)
    }

    /// Removes the records of a package, of one version where given. `forget` is called with what tells these records
    /// before any is removed. Returns how many there were on disk. Blocks on the disk.
    pub(super) fn purge(
        &self,
        package: &str,
        version: Option<&str>,
        forget: impl FnOnce(&dyn Fn(&Record) -> bool),
    ) -> usize {
        let begin = |concerned: &dyn Fn(&Record) -> bool| {
            self.count.fetch_add(1, Ordering::AcqRel);
            forget(concerned);
        };
        self.store.purge(&self.space, package, version, begin)
    }
}
