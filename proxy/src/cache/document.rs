//! Gets a metadata document from the upstream: validators along, 304 or a new body, read once, stored.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::watch;

use super::Cache;
use super::ask::DOUBT;
use super::lately::{Asked, absence_of};
use super::purges::Since;
use super::table::Table;
use super::unwritten::Turn;
use super::write::Finished;
use crate::error::Error;
use crate::fetch::{Ask, Purpose, SafeUrl, Validators};
use crate::intent::{Key, ListedFile, Metadata, OnceGone, Revalidate, Unexpected};
use crate::store::{Blob, Record, RecordId};

pub(super) use understand::stage;

mod take;
mod understand;

/// A document with what is already open of it.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// What is known of it.
    pub record: Arc<Record>,
    raw: Option<Blob>,
    /// What was read of it.
    extract: Extract,
    /// Its detached signature.
    pub(super) signature: Option<Blob>,
}

/// What was read of a document, as far as it is open.
#[derive(Clone, Debug)]
enum Extract {
    /// Not looked for yet.
    Unopened,
    /// There was nothing worth keeping.
    Nothing,
    /// Here.
    Table(Table),
}

impl From<Option<Table>> for Extract {
    fn from(table: Option<Table>) -> Self {
        table.map_or(Self::Nothing, Self::Table)
    }
}

impl StoredDocument {
    pub(super) fn of(record: Arc<Record>) -> Self {
        Self { record, raw: None, extract: Extract::Unopened, signature: None }
    }
}

/// What a refresh brought.
#[derive(Clone, Debug)]
pub(super) struct Refreshed {
    pub(super) document: StoredDocument,
    /// The upstream's status: 200 or 304.
    pub(super) status: u16,
}

/// The one request for a document that is under way.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    outcome: watch::Sender<Option<Result<Refreshed, Error>>>,
    /// Whether it brings only what the upstream holds already: a miss means nothing to those who want it anyway.
    passive: bool,
    since: Since,
}

/// A view of a refresh that does not keep it alive: if its task panics, this ends too.
#[derive(Clone, Debug)]
pub(super) struct Watching(watch::Receiver<Option<Result<Refreshed, Error>>>);

impl Watching {
    /// The outcome, the same for everyone.
    pub(super) async fn outcome(&mut self) -> Result<Refreshed, Error> {
        let outcome = self.0.wait_for(Option::is_some).await.map_err(|_| Error::Abandoned)?;
        outcome.clone().unwrap_or(Err(Error::Abandoned))
    }
}

/// What is left to do once a refresh has told its outcome.
enum Afterwards {
    /// The disk took nothing: the document serves those who wait for it, and the next one asks again.
    Nothing,
    /// The record in memory is right already: write it.
    Persist,
    /// Commit these files, then the record.
    Commit {
        files: Vec<Finished>,
        /// Another key of the same document.
        other_key: Option<Key>,
    },
}

impl Cache {
    /// Joins the refresh of a document, or starts it. Says whether it was under way. `seen` is what the caller knew
    /// when it decided that a refresh is needed: one that has ended since then will do.
    pub(super) fn refresh(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        seen: Option<&Arc<Record>>,
    ) -> (Watching, bool) {
        let run = |refresh: Arc<Refresh>| {
            let (cache, metadata, seen) = (Arc::clone(self), metadata.clone(), seen.cloned());
            async move {
                let outcome = match cache.refreshed_since(id, seen).await {
                    Some(outcome) => outcome,
                    None => cache.fetch_and_note(id, &metadata, refresh.since).await,
                };
                refresh.outcome.send_replace(Some(outcome));
            }
        };
        let (passive, since) = (metadata.passive, self.since());
        // What was asked for before a purge is no answer to whoever asks after it.
        let is_open = |refresh: &Refresh| refresh.since == since && (passive || !refresh.passive);
        let is_under_way = |refresh: &Refresh| refresh.outcome.borrow().is_none() && is_open(refresh);
        let begin = || Refresh { passive, since, ..Refresh::default() };
        let (refresh, joined) = self.state.documents.join(id, is_under_way, begin, run);
        (Watching(refresh.outcome.subscribe()), joined)
    }

    /// Notes the use of a document whose bytes the client has already: they must not go as if nobody wanted them.
    pub fn used(&self, metadata: &Metadata, record: &Record) {
        if let Some(document) = record.document() {
            self.engine.store.touch(&self.space, self.space.record_id(&metadata.key), document.raw);
        }
    }

    /// The refresh of a document, if one is under way.
    pub(super) fn refresh_under_way(&self, id: RecordId) -> Option<Watching> {
        let refresh =
            self.state.documents.find(id).filter(|refresh| !refresh.passive && refresh.since == self.since())?;
        Some(Watching(refresh.outcome.subscribe()))
    }

    /// What another refresh brought after `seen` was looked up.
    async fn refreshed_since(&self, id: RecordId, seen: Option<Arc<Record>>) -> Option<Result<Refreshed, Error>> {
        if let Err(error) = self.present(id) {
            return Some(Err(error));
        }
        let held = self.held(id).await?;
        let same = |seen: &Arc<Record>| Arc::ptr_eq(seen, &held.record) || seen.validated >= held.record.validated;
        if held.record.document().is_none() || seen.as_ref().is_some_and(same) {
            return None;
        }
        Some(Ok(Refreshed { document: held, status: 200 }))
    }

    async fn fetch_and_note(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        since: Since,
    ) -> Result<Refreshed, Error> {
        let before = match metadata.generation {
            Some(_) => self.stored_document(metadata).await,
            None => None,
        };
        match self.fetch_document(id, metadata, since).await {
            Ok((refreshed, afterwards)) => {
                if let (Some(generation), Some(before)) = (&metadata.generation, &before) {
                    self.prepare(id, metadata, *generation, before, &refreshed.document).await?;
                }
                self.state.absent.lift(id);
                self.state.doubted.undo(id);
                if metadata.passive {
                    // What the upstream happened to hold is no word on what there is now.
                    return Ok(refreshed);
                }
                let write = || self.write_document(id, &refreshed.document, afterwards, since);
                self.state.purges.unless_since(since, write);
                Ok(refreshed)
            }
            Err(error) => {
                self.doubt(id, &error);
                if let Some((status, text)) = absence_of(&error).filter(|_| !metadata.passive) {
                    let ttl = self.settings.cache.negative_ttl;
                    let note = || self.state.absent.note(id, Asked::Get, status, &text, ttl);
                    self.state.purges.unless_since(since, note);
                    if metadata.once_gone == OnceGone::Forgotten {
                        // It is gone: what was known of it must not come back when the absence is forgotten.
                        let cache = Arc::clone(self);
                        let forget = move || {
                            let forget = || cache.engine.store.forget(&cache.space, id);
                            cache.state.purges.write_unless_since(since, forget);
                        };
                        let _ = tokio::task::spawn_blocking(forget).await;
                    }
                }
                Err(error)
            }
        }
    }

    /// Has a document written behind the clients' backs. Until that is done its open files serve.
    fn write_document(self: &Arc<Self>, id: RecordId, document: &StoredDocument, afterwards: Afterwards, since: Since) {
        let cache = Arc::clone(self);
        match afterwards {
            Afterwards::Nothing => {}
            Afterwards::Persist => {
                tokio::spawn(async move { cache.state.writer.persist(id).await });
            }
            Afterwards::Commit { files, other_key } => {
                let record = Arc::clone(&document.record);
                let turn = self.state.unwritten.enter(id, document.clone());
                let other = other_key.map(|key| self.under_another_key(&key, document));
                tokio::spawn(async move {
                    cache.state.writer.store(id, record, files, since).await;
                    if let Some((id, record, _)) = &other {
                        cache.state.writer.store(*id, Arc::clone(record), Vec::new(), since).await;
                    }
                    drop((turn, other));
                });
            }
        }
    }

    /// Has a document serve under a second key until it is written there, too.
    fn under_another_key(&self, key: &Key, document: &StoredDocument) -> (RecordId, Arc<Record>, Turn) {
        let id = self.space.record_id(key);
        let record = Arc::new(Record::new(key, document.record.validated, document.record.state.clone()));
        self.state.absent.lift(id);
        let turn = self.state.unwritten.enter(id, StoredDocument { record: Arc::clone(&record), ..document.clone() });
        (id, record, turn)
    }

    async fn fetch_document(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        since: Since,
    ) -> Result<(Refreshed, Afterwards), Error> {
        let held = self.held_document(metadata).await;
        let (mut attempts, mut is_conditional) = (0, true);
        loop {
            let compared = held.as_ref().filter(|_| is_conditional);
            let ask = self.ask_for(id, metadata, compared);
            if let Some(stored) = compared
                && self.is_unchanged(metadata, &ask, stored).await?
            {
                return self.confirmed(id, stored.clone(), &HeaderMap::new(), since);
            }
            let (sent, url) = (ask.validators.clone(), ask.url.clone());
            let reply = self.ask(ask).await?;
            match (reply.status, compared) {
                (StatusCode::NOT_MODIFIED, Some(stored)) => {
                    let is_confirmed = confirms(&reply.headers, &sent);
                    if is_confirmed && self.is_still_signed(id, metadata, stored, reply.fallback).await {
                        return self.confirmed(id, stored.clone(), &reply.headers, since);
                    }
                    // It confirms something else than what is held, or not all of it: asked once more for all.
                    is_conditional = false;
                }
                (StatusCode::OK, _) => {
                    self.engine.metrics.fills.get_or_create(&self.label()).inc();
                    attempts += 1;
                    let beside = self.document_beside(id, metadata, &url, &reply, attempts > 1);
                    match self.take_document(id, metadata, reply, held.clone(), beside, since).await {
                        Err(Error::OutOfStep { .. }) if attempts < ATTEMPTS => {
                            self.state.doubted.note(id, DOUBT);
                        }
                        taken => return taken,
                    }
                }
                (status, _) if status.is_success() || status.is_redirection() => {
                    let reason = Unexpected(format!("status {status} where a document was asked for"));
                    return Err(Error::Unexpected { upstream: reply.url.origin(), reason });
                }
                _ => return Err(self.refused(reply).await),
            }
        }
    }

    /// What is held is still right.
    fn confirmed(
        &self,
        id: RecordId,
        held: StoredDocument,
        headers: &HeaderMap,
        since: Since,
    ) -> Result<(Refreshed, Afterwards), Error> {
        let Some(mut document) = held.record.document().cloned() else { return Err(Error::Abandoned) };
        document.etag = header_text(headers, header::ETAG).or(document.etag);
        document.last_modified = header_text(headers, header::LAST_MODIFIED).or(document.last_modified);
        document.older_since = None;
        let record = self.state.writer.confirm(id, self.now(), &held.record, &document, since);
        self.state.unwritten.renew(id, &record);
        let document = StoredDocument { record, ..held };
        Ok((Refreshed { document, status: 304 }, Afterwards::Persist))
    }

    fn ask_for(&self, id: RecordId, metadata: &Metadata, held: Option<&StoredDocument>) -> Ask {
        let mut url = metadata.from.below(&self.settings.upstream.url);
        url.set_query(metadata.query.as_deref());
        // What is not understood is not worth decoding either.
        let purpose = if metadata.read.is_some() { Purpose::Metadata } else { Purpose::Artifact };
        let mut ask = self.get(id, SafeUrl::from(url), purpose);
        ask.accept = metadata.accept.map(HeaderValue::from_static);
        ask.passive = metadata.passive;
        if let Some(document) = held.and_then(|held| held.record.document())
            && metadata.revalidate == Revalidate::Conditional
        {
            ask.validators = Validators {
                etag: document.etag.as_deref().and_then(|text| HeaderValue::from_str(text).ok()),
                last_modified: document.last_modified.as_deref().and_then(|text| HeaderValue::from_str(text).ok()),
            };
        }
        ask
    }

    /// The stored document, opened, so that a 304 has something to stand for.
    async fn held_document(&self, metadata: &Metadata) -> Option<StoredDocument> {
        let mut held = self.stored_document(metadata).await?;
        held.raw = Some(self.raw(&held).await?);
        held.extract = self.table(&held).await.ok()?.into();
        Some(held)
    }

    /// The stored bytes of a document; `None` if they are gone.
    pub(crate) async fn raw(&self, document: &StoredDocument) -> Option<Blob> {
        if let Some(raw) = &document.raw {
            return Some(raw.clone());
        }
        let stored = document.record.document()?;
        self.engine.store.blob(&self.space, stored.raw, stored.length).await
    }

    /// The extract of a document, where there is one. An error if the disk has lost it.
    pub(super) async fn table(&self, document: &StoredDocument) -> Result<Option<Table>, Lost> {
        match &document.extract {
            Extract::Table(table) => return Ok(Some(table.clone())),
            Extract::Nothing => return Ok(None),
            Extract::Unopened => {}
        }
        let Some((id, length)) = document.record.document().ok_or(Lost)?.reading else { return Ok(None) };
        let blob = self.engine.store.blob(&self.space, id, length).await.ok_or(Lost)?;
        let table = match blob.in_memory() {
            Some(_) => Table::open(blob),
            None => tokio::task::spawn_blocking(move || Table::open(blob)).await.map_err(|_| Lost)?,
        };
        table.map(Some).ok_or(Lost)
    }

    /// What a document says of one file. An error if the disk has lost its extract.
    async fn look_in(&self, document: &StoredDocument, name: &str) -> Result<Option<ListedFile>, Lost> {
        let Some(table) = self.table(document).await? else { return Ok(None) };
        if table.is_in_memory() {
            return table.file(name).map_err(|_| Lost);
        }
        let name = name.to_owned();
        tokio::task::spawn_blocking(move || table.file(&name)).await.map_err(|_| Lost)?.map_err(|_| Lost)
    }

    /// What a document says of one file; fetched again if the disk has lost its extract.
    pub(crate) async fn file_in(
        self: &Arc<Self>,
        metadata: &Metadata,
        document: &StoredDocument,
        name: &str,
    ) -> Result<Option<ListedFile>, Error> {
        if let Ok(file) = self.look_in(document, name).await {
            return Ok(file);
        }
        let (document, _) = self.fetched(metadata, Some(&document.record)).await?;
        self.look_in(&document, name).await.map_err(|Lost| Error::Abandoned)
    }
}

/// The disk has lost what a record promises.
#[derive(Debug)]
pub(super) struct Lost;

/// Whether a 304 speaks of the representation whose validators were sent (RFC 9111 §4.3.4): another entity tag, or
/// another date where there is no tag, means that it does not. Whether a tag is weak is left to the servers on the way.
fn confirms(headers: &HeaderMap, sent: &Validators) -> bool {
    let opaque = |tag: &HeaderValue| tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes()).to_vec();
    match (headers.get(header::ETAG), &sent.etag) {
        (Some(got), Some(sent)) => opaque(got) == opaque(sent),
        _ => match (headers.get(header::LAST_MODIFIED), &sent.last_modified) {
            (Some(got), Some(sent)) => got == sent,
            _ => true,
        },
    }
}

/// How often a document is fetched whose signature is of another one.
const ATTEMPTS: u32 = 3;

fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
