//! Chooses what is evicted. Walks one part of the inventory after the other with hits going on, and remembers no more
//! of it than what will go.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Inventory, Key};
use crate::store::BlobId;

/// A blob that may go. The order is that of going: first comes what was used longest ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    used: i64,
    key: Key,
    length: u64,
}

impl Inventory {
    /// Takes out what has to go and at least `least` bytes, least recently used first, never what is pinned.
    pub(in crate::store) fn victims(&self, least: u64) -> Vec<(Arc<str>, BlobId)> {
        let excess = self.excess().max(least);
        if excess == 0 {
            return Vec::new();
        }
        let chosen = self.choose(excess);
        let mut victims = Vec::new();
        for candidate in chosen {
            if self.take_out(candidate) {
                victims.push(candidate.key);
            }
        }
        let owners = self.owners.read();
        victims.into_iter().map(|key| (Arc::clone(&owners.names[key.owner as usize]), key.id)).collect()
    }

    /// The least recently used blobs that are `excess` bytes together.
    fn choose(&self, excess: u64) -> Vec<Candidate> {
        // The latest on top: it leaves again as soon as earlier ones are enough.
        let mut chosen: BinaryHeap<Candidate> = BinaryHeap::new();
        let mut sum = 0;
        let mut newest: Option<Candidate> = None;
        for shard in &self.shards {
            let shard = shard.read();
            for (key, entry) in &shard.blobs {
                let candidate = Candidate { used: entry.used.load(Ordering::Relaxed), key: *key, length: entry.length };
                newest = newest.max(Some(candidate));
                if shard.pins.contains_key(key) || (sum >= excess && chosen.peek().is_some_and(|top| *top < candidate))
                {
                    continue;
                }
                sum += candidate.length;
                chosen.push(candidate);
                while let Some(top) = chosen.peek()
                    && sum - top.length >= excess
                {
                    sum -= top.length;
                    chosen.pop();
                }
            }
        }
        let mut chosen = chosen.into_sorted_vec();
        // What was stored last is not evicted by its own arrival if it can be held at all.
        if let Some(last) = chosen.last()
            && Some(*last) == newest
            && last.length <= self.max_size()
        {
            chosen.pop();
        }
        chosen
    }

    /// Removes the entry, unless it was used, replaced or pinned since it was chosen.
    fn take_out(&self, candidate: Candidate) -> bool {
        let mut shard = self.shard(candidate.key.id).write();
        let unchanged = shard.blobs.get(&candidate.key).is_some_and(|entry| {
            entry.used.load(Ordering::Relaxed) == candidate.used && entry.length == candidate.length
        });
        if !unchanged || shard.pins.contains_key(&candidate.key) {
            return false;
        }
        shard.blobs.remove(&candidate.key);
        let mut totals = self.totals.lock();
        totals.bytes -= candidate.length;
        totals.objects -= 1;
        totals.evictions += 1;
        true
    }
}
