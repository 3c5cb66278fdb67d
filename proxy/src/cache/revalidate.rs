//! Asks whether a document has changed without asking for it: registries count downloads, and a HEAD is none.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use super::Cache;
use super::document::StoredDocument;
use crate::digest::{Digest, Hasher};
use crate::error::Error;
use crate::fetch::Ask;
use crate::intent::{Metadata, Revalidate};
use crate::store::Blob;

impl Cache {
    /// Whether a HEAD says that the upstream's document is still the one that is held. A registry that refuses a HEAD, or
    /// answers it with 404 because it knows none, says nothing.
    pub(super) async fn is_unchanged(
        self: &Arc<Self>,
        metadata: &Metadata,
        ask: &Ask,
        held: &StoredDocument,
    ) -> Result<bool, Error> {
        let (Revalidate::Digest(header), Some(stored)) = (metadata.revalidate, held.record.document()) else {
            return Ok(false);
        };
        let reply = self.ask(Ask { method: Method::HEAD, ..ask.clone() }).await?;
        match reply.status {
            StatusCode::OK => {
                Ok(announced(&reply.headers, header).is_some_and(|said| said == format!("sha256:{}", stored.received)))
            }
            StatusCode::TOO_MANY_REQUESTS => Err(self.refused(reply).await),
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Err(self.refused(reply).await)
            }
            _ => Ok(false),
        }
    }
}

/// Compares a document with the digests that it must have: the one of its name, and the one that the upstream gave
/// with it.
pub(super) fn verify(metadata: &Metadata, headers: &HeaderMap, blob: &Blob, upstream: &str) -> Result<(), Error> {
    let mut expected: Vec<Digest> = metadata.expect.iter().cloned().collect();
    if let Revalidate::Digest(header) = metadata.revalidate {
        expected.extend(announced(headers, header).and_then(Digest::parse));
    }
    if expected.is_empty() {
        return Ok(());
    }
    let bytes = blob.read_all().map_err(|error| Error::Storage(Arc::new(error)))?;
    for digest in expected {
        let mut hasher = Hasher::under([digest.algorithm()]);
        hasher.update(&bytes);
        let digests = hasher.finish();
        let found = digests.under(digest.algorithm());
        if found != Some(&digest) {
            return Err(Error::Mismatch {
                upstream: upstream.to_owned(),
                expected: digest.to_string(),
                found: found.map(ToString::to_string).unwrap_or_default(),
            });
        }
    }
    Ok(())
}

fn announced<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
