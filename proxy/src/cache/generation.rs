//! Index generations: the files that a head names are served as this head names them, so that a client never gets
//! parts of two moments of the upstream. A new head becomes current once what clients use of the old one is here in
//! its new form.

use std::sync::Arc;

use super::Cache;
use super::catalogue::Catalogue;
use super::document::StoredDocument;
use super::table::Table;
use crate::clock::Millis;
use crate::error::Error;
use crate::intent::{Artifact, ListedFile, Metadata};
use crate::store::{Blob, BlobId};

mod find;
mod given;
mod opened;
mod signature;
mod swap;

pub use given::Client;
pub(super) use opened::Closed;
pub(super) use signature::Head;

/// The generations of one proxy.
#[derive(Debug, Default)]
pub(super) struct Generations {
    pub(super) opened: opened::Opened,
    given: given::GivenAll,
    waiting: swap::WaitingAll,
    pub(super) catalogue: Catalogue,
}

impl Generations {
    /// Forgets what clients were given. What is open still says which digests files have, until there is a newer one.
    pub(super) fn clear(&self) {
        self.given.clear();
        self.catalogue.changed();
    }

    /// What is open, the newest first.
    pub(super) fn newest_first(&self) -> Vec<Arc<Open>> {
        self.opened.newest_first()
    }
}

/// One generation, ready to be asked.
#[derive(Debug)]
pub(super) struct Open {
    head: Metadata,
    raw: BlobId,
    changed: Millis,
    by_digest: bool,
    table: Option<Table>,
    signature: Option<Blob>,
}

impl Open {
    /// The artifact of an entry of the head.
    fn artifact(&self, file: &ListedFile) -> Option<Artifact> {
        (self.head.generation?.index)(&self.head.key, file, self.by_digest)
    }

    /// The artifacts of all entries that pass, under each of their digests: clients may have asked for any of them.
    /// Blocks on the disk.
    pub(super) fn artifacts(&self, keep: impl Fn(&ListedFile, &Artifact) -> bool) -> Vec<(ListedFile, Artifact)> {
        let mut found = Vec::new();
        let Some(mut files) = self.table.as_ref().map(Table::files) else { return found };
        while let Ok(Some(file)) = files.read() {
            for digest in &file.digests {
                let by_this = ListedFile { digests: vec![digest.clone()], ..file.clone() };
                if let Some(artifact) = self.artifact(&by_this).filter(|artifact| keep(&by_this, artifact)) {
                    found.push((by_this, artifact));
                }
            }
        }
        found
    }

    /// The entry of a name.
    async fn look_up(self: &Arc<Self>, name: &str) -> Result<Option<ListedFile>, Error> {
        let Some(table) = self.table.clone() else { return Ok(None) };
        let name = name.to_owned();
        let found = if table.is_in_memory() {
            table.file(&name)
        } else {
            tokio::task::spawn_blocking(move || table.file(&name)).await.map_err(|_| Error::Abandoned)?
        };
        found.map_err(|error| Error::Storage(Arc::new(error)))
    }
}

impl Cache {
    /// Remembers which generation a client was given the head of.
    pub async fn given(self: &Arc<Self>, client: Client, head: &Metadata, document: &StoredDocument) {
        if let Ok(open) = self.open(head, document).await {
            let id = self.space.record_id(&head.key);
            self.state.generations.given.note(client, id, &open);
        }
    }

    /// What this client was given a moment ago; an empty list if nothing, several if it may be either.
    fn given_to(&self, client: Client, head: &Metadata) -> Vec<Arc<Open>> {
        let id = self.space.record_id(&head.key);
        let given = self.state.generations.given.to(client, id);
        for open in &given {
            // A use.
            self.state.generations.opened.touch(id, open.raw);
        }
        given
    }

    /// Opens the generation of a head that is here.
    pub(super) async fn open(self: &Arc<Self>, head: &Metadata, document: &StoredDocument) -> Result<Arc<Open>, Error> {
        let id = self.space.record_id(&head.key);
        let stored = document.record.document().ok_or(Error::Abandoned)?;
        let signature = stored.signature.map(|(signature, _)| signature);
        let is_alike = |open: &Arc<Open>| open.signature.as_ref().map(Blob::id) == signature;
        if let Some(open) = self.state.generations.opened.get(id, stored.raw).filter(is_alike) {
            return Ok(open);
        }
        let document = match self.table(document).await {
            Ok(_) => document.clone(),
            // The disk has lost it.
            Err(_) => self.fetched(head, Some(&document.record)).await?.0,
        };
        let table = self.table(&document).await.map_err(|_| Error::Abandoned)?;
        let stored = document.record.document().ok_or(Error::Abandoned)?;
        let signature = match (document.signature.clone(), stored.signature) {
            (None, Some((signature, length))) => {
                let blob = self.engine.store.blob(&self.space, signature, length).await;
                if blob.is_none() {
                    // The disk has lost it: both are fetched again.
                    let cache = Arc::clone(self);
                    let _ = tokio::task::spawn_blocking(move || cache.engine.store.forget(&cache.space, id)).await;
                    return Err(Error::OutOfStep { upstream: self.upstream() });
                }
                blob
            }
            (signature, _) => signature,
        };
        let open = Arc::new(Open {
            head: head.clone(),
            raw: stored.raw,
            changed: stored.changed,
            by_digest: stored.by_digest,
            table,
            signature,
        });
        self.state.generations.opened.insert(id, Arc::clone(&open));
        self.state.generations.catalogue.changed();
        Ok(open)
    }
}
