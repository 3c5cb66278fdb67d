//! What the index files of the current generations say of other files: which digest a path has.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell, watch};

use super::names::Names;
use super::{Cache, Client, Served};
use crate::digest::Digest;
use crate::error::Error;
use crate::intent::{Artifact, Indexed, NamedInIndexes};
use crate::server::Connection;

/// How long a request for a file waits for an index that is being read.
const PATIENCE: Duration = Duration::from_secs(20);

/// The catalogue of one proxy.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    version: AtomicU64,
    built: Mutex<Option<(u64, Arc<[Names]>)>>,
    /// How many index files are being read.
    learning: watch::Sender<usize>,
    /// Done once the generations were looked for that an earlier process left.
    surveyed: OnceCell<()>,
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

    /// Waits until no index is being read, but not for ever.
    async fn learnt(&self) {
        let mut learning = self.learning.subscribe();
        let _ = tokio::time::timeout(PATIENCE, learning.wait_for(|count| *count == 0)).await;
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
    /// The artifact with the digest that the indexes give it, if they name it.
    pub async fn as_indexed(self: &Arc<Self>, mut artifact: Artifact) -> Result<Artifact, Error> {
        if let Some(named) = artifact.indexed.take() {
            artifact.expect = self.named(&named).await?;
        }
        Ok(artifact)
    }

    async fn named(self: &Arc<Self>, named: &NamedInIndexes) -> Result<Option<Digest>, Error> {
        let catalogue = &self.state.generations.catalogue;
        if let Some(digest) = self.look_in_names(&named.path).await? {
            return Ok(Some(digest));
        }
        catalogue.surveyed.get_or_init(|| self.find_generations(named)).await;
        if let Some(by) = &named.by {
            self.fetch_index(by).await;
        }
        catalogue.learnt().await;
        self.look_in_names(&named.path).await
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

    /// Opens the generations that are on disk.
    async fn find_generations(self: &Arc<Self>, named: &NamedInIndexes) {
        let (store, space) = (Arc::clone(&self.engine.store), self.space.clone());
        let documents = tokio::task::spawn_blocking(move || store.documents(&space)).await.unwrap_or_default();
        for head in documents.iter().filter_map(|(package, file)| (named.head)(package, file)) {
            if let Some(document) = self.stored_document(&head).await {
                // What is damaged is fetched again when a client asks for it.
                let _ = self.open(&head, &document).await;
            }
        }
    }

    async fn look_in_names(self: &Arc<Self>, path: &str) -> Result<Option<Digest>, Error> {
        let names = self.names().await?;
        if names.is_empty() {
            return Ok(None);
        }
        let path = path.to_owned();
        let look = move || names.iter().find_map(|names| names.find(&path).ok().flatten());
        tokio::task::spawn_blocking(look).await.map_err(|_| Error::Abandoned)
    }

    /// The names of all current generations, the newest first.
    async fn names(self: &Arc<Self>) -> Result<Arc<[Names]>, Error> {
        let catalogue = &self.state.generations.catalogue;
        let mut built = catalogue.built.lock().await;
        let version = catalogue.version.load(Ordering::Acquire);
        if let Some((_, names)) = built.as_ref().filter(|(of, _)| *of == version) {
            return Ok(Arc::clone(names));
        }
        let mut names = Vec::new();
        for open in self.state.generations.newest_first() {
            let listed = tokio::task::spawn_blocking(move || open.artifacts(|_, artifact| artifact.scan.is_some()));
            for (_, artifact) in listed.await.map_err(|_| Error::Abandoned)? {
                let record = self.record(self.space.record_id(&artifact.key)).await;
                let Some((id, length)) = record.as_ref().and_then(|record| record.artifact()?.names) else { continue };
                let blob = self.engine.store.blob(&self.space, id, length).await;
                names.extend(blob.and_then(Names::open));
            }
        }
        let names: Arc<[Names]> = names.into();
        *built = Some((version, Arc::clone(&names)));
        Ok(names)
    }
}
