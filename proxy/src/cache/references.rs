//! Bytes that are here already, under another key. A document that names an artifact by its digest is the upstream's
//! word that it belongs to that document's package; without such a document the upstream is asked.

use std::sync::Arc;

use super::Cache;
use super::purges::Since;
use crate::digest::{Algorithm, Digest};
use crate::intent::{Artifact, Reference};
use crate::store::{self, Blob, BlobId, Record, State};

/// More artifacts than one document names in earnest.
const MOST: usize = 1000;

impl Cache {
    /// Notes what a document names, in memory at once and on disk behind the clients' backs. What is known of a key
    /// already says more. Nothing is noted if there was a purge since the document was asked for.
    pub(super) async fn note_references(self: &Arc<Self>, references: Vec<Reference>, since: Since) {
        let mut noted = Vec::new();
        for Reference { key, digest, size } in references.into_iter().take(MOST) {
            let id = self.space.record_id(&key);
            let is_new = !noted.iter().any(|(noted, _)| *noted == id);
            let (Some(blob), Some(size)) = (BlobId::of_digest(&digest), size) else { continue };
            if !is_new || self.record(id).await.is_some() {
                continue;
            }
            let verified = Some(digest.to_string());
            let artifact = store::Artifact { verified, referenced: true, ..store::Artifact::of(blob, size) };
            // Older than whatever may be learnt of this key from now on.
            let record = Arc::new(Record::new(&key, 0, State::Artifact(artifact)));
            let kept = self.engine.store.keep(id);
            let remember = || self.engine.store.remember(&self.space, id, record);
            if self.state.purges.unless_since(since, remember).is_none() {
                return;
            }
            noted.push((id, kept));
        }
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            for (id, _kept) in noted {
                cache.state.writer.persist(id).await;
            }
        });
    }

    /// The bytes of an artifact of which the upstream has just begun to send so many, if this owner has them already.
    pub(super) async fn held_elsewhere(
        &self,
        artifact: &Artifact,
        announced: Option<u64>,
    ) -> Option<(Arc<Record>, Blob)> {
        let digest = artifact.expect.as_ref()?;
        let blob = self.engine.store.owned_blob(&self.space, BlobId::of_digest(digest)?, announced?).await?;
        let known =
            store::Artifact { verified: Some(digest.to_string()), ..store::Artifact::of(blob.id(), blob.length()) };
        Some((Arc::new(Record::new(&artifact.key, self.now(), State::Artifact(known))), blob))
    }
}

impl BlobId {
    /// The blob of a digest, if that is what blobs are named by.
    fn of_digest(digest: &Digest) -> Option<Self> {
        if digest.algorithm() == Algorithm::Sha256 { Self::from_hex(&digest.hex()) } else { None }
    }
}
