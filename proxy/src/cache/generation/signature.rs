//! The detached signature of a head: a file of its own upstream, and part of the head here.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use url::Url;

use super::Client;
use crate::cache::Cache;
use crate::cache::receive::{self, Coded};
use crate::cache::write::Finished;
use crate::cache_status::CacheStatus;
use crate::error::Error;
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
        let get = async |path: &UpstreamPath, limit: u64, patience: Patience| {
            let url = SafeUrl::from(path.below(&self.settings.upstream.url));
            let mut ask = self.get(head.id, url, Purpose::Metadata);
            if self.has_fallbacks() {
                ask.source = Some(Wanted { fallback: head.source.clone(), instead: Instead::Nobody });
            }
            let reply = self.ask(ask).await?;
            match reply.status {
                StatusCode::OK => {}
                _ => return Err(self.refused(reply).await),
            }
            receive::receive(reply, Coded::Undone, &self.engine.store, &self.engine.memory, patience, limit, &[]).await
        };
        let signature = match get(&of(&head.metadata.key), SIGNATURE, patience).await {
            Ok(signature) => signature,
            // An archive that is not signed.
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let patience = if signature.blob.permit().is_some() { Patience::GiveUp } else { patience };
        let again = get(&head.metadata.from, self.settings.cache.max_metadata_size, patience).await?;
        if again.blob.id() != head.received {
            return Err(Error::OutOfStep { upstream: self.upstream() });
        }
        let (blob, staging) = (signature.blob, signature.staging);
        files.extend(staging.map(|staging| Finished::new(staging, blob.id())));
        Ok(Some(blob))
    }
}
