//! What the index files of the current generations say of other files: which digest a path has.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::generation::{Closed, Open};
use super::names::{Found, Names};
use super::{Cache, Client, REFRESH_PAUSE, Served};
use crate::digest::Digest;
use crate::error::Error;
use crate::intent::{Artifact, Indexed, NamedInIndexes};
use crate::server::Connection;
use crate::store::{Blob, BlobId, Record, RecordId, State};

/// How long a request for a file waits for an index that is being read.
const PATIENCE: Duration = Duration::from_secs(20);

/// The catalogue of one proxy.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    version: AtomicU64,
    built: Mutex<Option<Built>>,
    /// How many index files are being read.
    learning: watch::Sender<usize>,
    /// Held while the generations are looked through that are not open.
    searching: Mutex<()>,
}

/// What was gathered of all open generations.
#[derive(Debug)]
struct Built {
    version: u64,
    names: Arc<[Names]>,
    /// Where they come from: what is in use is not evicted.
    sources: Vec<(RecordId, BlobId)>,
    /// When it is gathered again because something was lost that could not be had.
    until: Option<Instant>,
}

impl Built {
    fn is_of(&self, version: u64) -> bool {
        self.version == version && self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// What some indexes name.
#[derive(Debug, Default)]
struct Gathered {
    names: Vec<Names>,
    sources: Vec<(RecordId, BlobId)>,
    /// Whether something was lost that could not be had.
    is_lacking: bool,
}

impl Catalogue {
    /// There is something new to know.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// An index is being read, until this is dropped.
    pub(super) fn learning(&self) -> Learning {
        self.learning.send_modify(|count| *count += 1);
        Learning(self.learning.clone())
    }

    /// Waits until no index is being read, but not for ever. Says whether there is none.
    async fn learnt(&self) -> bool {
        let mut learning = self.learning.subscribe();
        tokio::time::timeout(PATIENCE, learning.wait_for(|count| *count == 0)).await.is_ok()
    }
}

/// See [`Catalogue::learning`].
pub(super) struct Learning(watch::Sender<usize>);

impl Drop for Learning {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Cache {
    /// Has an artifact expect the digest that the indexes give it, if they name it.
    pub async fn learn_from_indexes(self: &Arc<Self>, artifact: &mut Artifact) -> Result<(), Error> {
        if let Some(named) = artifact.indexed.take() {
            artifact.expect = Box::pin(self.named(&named)).await?;
        }
        Ok(())
    }

    async fn named(self: &Arc<Self>, named: &NamedInIndexes) -> Result<Option<Digest>, Error> {
        let catalogue = &self.state.generations.catalogue;
        let is_likely = |found: &Option<Found>| found.as_ref().is_some_and(|found| found.is_likely);
        let mut found = self.look_in_names(&named.path).await?;
        if !is_likely(&found) {
            found = self.look_in_closed(named).await?;
        }
        if found.is_none()
            && let Some(by) = &named.by
        {
            self.fetch_index(by).await;
        }
        if !is_likely(&found) {
            let is_learnt = catalogue.learnt().await;
            found = self.look_in_names(&named.path).await?;
            // One of those that are still being read may name it.
            if !is_learnt && !is_likely(&found) {
                return Err(Error::Busy { retry_after: REFRESH_PAUSE });
            }
        }
        Ok(found.map(|found| found.digest))
    }

    /// Has an index here. If that fails, what it names is served as it comes.
    async fn fetch_index(self: &Arc<Self>, index: &Indexed) {
        let nobody = Client { address: Ipv4Addr::UNSPECIFIED.into(), connection: Connection::default() };
        let Ok(found) = self.indexed(index, nobody).await else { return };
        if let Ok(Served::Filling { fill, body, .. }) = self.artifact(&found.artifact).await {
            drop(body);
            let _ = fill.ended().await;
        }
    }

    /// Looks through the generations on disk that are not open, the newest first, and opens those that name a path, up to
    /// the one that means it in earnest.
    async fn look_in_closed(self: &Arc<Self>, named: &NamedInIndexes) -> Result<Option<Found>, Error> {
        let generations = &self.state.generations;
        let _one_at_a_time = generations.catalogue.searching.lock().await;
        // Whoever came before may have found it.
        let mut possible = self.look_in_names(&named.path).await?;
        if possible.as_ref().is_some_and(|found| found.is_likely) {
            return Ok(possible);
        }
        let closed = match generations.opened.closed() {
            Some(closed) => closed,
            None => self.find_closed(named).await,
        };
        for generation in closed {
            let Some(head) = (named.head)(&generation.package, &generation.file) else { continue };
            let id = self.space.record_id(&head.key);
            let Some(document) = self.stored_document(&head).await else {
                generations.opened.forget_closed(id);
                continue;
            };
            let open = self.open_apart(&head, &document).await?;
            let (found, _) = look(self.names_of(open).await?.names.into(), &named.path).await?;
            if let Some(found) = found {
                // What is damaged is fetched again when a client asks for it.
                let _ = self.open(&head, &document).await;
                if found.is_likely {
                    return Ok(Some(found));
                }
                possible = possible.or(Some(found));
            }
        }
        Ok(possible)
    }

    /// Finds on disk the generations that are not open: those that an earlier process left.
    async fn find_closed(self: &Arc<Self>, named: &NamedInIndexes) -> Vec<Closed> {
        let opened = &self.state.generations.opened;
        // Should this end early, the next one begins anew.
        let unfinished = Unfinished(self);
        let (store, space) = (Arc::clone(&self.engine.store), self.space.clone());
        let documents = tokio::task::spawn_blocking(move || store.documents(&space)).await.unwrap_or_default();
        let mut found = Vec::new();
        for head in documents.iter().filter_map(|(package, file)| (named.head)(package, file)) {
            let id = self.space.record_id(&head.key);
            if opened.has(id) {
                continue;
            }
            let document = self.stored_document(&head).await;
            if let Some(stored) = document.as_ref().and_then(|document| document.record.document()) {
                found.push(Closed::of(&head, stored.changed));
                opened.note_closed(id, Closed::of(&head, stored.changed));
            }
        }
        std::mem::forget(unfinished);
        found.sort_by(|one, other| other.cmp(one));
        found
    }

    async fn look_in_names(self: &Arc<Self>, path: &str) -> Result<Option<Found>, Error> {
        let (found, is_damaged) = look(self.names().await?, path).await?;
        if !is_damaged {
            return Ok(found);
        }
        // What cannot be read has been removed by now, and is made again.
        self.state.generations.catalogue.changed();
        look(self.names().await?, path).await.map(|(found, _)| found)
    }

    /// The names of all current generations, the newest first.
    async fn names(self: &Arc<Self>) -> Result<Arc<[Names]>, Error> {
        let catalogue = &self.state.generations.catalogue;
        let mut built = catalogue.built.lock().await;
        let version = catalogue.version.load(Ordering::Acquire);
        if let Some(built) = built.as_ref().filter(|built| built.is_of(version)) {
            for (record, blob) in &built.sources {
                self.engine.store.touch(&self.space, *record, *blob);
            }
            return Ok(Arc::clone(&built.names));
        }
        let mut all = Gathered::default();
        for open in self.state.generations.newest_first() {
            let of_one = self.names_of(open).await?;
            all.names.extend(of_one.names);
            all.sources.extend(of_one.sources);
            all.is_lacking |= of_one.is_lacking;
        }
        let names: Arc<[Names]> = all.names.into();
        let until = all.is_lacking.then(|| Instant::now() + REFRESH_PAUSE);
        *built = Some(Built { version, names: Arc::clone(&names), sources: all.sources, until });
        Ok(names)
    }

    /// What the indexes of one generation name, as far as they are here. What the disk has lost of that is read again.
    async fn names_of(self: &Arc<Self>, open: Arc<Open>) -> Result<Gathered, Error> {
        let mut gathered = Gathered::default();
        let listed = tokio::task::spawn_blocking(move || open.artifacts(|_, artifact| artifact.scan.is_some()));
        for (_, artifact) in listed.await.map_err(|_| Error::Abandoned)? {
            let id = self.space.record_id(&artifact.key);
            let record = self.record(id).await;
            let Some(record) = record.filter(|record| record.artifact().is_some_and(|stored| stored.names.is_some()))
            else {
                continue;
            };
            let names = match self.names_in(&record).await {
                Some(names) => Some(names),
                None => self.read_again(artifact, record).await,
            };
            gathered.is_lacking |= names.is_none();
            gathered.sources.extend(names.as_ref().map(|names| (id, names.id())));
            gathered.names.extend(names);
        }
        Ok(gathered)
    }

    /// What an index names, if that is on disk.
    async fn names_in(&self, record: &Record) -> Option<Names> {
        let (id, length) = record.artifact()?.names?;
        self.engine.store.blob(&self.space, id, length).await.and_then(Names::open)
    }

    /// Reads a stored index once more, fetched again if the disk has lost that as well. Goes on if whoever waits leaves:
    /// the next one needs it.
    async fn read_again(self: &Arc<Self>, artifact: Artifact, record: Arc<Record>) -> Option<Names> {
        tracing::info!(proxy = %self.settings.name, package.file = %artifact.key.file,
            "what an index names is lost: it is read again");
        let cache = Arc::clone(self);
        let work = async move {
            let stored = record.artifact()?;
            if let Some(blob) = cache.engine.store.blob(&cache.space, stored.blob, stored.length).await {
                return cache.relearn(&artifact, &record, blob).await;
            }
            if let Ok(Served::Filling { fill, body, .. }) = cache.artifact(&artifact).await {
                drop(body);
                let _ = fill.ended().await;
            }
            // It is read once it is here.
            cache.state.generations.catalogue.learnt().await;
            let record = cache.record(cache.space.record_id(&artifact.key)).await?;
            cache.names_in(&record).await
        };
        tokio::time::timeout(PATIENCE, tokio::spawn(work)).await.ok()?.ok().flatten()
    }

    async fn relearn(self: &Arc<Self>, artifact: &Artifact, record: &Arc<Record>, blob: Blob) -> Option<Names> {
        let (scan, since) = (artifact.scan?, self.since());
        let mut files = Vec::new();
        let names = self.learn(blob, scan(&artifact.key), &mut files).await.ok()??;
        let mut learnt = (**record).clone();
        let State::Artifact(stored) = &mut learnt.state else { return None };
        stored.names = Some((names.id(), names.length()));
        let id = self.space.record_id(&artifact.key);
        self.state.writer.store(id, Arc::new(learnt), files, since).await;
        Names::open(names)
    }
}

/// What these names say of a path, and whether some of them could not be read. Whoever means the path in earnest
/// comes before those that may mean it.
async fn look(names: Arc<[Names]>, path: &str) -> Result<(Option<Found>, bool), Error> {
    if names.is_empty() {
        return Ok((None, false));
    }
    let path = path.to_owned();
    let look = move || {
        let mut is_damaged = false;
        let mut possible = None;
        for names in names.iter() {
            match names.find(&path) {
                Ok(Some(found)) if found.is_likely => return (Some(found), is_damaged),
                Ok(found) => possible = possible.or(found),
                Err(_) => is_damaged = true,
            }
        }
        (possible, is_damaged)
    };
    tokio::task::spawn_blocking(look).await.map_err(|_| Error::Abandoned)
}

/// The disk was not looked at to the end.
struct Unfinished<'a>(&'a Cache);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.state.generations.opened.forget_all_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_index_that_is_read_for_too_long_is_not_taken_for_read() {
        let catalogue = Catalogue::default();
        assert!(catalogue.learnt().await);
        let (one, other) = (catalogue.learning(), catalogue.learning());
        drop(one);
        assert!(!catalogue.learnt().await);
        drop(other);
        assert!(catalogue.learnt().await);
    }
}
