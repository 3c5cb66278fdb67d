//! Takes the bytes of an artifact to its file, and hashes them, on threads that may wait for the disk.

use std::sync::Arc;

use bytes::Bytes;

use super::Cache;
use crate::digest::Hasher;
use crate::error::Error;
use crate::intent::Artifact;
use crate::resolve::Target;
use crate::store::{Reservation, Staging};

/// The file and the hash, which travel to a thread that may wait for the disk and back.
pub(super) struct Intake {
    pub(super) staging: Option<Staging>,
    pub(super) hasher: Hasher,
    /// The promise of the bytes; grows with a body that did not announce its length.
    pub(super) reservation: Option<Reservation>,
    announced: bool,
}

impl Intake {
    pub(super) fn new(cache: &Arc<Cache>, artifact: &Artifact, target: &Target, announced: Option<u64>) -> Self {
        let store = &cache.engine.store;
        let reservation = store.inventory().reserve(announced.unwrap_or(0));
        if store.inventory().is_full() {
            let store = Arc::clone(store);
            tokio::task::spawn_blocking(move || store.evict());
        }
        // A body that could never be kept goes through.
        let staging = if reservation.is_some() { store.stage().ok() } else { None };
        let besides = artifact.checksum_siblings.map_or(&[][..], |siblings| siblings.served);
        Self { staging, hasher: target.expected.hasher(besides), reservation, announced: announced.is_some() }
    }

    /// Hashes and writes one piece. When the disk refuses it, or the store could never hold so much, the file is given
    /// up and the piece goes on in memory.
    pub(super) async fn take(mut self, offset: u64, batch: Bytes) -> Result<Self, Error> {
        let work = move || {
            self.hasher.update(&batch);
            let fits = self.announced
                || self.reservation.as_mut().is_some_and(|reservation| reservation.grow(batch.len() as u64));
            let written = |staging: &Staging| fits && staging.write_at(offset, &batch).is_ok();
            if !self.staging.as_ref().is_some_and(written) {
                self.staging = None;
            }
            self
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Abandoned)
    }
}
