//! Chooses what is evicted. Walks one part of the inventory after the other with hits going on, and remembers no more
//! of it than what will go.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Entry, Id, Inventory, Key, Kind};
use crate::store::BlobId;

/// Something that may go. The order is that of going: first comes what was used longest ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Candidate {
    pub(in crate::store) used: i64,
    key: Key,
    kind: Kind,
    length: u64,
}

impl Candidate {
    /// What it is.
    pub(in crate::store) fn id(&self) -> Id {
        self.key.id
    }
}

impl Inventory {
    /// The documents that are too many, least recently used first: those of the place that has most of them, so that
    /// nobody's documents go for what another's clients ask. Nothing is taken out yet.
    pub(in crate::store) fn surplus_documents(&self) -> Vec<Candidate> {
        let surplus = self.surplus();
        if surplus == 0 {
            return Vec::new();
        }
        let mut documents: HashMap<u32, u64> = HashMap::new();
        for shard in &self.shards {
            for (key, _) in shard.read().entries.iter().filter(|(_, entry)| entry.kind == Kind::Document) {
                *documents.entry(key.place).or_default() += 1;
            }
        }
        let fullest = documents.into_iter().max_by_key(|(_, count)| *count).map(|(place, _)| place);
        let is_of_it = |candidate: &Candidate| Some(candidate.key.place) == fullest;
        self.choose(surplus, |candidate| u64::from(candidate.kind == Kind::Document && is_of_it(candidate)))
    }

    /// What has to go and at least `least` bytes, least recently used first, never what is pinned. Nothing is taken out
    /// yet.
    pub(in crate::store) fn candidates(&self, least: u64) -> Vec<Candidate> {
        let weight = |candidate: &Candidate| if candidate.kind == Kind::Lasting { 0 } else { candidate.length };
        self.choose(self.excess().max(least), weight)
    }

    /// The name of its place.
    pub(in crate::store) fn place_of(&self, candidate: &Candidate) -> Arc<str> {
        Arc::clone(&self.places.read().names[candidate.key.place as usize])
    }

    /// The least recently used that weigh `excess` together; what weighs nothing stays.
    fn choose(&self, excess: u64, weight: impl Fn(&Candidate) -> u64) -> Vec<Candidate> {
        if excess == 0 {
            return Vec::new();
        }
        // The latest on top: it leaves again as soon as earlier ones are enough.
        let mut chosen: BinaryHeap<Candidate> = BinaryHeap::new();
        let mut sum = 0;
        let mut newest: Option<Candidate> = None;
        for shard in &self.shards {
            let shard = shard.read();
            for (key, entry) in &shard.entries {
                let candidate = Candidate::of(key, entry);
                if candidate.kind == Kind::Blob {
                    newest = newest.max(Some(candidate));
                }
                if weight(&candidate) == 0
                    || shard.pins.contains_key(key)
                    || (sum >= excess && chosen.peek().is_some_and(|top| *top < candidate))
                {
                    continue;
                }
                sum += weight(&candidate);
                chosen.push(candidate);
                while let Some(top) = chosen.peek()
                    && sum - weight(top) >= excess
                {
                    sum -= weight(top);
                    chosen.pop();
                }
            }
        }
        let mut chosen = chosen.into_sorted_vec();
        // What was stored last is not evicted by its own arrival if it can be held at all, nor the record of it.
        if let Some(newest) = newest.filter(|newest| weight(newest) > 0 && newest.length <= self.max_size()) {
            let is_record_of_it = |candidate: &Candidate| candidate.kind != Kind::Blob && candidate.used >= newest.used;
            chosen.retain(|candidate| *candidate != newest && !is_record_of_it(candidate));
        }
        chosen
    }

    /// Removes the entry, unless it was used, replaced or pinned since it was chosen.
    pub(in crate::store) fn take_out(&self, candidate: &Candidate) -> bool {
        let mut shard = self.shard(candidate.key.id).write();
        let unchanged =
            shard.entries.get(&candidate.key).is_some_and(|entry| Candidate::of(&candidate.key, entry) == *candidate);
        if !unchanged || shard.pins.contains_key(&candidate.key) {
            return false;
        }
        self.remove(&mut shard.entries, candidate.key)
    }

    /// Removes the entry of a blob that nobody has used after `last`, since what named it is gone.
    pub(in crate::store) fn take_out_idle(&self, owner: &str, id: BlobId, last: i64) -> bool {
        let Some(place) = self.places.read().numbers.get(owner).copied() else { return false };
        let key = Key { place, id: id.into() };
        let mut shard = self.shard(key.id).write();
        let is_idle = shard.entries.get(&key).is_some_and(|entry| entry.used.load(Ordering::Relaxed) <= last);
        if !is_idle || shard.pins.contains_key(&key) {
            return false;
        }
        self.remove(&mut shard.entries, key)
    }

    fn remove(&self, entries: &mut std::collections::HashMap<Key, Entry>, key: Key) -> bool {
        let removed = entries.remove(&key);
        if let Some(entry) = &removed {
            let mut totals = self.totals.lock();
            totals.take(entry);
            totals.evictions += 1;
        }
        removed.is_some()
    }
}

impl Candidate {
    fn of(key: &Key, entry: &Entry) -> Self {
        Self { used: entry.used.load(Ordering::Relaxed), key: *key, kind: entry.kind, length: entry.length }
    }
}
