//! Which blobs there are, how large and how lately used: a cache of the directory, rebuilt from it.
//!
//! Eviction is by bytes, least recently used first; having been stored counts as a use, so that the newest blob that
//! nobody has read yet outlives an older idle one. A hit takes no lock that excludes other hits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::BlobId;

pub use reservation::Reservation;

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

/// All blobs of a store.
#[derive(Debug)]
pub struct Inventory {
    max_size: AtomicU64,
    since: Instant,
    /// Names of owners by number: a name a blob would cost more than the rest of the entry.
    owners: RwLock<Owners>,
    shards: [RwLock<Shard>; SHARDS],
    /// Taken after a shard, never before one.
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Owners {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

/// A blob of one owner: equal bytes of two owners are two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    owner: u32,
    id: BlobId,
}

#[derive(Debug, Default)]
struct Shard {
    blobs: HashMap<Key, Entry>,
    /// How many hold a blob open. Apart from the entries, which may go and come back meanwhile.
    pins: HashMap<Key, u32>,
}

#[derive(Debug)]
struct Entry {
    length: u64,
    /// Milliseconds after the start of this process, or before it.
    used: AtomicI64,
}

#[derive(Debug, Default)]
struct Totals {
    bytes: u64,
    objects: u64,
    reserved: u64,
    evictions: u64,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all blobs.
    pub bytes: u64,
    /// Number of blobs.
    pub objects: u64,
    /// Bytes promised to fills that are under way.
    pub reserved: u64,
    /// Blobs evicted since the start.
    pub evictions: u64,
}

impl Inventory {
    /// Empty, with this bound.
    pub fn new(max_size: u64) -> Self {
        Self {
            max_size: AtomicU64::new(max_size),
            since: Instant::now(),
            owners: RwLock::default(),
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
        self.adopt(owner, id, length, self.now());
    }

    /// Notes a blob that was stored now with bytes that were promised for it: in one step, so that it never counts
    /// twice.
    pub fn insert_reserved(&self, owner: &str, id: BlobId, length: u64, mut reservation: Reservation) {
        self.note(self.number(owner), id, length, self.now(), reservation.redeem());
    }

    /// Notes a blob that was found on disk; `used` is in milliseconds after the start, as a rule below zero.
    pub fn adopt(&self, owner: &str, id: BlobId, length: u64, used: i64) {
        self.note(self.number(owner), id, length, used, 0);
    }

    /// Notes a blob that was found on disk, unless it has been noted since.
    pub fn adopt_if_unknown(&self, owner: &str, id: BlobId, length: u64, used: i64) {
        let key = Key { owner: self.number(owner), id };
        let mut shard = self.shard(id).write();
        if let std::collections::hash_map::Entry::Vacant(vacant) = shard.blobs.entry(key) {
            vacant.insert(Entry { length, used: AtomicI64::new(used) });
            let mut totals = self.totals.lock();
            totals.bytes += length;
            totals.objects += 1;
        }
    }

    fn note(&self, owner: u32, id: BlobId, length: u64, used: i64, redeemed: u64) {
        let mut shard = self.shard(id).write();
        let old = shard.blobs.insert(Key { owner, id }, Entry { length, used: AtomicI64::new(used) });
        let mut totals = self.totals.lock();
        match old {
            Some(old) => totals.bytes -= old.length,
            None => totals.objects += 1,
        }
        totals.bytes += length;
        totals.reserved -= redeemed;
    }

    /// Notes a use.
    pub fn touch(&self, owner: &str, id: BlobId) {
        let now = self.now();
        self.with_entry(owner, id, |entry| entry.used.store(now, Ordering::Relaxed));
    }

    /// Lets a blob go first, unless it was used since `before`. Returns whether there is such a blob.
    pub fn retire(&self, owner: &str, id: BlobId, before: i64) -> bool {
        let mut held = false;
        self.with_entry(owner, id, |entry| {
            held = true;
            let retired = |used: i64| (used < before).then_some(i64::MIN);
            let _ = entry.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, retired);
        });
        held
    }

    fn with_entry(&self, owner: &str, id: BlobId, change: impl FnOnce(&Entry)) {
        let Some(owner) = self.owners.read().numbers.get(owner).copied() else { return };
        if let Some(entry) = self.shard(id).read().blobs.get(&Key { owner, id }) {
            change(entry);
        }
    }

    /// Notes that a blob is gone.
    pub fn forget(&self, owner: &str, id: BlobId) {
        let Some(owner) = self.owners.read().numbers.get(owner).copied() else { return };
        let mut shard = self.shard(id).write();
        if let Some(entry) = shard.blobs.remove(&Key { owner, id }) {
            let mut totals = self.totals.lock();
            totals.bytes -= entry.length;
            totals.objects -= 1;
        }
    }

    /// Keeps a blob from eviction for as long as the guard lives.
    pub fn pin(self: &Arc<Self>, owner: &str, id: BlobId) -> Pin {
        let key = Key { owner: self.number(owner), id };
        *self.shard(id).write().pins.entry(key).or_default() += 1;
        Pin { inventory: Arc::clone(self), key }
    }

    /// The blobs that were used after `since` and how long ago that was. See [`Inventory::now`] for the scale.
    pub fn used_since(&self, since: i64) -> Vec<(Arc<str>, BlobId, Duration)> {
        let now = self.now();
        let mut all = Vec::new();
        for shard in &self.shards {
            for (key, entry) in &shard.read().blobs {
                let used = entry.used.load(Ordering::Relaxed);
                if used > since {
                    all.push((*key, now.saturating_sub(used)));
                }
            }
        }
        let names = self.owners.read();
        let age = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        all.into_iter().map(|(key, ago)| (Arc::clone(&names.names[key.owner as usize]), key.id, age(ago))).collect()
    }

    /// What there is.
    pub fn usage(&self) -> Usage {
        let totals = self.totals.lock();
        Usage { bytes: totals.bytes, objects: totals.objects, reserved: totals.reserved, evictions: totals.evictions }
    }

    /// Whether the high-water mark is passed, or there is no room for what was promised.
    pub fn is_full(&self) -> bool {
        self.excess() > 0
    }

    /// Bytes that have to go. Blobs over the high-water mark go down to the low one, so that not every write evicts;
    /// a promise takes no more than it needs.
    fn excess(&self) -> u64 {
        let totals = self.totals.lock();
        let max_size = self.max_size();
        let mark = |part: f64| (max_size as f64 * part) as u64;
        let stored = if totals.bytes > mark(HIGH_WATER) { totals.bytes - mark(LOW_WATER) } else { 0 };
        stored.max((totals.bytes + totals.reserved).saturating_sub(max_size))
    }

    fn number(&self, owner: &str) -> u32 {
        if let Some(number) = self.owners.read().numbers.get(owner) {
            return *number;
        }
        let mut owners = self.owners.write();
        let Owners { numbers, names } = &mut *owners;
        let next = names.len() as u32;
        *numbers.entry(owner.into()).or_insert_with_key(|name| {
            names.push(Arc::clone(name));
            next
        })
    }

    fn shard(&self, id: BlobId) -> &RwLock<Shard> {
        &self.shards[id.as_bytes()[0] as usize % SHARDS]
    }
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
