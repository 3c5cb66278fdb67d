//! Which blobs and records there are, how large and how lately used: a cache of the directory, rebuilt from it.
//!
//! Eviction is by bytes, least recently used first; having been stored counts as a use, so that the newest blob that
//! nobody has read yet outlives an older idle one. A hit takes no lock that excludes other hits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::{BlobId, RecordId};

pub use reservation::Reservation;
pub(super) use victims::Candidate;

mod reservation;
#[cfg(test)]
mod tests;
mod victims;

/// At this part of `max_size` eviction starts.
const HIGH_WATER: f64 = 0.95;
/// At this part of `max_size` eviction ends.
const LOW_WATER: f64 = 0.90;
/// Parts with a lock each; a power of two.
const SHARDS: usize = 16;
/// What a file takes of a volume is counted in these.
const BLOCK: u64 = 4096;
/// The part of `max_size` that the records of documents may take: anybody can ask for lists without end.
const DOCUMENTS: u64 = 4;
/// Documents of which nothing is known but that somebody asked for them take memory, too: no more than this many ...
const MOST_DOCUMENTS: u64 = 1 << 17;
/// ... and a small store has room for a few.
const LEAST_DOCUMENTS: u64 = 64;

/// All blobs and records of a store.
#[derive(Debug)]
pub struct Inventory {
    max_size: AtomicU64,
    since: Instant,
    /// Names of places by number: a name an entry would cost more than the rest of it.
    places: RwLock<Places>,
    shards: [RwLock<Shard>; SHARDS],
    /// Taken after a shard, never before one.
    totals: Mutex<Totals>,
}

/// Where something lies: an owner for its blobs, the directory of a proxy's records for these.
#[derive(Debug, Default)]
struct Places {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A blob.
    Blob(BlobId),
    /// A record.
    Record(RecordId),
}

impl From<BlobId> for Id {
    fn from(id: BlobId) -> Self {
        Self::Blob(id)
    }
}

impl From<RecordId> for Id {
    fn from(id: RecordId) -> Self {
        Self::Record(id)
    }
}

/// What is lost with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes that can be fetched again.
    Blob,
    /// The record of a document that can be fetched again.
    Document,
    /// The record of an artifact whose digest is published: it can be fetched again.
    Artifact,
    /// A record that says what nobody could say again, such as which bytes were the first ones. It is counted and stays.
    Lasting,
}

/// A file at its place: equal bytes of two owners are two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    place: u32,
    id: Id,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Key, Entry>,
    /// How many hold a blob open. Apart from the entries, which may go and come back meanwhile.
    pins: HashMap<Key, u32>,
}

#[derive(Debug)]
struct Entry {
    length: u64,
    kind: Kind,
    /// Milliseconds after the start of this process, or before it.
    used: AtomicI64,
}

#[derive(Debug, Default)]
struct Totals {
    bytes: u64,
    objects: u64,
    records: u64,
    documents: u64,
    reserved: u64,
    evictions: u64,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that blobs and records take.
    pub bytes: u64,
    /// Number of blobs.
    pub objects: u64,
    /// Number of records.
    pub records: u64,
    /// Bytes promised to fills that are under way.
    pub reserved: u64,
    /// Blobs and records evicted since the start.
    pub evictions: u64,
}

impl Inventory {
    /// Empty, with this bound.
    pub fn new(max_size: u64) -> Self {
        Self {
            max_size: AtomicU64::new(max_size),
            since: Instant::now(),
            places: RwLock::default(),
            shards: Default::default(),
            totals: Mutex::default(),
        }
    }

    /// The bound in bytes.
    pub fn max_size(&self) -> u64 {
        self.max_size.load(Ordering::Relaxed)
    }

    /// Sets the bound; what is over it goes with the next eviction.
    pub fn set_max_size(&self, bytes: u64) {
        self.max_size.store(bytes, Ordering::Relaxed);
    }

    /// Milliseconds since the start: the scale of uses.
    pub fn now(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Notes a blob that was stored now.
    pub fn insert(&self, owner: &str, id: BlobId, length: u64) {
        self.note(owner, id.into(), Kind::Blob, length, 0);
    }

    /// Notes a blob that was stored now with bytes that were promised for it: in one step, so that it never counts
    /// twice.
    pub fn insert_reserved(&self, owner: &str, id: BlobId, length: u64, mut reservation: Reservation) {
        self.note(owner, id.into(), Kind::Blob, length, reservation.redeem());
    }

    /// Notes a record that was stored now.
    pub fn insert_record(&self, place: &str, id: RecordId, kind: Kind, length: u64) {
        self.note(place, id.into(), kind, length, 0);
    }

    /// Notes what was found on disk, unless it has been noted since; `used` is in milliseconds after the start, as a
    /// rule below zero.
    pub fn adopt(&self, place: &str, id: impl Into<Id>, kind: Kind, length: u64, used: i64) {
        let key = Key { place: self.number(place), id: id.into() };
        let mut shard = self.shard(key.id).write();
        if let std::collections::hash_map::Entry::Vacant(vacant) = shard.entries.entry(key) {
            let entry = vacant.insert(Entry { length, kind, used: AtomicI64::new(used) });
            self.totals.lock().add(entry);
        }
    }

    fn note(&self, place: &str, id: Id, kind: Kind, length: u64, redeemed: u64) {
        let key = Key { place: self.number(place), id };
        let entry = Entry { length, kind, used: AtomicI64::new(self.now()) };
        let mut shard = self.shard(id).write();
        let mut totals = self.totals.lock();
        totals.add(&entry);
        if let Some(old) = shard.entries.insert(key, entry) {
            totals.take(&old);
        }
        totals.reserved -= redeemed;
    }

    /// Notes a use.
    pub fn touch(&self, place: &str, id: impl Into<Id>) {
        let now = self.now();
        self.with_entry(place, id.into(), |entry| entry.used.store(now, Ordering::Relaxed));
    }

    /// Lets a blob go first, unless it was used since `before`. Returns whether there is such a blob.
    pub fn retire(&self, owner: &str, id: BlobId, before: i64) -> bool {
        let mut held = false;
        self.with_entry(owner, id.into(), |entry| {
            held = true;
            let retired = |used: i64| (used < before).then_some(i64::MIN);
            let _ = entry.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, retired);
        });
        held
    }

    fn with_entry(&self, place: &str, id: Id, change: impl FnOnce(&Entry)) {
        let Some(place) = self.places.read().numbers.get(place).copied() else { return };
        if let Some(entry) = self.shard(id).read().entries.get(&Key { place, id }) {
            change(entry);
        }
    }

    /// Whether there is such a thing.
    pub fn holds(&self, place: &str, id: impl Into<Id>) -> bool {
        let mut held = false;
        self.with_entry(place, id.into(), |_| held = true);
        held
    }

    /// Notes that something is gone.
    pub fn forget(&self, place: &str, id: impl Into<Id>) {
        let id = id.into();
        let Some(place) = self.places.read().numbers.get(place).copied() else { return };
        let mut shard = self.shard(id).write();
        if let Some(entry) = shard.entries.remove(&Key { place, id }) {
            self.totals.lock().take(&entry);
        }
    }

    /// Notes that nothing is left at a place.
    pub fn forget_all(&self, place: &str) {
        let Some(place) = self.places.read().numbers.get(place).copied() else { return };
        for shard in &self.shards {
            for (_, entry) in shard.write().entries.extract_if(|key, _| key.place == place) {
                self.totals.lock().take(&entry);
            }
        }
    }

    /// Keeps a blob from eviction for as long as the guard lives.
    pub fn pin(self: &Arc<Self>, owner: &str, id: BlobId) -> Pin {
        let key = Key { place: self.number(owner), id: id.into() };
        *self.shard(key.id).write().pins.entry(key).or_default() += 1;
        Pin { inventory: Arc::clone(self), key }
    }

    /// What was used after `since` and how long ago that was. See [`Inventory::now`] for the scale.
    pub fn used_since(&self, since: i64) -> Vec<(Arc<str>, Id, Duration)> {
        let now = self.now();
        let mut all = Vec::new();
        for shard in &self.shards {
            for (key, entry) in &shard.read().entries {
                let used = entry.used.load(Ordering::Relaxed);
                if used > since {
                    all.push((*key, now.saturating_sub(used)));
                }
            }
        }
        let names = self.places.read();
        let age = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        all.into_iter().map(|(key, ago)| (Arc::clone(&names.names[key.place as usize]), key.id, age(ago))).collect()
    }

    /// What there is.
    pub fn usage(&self) -> Usage {
        let totals = self.totals.lock();
        Usage {
            bytes: totals.bytes,
            objects: totals.objects,
            records: totals.records,
            reserved: totals.reserved,
            evictions: totals.evictions,
        }
    }

    /// Whether the high-water mark is passed, there is no room for what was promised, or there are too many documents.
    pub fn is_full(&self) -> bool {
        self.excess() > 0 || self.surplus() > 0
    }

    /// Documents that have to go.
    fn surplus(&self) -> u64 {
        let most = (self.max_size() / DOCUMENTS / BLOCK).clamp(LEAST_DOCUMENTS, MOST_DOCUMENTS);
        let documents = self.totals.lock().documents;
        // Some more, so that not every write evicts.
        if documents > most { documents - most / 16 * 15 } else { 0 }
    }

    /// Bytes that have to go. What is over the high-water mark go down to the low one, so that not every write evicts;
    /// a promise takes no more than it needs.
    fn excess(&self) -> u64 {
        let totals = self.totals.lock();
        let max_size = self.max_size();
        let mark = |part: f64| (max_size as f64 * part) as u64;
        let stored = if totals.bytes > mark(HIGH_WATER) { totals.bytes - mark(LOW_WATER) } else { 0 };
        stored.max((totals.bytes + totals.reserved).saturating_sub(max_size))
    }

    fn number(&self, place: &str) -> u32 {
        if let Some(number) = self.places.read().numbers.get(place) {
            return *number;
        }
        let mut places = self.places.write();
        let Places { numbers, names } = &mut *places;
        let next = names.len() as u32;
        *numbers.entry(place.into()).or_insert_with_key(|name| {
            names.push(Arc::clone(name));
            next
        })
    }

    fn shard(&self, id: Id) -> &RwLock<Shard> {
        let first = match id {
            Id::Blob(id) => id.as_bytes()[0],
            Id::Record(id) => id.short() as u8,
        };
        &self.shards[first as usize % SHARDS]
    }
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        self.bytes += entry.length;
        *self.count(entry.kind) += 1;
        self.documents += u64::from(entry.kind == Kind::Document);
    }

    fn take(&mut self, entry: &Entry) {
        self.bytes -= entry.length;
        *self.count(entry.kind) -= 1;
        self.documents -= u64::from(entry.kind == Kind::Document);
    }

    fn count(&mut self, kind: Kind) -> &mut u64 {
        if kind == Kind::Blob { &mut self.objects } else { &mut self.records }
    }
}

/// What a file of so many bytes takes of a volume.
pub(super) fn on_disk(length: u64) -> u64 {
    length.next_multiple_of(BLOCK)
}

/// Keeps one blob from eviction.
#[derive(Debug)]
pub struct Pin {
    inventory: Arc<Inventory>,
    key: Key,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut shard = self.inventory.shard(self.key.id).write();
        if let std::collections::hash_map::Entry::Occupied(mut count) = shard.pins.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
