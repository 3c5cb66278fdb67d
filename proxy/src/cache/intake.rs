//! Takes the bytes of an artifact to its file, and hashes them, on threads that may wait for the disk.

use std::sync::Arc;

use bytes::Bytes;

use super::Cache;
use crate::digest::Hasher;
use crate::error::Error;
use crate::intent::Artifact;
use crate::resolve::Target;
use crate::store::{Reservation, Staging, Store};

/// The file and the hash, which travel to a thread that may wait for the disk and back.
pub(super) struct Intake {
    store: Arc<Store>,
    pub(super) staging: Option<Staging>,
    pub(super) hasher: Hasher,
    /// The promise of the bytes; grows with what arrives. What is only announced may never come, and must push nothing
    /// out.
    pub(super) reservation: Option<Reservation>,
    announced: Option<u64>,
}

impl Intake {
    pub(super) async fn new(
        cache: &Arc<Cache>,
        artifact: &Artifact,
        target: &Target,
        announced: Option<u64>,
    ) -> Result<Self, Error> {
        let store = Arc::clone(&cache.engine.store);
        // A body that could never be kept goes through.
        let fits = store.inventory().has_room(announced.unwrap_or(0));
        let staging = if fits {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || store.stage().ok()).await.map_err(|_| Error::Abandoned)?
        } else {
            None
        };
        let reservation = store.inventory().reserve(0);
        let besides = artifact.checksum_siblings.map_or(&[][..], |siblings| siblings.served);
        Ok(Self { store, staging, hasher: target.expected.hasher(besides), reservation, announced })
    }

    /// Hashes and writes one piece. When the disk refuses it, or the store could never hold so much, the file is given
    /// up and the piece goes on in memory.
    pub(super) async fn take(mut self, offset: u64, batch: Bytes) -> Result<Self, Error> {
        let work = move || {
            self.hasher.update(&batch);
            let written = |staging: &Staging| staging.write_at(offset, &batch).is_ok();
            let arrived = offset + batch.len() as u64;
            if !(self.staging.is_some() && self.has_room(arrived) && self.staging.as_ref().is_some_and(written)) {
                self.staging = None;
                // What others want to keep may have the room.
                self.reservation = None;
            }
            self
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Abandoned)
    }

    /// Whether the store can hold what has arrived; makes room for it. Blocks on the disk.
    fn has_room(&mut self, arrived: u64) -> bool {
        let Some(reservation) = &mut self.reservation else { return false };
        if arrived <= reservation.bytes() {
            return true;
        }
        let fits = reservation.cover(arrived, self.announced);
        if fits && self.store.inventory().is_full() {
            self.store.evict();
        }
        fits
    }
}
