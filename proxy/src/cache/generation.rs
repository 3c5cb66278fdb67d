//! Index generations: the files that a head names are served as this head names them, so that a client never gets
//! parts of two moments of the upstream. A new head becomes current once what clients use of the old one is here in
//! its new form.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::Cache;
use super::catalogue::Catalogue;
use super::document::StoredDocument;
use super::receive;
use super::table::Table;
use super::write::Finished;
use crate::cache_status::CacheStatus;
use crate::clock::Millis;
use crate::error::Error;
use crate::fetch::{Purpose, SafeUrl};
use crate::intent::{Artifact, Indexed, Key, ListedFile, Metadata, Within};
use crate::store::{Blob, BlobId, RecordId};
use crate::upstream_path::UpstreamPath;

mod given;
mod opened;
mod swap;

pub use given::Client;
pub(super) use opened::Closed;

/// Bytes of a signature.
const SIGNATURE: u64 = 1 << 20;

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

/// An index file, and the generation that says which bytes it is.
pub struct Found {
    /// The file.
    pub artifact: Artifact,
    head: Metadata,
    raw: BlobId,
}

impl Cache {
    /// Remembers which generation a client was given the head of.
    pub async fn given(self: &Arc<Self>, client: Client, head: &Metadata, document: &StoredDocument) {
        if let Ok(open) = self.open(head, document).await {
            let id = self.space.record_id(&head.key);
            self.state.generations.given.note(client, id, &open);
        }
    }

    /// The file that a name means to this client: of the generation that it was given, else of the current one.
    pub async fn indexed(self: &Arc<Self>, indexed: &Indexed, client: Client) -> Result<Found, Error> {
        // Its own connection tells for certain, whatever heads others behind its address were given.
        for within in &indexed.within {
            for head in &within.heads {
                let id = self.space.record_id(&head.key);
                let Some(open) = self.state.generations.given.on_connection(client, id) else { continue };
                self.state.generations.opened.touch(id, open.raw);
                if let Some(found) = self.found(&open, within).await? {
                    return self.unless_suspect(found, &open, within).await;
                }
            }
        }
        let mut known = Vec::new();
        for within in &indexed.within {
            for head in &within.heads {
                let given = self.given_to(client, head);
                if let [one, other] = given.as_slice() {
                    self.same_in_both(one, other, within).await?;
                }
                known.extend(given.into_iter().map(|open| (open, within)));
            }
        }
        for within in &indexed.within {
            for head in &within.heads {
                if let Some(document) = self.stored_document(head).await {
                    known.push((self.open(head, &document).await?, within));
                }
            }
        }
        if known.is_empty() {
            known.push(self.first_head(indexed).await?);
        }
        for (open, within) in &known {
            if let Some(found) = self.found(open, within).await? {
                return self.unless_suspect(found, open, within).await;
            }
        }
        // Named by a head that was published a moment ago, or by none at all: the upstream knows.
        let Some((open, within)) = known.last() else { return Err(self.unlisted()) };
        let document = self.asked_again(&open.head).await?;
        let open = self.open(&open.head, &document).await?;
        self.found(&open, within).await?.ok_or_else(|| self.unlisted())
    }

    /// An error if a name means other bytes in one generation than in another, and nothing tells which of them a client
    /// was given: it has to begin anew.
    async fn same_in_both(&self, one: &Arc<Open>, other: &Arc<Open>, within: &Within) -> Result<(), Error> {
        let digests =
            async |open: &Arc<Open>| Ok::<_, Error>(open.look_up(&within.name).await?.map(|file| file.digests));
        if digests(one).await? == digests(other).await? {
            return Ok(());
        }
        Err(Error::OutOfStep { upstream: self.upstream() })
    }

    /// Asks for the head again if the last body of this file was wrong.
    async fn unless_suspect(self: &Arc<Self>, found: Found, open: &Arc<Open>, within: &Within) -> Result<Found, Error> {
        if !self.state.distrust.is_suspect(self.space.record_id(&found.artifact.key)) {
            return Ok(found);
        }
        // If that fails, what is cached may still be right.
        let Ok(document) = self.asked_again(&open.head).await else { return Ok(found) };
        let open = self.open(&open.head, &document).await?;
        match self.found(&open, within).await? {
            Some(now) if now.artifact.key == found.artifact.key => Ok(now),
            // It holds the head before: the file of another one would not fit.
            _ => Err(Error::OutOfStep { upstream: self.upstream() }),
        }
    }

    async fn found(&self, open: &Arc<Open>, within: &Within) -> Result<Option<Found>, Error> {
        let Some(file) = open.look_up(&within.name).await? else { return Ok(None) };
        let artifact = open.artifact(&file);
        Ok(artifact.map(|artifact| Found { artifact, head: open.head.clone(), raw: open.raw }))
    }

    /// The first head that the upstream has.
    async fn first_head<'a>(self: &Arc<Self>, indexed: &'a Indexed) -> Result<(Arc<Open>, &'a Within), Error> {
        let mut missing = None;
        for within in &indexed.within {
            for head in &within.heads {
                match self.document(head).await {
                    Ok((document, _)) => return Ok((self.open(head, &document).await?, within)),
                    Err(error @ Error::Missing { .. }) => missing = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(missing.unwrap_or_else(|| self.unlisted()))
    }

    /// What a failure to get a file of a generation means: if the upstream has gone on meanwhile, the client has to
    /// begin anew.
    pub async fn out_of_step(self: &Arc<Self>, found: &Found, error: Error) -> Error {
        if !matches!(error, Error::Mismatch { .. } | Error::Unexpected { .. }) {
            return error;
        }
        let wait = self.settings.cache.revalidation_wait;
        let gone_on = || Error::OutOfStep { upstream: self.upstream() };
        match tokio::time::timeout(wait, self.asked_again(&found.head)).await {
            Ok(Ok(document)) if document.record.document().is_some_and(|document| document.raw == found.raw) => error,
            Ok(Ok(_) | Err(Error::OutOfStep { .. })) | Err(_) => gone_on(),
            Ok(Err(_)) => error,
        }
    }

    /// The detached signature of the head that this client was given, else of the current one.
    pub async fn signature(self: &Arc<Self>, head: &Metadata, client: Client) -> Result<(Bytes, CacheStatus), Error> {
        let given = self.given_to(client, head);
        if given.len() > 1 {
            return Err(Error::OutOfStep { upstream: self.upstream() });
        }
        let (open, status) = if let Some(open) = given.into_iter().next() {
            (open, CacheStatus::Hit { ttl: 0 })
        } else {
            let (document, status) = self.document(head).await?;
            (self.open(head, &document).await?, status)
        };
        let missing = || Error::Missing { status: 404, upstream: self.upstream(), text: "".into() };
        let blob = open.signature.clone().ok_or_else(missing)?;
        let read = tokio::task::spawn_blocking(move || blob.read_all()).await.map_err(|_| Error::Abandoned)?;
        Ok((read.map_err(|error| Error::Storage(Arc::new(error)))?, status))
    }

    /// Fetches the signature of a head that has just arrived, and the head once more: only if that is the same do both
    /// belong together.
    pub(super) async fn fetch_signature(
        self: &Arc<Self>,
        id: RecordId,
        head: &Metadata,
        of: fn(&Key) -> UpstreamPath,
        received: BlobId,
        files: &mut Vec<Finished>,
    ) -> Result<Option<Blob>, Error> {
        let get = async |path: &UpstreamPath, limit: u64| {
            let url = SafeUrl::from(path.below(&self.settings.upstream.url));
            let reply = self.ask(self.get(id, url, Purpose::Metadata)).await?;
            match reply.status {
                StatusCode::OK => {}
                _ => return Err(self.refused(reply).await),
            }
            receive::receive(reply, &self.engine.store, &self.engine.memory, limit, &[]).await
        };
        let signature = match get(&of(&head.key), SIGNATURE).await {
            Ok(signature) => signature,
            // An archive that is not signed.
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let again = get(&head.from, self.settings.cache.max_metadata_size).await?;
        if again.blob.id() != received {
            return Err(Error::OutOfStep { upstream: self.upstream() });
        }
        let (blob, staging) = (signature.blob, signature.staging);
        files.extend(staging.map(|staging| Finished::new(staging, blob.id())));
        Ok(Some(blob))
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
        if let Some(open) = self.state.generations.opened.get(id, stored.raw) {
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

    fn unlisted(&self) -> Error {
        Error::Unlisted { upstream: self.upstream() }
    }
}
