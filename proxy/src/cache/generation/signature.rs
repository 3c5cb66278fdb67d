//! The detached signature of a head: a file of its own upstream, and part of the head here.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use url::Url;

use super::Client;
use crate::cache::receive::{self, Coded, Received};
use crate::cache::write::Finished;
use crate::cache::{Cache, StoredDocument};
use crate::cache_status::CacheStatus;
use crate::error::{Error, means_none};
use crate::fetch::{Instead, Purpose, SafeUrl, Wanted};
use crate::intent::{Key, Metadata};
use crate::memory::Patience;
use crate::store::{Blob, BlobId, RecordId};
use crate::upstream_path::UpstreamPath;

/// Bytes of a signature.
const SIGNATURE: u64 = 1 << 20;

/// A head that has just arrived.
pub(in crate::cache) struct Head<'a> {
    pub(in crate::cache) id: RecordId,
    pub(in crate::cache) metadata: &'a Metadata,
    pub(in crate::cache) received: BlobId,
    /// The fallback that gave it; `None`: the first address.
    pub(in crate::cache) source: Option<Url>,
}

impl Cache {
    /// The detached signature of the head that this client was given, else of the current one.
    pub async fn signature(self: &Arc<Self>, head: &Metadata, client: Client) -> Result<(Bytes, CacheStatus), Error> {
        let given = self.given_to(client, head);
        if given.len() > 1 {
            return Err(Error::OutOfStep { upstream: self.upstream() });
        }
        let (open, status) = if let Some(open) = given.into_iter().next() {
            (open, CacheStatus::Hit { ttl: 0 })
        } else {
            let (document, status) = self.document(head).await?;
            (self.open(head, &document).await?, status)
        };
        let missing = || Error::Missing { status: 404, upstream: self.upstream(), text: "".into() };
        let blob = open.signature.clone().ok_or_else(missing)?;
        let read = tokio::task::spawn_blocking(move || blob.read_all()).await.map_err(|_| Error::Abandoned)?;
        Ok((read.map_err(|error| Error::Storage(Arc::new(error)))?, status))
    }

    /// Fetches the signature of a head that has just arrived, and the head once more, both of the address that gave it:
    /// only if that is the same do both belong together. `patience` is that of whoever holds the head.
    pub(in crate::cache) async fn fetch_signature(
        self: &Arc<Self>,
        head: &Head<'_>,
        of: fn(&Key) -> UpstreamPath,
        patience: Patience,
        files: &mut Vec<Finished>,
    ) -> Result<Option<Blob>, Error> {
        let Some(signature) = self.signature_of(head, of, patience).await? else { return Ok(None) };
        let patience = if signature.blob.permit().is_some() { Patience::GiveUp } else { patience };
        let limit = self.settings.cache.max_metadata_size;
        let again = self.of_the_same(head, &head.metadata.from, limit, patience).await?;
        if again.blob.id() != head.received {
            return Err(Error::OutOfStep { upstream: self.upstream() });
        }
        let (blob, staging) = (signature.blob, signature.staging);
        files.extend(staging.map(|staging| Finished::new(staging, blob.id())));
        Ok(Some(blob))
    }

    /// Whether the signature of a head that has not changed is still the one that is held: archives publish it after the
    /// head, or sign anew. `source` is the address that says so.
    pub(in crate::cache) async fn is_still_signed(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        held: &StoredDocument,
        source: Option<Url>,
    ) -> bool {
        let of = metadata.generation.and_then(|generation| generation.signature);
        let (Some(of), Some(document)) = (of, held.record.document()) else { return true };
        let signed = Head { id, metadata, received: document.received, source };
        match self.signature_of(&signed, of, Patience::GiveUp).await {
            Ok(found) => found.map(|found| found.blob.id()) == document.signature.map(|(signature, _)| signature),
            // Nobody knows.
            Err(_) => true,
        }
    }

    /// The signature beside a head; `None` where there is none, or where a store refuses what it does not have.
    async fn signature_of(
        self: &Arc<Self>,
        head: &Head<'_>,
        of: fn(&Key) -> UpstreamPath,
        patience: Patience,
    ) -> Result<Option<Received>, Error> {
        match self.of_the_same(head, &of(&head.metadata.key), SIGNATURE, patience).await {
            Ok(signature) => Ok(Some(signature)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(Error::Upstream { status, .. }) if means_none(status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file of the address that gave a head.
    async fn of_the_same(
        self: &Arc<Self>,
        head: &Head<'_>,
        path: &UpstreamPath,
        limit: u64,
        patience: Patience,
    ) -> Result<Received, Error> {
        let url = SafeUrl::from(path.below(&self.settings.upstream.url));
        let mut ask = self.get(head.id, url, Purpose::Metadata);
        if self.has_fallbacks() {
            ask.source = Some(Wanted { fallback: head.source.clone(), instead: Instead::Nobody });
        }
        let reply = self.ask(ask).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refused(reply).await);
        }
        receive::receive(reply, Coded::Undone, &self.engine.store, &self.engine.memory, patience, limit, &[]).await
    }
}
