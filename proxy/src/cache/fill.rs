//! Fetches one artifact, once: from the upstream to a file that every client reads while it grows, verified before
//! its end is released, committed behind the clients' backs.

use std::sync::{Arc, OnceLock};

use futures_util::StreamExt as _;
use http::{StatusCode, header};
use url::Url;

use super::Cache;
use super::lately::{Asked, absence_of};
use super::purges::Since;
use super::write::Finished;
use crate::cache_status::CacheStatus;
use crate::digest::{Algorithm, Digest, Digests};
use crate::error::Error;
use crate::fetch::resume::resuming;
use crate::fetch::{Instead, Purpose, Reply, SafeUrl, Wanted};
use crate::intent::{Artifact, Key};
use crate::resolve::{Expected, Target};
use crate::store::spool::Spool;
use crate::store::{self, Blob, ByteStream, Record, RecordId, State};

pub(super) use body::{Arrived, BEGINNING, content_length};
use body::{EMPTY, blob_id, is_odd, is_web_page, unexpected};

mod body;
mod head;

/// An artifact on its way.
#[derive(Debug, Default)]
pub struct Fill {
    /// The growing body.
    pub spool: Arc<Spool>,
    error: OnceLock<Error>,
    /// Which address gives it, once that has answered.
    pub(super) source: OnceLock<Option<Url>>,
    /// The outcome, before it is on disk.
    finished: OnceLock<(Arc<Record>, Blob)>,
    /// Of all of it, once that is verified.
    digests: OnceLock<Digests>,
    /// The digest that was asked for.
    expect: Option<Digest>,
    /// Whether the upstream gives only what it holds already.
    passive: bool,
    since: Since,
}

impl Fill {
    /// Waits until there is something to send, or it is certain that there will not be. Artifacts of up to 64 KiB
    /// are complete and verified then.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut progress = self.spool.progress();
        let begun = |progress: &store::spool::Progress| progress.released > 0 || progress.end.is_some();
        let failed = match progress.wait_for(begun).await {
            Ok(progress) => matches!(progress.end, Some(Err(_))),
            Err(_) => true,
        };
        if failed { Err(self.error.get().cloned().unwrap_or(Error::Abandoned)) } else { Ok(()) }
    }

    /// Waits for the end.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut progress = self.spool.progress();
        let end = match progress.wait_for(|progress| progress.end.is_some()).await {
            Ok(progress) => progress.end.clone(),
            Err(_) => None,
        };
        match end {
            Some(Ok(())) => Ok(()),
            _ => Err(self.error.get().cloned().unwrap_or(Error::Abandoned)),
        }
    }

    /// The artifact, once it is verified and in a file.
    pub fn finished_blob(&self) -> Option<(Arc<Record>, Blob)> {
        self.finished.get().cloned()
    }

    /// Reads the body to its end and says what digests it has, kept or not.
    pub(super) async fn digests(&self, mut body: ByteStream) -> Result<Digests, Error> {
        while let Some(Ok(_)) = body.next().await {}
        self.digests.get().cloned().ok_or_else(|| self.error.get().cloned().unwrap_or(Error::Abandoned))
    }

    /// Whether a new client would get all of it.
    fn is_open(&self) -> bool {
        self.spool.is_whole() && !matches!(self.spool.progress().borrow().end, Some(Err(_)))
    }

    fn fail(&self, error: Error) {
        let reason = error.to_string();
        let _ = self.error.set(error);
        self.spool.fail(reason);
    }
}

/// An artifact for a client.
pub enum Served {
    /// From the store.
    Stored {
        /// What is known of it.
        record: Arc<Record>,
        /// Its bytes.
        blob: Blob,
    },
    /// On its way.
    Filling {
        /// The fill.
        fill: Arc<Fill>,
        /// Its body from the first byte.
        body: ByteStream,
        /// How it came about.
        status: CacheStatus,
    },
}

impl Cache {
    /// An artifact: from the store, or from the one fill that everyone shares.
    pub async fn artifact(self: &Arc<Self>, artifact: &Artifact) -> Result<Served, Error> {
        let id = self.space.record_id(&artifact.key);
        if let Some(stored) = self.stored_as(id, artifact).await? {
            return Ok(stored);
        }
        if let Some(error) = self.state.distrust.verdict(id, artifact.expect.as_ref()) {
            return Err(error);
        }
        let run = |fill: Arc<Fill>| {
            let (cache, artifact) = (Arc::clone(self), artifact.clone());
            async move {
                // Should the work below panic, its readers see a failure and not an end.
                let guard = Unwatched(Arc::clone(&fill));
                if let Err(error) = cache.fill(id, &artifact, &fill).await {
                    cache.note_failure(id, &artifact, &error, fill.since).await;
                    fill.fail(error);
                }
                drop(guard);
            }
        };
        // A reader takes its place before it is asked whether everything is still there: from then on nothing goes.
        let (mut place, since) = (None, self.since());
        let is_open = |fill: &Fill| {
            place = Some(fill.spool.read(0..u64::MAX));
            let is_alike = fill.expect == artifact.expect && (artifact.passive || !fill.passive);
            fill.is_open() && is_alike && fill.since == since
        };
        let (expect, passive) = (artifact.expect.clone(), artifact.passive);
        let begin = || Fill { expect, passive, since, ..Fill::default() };
        let (fill, collapsed) = self.state.fills.join(id, is_open, begin, run);
        let body = place.filter(|_| collapsed).unwrap_or_else(|| fill.spool.read(0..u64::MAX));
        if let Some((record, blob)) = fill.finished_blob().filter(|_| collapsed) {
            // Verified and only on its way to the disk.
            return Ok(Served::Stored { record, blob });
        }
        fill.ready().await?;
        let stored = self.engine.store.fault().is_none();
        Ok(Served::Filling { fill, body, status: CacheStatus::Miss { stored, collapsed } })
    }

    /// The stored artifact; `None` if there is none, or one of other bytes than those that are expected; an error if
    /// the upstream just said that it does not exist.
    pub async fn stored_artifact(&self, artifact: &Artifact) -> Result<Option<Served>, Error> {
        self.stored_as(self.space.record_id(&artifact.key), artifact).await
    }

    async fn stored_as(&self, id: RecordId, artifact: &Artifact) -> Result<Option<Served>, Error> {
        let absent = || self.present(self.absence(artifact)).map(|()| None);
        let Some(record) = self.record(id).await else { return absent() };
        let Some(stored) = record.artifact() else { return Ok(None) };
        if artifact.expect.as_ref().is_some_and(|expect| !agrees(stored, expect)) {
            return absent();
        }
        let store = &self.engine.store;
        let blob = if stored.referenced {
            store.owned_blob(&self.space, stored.blob, stored.length).await
        } else {
            store.blob(&self.space, stored.blob, stored.length).await
        };
        match blob {
            Some(blob) => Ok(Some(Served::Stored { record, blob })),
            None => absent(),
        }
    }

    /// Under which name it is remembered that an artifact is absent: one that is looked for in two places may be there
    /// when it is not in the first.
    fn absence(&self, artifact: &Artifact) -> RecordId {
        match &artifact.spare {
            None => self.space.record_id(&artifact.key),
            Some(spare) => {
                let file = format!("{} or {}", artifact.key.file, spare.as_str());
                self.space.record_id(&Key { file, ..artifact.key.clone() })
            }
        }
    }

    /// The fill of this artifact, if one is under way.
    pub fn filling(&self, artifact: &Artifact) -> Option<Arc<Fill>> {
        self.state.fills.find(self.space.record_id(&artifact.key))
    }

    async fn note_failure(&self, id: RecordId, artifact: &Artifact, error: &Error, since: Since) {
        self.doubt(id, error);
        self.note_absence(artifact, error, Asked::Get, since).await;
        match error {
            Error::Mismatch { .. } | Error::PinChanged { .. } => {
                self.engine.metrics.digest_mismatches.get_or_create(&self.label()).inc();
                tracing::error!(proxy = %self.settings.name, package.name = %artifact.key.package,
                    package.version = %artifact.key.version, package.file = %artifact.key.file, error = %error,
                    "wrong bytes from the upstream: nothing was kept");
                self.state.distrust.accuse(id, artifact.expect.as_ref(), error.clone());
            }
            error => tracing::debug!(proxy = %self.settings.name, package.name = %artifact.key.package,
                package.file = %artifact.key.file, error = %error, "a fill failed"),
        }
    }

    /// Notes that there is no such artifact, if that is what an error says. One that a document of the upstream names will
    /// be there in a moment.
    async fn note_absence(&self, artifact: &Artifact, error: &Error, asked: Asked, since: Since) {
        if let Some((status, text)) = absence_of(error).filter(|_| !artifact.passive)
            && !self.is_referenced(artifact).await
        {
            let (id, ttl) = (self.absence(artifact), self.settings.cache.negative_ttl);
            self.state.purges.unless_since(since, || self.state.absent.note(id, asked, status, &text, ttl));
        }
    }

    async fn is_referenced(&self, artifact: &Artifact) -> bool {
        let record = self.record(self.space.record_id(&artifact.key)).await;
        record.as_deref().and_then(Record::artifact).is_some_and(|known| known.referenced)
    }

    async fn fill(self: &Arc<Self>, id: RecordId, artifact: &Artifact, fill: &Fill) -> Result<(), Error> {
        // Another fill may have ended between the look at the store and the start of this one.
        if let Some(Served::Stored { record, blob }) = self.stored_as(id, artifact).await? {
            let length = blob.length();
            let _ = fill.finished.set((record, blob));
            fill.spool.complete(length);
            return Ok(());
        }
        let is_suspect = self.state.distrust.is_suspect(id, artifact.expect.as_ref());
        let mut target = self.resolve(artifact, is_suspect).await?;
        let mut reply = self.ask_artifact(id, artifact, &target).await;
        if self.may_be_elsewhere(&reply, artifact)
            && let Some(elsewhere) = self.resolve_elsewhere(artifact, &target).await?
        {
            target = elsewhere;
            reply = self.ask_artifact(id, artifact, &target).await;
        }
        let reply = reply?;
        target.expected = self.expected_after_head(id, artifact, &target.url, target.expected, &reply);
        if is_odd(&reply, artifact) {
            target.expected = target.expected.certain().await?;
        }
        let reply = self.check_head(artifact, &target, reply).await?;
        // What does not look like it (a login page, say) lets nobody have it, and an index is read while it arrives.
        let begun = content_length(&reply).filter(|_| !is_web_page(&reply));
        if artifact.scan.is_none()
            && let Some((record, blob)) = self.held_elsewhere(artifact, begun).await
        {
            // The upstream has let us have it here, too: the same bytes need not come again.
            drop(reply);
            let length = blob.length();
            let _ = fill.finished.set((Arc::clone(&record), blob));
            fill.spool.complete(length);
            self.state.writer.store(id, record, Vec::new(), fill.since).await;
            return Ok(());
        }
        let source = reply.fallback.clone();
        fill.set_source(source.clone());
        if target.expected.is_nothing()
            && let Some(pin) = self.pin(id, artifact).await
        {
            // Held back like a digest.
            target.expected = Expected::Pinned(pin);
        }
        self.engine.metrics.fills.get_or_create(&self.label()).inc();
        let upstream = reply.url.origin();
        let last_modified = reply.headers.get(header::LAST_MODIFIED);
        let last_modified = last_modified.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let framed = reply.framed;
        let (mut received_body, mut intake) = self.take_body(artifact, &target, reply, fill).await?;
        let arrived = intake.staging.as_ref().map(|staging| Arc::clone(staging.file()));
        let verified = self.verify(id, artifact, target.expected, &mut received_body, arrived, &upstream).await?;
        let Arrived { length, digests, .. } = received_body;
        if length == 0 && verified.is_none() {
            return Err(unexpected(&upstream, EMPTY));
        }
        self.state.distrust.acquit(id);
        self.state.doubted.undo(id);
        self.state.absent.lift(id);
        let _ = fill.digests.set(digests.clone());
        // Without a digest and without a length nothing says that this is all of it.
        let keep = (verified.is_some() || framed) && fill.since == self.since();
        let Some(staging) = intake.staging.take().filter(|_| keep) else {
            fill.spool.complete(length);
            return Ok(());
        };
        let blob = Blob::file(blob_id(&digests), length, Arc::clone(staging.file()));
        let verified = verified.map(|digest| digest.to_string());
        let served = artifact.checksum_siblings.map_or_else(Vec::new, |siblings| digests.of(siblings.served));
        let mut stored = store::Artifact {
            verified,
            last_modified,
            source,
            digests: served,
            unpinned: !artifact.pinned,
            ..store::Artifact::of(blob.id(), length)
        };
        let now = self.now();
        let record = |stored| Arc::new(Record::new(&artifact.key, now, State::Artifact(stored)));
        let mut files = vec![Finished { staging, blob: blob.id(), reservation: intake.reservation.take() }];
        // Whoever asks for a file that this one names waits for that.
        let learning = artifact.scan.map(|scan| (scan, self.state.generations.catalogue.learning()));
        let _ = fill.finished.set((record(stored.clone()), blob.clone()));
        fill.spool.complete(length);
        if let Some((scan, _)) = &learning {
            // One that could not be read for want of memory is fetched again: it would name nothing for ever.
            stored.names = match self.learn(blob, scan(&artifact.key), &mut files).await {
                Ok(names) => names.map(|names| (names.id(), names.length())),
                Err(error) => {
                    tracing::warn!(proxy = %self.settings.name, package.file = %artifact.key.file, error = %error,
                        "an index is not kept, since it could not be read");
                    return Ok(());
                }
            };
        }
        self.state.writer.store(id, record(stored), files, fill.since).await;
        if learning.is_some() {
            self.state.generations.catalogue.changed();
        }
        Ok(())
    }

    /// What is expected of a body whose head has arrived.
    fn expected_after_head(
        self: &Arc<Self>,
        id: RecordId,
        artifact: &Artifact,
        url: &SafeUrl,
        expected: Expected,
        reply: &Reply,
    ) -> Expected {
        match expected {
            Expected::Beside(siblings) => self.expected_beside(id, url, siblings.asked, reply),
            Expected::AfterHead if reply.status == StatusCode::OK => self.look_up_beside(artifact),
            expected => expected,
        }
    }

    async fn ask_artifact(
        self: &Arc<Self>,
        id: RecordId,
        artifact: &Artifact,
        target: &Target,
    ) -> Result<Reply, Error> {
        let mut ask = self.get(id, target.url.clone(), Purpose::Artifact);
        ask.source = self.wanted(id, artifact, target).await;
        ask.passive = artifact.passive;
        let reply = self.ask(ask.clone()).await?;
        if self.has_fallbacks() {
            // The rest of the body too, where there is a choice.
            ask.source = Some(Wanted { fallback: reply.fallback.clone(), instead: Instead::Anyone });
        }
        // Bytes that are checked against a digest at the end may be pieced together from any two answers.
        Ok(resuming(Arc::clone(&self.fetch), ask, reply, target.expected.is_certain()))
    }
}

/// Whether a stored artifact has the digest that is asked for.
fn agrees(stored: &store::Artifact, expect: &Digest) -> bool {
    match expect.algorithm() {
        Algorithm::Sha256 => stored.blob.to_string() == expect.hex(),
        _ => stored.verified.as_deref() == Some(expect.to_string().as_str()),
    }
}

/// Fails a fill whose task ends without saying how.
struct Unwatched(Arc<Fill>);

impl Drop for Unwatched {
    fn drop(&mut self) {
        if self.0.spool.progress().borrow().end.is_none() {
            self.0.fail(Error::Abandoned);
        }
    }
}
