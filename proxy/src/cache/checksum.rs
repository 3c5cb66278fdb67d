//! Digests that lie beside files: learned from an upstream to verify a file by, and told of what is stored here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::StatusCode;

use super::document::StoredDocument;
use super::policy::{self, Decision};
use super::{Cache, Served};
use crate::cache_status::CacheStatus;
use crate::checksum_sibling::{self, LONGEST};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, means_none};
use crate::fetch::{Instead, Purpose, Reply, SafeUrl, Wanted};
use crate::intent::{Artifact, Metadata};
use crate::resolve::Expected;
use crate::store::{Blob, Record, RecordId};

/// How long after its expiry a document's checksum is told without asking for the document again. A client asks for
/// both, one after the other, and what it got first must still agree with what it gets then.
const IN_STEP: Duration = Duration::from_mins(1);

/// How long a document has until it is fetched once more because what lies beside it is not its digest: whoever
/// publishes both does so one after the other.
const LAG: Duration = Duration::from_millis(500);
/// How long a document that is here waits for what is published beside it.
const BESIDE: Duration = Duration::from_secs(2);

/// What the upstream publishes of a document that is on its way.
pub(super) struct Beside {
    digests: Expected,
    /// Whether the document is taken even if it is something else.
    is_last: bool,
}

/// How a document compares with what the upstream publishes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Nothing that can be compared is published.
    Unknown,
    /// It has the digest that is published.
    Equal,
    /// It should have this one.
    Other(Digest),
}

impl Cache {
    /// The digest of the document whose answer begins with this head, as far as there are such.
    pub(super) fn document_beside(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        url: &SafeUrl,
        reply: &Reply,
        is_last: bool,
    ) -> Beside {
        // One that has none is not looked for under another name, each time that the document is asked for again.
        let first = metadata.checksum_siblings.and_then(|siblings| siblings.asked.get(..1));
        let digests = first.map_or(Expected::Nothing, |asked| self.expected_beside(id, url, asked, reply));
        Beside { digests, is_last }
    }

    /// Compares a document that has arrived with what the upstream publishes of it. An error means that it is worth
    /// fetching both once more. Where they differ for good, the document is taken nevertheless, as clients take it
    /// from the registry itself: public registries have such pairs.
    pub(super) async fn compare_beside(
        &self,
        metadata: &Metadata,
        beside: Beside,
        found: &[Digest],
    ) -> Result<Compared, Error> {
        // What cannot be learned in good time is no reason to withhold a document.
        let wait = self.settings.cache.revalidation_wait.min(BESIDE);
        let published = tokio::time::timeout(wait, beside.digests.settled()).await;
        let published = published.ok().and_then(Result::ok).unwrap_or_default();
        let own = |digest: &Digest| found.iter().find(|own| own.algorithm() == digest.algorithm()).cloned();
        let Some(digest) =
            Digest::strongest_of(&published, |algorithm| found.iter().any(|own| own.algorithm() == algorithm))
        else {
            return Ok(Compared::Unknown);
        };
        if own(digest).as_ref() == Some(digest) {
            return Ok(Compared::Equal);
        }
        if !beside.is_last {
            tokio::time::sleep(LAG).await;
            return Err(Error::OutOfStep { upstream: self.upstream() });
        }
        self.engine.metrics.unverified.get_or_create(&self.label()).inc();
        tracing::warn!(proxy = %self.settings.name, package.name = %metadata.key.package,
            package.version = %metadata.key.version, package.file = %metadata.key.file, expected = %digest,
            "passed on unverified: the upstream publishes the digest of something else beside it");
        Ok(Compared::Other(digest.clone()))
    }

    /// The digests of the file whose answer begins with this head: in its headers, else in what lies beside it, asked
    /// for from now on.
    pub(super) fn expected_beside(
        self: &Arc<Self>,
        id: RecordId,
        url: &SafeUrl,
        asked: &'static [Algorithm],
        reply: &Reply,
    ) -> Expected {
        if reply.status != StatusCode::OK {
            return Expected::Nothing;
        }
        let digests = checksum_sibling::in_headers(&reply.headers);
        if !digests.is_empty() {
            return Expected::of(digests);
        }
        let (cache, url) = (Arc::clone(self), url.clone());
        // Where a registry has several addresses, the one that gives the file vouches for it.
        let several = self.has_fallbacks();
        let source = several.then(|| Wanted { fallback: reply.fallback.clone(), instead: Instead::Nobody });
        Expected::beside(move || Arc::clone(&cache).look_beside(id, url.clone(), source.clone(), asked))
    }

    async fn look_beside(
        self: Arc<Self>,
        id: RecordId,
        url: SafeUrl,
        source: Option<Wanted>,
        asked: &'static [Algorithm],
    ) -> Result<Vec<Digest>, Error> {
        for algorithm in asked {
            let mut beside = url.expose().clone();
            beside.set_path(&format!("{}.{}", beside.path(), algorithm.name()));
            let mut ask = self.get(id, SafeUrl::from(beside), Purpose::Artifact);
            ask.source.clone_from(&source);
            let reply = self.ask(ask).await?;
            match reply.status {
                StatusCode::OK => {
                    if let Some(digest) = checksum_sibling::read(&beginning(reply).await?, *algorithm) {
                        return Ok(vec![digest]);
                    }
                    tracing::warn!(proxy = %self.settings.name, url = %url, algorithm = algorithm.name(),
                        "the checksum beside a file holds no digest: it is taken for absent");
                }
                status if means_none(status.as_u16()) => {}
                _ => return Err(self.refused(reply).await),
            }
        }
        Ok(Vec::new())
    }

    /// The digest of a file, which is fetched first if it is not here.
    pub async fn checksum_of_file(
        self: &Arc<Self>,
        artifact: &Artifact,
        algorithm: Algorithm,
    ) -> Result<(Digest, CacheStatus), Error> {
        match self.artifact(artifact).await? {
            Served::Stored { record, blob } => {
                Ok((digest_of(&record, &blob, algorithm).await?, CacheStatus::IMMUTABLE))
            }
            Served::Filling { fill, body, status } => {
                if let Some((record, blob)) = fill.finished_blob() {
                    return Ok((digest_of(&record, &blob, algorithm).await?, status));
                }
                let digests = fill.digests(body).await?;
                Ok((digests.under(algorithm).cloned().ok_or(Error::Abandoned)?, status))
            }
        }
    }

    /// The digest of a document as it is served now, or was a moment ago, together with the document.
    pub async fn checksum_of_document(
        self: &Arc<Self>,
        metadata: &Metadata,
        algorithm: Algorithm,
    ) -> Result<(Digest, StoredDocument, CacheStatus), Error> {
        let (mut document, mut status) = self.document_in_step(metadata).await?;
        if !document.record.digests().iter().any(|digest| digest.algorithm() == algorithm)
            && self.raw(&document).await.is_none()
        {
            // The disk has lost it.
            (document, status) = self.fetched(metadata, Some(&document.record)).await?;
        }
        let blob = self.raw(&document).await.ok_or(Error::Abandoned)?;
        Ok((digest_of(&document.record, &blob, algorithm).await?, document, status))
    }

    async fn document_in_step(self: &Arc<Self>, metadata: &Metadata) -> Result<(StoredDocument, CacheStatus), Error> {
        self.present(self.space.record_id(&metadata.key))?;
        if let Some(held) = self.stored_document(metadata).await {
            let cache = &self.settings.cache;
            match policy::decide(Some(&held.record), metadata.lifetime, cache, self.now()) {
                Decision::Fresh { ttl } => {
                    return Ok((held, CacheStatus::Hit { ttl: i64::try_from(ttl).unwrap_or(i64::MAX) }));
                }
                Decision::StaleWhileRevalidate { stale } | Decision::Revalidate { stale, .. }
                    if stale < IN_STEP.as_secs() =>
                {
                    return Ok((held, CacheStatus::Hit { ttl: -i64::try_from(stale).unwrap_or(i64::MAX) }));
                }
                _ => {}
            }
        }
        self.document(metadata).await
    }
}

/// What the record says, or what a record of an older kind has to be asked the bytes for.
async fn digest_of(record: &Record, blob: &Blob, algorithm: Algorithm) -> Result<Digest, Error> {
    if let Some(digest) = record.digests().iter().find(|digest| digest.algorithm() == algorithm) {
        return Ok(digest.clone());
    }
    let blob = blob.clone();
    let work = move || {
        let mut hasher = Hasher::under([algorithm]);
        let mut buffer = vec![0; 128 << 10];
        let mut position = 0;
        while position < blob.length() {
            let count = blob.read_at(position, &mut buffer)?;
            if count == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
            hasher.update(&buffer[..count]);
            position += count as u64;
        }
        Ok(hasher.finish())
    };
    let digests = tokio::task::spawn_blocking(work).await.map_err(|_| Error::Abandoned)?;
    let digests = digests.map_err(|error| Error::Storage(Arc::new(error)))?;
    digests.under(algorithm).cloned().ok_or(Error::Abandoned)
}

/// The beginning of a body that should be short.
async fn beginning(reply: Reply) -> Result<Vec<u8>, Error> {
    let mut body = reply.body;
    let mut taken = Vec::new();
    while let Some(piece) = body.next().await {
        taken.extend_from_slice(&piece?);
        if taken.len() > LONGEST {
            break;
        }
    }
    taken.truncate(LONGEST);
    Ok(taken)
}
