//! Which blobs there are, how large and how lately used: a cache of the directory, rebuilt from it.
//!
//! Eviction is by bytes, least recently used first; having been stored counts as a use, so that the newest blob that
//! nobody has read yet outlives an older idle one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::BlobId;

/// At this part of `max_size` eviction starts.
const HIGH_WATER: f64 = 0.95;
/// At this part of `max_size` eviction ends.
const LOW_WATER: f64 = 0.90;

/// All blobs of a store.
#[derive(Debug)]
pub struct Inventory {
    max_size: AtomicU64,
    since: Instant,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    blobs: HashMap<BlobId, Entry>,
    /// Owners by index: a name a blob would cost more than the rest of the entry.
    owners: Vec<String>,
    bytes: u64,
    reserved: u64,
    evictions: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    length: u64,
    /// Seconds before or after the start of this process.
    used: i32,
    owner: u16,
    pins: u16,
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
        Self { max_size: AtomicU64::new(max_size), since: Instant::now(), held: Mutex::default() }
    }

    /// The bound in bytes.
    pub fn max_size(&self) -> u64 {
        self.max_size.load(Ordering::Relaxed)
    }

    /// Sets the bound; what is over it goes with the next eviction.
    pub fn set_max_size(&self, bytes: u64) {
        self.max_size.store(bytes, Ordering::Relaxed);
    }

    fn now(&self) -> i32 {
        i32::try_from(self.since.elapsed().as_secs()).unwrap_or(i32::MAX)
    }

    /// Notes a blob that was stored now.
    pub fn insert(&self, id: BlobId, owner: &str, length: u64) {
        self.adopt(id, owner, length, self.now());
    }

    /// Notes a blob that was found on disk and used `age` seconds before the start.
    pub fn adopt(&self, id: BlobId, owner: &str, length: u64, used: i32) {
        let mut held = self.held.lock();
        let owner = match held.owners.iter().position(|known| known == owner) {
            Some(index) => index,
            None => {
                held.owners.push(owner.to_owned());
                held.owners.len() - 1
            }
        } as u16;
        let pins = held.blobs.get(&id).map_or(0, |entry| entry.pins);
        if let Some(old) = held.blobs.insert(id, Entry { length, used, owner, pins }) {
            held.bytes -= old.length;
        }
        held.bytes += length;
    }

    /// Notes a blob that was found on disk, unless it has been noted since.
    pub fn adopt_if_unknown(&self, id: BlobId, owner: &str, length: u64, used: i32) {
        if !self.held.lock().blobs.contains_key(&id) {
            self.adopt(id, owner, length, used);
        }
    }

    /// Notes a use.
    pub fn touch(&self, id: BlobId) {
        let now = self.now();
        if let Some(entry) = self.held.lock().blobs.get_mut(&id) {
            entry.used = now;
        }
    }

    /// Notes that a blob is gone.
    pub fn forget(&self, id: BlobId) {
        let mut held = self.held.lock();
        if let Some(entry) = held.blobs.remove(&id) {
            held.bytes -= entry.length;
        }
    }

    /// Keeps a blob from eviction for as long as the guard lives.
    pub fn pin(self: &std::sync::Arc<Self>, id: BlobId) -> Pin {
        if let Some(entry) = self.held.lock().blobs.get_mut(&id) {
            entry.pins = entry.pins.saturating_add(1);
        }
        Pin { inventory: std::sync::Arc::clone(self), id }
    }

    /// What there is.
    pub fn usage(&self) -> Usage {
        let held = self.held.lock();
        Usage {
            bytes: held.bytes,
            objects: held.blobs.len() as u64,
            reserved: held.reserved,
            evictions: held.evictions,
        }
    }

    /// Promises `bytes` to a fill. `None` if that many can never be held.
    pub fn reserve(self: &std::sync::Arc<Self>, bytes: u64) -> Option<Reservation> {
        if bytes > self.max_size() {
            return None;
        }
        self.held.lock().reserved += bytes;
        Some(Reservation { inventory: std::sync::Arc::clone(self), bytes })
    }

    /// Whether the high-water mark is passed, promises included.
    pub fn is_full(&self) -> bool {
        let held = self.held.lock();
        (held.bytes + held.reserved) as f64 > self.max_size() as f64 * HIGH_WATER
    }

    /// Takes out what has to go, least recently used first, never what is pinned.
    pub(super) fn victims(&self) -> Vec<(String, BlobId)> {
        let mut held = self.held.lock();
        let wanted = held.bytes + held.reserved;
        if wanted as f64 <= self.max_size() as f64 * HIGH_WATER {
            return Vec::new();
        }
        let mut excess = wanted - (self.max_size() as f64 * LOW_WATER) as u64;
        let mut candidates: Vec<(i32, BlobId)> =
            held.blobs.iter().filter(|(_, entry)| entry.pins == 0).map(|(id, entry)| (entry.used, *id)).collect();
        candidates.sort_unstable();
        let mut victims = Vec::new();
        for (_, id) in candidates {
            if excess == 0 {
                break;
            }
            if let Some(entry) = held.blobs.remove(&id) {
                held.bytes -= entry.length;
                held.evictions += 1;
                excess = excess.saturating_sub(entry.length);
                victims.push((held.owners[entry.owner as usize].clone(), id));
            }
        }
        victims
    }
}

/// Keeps one blob from eviction.
#[derive(Debug)]
pub struct Pin {
    inventory: std::sync::Arc<Inventory>,
    id: BlobId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(entry) = self.inventory.held.lock().blobs.get_mut(&self.id) {
            entry.pins = entry.pins.saturating_sub(1);
        }
    }
}

/// Bytes promised to one fill.
#[derive(Debug)]
pub struct Reservation {
    inventory: std::sync::Arc<Inventory>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.inventory.held.lock().reserved -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn id(number: u8) -> BlobId {
        BlobId::of(&[number])
    }

    fn evicted(inventory: &Inventory) -> Vec<BlobId> {
        inventory.victims().into_iter().map(|(_, id)| id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_goes_first_and_the_newest_unread_stays() {
        let inventory = Arc::new(Inventory::new(100));
        inventory.adopt(id(0), "team", 30, -500);
        for number in 1..=2 {
            tokio::time::advance(Duration::from_secs(10)).await;
            inventory.insert(id(number), "team", 30);
        }
        assert!(evicted(&inventory).is_empty());
        tokio::time::advance(Duration::from_secs(10)).await;
        inventory.touch(id(0));
        inventory.insert(id(3), "other", 9);
        // 99 of 100: down to 90, so one blob of 30 goes, and it is the one that was used longest ago.
        assert_eq!(evicted(&inventory), [id(1)]);
        assert_eq!(inventory.usage(), Usage { bytes: 69, objects: 3, reserved: 0, evictions: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn pinned_blobs_stay_and_promises_count() {
        let inventory = Arc::new(Inventory::new(100));
        inventory.insert(id(1), "team", 40);
        inventory.insert(id(2), "team", 40);
        let pins = [inventory.pin(id(1)), inventory.pin(id(1))];
        assert!(inventory.reserve(101).is_none());
        let promised = inventory.reserve(50).unwrap();
        assert!(inventory.is_full());
        assert_eq!(evicted(&inventory), [id(2)]);
        drop(promised);
        drop(pins);
        inventory.insert(id(3), "team", 60);
        assert_eq!(evicted(&inventory), [id(1)]);
    }
}
