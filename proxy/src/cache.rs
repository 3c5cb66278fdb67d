//! One proxy's cache: decides whether what is stored will do, and otherwise has it fetched, once, by a task of its
//! own, whose outcome everyone gets who asked meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crds::Settings;
use tokio::time::Instant;

use crate::cache_status::CacheStatus;
use crate::clock::{Clock, Millis};
use crate::error::Error;
use crate::fetch::{Ask, Fetch, Purpose, Reply, SafeUrl, Validators};
use crate::intent::{Forward, Key, Lifetime, Metadata, Refusal};
use crate::memory::Budget;
use crate::metrics::{EcosystemLabel, Metrics, UpstreamLabels, status_class};
use crate::store::{Record, RecordId, Space, State, Store};
use crate::workshop::Workshop;

pub use document::StoredDocument;
pub use fill::{Fill, Served};
pub use variant::{Coding, Content, Form};

use distrust::{Distrust, Recently};
use flight::Flights;
use policy::Decision;

mod distrust;
mod document;
mod fill;
pub mod flight;
pub mod policy;
mod receive;
pub mod splice;
pub mod table;
mod unwritten;
mod variant;
mod write;

/// How often a document may be asked again because a file is missing from it.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// What all proxies of a process share.
#[derive(Debug)]
pub struct Engine {
    /// Records and blobs.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Metrics,
    /// Memory for documents that are being worked on.
    pub memory: Budget,
    /// Threads for that work.
    pub workshop: Workshop,
}

/// The cache of one proxy.
pub struct Cache {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
    fetch: Arc<dyn Fetch>,
    space: Space,
    documents: Flights<RecordId, document::Refresh>,
    variants: Flights<(RecordId, u64), variant::Build>,
    fills: Flights<RecordId, Fill>,
    distrust: Distrust,
    asked_again: Recently,
    unwritten: unwritten::Unwritten,
    writer: write::Writer,
    /// Whether the upstream refused our credential the last time.
    rejected: AtomicBool,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("space", &self.space).finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache over `fetch`.
    pub fn new(engine: Arc<Engine>, settings: Arc<Settings>, fetch: Arc<dyn Fetch>) -> Self {
        let upstream = &settings.upstream.url;
        let space = Space::new(&settings.owner, &settings.name, settings.ecosystem.name(), upstream);
        Self {
            writer: write::Writer::new(Arc::clone(&engine.store), space.clone()),
            engine,
            settings,
            fetch,
            space,
            documents: Flights::default(),
            variants: Flights::default(),
            fills: Flights::default(),
            distrust: Distrust::default(),
            asked_again: Recently::default(),
            unwritten: unwritten::Unwritten::default(),
            rejected: AtomicBool::new(false),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Its part of the store.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// What it shares with other proxies.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The fetcher of its upstream.
    pub fn fetcher(&self) -> &Arc<dyn Fetch> {
        &self.fetch
    }

    /// Fetches, and writes that follow them, that are under way.
    pub fn under_way(&self) -> usize {
        self.documents.count() + self.fills.count() + self.variants.count() + self.unwritten.count()
    }

    fn now(&self) -> Millis {
        self.engine.clock.now()
    }

    fn label(&self) -> EcosystemLabel {
        EcosystemLabel { ecosystem: self.settings.ecosystem.name() }
    }

    /// Origin of the upstream, as errors name it.
    pub(crate) fn upstream(&self) -> String {
        SafeUrl::from(self.settings.upstream.url.clone()).origin()
    }

    async fn record(&self, id: RecordId) -> Option<Arc<Record>> {
        self.engine.store.record(&self.space, id).await
    }

    /// A document that may be served now, and how it came about.
    pub async fn document(self: &Arc<Self>, metadata: &Metadata) -> Result<(StoredDocument, CacheStatus), Error> {
        let id = self.space.record_id(&metadata.key);
        let held = self.held(id).await;
        let record = held.as_ref().map(|held| &held.record);
        let decision = policy::decide(record.map(AsRef::as_ref), metadata.lifetime, &self.settings.cache, self.now());
        match (decision, held) {
            (Decision::Fresh { ttl }, Some(held)) => {
                Ok((held, CacheStatus::Hit { ttl: i64::try_from(ttl).unwrap_or(i64::MAX) }))
            }
            (Decision::StaleWhileRevalidate { stale }, Some(held)) => {
                self.refresh(id, metadata, Some(&held.record));
                Ok((held, CacheStatus::Hit { ttl: -i64::try_from(stale).unwrap_or(i64::MAX).max(1) }))
            }
            (Decision::Revalidate { usable, .. }, Some(held)) => self.revalidated(id, metadata, held, usable).await,
            (Decision::Missing { status }, _) => Err(Error::Missing { status, upstream: self.upstream() }),
            (_, held) => {
                let seen = held.map(|held| held.record);
                let (mut refresh, collapsed) = self.refresh(id, metadata, seen.as_ref());
                let refreshed = refresh.outcome().await?;
                let stored = self.engine.store.fault().is_none();
                Ok((refreshed.document, CacheStatus::Miss { stored, collapsed }))
            }
        }
    }

    /// Waits for the one revalidation, but not for ever, and falls back to what is stored.
    async fn revalidated(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        held: StoredDocument,
        usable: bool,
    ) -> Result<(StoredDocument, CacheStatus), Error> {
        let (mut refresh, _) = self.refresh(id, metadata, Some(&held.record));
        let patience = self.settings.cache.revalidation_wait;
        let failure = match tokio::time::timeout(patience, refresh.outcome()).await {
            Ok(Ok(refreshed)) => {
                return Ok((refreshed.document, CacheStatus::Revalidated { status: refreshed.status }));
            }
            Ok(Err(error)) if !usable || !error.allows_stale() => return Err(error),
            Ok(Err(error)) => Some(error),
            Err(_) if !usable => {
                let refreshed = refresh.outcome().await?;
                return Ok((refreshed.document, CacheStatus::Revalidated { status: refreshed.status }));
            }
            Err(_) => None,
        };
        let status = failure.as_ref().and_then(Error::upstream_status);
        if let Some(error) = failure {
            tracing::debug!(proxy = %self.settings.name, package.name = %metadata.key.package, error = %error,
                "the upstream fails: stale metadata is served");
        }
        Ok((held, CacheStatus::Stale { status }))
    }

    /// A document that is stored, fresh or not, without asking the upstream.
    pub(crate) async fn stored_document(&self, metadata: &Metadata) -> Option<StoredDocument> {
        let held = self.held(self.space.record_id(&metadata.key)).await?;
        held.record.document().is_some().then_some(held)
    }

    /// What is known of a key, on disk or on its way there.
    async fn held(&self, id: RecordId) -> Option<StoredDocument> {
        match self.unwritten.get(id) {
            Some(document) => Some(document),
            None => self.record(id).await.map(StoredDocument::of),
        }
    }

    /// Asks for a document again because a file is missing from it, unless that was done a moment ago. `None` if it
    /// was, or if the upstream fails.
    pub(crate) async fn asked_again(self: &Arc<Self>, metadata: &Metadata) -> Option<StoredDocument> {
        let id = self.space.record_id(&metadata.key);
        if !self.asked_again.first(id, REFRESH_PAUSE) {
            return None;
        }
        let seen = self.held(id).await.map(|held| held.record);
        let (mut refresh, _) = self.refresh(id, metadata, seen.as_ref());
        refresh.outcome().await.ok().map(|refreshed| refreshed.document)
    }

    /// Remembers that there is no such thing.
    fn remember_missing(&self, id: RecordId, key: &Key, status: u16) {
        let record = Record::new(key, self.now(), State::Missing(crate::store::Missing { status }));
        // In memory only: thirty seconds are not worth a file, and a flood of names must not fill a disk.
        self.engine.store.remember(id, Arc::new(record));
    }

    /// Sends one request and counts it.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, Error> {
        let started = Instant::now();
        let result = self.fetch.fetch(ask).await;
        let metrics = &self.engine.metrics;
        metrics.upstream_latency.get_or_create(&self.label()).observe(started.elapsed().as_secs_f64());
        let outcome = result.as_ref().map_or("error", |reply| status_class(reply.status));
        let labels = UpstreamLabels { ecosystem: self.settings.ecosystem.name(), outcome };
        metrics.upstream_requests.get_or_create(&labels).inc();
        let reply = result?;
        if reply.status != http::StatusCode::UNAUTHORIZED {
            self.rejected.store(false, Ordering::Relaxed);
        }
        Ok(reply)
    }

    /// Whether the upstream refused our credential the last time.
    pub fn credential_rejected(&self) -> bool {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Turns a status that is no success into the error that it means.
    pub fn refused(&self, reply: &Reply) -> Error {
        let upstream = reply.url.origin();
        match reply.status.as_u16() {
            status @ (404 | 410) => Error::Missing { status, upstream },
            401 if self.settings.upstream.auth.is_some() => {
                self.rejected.store(true, Ordering::Relaxed);
                Error::CredentialRejected { upstream }
            }
            status => Error::Upstream { status, upstream },
        }
    }

    /// A GET for the cache.
    fn get(id: RecordId, url: SafeUrl, purpose: Purpose) -> Ask {
        Ask {
            method: http::Method::GET,
            url,
            accept: None,
            purpose,
            validators: Validators::default(),
            resume: None,
            body: None,
            key: id.short(),
        }
    }

    /// Forgets a key: its files are gone from the disk.
    pub fn forget(&self, key: &Key) {
        self.engine.store.forget(&self.space, self.space.record_id(key));
    }

    /// The address of a call that is passed through.
    pub async fn forward_address(self: &Arc<Self>, forward: &Forward) -> Result<url::Url, Error> {
        let Some(base) = &forward.base else { return Ok(forward.to.below(&self.settings.upstream.url)) };
        let find = base.find;
        match self.with_raw(&base.document, find).await? {
            Some(link) => Ok(forward.to.below(self.parse_link(&link)?.expose())),
            None => Err(Refusal::NotFound("the upstream offers no such service".to_owned()).into()),
        }
    }

    /// How long a document will stay fresh, for `Cache-Control`.
    pub fn freshness(&self, record: &Record, lifetime: Lifetime) -> u64 {
        match policy::decide(Some(record), lifetime, &self.settings.cache, self.now()) {
            Decision::Fresh { ttl } => ttl,
            _ => 0,
        }
    }

    /// Removes everything that is known of a package, or of one version of it. Returns the number of records.
    pub async fn purge(self: &Arc<Self>, package: String, version: Option<String>) -> usize {
        let cache = Arc::clone(self);
        let purge = move || cache.engine.store.purge(&cache.space, &package, version.as_deref());
        tokio::task::spawn_blocking(purge).await.unwrap_or_default()
    }
}
