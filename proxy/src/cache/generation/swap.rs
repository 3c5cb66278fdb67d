//! From one generation to the next: the files that clients use are here before they are told of the new head.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::policy::{self, Decision};
use super::super::{Cache, Served};
use super::{Open, StoredDocument};
use crate::digest::Digest;
use crate::error::Error;
use crate::intent::{Artifact, Generation, Metadata};
use crate::store::{BlobId, RecordId};

/// How long the old generation is served while files of the new one are on their way. No setting: it decides over no
/// bytes, only over who waits. What is under way then goes on, and clients of the new head read it as it arrives, as
/// they would from the archive. Shorter, and every client of a slow link waits; longer, and security updates do. Nor
/// does it follow from `metadataTTL`, which says how often to ask, nor from `staleIfError`, which is for an upstream
/// that fails.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long it is served while the upstream has other files than the new head names: a file that stays wrong must not
/// keep a whole suite back.
const TORN: Duration = Duration::from_mins(30);
/// How long a failed attempt is not repeated.
const PAUSE: Duration = Duration::from_secs(5);
/// Files that are fetched at once.
const AT_ONCE: usize = 4;

/// New heads that are remembered to wait; those that nobody asks for any more are forgotten first.
const WAITING: usize = 256;

/// The new heads that are not current yet.
pub(super) type WaitingAll = Mutex<HashMap<RecordId, Waiting>>;

/// A new head that is not current yet.
#[derive(Debug)]
pub(super) struct Waiting {
    new: BlobId,
    since: Instant,
    /// When its files could not be had.
    failed: Option<Instant>,
}

/// What is under way stays.
fn oldest_failed(waiting: &HashMap<RecordId, Waiting>) -> Option<RecordId> {
    let failed = waiting.iter().filter(|(_, one)| one.failed.is_some());
    failed.min_by_key(|(_, one)| one.since).map(|(id, _)| *id)
}

impl Cache {
    /// Fetches the files of a new head that are in use of the old one. An error means that the old one goes on: the
    /// upstream is in the middle of a change.
    pub(in super::super) async fn prepare(
        self: &Arc<Self>,
        id: RecordId,
        head: &Metadata,
        generation: Generation,
        before: &StoredDocument,
        after: &StoredDocument,
    ) -> Result<(), Error> {
        let raw = |document: &StoredDocument| document.record.document().map(|document| document.raw);
        let Some(new) = raw(after).filter(|new| raw(before) != Some(*new)) else { return Ok(()) };
        let since = self.waits_since(id, new)?;
        let may_go_on = self.may_go_on(head, before);
        let fetched = match self.in_use(head, generation, before, after).await {
            Ok(files) if may_go_on => tokio::time::timeout_at(since + PATIENCE, self.fetch_all(files)).await,
            Ok(files) => {
                // Whoever waits for the head is given nothing meanwhile.
                let cache = Arc::clone(self);
                tokio::spawn(async move { tokio::time::timeout(PATIENCE, cache.fetch_all(files)).await });
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        };
        let is_overdue = since.elapsed() >= PATIENCE;
        match fetched {
            Ok(Err(error)) if may_go_on => {
                let is_torn = matches!(error, Error::Mismatch { .. } | Error::Unexpected { .. });
                if !is_overdue || (is_torn && since.elapsed() < TORN) {
                    tracing::debug!(proxy = %self.settings.name, package.name = %head.key.package, error = %error,
                        "the upstream is changing its indexes: the generation before is served");
                    if let Some(waiting) = self.state.generations.waiting.lock().get_mut(&id) {
                        waiting.failed = Some(Instant::now());
                    }
                    return Err(if is_torn { Error::OutOfStep { upstream: self.upstream() } } else { error });
                }
            }
            _ => {}
        }
        self.state.generations.waiting.lock().remove(&id);
        // What the old generation lacked the new one may have.
        self.state.absent.clear();
        self.state.generations.catalogue.changed();
        Ok(())
    }

    /// Since when a new head waits. An error while the last attempt to get its files is too fresh to repeat.
    fn waits_since(&self, id: RecordId, new: BlobId) -> Result<Instant, Error> {
        let mut waiting = self.state.generations.waiting.lock();
        if waiting.get(&id).is_none_or(|waiting| waiting.new != new) {
            if waiting.len() >= WAITING
                && let Some(oldest) = oldest_failed(&waiting)
            {
                waiting.remove(&oldest);
            }
            waiting.insert(id, Waiting { new, since: Instant::now(), failed: None });
        }
        match waiting.get(&id) {
            Some(Waiting { failed: Some(failed), .. }) if failed.elapsed() < PAUSE => {
                Err(Error::OutOfStep { upstream: self.upstream() })
            }
            Some(waiting) => Ok(waiting.since),
            None => Ok(Instant::now()),
        }
    }

    /// Whether the old head may still stand in.
    fn may_go_on(&self, head: &Metadata, before: &StoredDocument) -> bool {
        let decision = policy::decide(Some(&before.record), head.lifetime, &self.settings.cache, self.now());
        !matches!(decision, Decision::Revalidate { usable: false, .. })
    }

    /// The new forms of the files that are stored of the old generation.
    async fn in_use(
        self: &Arc<Self>,
        head: &Metadata,
        generation: Generation,
        before: &StoredDocument,
        after: &StoredDocument,
    ) -> Result<Vec<Artifact>, Error> {
        let old = self.open_apart(head, before).await?;
        let new = self.open_apart(head, after).await?;
        let listed = tokio::task::spawn_blocking(move || old.artifacts(|file, _| !file.name.contains("/by-hash/")));
        let mut files = Vec::new();
        for (file, artifact) in listed.await.map_err(|_| Error::Abandoned)? {
            let is_stored = self.record(self.space.record_id(&artifact.key)).await.is_some();
            if !is_stored {
                continue;
            }
            let Some(mut next) = new.look_up(&file.name).await? else { continue };
            // The one that clients ask for: by the same algorithm, if the new head still has it.
            let is_alike = |digest: &Digest| file.digests.iter().any(|old| old.algorithm() == digest.algorithm());
            if next.digests.iter().any(is_alike) {
                next.digests.retain(is_alike);
            }
            let next = (generation.index)(&head.key, &next, new.by_digest);
            files.extend(next.filter(|next| next.key != artifact.key));
        }
        Ok(files)
    }

    /// A generation that is not to become the one that is asked.
    pub(in super::super) async fn open_apart(
        self: &Arc<Self>,
        head: &Metadata,
        document: &StoredDocument,
    ) -> Result<Arc<Open>, Error> {
        let stored = document.record.document().ok_or(Error::Abandoned)?;
        let table = self.table(document).await.unwrap_or_default();
        Ok(Arc::new(Open {
            head: head.clone(),
            raw: stored.raw,
            changed: stored.changed,
            by_digest: stored.by_digest,
            table,
            signature: None,
        }))
    }

    async fn fetch_all(self: &Arc<Self>, files: Vec<Artifact>) -> Result<(), Error> {
        let fetch = |artifact: Artifact| async move {
            // What was wrong a moment ago may have arrived at the upstream since.
            self.state.distrust.acquit(self.space.record_id(&artifact.key));
            match self.artifact(&artifact).await {
                Ok(Served::Stored { .. }) => Ok(()),
                Ok(Served::Filling { fill, body, .. }) => {
                    drop(body);
                    fill.ended().await
                }
                Err(error) => Err(error),
            }
        };
        let mut outcomes = stream::iter(files).map(fetch).buffer_unordered(AT_ONCE);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                // Listed and not served: archives do that, and a file that is no longer made is one. Where our own
                // disk takes nothing, waiting does not help.
                Ok(()) | Err(Error::Missing { .. } | Error::Storage(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
