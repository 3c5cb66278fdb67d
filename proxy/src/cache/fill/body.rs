//! The body of an artifact on its way: whether its head fits what was asked for, how much of it clients may have
//! before it is verified, and the verdict at its end.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};

use super::Fill;
use crate::cache::Cache;
use crate::cache::intake::Intake;
use crate::cache::receive::Batches;
use crate::digest::{Digest, Digests, Hasher};
use crate::error::Error;
use crate::fetch::{FetchError, Reply};
use crate::intent::{Artifact, Shape, Unexpected, is_page_type};
use crate::resolve::{Expected, Target};
use crate::store::spool::{self, HELD_BACK};
use crate::store::{BlobId, RecordId};

/// Bytes by which a page is told from a file.
pub(in crate::cache) const BEGINNING: usize = 64;

/// Why the beginning of a body is that of no file.
const PAGE: &str = "a page or an error where a file was asked for";
/// Why nothing is no file.
pub(super) const EMPTY: &str = "an empty body where a file was asked for";

impl Cache {
    pub(super) async fn check_head(&self, artifact: &Artifact, target: &Target, reply: Reply) -> Result<Reply, Error> {
        let upstream = reply.url.origin();
        match reply.status {
            StatusCode::OK => {}
            status if status.is_success() || status.is_redirection() => {
                return Err(unexpected(&upstream, &format!("status {status} where a file was asked for")));
            }
            _ => return Err(self.refused(reply).await),
        }
        if let (Some(size), Some(announced)) = (artifact.size, content_length(&reply))
            && size != announced
        {
            return Err(unexpected(&upstream, &format!("{announced} bytes where it must have {size}")));
        }
        // Where there is a digest it tells a login page from a file that is merely labelled wrongly.
        if target.expected.is_nothing() && is_web_page(&reply) && artifact.content_type != "text/html" {
            return Err(unexpected(&upstream, "a web page where a file was asked for"));
        }
        if target.expected.is_nothing() && content_length(&reply) == Some(0) {
            return Err(unexpected(&upstream, EMPTY));
        }
        if target.expected.is_nothing() && is_coded(&reply, artifact) {
            return Err(unexpected(&upstream, "a file in a content coding, which was not asked for"));
        }
        Ok(reply)
    }

    /// Takes the body to the spool. Returns what it is and the file.
    pub(super) async fn take_body(
        self: &Arc<Self>,
        artifact: &Artifact,
        target: &Target,
        reply: Reply,
        fill: &Fill,
    ) -> Result<(Arrived, Intake), Error> {
        let upstream = reply.url.origin();
        let announced = content_length(&reply);
        let mut body = Batches::new(reply.body);
        let mut intake = Intake::new(self, artifact, target, announced).await?;
        if let Some(staging) = &intake.staging {
            fill.spool.set_file(Arc::clone(staging.file()));
        }
        if let Some(length) = announced {
            fill.spool.announce(length);
        }
        let received = self.engine.metrics.bytes_from_upstream.get_or_create_owned(&self.label());
        let (mut length, mut beginning, mut begins_right): (u64, Vec<u8>, bool) = (0, Vec::new(), true);
        while let Some(batch) = body.next().await? {
            received.inc_by(batch.len() as u64);
            if length == 0 && !starts_like(&batch, artifact.magic) {
                return Err(unexpected(&upstream, "bytes that are no such file (a login page, perhaps)"));
            }
            if beginning.len() < BEGINNING {
                beginning.extend(batch.iter().take(BEGINNING - beginning.len()));
                begins_right = (artifact.may_begin)(&beginning);
                if !begins_right && target.expected.is_nothing() {
                    return Err(unexpected(&upstream, PAGE));
                }
            }
            let offset = length;
            length += batch.len() as u64;
            if announced.is_some_and(|announced| length > announced) {
                return Err(unexpected(&upstream, "more bytes than it announced"));
            }
            intake = intake.take(offset, batch.clone()).await?;
            if intake.staging.is_none() {
                if !fill.spool.is_held() {
                    // For the whole window at once, before it holds anything: nobody waits with memory in hand.
                    let rest = announced.map_or(spool::IN_MEMORY, |announced| announced - offset);
                    fill.spool.hold(self.engine.memory.take(rest.min(spool::IN_MEMORY)).await?);
                }
                fill.spool
                    .pass(offset, batch)
                    .await
                    .map_err(|error| Error::Storage(Arc::new(std::io::Error::other(error))))?;
            }
            if let Some(size) = artifact.size.filter(|size| length > *size) {
                return Err(unexpected(&upstream, &format!("more than the {size} bytes that it must have")));
            }
            let is_open = artifact.size.is_none() && matches!(artifact.shape, Shape::Opaque);
            let flows = target.expected.is_nothing() && is_open;
            fill.spool.release(if flows { length } else { releasable(length, announced) });
        }
        if announced.is_some_and(|announced| length < announced) {
            let source = Arc::new(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            return Err(Error::Fetch(FetchError::Broken { origin: upstream, source }));
        }
        if let Some(size) = artifact.size.filter(|size| length != *size) {
            return Err(unexpected(&upstream, &format!("{length} bytes where it must have {size}")));
        }
        let digests = std::mem::replace(&mut intake.hasher, Hasher::under([])).finish();
        Ok((Arrived { length, digests, begins_right }, intake))
    }

    /// Compares what arrived with what was expected. Returns the published digest that agrees, if there is one.
    pub(super) async fn verify(
        &self,
        id: RecordId,
        artifact: &Artifact,
        expected: Expected,
        body: &mut Arrived,
        file: Option<Arc<File>>,
        upstream: &str,
    ) -> Result<Option<Digest>, Error> {
        if let Expected::Pinned(pin) = &expected {
            return if blob_id(&body.digests) == *pin { Ok(None) } else { Err(pin_changed(upstream, pin)) };
        }
        let mut published = expected.settled().await?;
        self.look_into(artifact, body, &mut published, file, upstream).await?;
        let digests = &body.digests;
        if !published.is_empty() && !published.iter().any(|digest| digests.under(digest.algorithm()).is_some()) {
            return Err(unexpected(upstream, "a digest that came too late to be compared: ask again"));
        }
        if let Some(digest) = Digest::strongest_of(&published, |algorithm| digests.under(algorithm).is_some()) {
            let found = digests.under(digest.algorithm());
            if found != Some(digest) {
                return Err(Error::Mismatch {
                    upstream: upstream.to_owned(),
                    expected: digest.to_string(),
                    found: found.map(ToString::to_string).unwrap_or_default(),
                });
            }
            return Ok(Some(digest.clone()));
        }
        if !body.begins_right {
            return Err(unexpected(upstream, PAGE));
        }
        match self.pin(id, artifact).await {
            Some(pin) if blob_id(digests) != pin => Err(pin_changed(upstream, &pin)),
            _ => Ok(None),
        }
    }

    /// Whether an answer means that a file is not at this address and may be at another. Stores of objects refuse what they
    /// do not have to whoever may not list them; what stands in for an upstream may know one of the addresses only.
    pub(super) fn may_be_elsewhere(&self, reply: &Result<Reply, Error>, artifact: &Artifact) -> bool {
        let failed = |status: StatusCode| status.is_server_error() && self.has_fallbacks();
        match reply {
            Ok(reply) => match reply.status {
                StatusCode::NOT_FOUND | StatusCode::GONE => true,
                // What has a second address has a digest.
                status => artifact.spare.is_some() && (status == StatusCode::FORBIDDEN || failed(status)),
            },
            Err(error) => artifact.spare.is_some() && self.has_fallbacks() && error.is_of_upstream(),
        }
    }

    /// The first bytes ever seen under this name: where nothing is published, the right ones until somebody purges them.
    pub(super) async fn pin(&self, id: RecordId, artifact: &Artifact) -> Option<BlobId> {
        if !artifact.pinned {
            return None;
        }
        self.record(id).await?.artifact().map(|pinned| pinned.blob)
    }
}

/// A body that has arrived.
pub(in crate::cache) struct Arrived {
    pub(in crate::cache) length: u64,
    pub(in crate::cache) digests: Digests,
    /// See [`Artifact::may_begin`].
    pub(in crate::cache) begins_right: bool,
}

/// How much of `length` received bytes clients may have before anything is verified.
fn releasable(length: u64, announced: Option<u64>) -> u64 {
    match announced {
        Some(announced) => length.min(announced.saturating_sub(HELD_BACK)),
        None => length.saturating_sub(HELD_BACK),
    }
}

pub(super) fn blob_id(digests: &Digests) -> BlobId {
    BlobId::from_digest(digests.sha256_bytes())
}

fn starts_like(first: &Bytes, magic: &[u8]) -> bool {
    let count = first.len().min(magic.len());
    first[..count] == magic[..count]
}

/// Whether only a digest tells that this is the file, and not a page of somebody on the way, nothing, or a coded form.
pub(super) fn is_odd(reply: &Reply, artifact: &Artifact) -> bool {
    let is_odd = is_web_page(reply) || is_coded(reply, artifact) || content_length(reply) == Some(0);
    reply.status == StatusCode::OK && is_odd
}

pub(super) fn is_web_page(reply: &Reply) -> bool {
    let kind = reply.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(is_page_type)
}

/// Whether an answer comes in a content coding although none was asked for. Some stores label what is compressed itself
/// so; the first bytes of such files tell.
fn is_coded(reply: &Reply, artifact: &Artifact) -> bool {
    let coding = reply.headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii());
    coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        && artifact.magic.is_empty()
}

pub(in crate::cache) fn content_length(reply: &Reply) -> Option<u64> {
    reply.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn pin_changed(upstream: &str, pin: &BlobId) -> Error {
    Error::PinChanged { upstream: upstream.to_owned(), expected: format!("sha256:{pin}") }
}

pub(super) fn unexpected(upstream: &str, reason: &str) -> Error {
    Error::Unexpected { upstream: upstream.to_owned(), reason: Unexpected(reason.to_owned()) }
}
