//! The generations that are open: few, since each holds files, and anybody can name suites. What is closed is on disk
//! and opened again when it is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Open;
use crate::clock::Millis;
use crate::intent::Metadata;
use crate::store::{BlobId, RecordId};

/// Generations that are open at once, old ones that clients were given a moment ago included; those in use stay.
pub(super) const MOST: usize = 64;

/// Names of closed generations that are remembered; beyond that the disk is looked at.
const MOST_CLOSED: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::cache) struct Opened {
    kept: Mutex<Kept>,
    /// Taken after `kept`.
    closed: Mutex<AllClosed>,
}

#[derive(Debug, Default)]
struct AllClosed {
    heads: HashMap<RecordId, Closed>,
    /// Whether these are all: not before the disk was looked at, for those that an earlier process left.
    is_complete: bool,
}

/// A generation on disk that is not open: package and file of its head tell which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cache) struct Closed {
    /// When it was first seen.
    pub(in crate::cache) changed: Millis,
    pub(in crate::cache) package: String,
    pub(in crate::cache) file: String,
}

#[derive(Debug, Default)]
struct Kept {
    generations: HashMap<(RecordId, BlobId), Entry>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    open: Arc<Open>,
    used: u64,
    /// Whether it is the latest of its head.
    is_current: bool,
}

impl Opened {
    /// The generation of these bytes of a head, if it is the current one. That is a use.
    pub(in crate::cache) fn get(&self, head: RecordId, raw: BlobId) -> Option<Arc<Open>> {
        let mut kept = self.kept.lock();
        let entry = kept.use_of(head, raw).filter(|entry| entry.is_current)?;
        Some(Arc::clone(&entry.open))
    }

    /// Notes a use.
    pub(in crate::cache) fn touch(&self, head: RecordId, raw: BlobId) {
        let _ = self.kept.lock().use_of(head, raw);
    }

    /// The current generation of a head, if it is open. That is no use.
    pub(in crate::cache) fn has(&self, head: RecordId) -> bool {
        self.kept.lock().generations.iter().any(|((of, _), entry)| *of == head && entry.is_current)
    }

    /// Keeps a generation as the current one of its head, if there is no later one, and closes others for it.
    pub(in crate::cache) fn insert(&self, head: RecordId, open: Arc<Open>) {
        let mut kept = self.kept.lock();
        let of_head = kept.generations.iter_mut().filter(|((of, _), _)| *of == head);
        let mut current: Vec<_> = of_head.map(|(_, entry)| entry).filter(|entry| entry.is_current).collect();
        // Whoever looked for one before it was replaced may open it afterwards.
        let is_current = current.iter().all(|entry| entry.open.changed <= open.changed);
        if is_current {
            for entry in &mut current {
                entry.is_current = false;
            }
        }
        kept.uses += 1;
        let entry = Entry { used: kept.uses, is_current, open };
        let replaced = kept.generations.insert((head, entry.open.raw), entry);
        self.closed.lock().heads.remove(&head);
        let closed = self.close_some(&mut kept);
        drop(kept);
        // Their files are closed after the lock.
        drop((replaced, closed));
    }

    /// Takes out what was used longest ago, unless somebody uses it now.
    fn close_some(&self, kept: &mut Kept) -> Vec<Entry> {
        let mut closed = Vec::new();
        while kept.generations.len() > MOST {
            let newest = kept.uses;
            let idle = kept
                .generations
                .iter()
                .filter(|(_, entry)| entry.used != newest && Arc::strong_count(&entry.open) == 1)
                .min_by_key(|(_, entry)| entry.used)
                .map(|(key, _)| *key);
            let Some((key, entry)) = idle.and_then(|key| Some((key, kept.generations.remove(&key)?))) else { break };
            if entry.is_current {
                self.note_closed(key.0, Closed::of(&entry.open.head, entry.open.changed));
            }
            closed.push(entry);
        }
        closed
    }

    /// What is current and open, the newest first.
    pub(in crate::cache) fn newest_first(&self) -> Vec<Arc<Open>> {
        let kept = self.kept.lock();
        let current = kept.generations.values().filter(|entry| entry.is_current);
        let mut open: Vec<_> = current.map(|entry| Arc::clone(&entry.open)).collect();
        drop(kept);
        open.sort_by_key(|generation| std::cmp::Reverse(generation.changed));
        open
    }

    /// What is closed, the newest first; `None` while only the disk knows. Whoever is told so looks at the disk, and
    /// reports with [`Self::note_closed`] what is there.
    pub(in crate::cache) fn closed(&self) -> Option<Vec<Closed>> {
        let mut closed = self.closed.lock();
        if !std::mem::replace(&mut closed.is_complete, true) {
            return None;
        }
        let mut all: Vec<Closed> = closed.heads.values().cloned().collect();
        drop(closed);
        all.sort_by(|one, other| other.cmp(one));
        Some(all)
    }

    /// Remembers a generation that is on disk.
    pub(in crate::cache) fn note_closed(&self, head: RecordId, generation: Closed) {
        let mut closed = self.closed.lock();
        closed.heads.insert(head, generation);
        if closed.heads.len() > MOST_CLOSED {
            closed.forget_all();
        }
    }

    /// It is gone from disk.
    pub(in crate::cache) fn forget_closed(&self, head: RecordId) {
        self.closed.lock().heads.remove(&head);
    }

    /// The disk has to be looked at again.
    pub(in crate::cache) fn forget_all_closed(&self) {
        self.closed.lock().forget_all();
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.kept.lock().generations.len()
    }
}

impl AllClosed {
    fn forget_all(&mut self) {
        *self = Self::default();
    }
}

impl Closed {
    pub(in crate::cache) fn of(head: &Metadata, changed: Millis) -> Self {
        Self { changed, package: head.key.package.clone(), file: head.key.file.clone() }
    }
}

impl Kept {
    fn use_of(&mut self, head: RecordId, raw: BlobId) -> Option<&Entry> {
        self.uses += 1;
        let entry = self.generations.get_mut(&(head, raw))?;
        entry.used = self.uses;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::{Key, Metadata, Reading};
    use crate::store::Space;
    use crate::upstream_path::UpstreamPath;

    fn head(number: usize) -> (RecordId, Metadata) {
        let key = Key::document(&number.to_string(), "head");
        let upstream = url::Url::parse("https://registry.example/").unwrap();
        let id = Space::new("team", "debian", "debian", &upstream).record_id(&key);
        let from = UpstreamPath::from_segments([number.to_string()]);
        (id, Metadata::verbatim(key, from, |_| Ok(Reading::default()), "text/plain"))
    }

    fn open(opened: &Opened, number: usize, content: &[u8]) -> Arc<Open> {
        let (id, head) = head(number);
        let (raw, changed) = (BlobId::of(content), number as u64);
        let open = Arc::new(Open { head, raw, changed, by_digest: false, table: None, signature: None });
        opened.insert(id, Arc::clone(&open));
        open
    }

    #[test]
    fn the_least_recently_used_is_closed_unless_it_is_in_use() {
        let opened = Opened::default();
        let get = |number: usize| opened.get(head(number).0, BlobId::of(b"a"));
        let in_use = open(&opened, 0, b"a");
        for number in 1..MOST {
            open(&opened, number, b"a");
        }
        assert_eq!((opened.closed(), opened.closed()), (None, Some(Vec::new())), "nothing was closed");
        assert!(get(1).is_some());
        open(&opened, MOST, b"a");
        assert_eq!(opened.closed().unwrap(), [Closed::of(&head(2).1, 2)]);
        assert!(get(2).is_none() && get(1).is_some() && get(MOST).is_some());
        for number in 0..1000 {
            open(&opened, MOST + number, b"b");
            assert!(opened.count() <= MOST);
        }
        let closed = opened.closed().unwrap();
        assert_eq!(closed.len(), 1000, "all that are not open");
        assert!(closed.is_sorted_by(|one, other| one > other));
        assert!(get(0).is_some_and(|kept| Arc::ptr_eq(&kept, &in_use)));
        assert_eq!(opened.newest_first().first().unwrap().changed as usize, MOST + 999);
    }

    #[test]
    fn more_are_open_while_they_are_in_use_and_old_ones_are_not_current() {
        let opened = Opened::default();
        let in_use: Vec<_> = (0..MOST * 2).map(|number| open(&opened, number, b"a")).collect();
        assert_eq!(opened.count(), MOST * 2);
        drop(in_use);
        open(&opened, 0, b"b");
        assert_eq!(opened.count(), MOST);
        open(&opened, 0, b"c");
        open(&opened, 0, b"b");
        let of_first = |open: &&Arc<Open>| open.head.key == head(0).1.key;
        let newest = opened.newest_first();
        assert_eq!(newest.iter().filter(of_first).map(|open| open.raw).collect::<Vec<_>>(), [BlobId::of(b"b")]);
        assert!(opened.has(head(0).0) && !opened.has(head(MOST * 3).0));
    }

    /// Whoever was slow has found the one before.
    #[test]
    fn an_earlier_one_takes_no_later_one_s_place() {
        let opened = Opened::default();
        let (id, head) = head(0);
        for (content, changed) in [(b"a", 1), (b"b", 2), (b"a", 1)] {
            let (head, raw) = (head.clone(), BlobId::of(content));
            opened.insert(id, Arc::new(Open { head, raw, changed, by_digest: false, table: None, signature: None }));
        }
        assert_eq!(opened.newest_first().iter().map(|open| open.raw).collect::<Vec<_>>(), [BlobId::of(b"b")]);
        assert!(opened.get(id, BlobId::of(b"a")).is_none() && opened.get(id, BlobId::of(b"b")).is_some());
    }
}
