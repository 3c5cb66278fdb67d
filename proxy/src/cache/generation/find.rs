//! Which file a name means to a client: that of the generation whose head it was given, else of the current one.

use std::sync::Arc;

use super::{Client, Open};
use crate::cache::ask::DOUBT;
use crate::cache::{Cache, StoredDocument};
use crate::error::{Error, means_none};
use crate::intent::{Artifact, Indexed, Metadata, Within};
use crate::store::BlobId;

/// An index file, and the generation that says which bytes it is.
pub struct Found {
    /// The file.
    pub artifact: Artifact,
    head: Metadata,
    raw: BlobId,
    /// Whether caches on the way are passed by already.
    is_doubted: bool,
}

impl Cache {
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
        let document = match self.asked_in_time(&open.head).await {
            // It is here: what it does not name is none of its files, whatever the upstream says of it meanwhile.
            Err(Error::Missing { .. }) => return Err(self.unlisted()),
            asked => asked?,
        };
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
        let id = self.space.record_id(&found.artifact.key);
        if !self.state.distrust.is_suspect(id, found.artifact.expect.as_ref()) {
            return Ok(found);
        }
        // If that fails, what is cached may still be right.
        let Ok(document) = self.asked_in_time(&open.head).await else { return Ok(found) };
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
        Ok(artifact.map(|artifact| {
            let is_doubted = self.state.doubted.is_recent(self.space.record_id(&artifact.key), DOUBT);
            Found { artifact, head: open.head.clone(), raw: open.raw, is_doubted }
        }))
    }

    /// The first head that the upstream has.
    async fn first_head<'a>(self: &Arc<Self>, indexed: &'a Indexed) -> Result<(Arc<Open>, &'a Within), Error> {
        let (mut missing, mut failed) = (None, None);
        for within in &indexed.within {
            for head in &within.heads {
                match self.document(head).await {
                    Ok((document, _)) => return Ok((self.open(head, &document).await?, within)),
                    Err(error @ Error::Missing { .. }) => missing = Some(error),
                    // Some stores refuse what they do not have.
                    Err(error @ Error::Upstream { status, .. }) if means_none(status) => missing = Some(error),
                    // What stands in for it may have the other form of the head.
                    Err(error) if self.has_fallbacks() && error.is_of_upstream() => failed = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(failed.or(missing).unwrap_or_else(|| self.unlisted()))
    }

    /// What a failure to get a file of a generation means: if the upstream has gone on meanwhile, the client has to
    /// begin anew; if it has not, a cache on the way may have given the file before, and `Ok` is the word to ask once
    /// more, past it.
    pub async fn worth_another_try(self: &Arc<Self>, found: &Found, error: Error) -> Result<(), Error> {
        if !matches!(error, Error::Mismatch { .. } | Error::Unexpected { .. }) {
            return Err(error);
        }
        let is_same = |document: &StoredDocument| document.record.document().is_some_and(|now| now.raw == found.raw);
        match self.asked_in_time(&found.head).await {
            Ok(document) if is_same(&document) && !found.is_doubted => {
                // Both tries are one failure to those who come next.
                self.state.distrust.acquit(self.space.record_id(&found.artifact.key));
                Ok(())
            }
            Ok(document) if is_same(&document) => Err(error),
            Ok(_) | Err(Error::OutOfStep { .. }) => Err(Error::OutOfStep { upstream: self.upstream() }),
            Err(_) => Err(error),
        }
    }

    /// The head as the upstream has it now, if that comes in time: while its files are fetched it may take long.
    async fn asked_in_time(self: &Arc<Self>, head: &Metadata) -> Result<StoredDocument, Error> {
        let asked = tokio::time::timeout(self.settings.cache.revalidation_wait, self.asked_again(head));
        asked.await.unwrap_or_else(|_| Err(Error::OutOfStep { upstream: self.upstream() }))
    }

    fn unlisted(&self) -> Error {
        Error::Unlisted { upstream: self.upstream() }
    }
}
