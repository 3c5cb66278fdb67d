//! One proxy's cache: decides whether what is stored will do, and otherwise has it fetched, once, by a task of its
//! own, whose outcome everyone gets who asked meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crds::Settings;
use parking_lot::Mutex;
use url::Url;

use crate::cache_status::CacheStatus;
use crate::clock::{Clock, Millis};
use crate::error::Error;
use crate::fetch::{Fetch, SafeUrl};
use crate::intent::{Lifetime, Metadata, OnceGone};
use crate::memory::Budget;
use crate::metrics::{EcosystemLabel, Metrics};
use crate::store::{Record, RecordId, Space, Store};
use crate::workshop::Workshop;

pub use document::StoredDocument;
pub use fill::{Fill, Served};
pub use generation::Client;
pub use variant::{Coding, Content, Form};

use flight::Flights;
use lately::{Absent, Asked, Distrust, Recently};
use policy::Decision;
use purges::{Purges, Since};

mod ask;
mod catalogue;
mod checksum;
mod document;
mod examine;
mod fill;
pub mod flight;
mod generation;
mod intake;
mod lately;
mod learn;
pub mod names;
pub mod policy;
mod purges;
mod receive;
mod references;
mod revalidate;
mod source;
pub mod splice;
pub mod table;
mod unwritten;
mod variant;
mod words;
mod write;

/// How often a document may be asked again because a file is missing from it.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// How often the log says that one document has run out.
const WARNING_PAUSE: Duration = Duration::from_hours(1);

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
    state: Arc<Running>,
}

/// What is under way or remembered in memory. It outlives a change of the settings, so that a reload neither starts a
/// second fetch of a key nor forgets a suspicion.
struct Running {
    documents: Flights<RecordId, document::Refresh>,
    variants: Flights<(RecordId, u64), variant::Build>,
    fills: Flights<RecordId, Fill>,
    distrust: Distrust,
    asked_again: Recently,
    /// Keys of which the last answer was wrong, or lacked something.
    doubted: Recently,
    absent: Absent,
    /// Documents of which the log says that they have run out.
    run_out: Recently,
    unwritten: unwritten::Unwritten,
    writer: write::Writer,
    generations: generation::Generations,
    /// The addresses of the upstream that refused our credential the last time.
    rejected: Mutex<HashSet<Url>>,
    purges: Arc<Purges>,
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
        let purges = Arc::new(Purges::new(Arc::clone(&engine.store), space.clone()));
        let state = Running {
            documents: Flights::default(),
            variants: Flights::default(),
            fills: Flights::default(),
            distrust: Distrust::default(),
            asked_again: Recently::default(),
            doubted: Recently::default(),
            absent: Absent::default(),
            run_out: Recently::default(),
            unwritten: unwritten::Unwritten::default(),
            writer: write::Writer::new(Arc::clone(&engine.store), space.clone(), Arc::clone(&purges)),
            generations: generation::Generations::default(),
            rejected: Mutex::default(),
            purges,
        };
        Self { engine, settings, fetch, space, state: Arc::new(state) }
    }

    /// The same cache after a change of the settings, if it is still of the same upstream.
    #[must_use]
    pub fn continuing(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|before| before.space == self.space) {
            self.state = Arc::clone(&before.state);
        }
        self
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
        let state = &self.state;
        state.documents.count() + state.fills.count() + state.variants.count() + state.unwritten.count()
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
        if let Err(gone) = self.present(id) {
            return self.survivor(metadata).await.map(|held| (held, stale_after(&gone))).ok_or(gone);
        }
        let held = self.held(id).await;
        let record = held.as_ref().map(|held| &held.record);
        let decision = policy::decide(record.map(AsRef::as_ref), metadata.lifetime, &self.settings.cache, self.now());
        let decision = match decision {
            // Something that is held is all that is asked for.
            Decision::Revalidate { stale, .. } if metadata.passive => Decision::StaleWhileRevalidate { stale },
            // A client asks for its checksum next: by then the document beside would have been replaced.
            Decision::StaleWhileRevalidate { stale } if metadata.checksum_siblings.is_some() => {
                Decision::Revalidate { stale, usable: true }
            }
            decision => decision,
        };
        match (decision, held) {
            (Decision::Fresh { ttl }, Some(held)) => {
                Ok((held, CacheStatus::Hit { ttl: i64::try_from(ttl).unwrap_or(i64::MAX) }))
            }
            (Decision::StaleWhileRevalidate { stale }, Some(held)) => {
                if !metadata.passive {
                    self.refresh(id, metadata, Some(&held.record));
                }
                Ok((held, CacheStatus::Hit { ttl: -i64::try_from(stale).unwrap_or(i64::MAX).max(1) }))
            }
            (Decision::Revalidate { usable, .. }, Some(held)) => {
                Box::pin(self.revalidated(id, metadata, held, usable)).await
            }
            (_, held) => Box::pin(self.fetched(metadata, held.map(|held| held.record).as_ref())).await,
        }
    }

    /// Fetches a document because the disk has lost what `seen` promises, or because there is none.
    pub async fn fetched(
        self: &Arc<Self>,
        metadata: &Metadata,
        seen: Option<&Arc<Record>>,
    ) -> Result<(StoredDocument, CacheStatus), Error> {
        let id = self.space.record_id(&metadata.key);
        let (mut refresh, collapsed) = self.refresh(id, metadata, seen);
        let refreshed = refresh.outcome().await?;
        let stored = self.engine.store.fault().is_none();
        Ok((refreshed.document, CacheStatus::Miss { stored, collapsed }))
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
        let patience = if usable { self.settings.cache.revalidation_wait } else { Duration::MAX };
        let failure = match tokio::time::timeout(patience, refresh.outcome()).await {
            Ok(Ok(refreshed)) => {
                return Ok((refreshed.document, CacheStatus::Revalidated { status: refreshed.status }));
            }
            Ok(Err(gone @ Error::Missing { .. })) if metadata.once_gone == OnceGone::Served => Some(gone),
            Ok(Err(error)) if !usable || !error.allows_stale() => {
                self.note_run_out(id, metadata, &held, &error);
                return Err(error);
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let status = failure.as_ref().map_or(CacheStatus::Stale { status: None }, stale_after);
        if let Some(error) = failure {
            tracing::debug!(proxy = %self.settings.name, package.name = %metadata.key.package, error = %error,
                "the upstream fails: stale metadata is served");
        }
        Ok((held, status))
    }

    /// Says that a document does not stand in although it is here, if its own word is the reason.
    fn note_run_out(&self, id: RecordId, metadata: &Metadata, held: &StoredDocument, error: &Error) {
        let until = held.record.document().and_then(|document| document.valid_until);
        if !error.allows_stale() || until.is_none_or(|until| self.now() < until) {
            return;
        }
        self.engine.metrics.run_out.get_or_create(&self.label()).inc();
        if self.state.run_out.first(id, WARNING_PAUSE) {
            tracing::warn!(proxy = %self.settings.name, package.name = %metadata.key.package,
                package.file = %metadata.key.file, error = %error,
                "its Valid-Until has passed and the upstream fails: it is not served any more");
        }
    }

    /// What is stored of a document that the upstream does not have any more, where that is served on.
    async fn survivor(&self, metadata: &Metadata) -> Option<StoredDocument> {
        match metadata.once_gone {
            OnceGone::Served => self.stored_document(metadata).await,
            OnceGone::Forgotten => None,
        }
    }

    /// A document that is stored, fresh or not, without asking the upstream.
    pub(crate) async fn stored_document(&self, metadata: &Metadata) -> Option<StoredDocument> {
        let held = self.held(self.space.record_id(&metadata.key)).await?;
        held.record.document().is_some().then_some(held)
    }

    /// What is known of a key, on disk or on its way there.
    async fn held(&self, id: RecordId) -> Option<StoredDocument> {
        match self.state.unwritten.get(id) {
            Some(document) => Some(document),
            None => self.record(id).await.map(StoredDocument::of),
        }
    }

    /// Asks for a document again, out of turn, because a file is missing from it. Where that was done a moment ago,
    /// what that brought has to do.
    pub(crate) async fn asked_again(self: &Arc<Self>, metadata: &Metadata) -> Result<StoredDocument, Error> {
        let id = self.space.record_id(&metadata.key);
        let seen = self.held(id).await;
        if !self.state.asked_again.first(id, REFRESH_PAUSE) {
            if let Some(mut refresh) = self.refresh_under_way(id) {
                return refresh.outcome().await.map(|refreshed| refreshed.document);
            }
            // Whoever came first may not have begun yet: what is held must have come after that, or else this one joins.
            let began = self.now() - self.state.asked_again.age(id).as_millis() as Millis;
            if let Some(held) = self.held(id).await.filter(|held| held.record.validated + 1 >= began) {
                return Ok(held);
            }
        }
        // A cache on the way may hold the same old document.
        self.state.doubted.note(id, ask::DOUBT);
        let fetched = self.fetched(metadata, seen.map(|seen| seen.record).as_ref()).await;
        if fetched.is_err() {
            // The next one must learn of the failure too, and not take what is stored for the upstream's word.
            self.state.asked_again.undo(id);
        }
        fetched.map(|(document, _)| document)
    }

    /// An error if the upstream said a moment ago that there is no such thing.
    fn present(&self, id: RecordId) -> Result<(), Error> {
        match self.state.absent.word(id, Asked::Get) {
            Some((status, text)) => Err(Error::Missing { status, upstream: self.upstream(), text }),
            None => Ok(()),
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
        let purge = move || {
            let forget = |concerned: &dyn Fn(&Record) -> bool| cache.state.unwritten.forget_where(concerned);
            cache.state.purges.purge(&package, version.as_deref(), forget)
        };
        let purged = tokio::task::spawn_blocking(purge).await.unwrap_or_default();
        self.state.distrust.clear();
        self.state.asked_again.clear();
        self.state.doubted.clear();
        self.state.absent.clear();
        self.fetch.forget();
        self.state.generations.clear();
        purged
    }

    /// For what begins now, to be compared before anything of it is kept.
    fn since(&self) -> Since {
        self.state.purges.since()
    }
}

/// What is served because the upstream failed in this way.
fn stale_after(error: &Error) -> CacheStatus {
    CacheStatus::Stale { status: error.upstream_status() }
}
