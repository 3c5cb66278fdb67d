//! From ecosystem, package, version and file to an address and a digest, without slowing a cold install: metadata
//! that is at hand decides; else the body is asked for at once and the digest beside it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use url::Url;

use crate::cache::Cache;
use crate::checksum_sibling::ChecksumSiblings;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, means_none};
use crate::fetch::{FetchError, Phase, SafeUrl};
use crate::intent::{Artifact, ListedFile, Metadata, Raw, Source, Template, Unexpected};
use crate::store::BlobId;

/// How long the digests of a file wait for a place at the upstream.
const PATIENCE: Duration = Duration::from_mins(5);
/// After each time that there was none.
const PAUSE: Duration = Duration::from_millis(100);

/// Where an artifact is and how its bytes are known to be right.
#[derive(Debug)]
pub struct Target {
    /// The address.
    pub url: SafeUrl,
    /// The digest.
    pub expected: Expected,
    /// Whether a listing gave the address.
    pub listed: bool,
}

/// The digests that the upstream publishes for an artifact.
#[derive(Debug)]
pub enum Expected {
    /// These; at least one.
    Digests(Vec<Digest>),
    /// None.
    Nothing,
    /// None, but these bytes were the first ones seen under this name.
    Pinned(BlobId),
    /// Still being asked for, beside the body.
    Pending(oneshot::Receiver<Result<Vec<Digest>, Error>>),
    /// The head of the file's answer will say it, or what lies beside the file.
    Beside(&'static ChecksumSiblings),
    /// To be asked for once the head has arrived: nobody else is to look for what the upstream does not hold.
    AfterHead,
}

impl Expected {
    /// Looks for the digests from now on. The file that they are of holds one of the places at the upstream, and many
    /// such files hold them all: whoever looks for digests waits for longer than others, until files have arrived.
    pub(crate) fn beside<L>(look: impl Fn() -> L + Send + 'static) -> Self
    where
        L: Future<Output = Result<Vec<Digest>, Error>> + Send + 'static,
    {
        let (found, pending) = oneshot::channel();
        tokio::spawn(async move {
            let began = Instant::now();
            let is_wanted = || !found.is_closed() && began.elapsed() < PATIENCE;
            let outcome = loop {
                match look().await {
                    Err(Error::Fetch(FetchError::Timeout { phase: Phase::Queue, .. })) if is_wanted() => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    outcome => break outcome,
                }
            };
            let _ = found.send(outcome);
        });
        Self::Pending(pending)
    }

    pub(crate) fn of(digests: Vec<Digest>) -> Self {
        if digests.is_empty() { Self::Nothing } else { Self::Digests(digests) }
    }

    /// Whether it is certain that there is no digest.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Whether a digest is known already.
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::Digests(_) | Self::Pinned(_))
    }

    /// The hasher that will be able to tell, and computes these besides.
    pub fn hasher(&self, besides: &[Algorithm]) -> Hasher {
        let telling = match self {
            Self::Digests(digests) => {
                Digest::strongest(digests).map_or_else(Vec::new, |digest| vec![digest.algorithm()])
            }
            Self::Nothing | Self::Pinned(_) | Self::Beside(_) | Self::AfterHead => Vec::new(),
            // It arrives beside the body, so every algorithm that it may have is kept going.
            Self::Pending(_) => vec![Algorithm::Sha1, Algorithm::Sha512, Algorithm::H1Mod],
        };
        Hasher::under(telling.into_iter().chain(besides.iter().copied()))
    }

    /// The same once it is known whether there is a digest.
    pub async fn certain(self) -> Result<Self, Error> {
        match self {
            Self::Pending(_) => self.settled().await.map(Self::of),
            certain => Ok(certain),
        }
    }

    /// The digests, waited for where they are still on their way. A failure to learn them is not the same as their
    /// absence: the bytes cannot be released.
    pub async fn settled(self) -> Result<Vec<Digest>, Error> {
        match self {
            Self::Digests(digests) => Ok(digests),
            Self::Nothing | Self::Pinned(_) | Self::Beside(_) | Self::AfterHead => Ok(Vec::new()),
            Self::Pending(lookup) => lookup.await.map_err(|_| Error::Abandoned)?,
        }
    }
}

impl Digest {
    /// The strongest of several that can be compared.
    pub fn strongest_of(digests: &[Self], comparable: impl Fn(Algorithm) -> bool) -> Option<&Self> {
        digests.iter().filter(|digest| comparable(digest.algorithm())).max_by_key(|digest| digest.algorithm())
    }
}

/// What cached metadata says of a file.
enum Known<'a> {
    /// It lists it.
    Listed(ListedFile),
    /// This one is there and does not list it.
    Lacking(&'a Metadata),
    /// None is cached.
    Nothing,
}

impl Cache {
    /// Finds address and digest. With `suspicious`, cached metadata is asked for again first: the last body that it
    /// named was wrong.
    pub async fn resolve(self: &Arc<Self>, artifact: &Artifact, suspicious: bool) -> Result<Target, Error> {
        if let Some(digest) = &artifact.expect {
            let url = self.address(artifact, None).await?;
            return Ok(Target { url, expected: Expected::Digests(vec![digest.clone()]), listed: false });
        }
        let listings = artifact.listings(&self.settings().upstream);
        let authority = listings.first();
        if suspicious
            && !artifact.passive
            && let Some(authority) = authority
        {
            // If that fails, what is cached may still be right.
            let _ = self.asked_again(authority).await;
        }
        let file = match self.known(artifact, &listings).await? {
            Known::Listed(file) => Some(file),
            // A version that was published a moment ago, or none at all: the upstream knows.
            Known::Lacking(listing) => Some(self.listed_now(artifact, listing).await?),
            Known::Nothing => match (&artifact.source, authority) {
                (Source::Listed, Some(authority)) => Some(self.listed_first(artifact, authority).await?),
                _ => None,
            },
        };
        match file {
            Some(file) => {
                let url = self.address(artifact, Some(&file)).await?;
                let listed = !file.url.is_empty();
                Ok(Target { url, expected: Expected::of(file.digests), listed })
            }
            None => self.resolve_cold(artifact).await,
        }
    }

    /// No metadata is at hand: the address by the protocol's layout, the digest beside the body.
    async fn resolve_cold(self: &Arc<Self>, artifact: &Artifact) -> Result<Target, Error> {
        if let Source::Template(template) = &artifact.source
            && self.needs_listing(template).await?
        {
            let file = self.look_up(artifact).await?;
            let url = self.address(artifact, file.as_ref()).await?;
            let digests = file.map(|file| file.digests).unwrap_or_default();
            return Ok(Target { url, expected: Expected::of(digests), listed: false });
        }
        let expected = match artifact.checksum_siblings {
            _ if !artifact.listings(&self.settings().upstream).is_empty() => {
                if artifact.passive {
                    Expected::AfterHead
                } else {
                    self.look_up_beside(artifact)
                }
            }
            Some(siblings) => Expected::Beside(siblings),
            None => Expected::Nothing,
        };
        let url = self.address(artifact, None).await?;
        Ok(Target { url, expected, listed: false })
    }

    /// Asks for the digest from now on, beside the body.
    pub(crate) fn look_up_beside(self: &Arc<Self>, artifact: &Artifact) -> Expected {
        let (cache, artifact) = (Arc::clone(self), artifact.clone());
        Expected::beside(move || {
            let (cache, artifact) = (Arc::clone(&cache), artifact.clone());
            async move { Ok(cache.look_up(&artifact).await?.map(|file| file.digests).unwrap_or_default()) }
        })
    }

    /// The address after a 404 at the one that the layout gave: registries that keep their files elsewhere say so in
    /// their metadata. `None`: there is no other.
    pub async fn resolve_elsewhere(
        self: &Arc<Self>,
        artifact: &Artifact,
        tried: &Target,
    ) -> Result<Option<Target>, Error> {
        if let (Some(spare), Some(digest)) = (&artifact.spare, &artifact.expect) {
            let url = SafeUrl::from(spare.below(&self.settings().upstream.url));
            let expected = Expected::Digests(vec![digest.clone()]);
            return Ok((url != tried.url).then_some(Target { url, expected, listed: false }));
        }
        if tried.listed || artifact.passive || !matches!(artifact.source, Source::Layout(_)) {
            return Ok(None);
        }
        let listings = artifact.listings(&self.settings().upstream);
        let Some(authority) = listings.first() else { return Ok(None) };
        let file = match self.document(authority).await {
            Ok((document, _)) => self.file_in(authority, &document, &artifact.listed_as).await?,
            Err(Error::Missing { .. } | Error::Withheld { .. }) => None,
            Err(Error::Upstream { status, .. }) if means_none(status) => None,
            Err(error) => return Err(error),
        };
        let Some(file) = file.filter(|file| !file.url.is_empty()) else { return Ok(None) };
        let url = self.parse_link(&file.url)?;
        if url == tried.url {
            return Ok(None);
        }
        Ok(Some(Target { url, expected: Expected::of(file.digests), listed: true }))
    }

    /// What cached metadata says, however old it is: what a listing says of an artifact does not change.
    async fn known<'a>(self: &Arc<Self>, artifact: &Artifact, listings: &'a [Metadata]) -> Result<Known<'a>, Error> {
        let mut known = Known::Nothing;
        for listing in listings {
            let Some(document) = self.stored_document(listing).await else { continue };
            match self.file_in(listing, &document, &artifact.listed_as).await? {
                Some(file) => return Ok(Known::Listed(file)),
                None if matches!(known, Known::Nothing) => known = Known::Lacking(listing),
                None => {}
            }
        }
        Ok(known)
    }

    /// Asks for a listing again because what is cached of it lacks the file.
    async fn listed_now(self: &Arc<Self>, artifact: &Artifact, listing: &Metadata) -> Result<ListedFile, Error> {
        let document = self.asked_again(listing).await?;
        let file = self.file_in(listing, &document, &artifact.listed_as).await?;
        file.ok_or_else(|| Error::Unlisted { upstream: self.upstream() })
    }

    /// Fetches the authority because only it knows the address.
    async fn listed_first(self: &Arc<Self>, artifact: &Artifact, authority: &Metadata) -> Result<ListedFile, Error> {
        let (document, _) = self.document(authority).await?;
        match self.file_in(authority, &document, &artifact.listed_as).await? {
            Some(file) => Ok(file),
            None => self.listed_now(artifact, authority).await,
        }
    }

    /// Asks the listings for the digest, the smallest first. `None`: none of them names the file.
    async fn look_up(self: &Arc<Self>, artifact: &Artifact) -> Result<Option<ListedFile>, Error> {
        let (mut unreadable, mut failed) = (None, None);
        for listing in artifact.listings(&self.settings().upstream).iter().rev() {
            match self.document(listing).await {
                Ok((document, _)) => {
                    if let Some(file) = self.file_in(listing, &document, &artifact.listed_as).await? {
                        return Ok(Some(file));
                    }
                }
                // This upstream does not have that kind of document: the next larger one will do.
                Err(Error::Missing { .. } | Error::Withheld { .. }) => unreadable = None,
                Err(Error::Upstream { status, .. }) if means_none(status) => unreadable = None,
                Err(error @ Error::Unexpected { .. }) => unreadable = Some(error),
                // What stands in for it may lack this kind of document, and have the next.
                Err(error) if self.has_fallbacks() && error.is_of_upstream() => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        // An authority that is there and says nothing sensible, or was not heard, is no word that there is no digest.
        failed.or(unreadable).map_or(Ok(None), Err)
    }

    async fn address(self: &Arc<Self>, artifact: &Artifact, file: Option<&ListedFile>) -> Result<SafeUrl, Error> {
        if let Some(file) = file.filter(|file| !file.url.is_empty()) {
            return self.parse_link(&file.url);
        }
        match &artifact.source {
            Source::Layout(path) => Ok(path.below(&self.settings().upstream.url).into()),
            Source::Listed => Err(Error::Unlisted { upstream: self.upstream() }),
            Source::Template(template) => {
                let build = template.build;
                let link = self.with_raw(&(template.document)(), |raw| build(raw, artifact, file)).await?;
                self.parse_link(&link)
            }
        }
    }

    async fn needs_listing(self: &Arc<Self>, template: &Template) -> Result<bool, Error> {
        let needs_listing = template.needs_listing;
        self.with_raw(&(template.document)(), |raw| Ok(needs_listing(raw))).await
    }

    /// Hands the bytes of a small document to a function of the ecosystem.
    pub async fn with_raw<T>(
        self: &Arc<Self>,
        metadata: &Metadata,
        read: impl FnOnce(Raw<'_>) -> Result<T, Unexpected>,
    ) -> Result<T, Error> {
        let (mut document, _) = self.document(metadata).await?;
        let mut blob = self.raw(&document).await;
        if blob.is_none() {
            // The disk has lost it.
            (document, _) = self.fetched(metadata, Some(&document.record)).await?;
            blob = self.raw(&document).await;
        }
        let blob = blob.ok_or(Error::Abandoned)?;
        let stored = document.record.document().ok_or(Error::Abandoned)?;
        let bytes = match blob.in_memory() {
            Some(bytes) => bytes.clone(),
            None => tokio::task::spawn_blocking(move || blob.read_all())
                .await
                .map_err(|_| Error::Abandoned)?
                .map_err(|error| Error::Storage(Arc::new(error)))?,
        };
        let raw = Raw {
            bytes: &bytes,
            content_type: &stored.content_type,
            url: &stored.url,
            key: &metadata.key,
            headers: None,
        };
        read(raw).map_err(|reason| Error::Unexpected { upstream: self.upstream(), reason })
    }

    /// A link of an upstream document. Which addresses are visited at all is the fetcher's business.
    pub(crate) fn parse_link(&self, link: &str) -> Result<SafeUrl, Error> {
        Url::parse(link).map(SafeUrl::from).map_err(|error| Error::Unexpected {
            upstream: self.upstream(),
            reason: Unexpected(format!("a link that is no address ({error})")),
        })
    }
}
