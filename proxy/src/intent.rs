//! What a request means: the words in which an ecosystem tells the engine what a client wants. Nothing here does I/O.

use std::ops::Range;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::checksum_sibling::ChecksumSiblings;
use crate::date::Millis;
use crate::digest::{Algorithm, Digest};
use crate::upstream_path::UpstreamPath;

pub use artifact::{Artifact, Shape, Source, Template, is_no_page, is_no_page_or_json, is_page_type};
pub use index::{Generation, Indexed, NamedFile, NamedInIndexes, NewScan, ScanIndex, Within};

mod artifact;
mod index;

/// The meaning of one request.
#[derive(Clone, Debug)]
pub enum Intent {
    /// A mutable document, kept for the metadata TTL and rewritten for the client.
    Metadata(Metadata),
    /// An immutable file, kept for ever and verified.
    Artifact(Artifact),
    /// A file of an index generation: which bytes it is, the generation says.
    Indexed(Indexed),
    /// The detached signature of such a generation's head.
    Signature(Metadata),
    /// Asked of the upstream each time and never kept: a search, an audit.
    Forward(Forward),
    /// Answered here.
    Answer(Answer),
    /// The digest of what another request is answered with.
    Checksum(Checksum),
}

/// Names one thing below one proxy. Two requests have equal keys exactly if they have one upstream address and one
/// answer, whatever their spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The package's canonical name; empty for documents of the registry as a whole.
    pub package: String,
    /// The version, where the protocol names one.
    pub version: String,
    /// The file's own name; empty for the document about the package.
    pub file: String,
    /// Which of several documents about the same thing: `full`, `abbreviated`, `index`, `tarball`.
    pub representation: &'static str,
}

impl Key {
    /// Names the document about a package, or one of several.
    pub fn document(package: &str, representation: &'static str) -> Self {
        Self::file(package, "", "", representation)
    }

    /// Names one file of a version; parts that the protocol lacks are empty.
    pub fn file(
        package: impl Into<String>,
        version: &str,
        file: impl Into<String>,
        representation: &'static str,
    ) -> Self {
        Self { package: package.into(), version: version.to_owned(), file: file.into(), representation }
    }
}

/// A mutable document.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Its name in the cache.
    pub key: Key,
    /// Where it is, below the upstream's base.
    pub from: UpstreamPath,
    /// The query there, already encoded, from parameters that the protocol knows.
    pub query: Option<String>,
    /// The `Accept` header that selects this representation at the upstream.
    pub accept: Option<&'static str>,
    /// How long it is fresh.
    pub lifetime: Lifetime,
    /// How the upstream is asked whether it has changed.
    pub revalidate: Revalidate,
    /// Digest that the request itself names: other bytes are refused.
    pub expect: Option<Digest>,
    /// Most bytes, where the protocol sets a limit.
    pub limit: Option<u64>,
    /// Understands the upstream's bytes, once, when they are stored. `None`: they mean nothing to us and may be very
    /// many.
    pub read: Option<ReadDocument>,
    /// Whether bytes that begin so may be it, where they mean nothing to us: as [`Artifact::may_begin`].
    pub may_begin: fn(&[u8]) -> bool,
    /// Turns the stored bytes into what is served.
    pub rewrite: Rewrite,
    /// The `Content-Type` served, unless [`Rewrite::Render`] gives another.
    pub content_type: &'static str,
    /// The request header that selects between representations, named in `Vary`.
    pub varies_by_accept: bool,
    /// The digests that go with it.
    pub checksum_siblings: Option<&'static ChecksumSiblings>,
    /// Whether clients know it by its digest: it is never sent in a content coding, and the digest is its entity tag.
    pub content_addressed: bool,
    /// What it is the head of, if it is a generation's.
    pub generation: Option<Generation>,
    /// What becomes of it when the upstream does not have it any more.
    pub once_gone: OnceGone,
    /// Whether the client wants it only if somebody holds it already: here, or else the upstream, which is told so.
    pub passive: bool,
}

impl Metadata {
    /// A document that is passed on byte for byte, for the configured lifetime. What differs is set with `..`.
    pub fn verbatim(key: Key, from: UpstreamPath, read: ReadDocument, content_type: &'static str) -> Self {
        Self {
            key,
            from,
            query: None,
            accept: Some(content_type),
            lifetime: Lifetime::Configured,
            revalidate: Revalidate::Conditional,
            expect: None,
            limit: None,
            read: Some(read),
            may_begin: is_no_page,
            rewrite: Rewrite::Verbatim,
            content_type,
            varies_by_accept: false,
            checksum_siblings: None,
            content_addressed: false,
            generation: None,
            once_gone: OnceGone::Forgotten,
            passive: false,
        }
    }

    /// A file that may change, of any size and any kind: never in memory, and passed on byte for byte.
    pub fn opaque(key: Key, from: UpstreamPath, content_type: &'static str, may_begin: fn(&[u8]) -> bool) -> Self {
        let document = Self::verbatim(key, from, |_| Ok(Reading::default()), content_type);
        Self { accept: None, read: None, may_begin, ..document }
    }
}

/// What becomes of a document that the upstream does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnceGone {
    /// It is gone here, too.
    Forgotten,
    /// It is served on: what it says of immutable files, which may still be here, stays true.
    Served,
}

/// How the upstream is asked whether a document has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revalidate {
    /// By a GET with the validators that it gave.
    Conditional,
    /// By a HEAD whose answer tells the document's digest in this header; a GET follows where it is another. What that
    /// header says of a body must be true as well.
    Digest(&'static str),
}

/// How long metadata is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The proxy's `cache.metadataTTL`.
    Configured,
    /// At least this long, even where the configured lifetime is shorter: documents that hardly ever change.
    AtLeast(Duration),
    /// For good: its name is its digest.
    Forever,
}

/// Upstream bytes together with what is needed to understand them.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// The document, without any content coding.
    pub bytes: &'a [u8],
    /// The upstream's `Content-Type`, as sent.
    pub content_type: &'a str,
    /// Where it came from after redirects: the base of relative links in it.
    pub url: &'a Url,
    /// Its key, for the names in it.
    pub key: &'a Key,
    /// The upstream's headers, while it is read to be stored.
    pub headers: Option<&'a HeaderMap>,
}

/// Checks that a document is what the protocol says, and extracts what later requests need of it.
pub type ReadDocument = fn(Raw<'_>) -> Result<Reading, Unexpected>;

/// What a document says, extracted once when it is stored so that no later request parses it again.
#[derive(Debug, Default)]
pub struct Reading {
    /// The files that it names. Order does not matter; the engine sorts by name, and the last of two equal names wins.
    pub files: Vec<ListedFile>,
    /// The places at which links are replaced, in ascending order and not overlapping.
    pub edits: Vec<Edit>,
    /// Stored instead of the upstream's bytes, where these are not of the representation that was asked for. The
    /// ranges of `edits` then refer to these bytes.
    pub replacement: Option<Vec<u8>>,
    /// Whether the upstream also serves the files at addresses that contain their digests.
    pub by_digest: bool,
    /// Until when it may stand in while the upstream fails, where it says so itself.
    pub valid_until: Option<Millis>,
    /// A number that grows with each change of the document, where it says one: its serial, or the moment of the change.
    /// Of two servers of a registry, the one with the lower number lags behind.
    pub revision: Option<u64>,
    /// What is served beside the bytes.
    pub served: ServedAs,
    /// Another key of the same document: its digest.
    pub also: Option<Key>,
    /// Artifacts that may be served because this document names them, if their bytes are at hand.
    pub references: Vec<Reference>,
    /// What the upstream must have by now, since it has this document: an earlier word that it does not have it no longer
    /// counts.
    pub present: Vec<Key>,
    /// Whether it only says, with status 200, that there is no such thing.
    pub absent: bool,
}

/// What a document's own content and headers say of how it is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServedAs {
    /// Its `Content-Type`, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The query of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Further headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// An artifact that a document names by its SHA-256 and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The artifact's key.
    pub key: Key,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes. Bytes of unknown length are asked of the upstream: a file that was cut looks whole.
    pub size: Option<u64>,
}

/// One file that a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its name within the document: what [`Artifact::listed_as`] is compared with.
    pub name: String,
    /// Its absolute address; empty where the document gives only the digest.
    pub url: String,
    /// The digests that the document gives for it.
    pub digests: Vec<Digest>,
    /// Its length in bytes, where the document gives it.
    pub size: Option<u64>,
}

/// One link to replace: the bytes of a quoted JSON string's content, or of an attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that go. A JSON string's quotes stay.
    pub at: Range<usize>,
    /// What comes instead; contains nothing that JSON would escape.
    pub to: Link,
}

/// A link as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// The base of this proxy, which ends in `/`, followed by this text.
    BelowBase(String),
    /// This text, whatever the base.
    Text(String),
}

/// How stored bytes become the bytes served.
#[derive(Clone, Copy, Debug)]
pub enum Rewrite {
    /// Byte for byte.
    Verbatim,
    /// By the edits that [`Metadata::read`] found.
    Edits,
    /// By a function, for documents that are rendered in another form than the upstream's.
    Render(Render),
}

/// A function from stored bytes to a form that clients ask for.
#[derive(Clone, Copy, Debug)]
pub struct Render {
    /// Names the form in the cache. Change it whenever `with` changes its output.
    pub form: &'static str,
    /// Whether the output contains the base of this proxy.
    pub uses_base: bool,
    /// The function: document and base (with its final `/`) to body. The `Content-Type` is the metadata's.
    pub with: fn(Raw<'_>, &str) -> Result<Vec<u8>, Unexpected>,
}

/// The upstream's document is not what the protocol says: a login page, a cut document, an error with status 200.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected content: {0}")]
pub struct Unexpected(pub String);

/// The digest of exactly the bytes that a request for `of` is answered with.
#[derive(Clone, Debug)]
pub struct Checksum {
    /// What it is of.
    pub of: Checked,
    /// The hash function.
    pub algorithm: Algorithm,
}

/// What has a checksum.
#[derive(Clone, Debug)]
pub enum Checked {
    /// A mutable document, as it is stored.
    Metadata(Metadata),
    /// A file.
    Artifact(Artifact),
}

/// A request that goes to the upstream each time.
#[derive(Clone, Debug)]
pub struct Forward {
    /// What `to` is below, where it is not the upstream's base.
    pub base: Option<Box<OtherBase>>,
    /// GET, HEAD or POST.
    pub method: Method,
    /// Where, below the upstream's base, unless `base` names another.
    pub to: UpstreamPath,
    /// The query, already encoded, from parameters that the protocol knows.
    pub query: Option<String>,
    /// The `Accept` header to send.
    pub accept: Option<&'static str>,
    /// Largest request body in bytes; 0 refuses one.
    pub body_limit: usize,
    /// The `Content-Type` served: the upstream's is never passed on.
    pub content_type: &'static str,
}

/// A base that a registry-wide document names (the `api` of cargo's `config.json`).
#[derive(Clone, Debug)]
pub struct OtherBase {
    /// The document.
    pub document: Metadata,
    /// Finds the absolute address in it, which ends in `/`; `None` where the registry has no such service.
    pub find: fn(Raw<'_>) -> Result<Option<String>, Unexpected>,
}

/// An answer that needs no upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// `Content-Type` of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// A relative `Location`, for redirects to a canonical spelling.
    pub location: Option<String>,
}

/// The request cannot be served, whatever the upstream holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such address in this protocol, or a name that cannot exist in it.
    #[error("not found: {0}")]
    NotFound(String),
    /// The path or query cannot be understood.
    #[error("bad request: {0}")]
    Bad(String),
    /// The address exists but not for this method; the text says what to do instead.
    #[error("method not allowed: {0}")]
    Method(String),
    /// The path is longer than any real one.
    #[error("the path is longer than {limit} bytes")]
    TooLong {
        /// Longest path in bytes.
        limit: usize,
    },
}
