//! Records that were read or written lately, in memory. Equal reads that are under way are one, and what a read finds
//! never replaces what was learnt or forgotten meanwhile.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::{Record, RecordId};

/// Records kept in memory, if each is about a kilobyte ...
const KEPT: usize = 16 << 10;
/// ... and what they may take together.
const KEPT_BYTES: u64 = 16 << 20;

/// A read that is under way; everyone who waits for it gets the same.
type Reading = Shared<BoxFuture<'static, Option<Arc<Record>>>>;

/// The records in memory.
#[derive(Debug)]
pub(super) struct Records {
    known: quick_cache::sync::Cache<RecordId, Arc<Record>, BySize>,
    /// Held by everything that changes `known`, so that a read can tell whether it still counts.
    readings: Mutex<Readings>,
}

/// Weighs a record by what it takes in memory.
#[derive(Clone, Debug)]
struct BySize;

impl quick_cache::Weighter<RecordId, Arc<Record>> for BySize {
    fn weight(&self, _: &RecordId, record: &Arc<Record>) -> u64 {
        record.size()
    }
}

#[derive(Debug, Default)]
struct Readings {
    /// Numbered: one that was forgotten must not be taken for the next of its key.
    under_way: HashMap<RecordId, (u64, Reading)>,
    next: u64,
    /// What was remembered of keys that may not go for want of room, and how many want that.
    kept: HashMap<RecordId, (usize, Option<Arc<Record>>)>,
}

impl Readings {
    /// What is known of a kept key replaces what was.
    fn keep(&mut self, id: RecordId, known: Option<&Arc<Record>>) {
        if let Some((_, record)) = self.kept.get_mut(&id) {
            *record = known.cloned();
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Self { known: quick_cache::sync::Cache::with_weighter(KEPT, KEPT_BYTES, BySize), readings: Mutex::default() }
    }
}

impl Records {
    /// The record, if it is in memory.
    pub(super) fn get(&self, id: RecordId) -> Option<Arc<Record>> {
        self.known.get(&id).or_else(|| self.readings.lock().kept.get(&id)?.1.clone())
    }

    /// Keeps in memory what is remembered of a key from now on, until it is forgotten or the guard is gone: what is on
    /// its way to the disk is nowhere else.
    pub(super) fn keep(self: &Arc<Self>, id: RecordId) -> Kept {
        self.readings.lock().kept.entry(id).or_default().0 += 1;
        Kept { records: Arc::clone(self), id }
    }

    /// The record from memory, else what `read` finds, which blocks on the disk.
    pub(super) async fn get_or_read(
        self: &Arc<Self>,
        id: RecordId,
        read: impl FnOnce() -> Option<Record> + Send + 'static,
    ) -> Option<Arc<Record>> {
        if let Some(record) = self.known.get(&id) {
            return Some(record);
        }
        let found = self.read(id, read).await;
        // What was learnt while the disk was read is newer.
        self.get(id).or(found)
    }

    fn read(self: &Arc<Self>, id: RecordId, read: impl FnOnce() -> Option<Record> + Send + 'static) -> Reading {
        let mut readings = self.readings.lock();
        if let Some((_, reading)) = readings.under_way.get(&id) {
            return reading.clone();
        }
        let number = readings.next;
        readings.next += 1;
        let turn = Turn { records: Arc::clone(self), id, number };
        let work = move || {
            let found = read().map(Arc::new);
            turn.end(found.as_ref());
            found
        };
        // Begun by whoever waits first, outside of the lock, which the end of the work takes.
        let reading = async { tokio::task::spawn_blocking(work).await.ok().flatten() }.boxed().shared();
        readings.under_way.insert(id, (number, reading.clone()));
        reading
    }

    /// Makes a record known.
    pub(super) fn remember(&self, id: RecordId, record: Arc<Record>) {
        let mut readings = self.readings.lock();
        let outdated = readings.under_way.remove(&id);
        readings.keep(id, Some(&record));
        self.known.insert(id, record);
        drop(readings);
        // After the lock: a read that nobody waits for ends here.
        drop(outdated);
    }

    /// Forgets a key; a read that is under way is not remembered.
    pub(super) fn forget(&self, id: RecordId) {
        let mut readings = self.readings.lock();
        let outdated = readings.under_way.remove(&id);
        readings.keep(id, None);
        self.known.remove(&id);
        drop(readings);
        drop(outdated);
    }

    /// Forgets a key, unless something else is known of it than `seen`.
    pub(super) fn forget_same(&self, id: RecordId, seen: Option<&Arc<Record>>) {
        let mut readings = self.readings.lock();
        let known = self.known.get(&id).or_else(|| readings.kept.get(&id)?.1.clone());
        let is_same = known.is_none_or(|known| seen.is_some_and(|seen| Arc::ptr_eq(&known, seen)));
        if !is_same {
            return;
        }
        let outdated = readings.under_way.remove(&id);
        readings.keep(id, None);
        self.known.remove(&id);
        drop(readings);
        drop(outdated);
    }

    /// Forgets records like these, so that the disk decides again. Nobody can tell what a read that is under way will
    /// find: none is remembered.
    pub(super) fn forget_where(&self, concerned: impl Fn(&Record) -> bool) {
        let mut readings = self.readings.lock();
        let outdated = std::mem::take(&mut readings.under_way);
        self.known.retain(|_, record| !concerned(record));
        for (_, record) in readings.kept.values_mut() {
            record.take_if(|record| concerned(record));
        }
        drop(readings);
        drop(outdated);
    }
}

/// Keeps what is remembered of one key.
#[derive(Debug)]
pub struct Kept {
    records: Arc<Records>,
    id: RecordId,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut readings = self.records.readings.lock();
        if let Entry::Occupied(mut kept) = readings.kept.entry(self.id) {
            kept.get_mut().0 -= 1;
            if kept.get().0 == 0 {
                kept.remove();
            }
        }
    }
}

/// A read's place among those under way; leaves it even if the read panics.
struct Turn {
    records: Arc<Records>,
    id: RecordId,
    number: u64,
}

impl Turn {
    /// Remembers what was found, if the read still counts and nobody was faster.
    fn end(&self, found: Option<&Arc<Record>>) {
        let mut readings = self.records.readings.lock();
        if readings.under_way.get(&self.id).is_none_or(|(number, _)| *number != self.number) {
            return;
        }
        readings.under_way.remove(&self.id);
        let is_kept = readings.kept.get(&self.id).is_some_and(|(_, record)| record.is_some());
        if let Some(record) = found
            && !is_kept
            && self.records.known.get(&self.id).is_none()
        {
            self.records.known.insert(self.id, Arc::clone(record));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Key;
    use crate::store::{Artifact, BlobId, Space, State};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn record(validated: u64) -> Record {
        let key = Key { package: "a".into(), version: String::new(), file: String::new(), representation: "full" };
        Record::new(&key, validated, State::Artifact(Artifact::of(BlobId::of(b"a"), 1)))
    }

    fn id() -> RecordId {
        let upstream = url::Url::parse("https://registry.example/").unwrap();
        let key = Key { package: "a".into(), version: String::new(), file: String::new(), representation: "full" };
        Space::new("team", "npm", "npm", &upstream).record_id(&key)
    }

    /// A read of `record(1)` that ends when the sender speaks, and the notice that it has begun.
    fn slow_read(records: &Arc<Records>) -> (tokio::task::JoinHandle<Option<Arc<Record>>>, mpsc::Sender<()>) {
        let (go, wait) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let records = Arc::clone(records);
        let read = tokio::spawn(async move {
            let read = move || {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Some(record(1))
            };
            records.get_or_read(id(), read).await
        });
        tokio::task::block_in_place(|| has_begun.recv().unwrap());
        (read, go)
    }

    #[test]
    fn names_of_any_length_are_bounded_together() {
        let records = Records::default();
        let upstream = url::Url::parse("https://registry.example/").unwrap();
        let space = Space::new("team", "npm", "npm", &upstream);
        for number in 0..400 {
            let mut long = record(1);
            long.file = "x".repeat(128 << 10);
            records.remember(space.record_id(&Key::document(&number.to_string(), "full")), Arc::new(long));
        }
        assert!(records.known.len() <= 128 && !records.known.is_empty(), "{}", records.known.len());
    }

    #[test]
    fn what_is_on_its_way_to_the_disk_goes_with_a_purge_only() {
        // More than there is room for, so that it is gone from there at once.
        let mut long = record(1);
        long.file = "x".repeat(KEPT_BYTES as usize);
        let long = Arc::new(long);
        let all = |records: &Records| records.forget_where(|_| true);
        let one = |records: &Records| records.forget(id());
        let same = |records: &Records| records.forget_same(id(), records.get(id()).as_ref());
        for forget in [&all as &dyn Fn(&Records), &one, &same] {
            let records = Arc::new(Records::default());
            let kept = [records.keep(id()), records.keep(id())];
            records.remember(id(), Arc::clone(&long));
            records.forget_same(id(), None);
            records.forget_where(|record| record.validated != 1);
            assert_eq!(records.get(id()).unwrap().validated, 1);
            forget(&records);
            assert!(records.get(id()).is_none());
            records.remember(id(), Arc::clone(&long));
            let [first, second] = kept;
            drop(first);
            assert!(records.get(id()).is_some());
            drop(second);
            assert!(records.get(id()).is_none());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_read_does_not_replace_what_was_learnt_meanwhile() {
        let records = Arc::new(Records::default());
        let (read, go) = slow_read(&records);
        records.remember(id(), Arc::new(record(2)));
        go.send(()).unwrap();
        assert_eq!(read.await.unwrap().unwrap().validated, 2);
        assert_eq!(records.get(id()).unwrap().validated, 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_read_does_not_bring_back_what_was_forgotten() {
        let all = |records: &Arc<Records>| records.forget_where(|_| true);
        let one = |records: &Arc<Records>| records.forget(id());
        for forget in [&all as &dyn Fn(&Arc<Records>), &one] {
            let records = Arc::new(Records::default());
            let (read, go) = slow_read(&records);
            forget(&records);
            // Whoever comes now does not get the answer of before.
            assert!(records.get_or_read(id(), || None).await.is_none());
            go.send(()).unwrap();
            read.await.unwrap();
            assert!(records.get(id()).is_none());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn equal_reads_are_one_and_a_panic_ends_it() {
        let records = Arc::new(Records::default());
        let (first, go) = slow_read(&records);
        let reads = Arc::new(AtomicUsize::new(0));
        let second = {
            let (records, reads) = (Arc::clone(&records), Arc::clone(&reads));
            let read = move || {
                reads.fetch_add(1, Ordering::Relaxed);
                None
            };
            tokio::spawn(async move { records.get_or_read(id(), read).await })
        };
        while Arc::strong_count(&reads) > 1 {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), second.await.unwrap());
        assert_eq!(reads.load(Ordering::Relaxed), 0);

        records.forget(id());
        assert!(records.get_or_read(id(), || panic!("on purpose")).await.is_none());
        assert!(records.get_or_read(id(), || Some(record(3))).await.is_some());
    }
}
