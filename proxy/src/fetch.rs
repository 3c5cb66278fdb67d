//! Asking an upstream: one trait, an implementation over HTTP, and decorators that implement it too.
//!
//! A reply is whatever status the upstream gave; an error means that there was no reply. Which of both may be
//! answered from the cache is not decided here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use bytes::Bytes;
use futures_util::Stream;
use url::Url;

pub use breaker::{CircuitBreaker, OriginState, Origins, State};
pub use challenge::TokenChallenge;
pub use credential::CredentialError;
pub use http::HttpFetcher;
pub use probe::{Probe, probe};
pub use redact::{SafeUrl, Secret};
pub use references::{Reference, Use, references};
pub use resume::resuming;
pub use retry::Retry;
pub use stack::{BuildError, Shared, build};

pub mod breaker;
pub mod challenge;
pub mod credential;
pub mod dns;
pub mod egress;
pub mod fallback;
pub mod filter;
pub mod http;
pub mod probe;
pub mod redact;
pub mod redirect;
pub mod references;
pub mod resume;
pub mod retry;
pub(crate) mod retry_after;
pub mod stack;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod trust;

/// A boxed future, so that fetchers can be stacked behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The pieces of a body as they arrive, without any content coding removed.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, FetchError>> + Send>>;

/// Gets an answer from an upstream.
pub trait Fetch: Send + Sync + 'static {
    /// Sends one request and waits for the head of its answer. Dropping the future or the body ends the request.
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>>;

    /// Forgets what it remembers of addresses that did not have something.
    fn forget(&self) {}
}

impl<F: Fetch + ?Sized> Fetch for Arc<F> {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        (**self).fetch(ask)
    }

    fn forget(&self) {
        (**self).forget();
    }
}

/// One request to an upstream. It is built from nothing: no header of a client is ever copied into it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// GET, HEAD or POST.
    pub method: Method,
    /// Absolute address: below the upstream's base, or a link that an upstream document gave.
    pub url: SafeUrl,
    /// `Accept`.
    pub accept: Option<HeaderValue>,
    /// What it is for: selects connection pool, content codings asked for, limits, and whether the breaker counts it.
    pub purpose: Purpose,
    /// `If-None-Match` and `If-Modified-Since`, verbatim as the upstream gave them.
    pub validators: Validators,
    /// Continue a body.
    pub resume: Option<Resume>,
    /// Body of a POST.
    pub body: Option<AskBody>,
    /// `Authorization`, in place of the upstream's own credential. A redirect to another origin loses it.
    pub authorization: Option<HeaderValue>,
    /// Identifies the cache key, so that repeated failures of one key count once for the breaker.
    pub key: u64,
    /// Which address of the registry is to answer, where it has several; `None`: they are asked in their order.
    pub source: Option<Wanted>,
    /// Whether caches on the way are to ask the origin (RFC 9111 §5.2.1.4): what came before was wrong, and they would
    /// give the same again.
    pub no_cache: bool,
    /// Whether the upstream is to answer only with what it holds already.
    pub passive: bool,
}

impl Ask {
    /// A plain GET. What differs is set with `..`.
    pub fn get(url: impl Into<SafeUrl>, purpose: Purpose) -> Self {
        Self {
            method: Method::GET,
            url: url.into(),
            accept: None,
            purpose,
            validators: Validators::default(),
            resume: None,
            body: None,
            authorization: None,
            key: 0,
            source: None,
            no_cache: false,
            passive: false,
        }
    }
}

/// An address of a registry that is to answer before the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Base of the fallback; `None`: the first address.
    pub fallback: Option<Url>,
    /// Who may answer where it does not.
    pub instead: Instead,
}

/// Who may answer in place of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Each of the others: bytes that are not the right ones are told apart.
    Anyone,
    /// Those that hold the same packages: the first address and what stands in for it (`on: Unavailable`). What adds to
    /// the registry (`on: NotFound`) may have others of the same name.
    SameRegistry,
    /// Nobody: what belongs together is of one moment, too.
    Nobody,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A document: asked for with `Accept-Encoding: gzip`, which the reader undoes.
    Metadata,
    /// A file: asked for as it is (`Accept-Encoding: identity`), since digests are over those bytes.
    Artifact,
    /// A call that is passed through: never retried after the body was sent, not counted by the breaker.
    Forward,
}

/// The upstream's own validators of a stored representation (RFC 9110 §8.8), kept byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, weak prefix included.
    pub etag: Option<HeaderValue>,
    /// `Last-Modified`.
    pub last_modified: Option<HeaderValue>,
}

/// Asks for the rest of a body (RFC 9110 §14.2, §13.1.5).
#[derive(Clone, Debug)]
pub struct Resume {
    /// Bytes already held.
    pub from: u64,
    /// `If-Range`, where a strong validator is known; a digest that is checked at the end does as well.
    pub if_range: Option<HeaderValue>,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub struct AskBody {
    /// `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// `Content-Encoding`.
    pub content_encoding: Option<HeaderValue>,
    /// The bytes, bounded by whoever read them.
    pub bytes: Bytes,
}

/// The answer of an upstream.
pub struct Reply {
    /// Any final status except a redirect, which has been followed.
    pub status: StatusCode,
    /// The upstream's headers; the engine copies those on its list and nothing else.
    pub headers: HeaderMap,
    /// Where the answer came from, after redirects.
    pub url: SafeUrl,
    /// Whether the end of the body is marked: by a length, a last chunk or the end of a stream. Otherwise it is the
    /// end of the connection, which may as well have broken (RFC 9112 §6.3).
    pub framed: bool,
    /// Base of the fallback that gave it; `None`: the first address of the registry, or the only one.
    pub fallback: Option<Url>,
    /// The body.
    pub body: BodyStream,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reply").field("status", &self.status).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Where a request was when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Dialling or shaking hands.
    Connect,
    /// Waiting for the head of the response.
    Head,
    /// Waiting for the next piece of the body.
    Idle,
    /// The body moved, but slower than the minimum rate.
    Rate,
    /// Waiting for a free place among the requests to this upstream.
    Queue,
}

/// The cause of an error, kept for logs; clients see the variant's text only.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// There was no complete reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection: refused, unreachable, reset before any answer.
    #[error("cannot connect to {origin}")]
    Connect {
        /// `scheme://host:port`.
        origin: String,
        /// Cause.
        source: Source,
    },
    /// The name has no address, or the resolver does not answer.
    #[error("cannot resolve the host name of {origin}")]
    Dns {
        /// `scheme://host:port`.
        origin: String,
        /// Cause.
        source: Source,
    },
    /// The certificate is not valid, or the handshake failed.
    #[error("TLS with {origin} failed: {reason}")]
    Tls {
        /// `scheme://host:port`.
        origin: String,
        /// The class of the failure: expired, wrong name, unknown authority, handshake.
        reason: &'static str,
        /// Cause.
        source: Source,
    },
    /// A limit on time or rate was reached.
    #[error("{origin} was too slow ({phase:?})")]
    Timeout {
        /// `scheme://host:port`.
        origin: String,
        /// Where.
        phase: Phase,
    },
    /// The connection broke, before or inside the body.
    #[error("the connection to {origin} broke")]
    Broken {
        /// `scheme://host:port`.
        origin: String,
        /// Cause.
        source: Source,
    },
    /// The breaker of this origin is open: no request was made.
    #[error("{origin} has failed repeatedly and is left alone for now")]
    CircuitOpen {
        /// `scheme://host:port`.
        origin: String,
        /// Until the next probe.
        retry_after: Duration,
    },
    /// The origin asked for a pause (429, or 503 with `Retry-After`): no request was made.
    #[error("{origin} asked to be left alone for now")]
    Paused {
        /// `scheme://host:port`.
        origin: String,
        /// Until the pause ends.
        retry_after: Duration,
    },
    /// An address that this proxy does not visit: filtered, another scheme, from https down to http.
    #[error("{url} is refused: {reason}")]
    Forbidden {
        /// The address, without user info and query.
        url: SafeUrl,
        /// Why.
        reason: String,
    },
    /// The credential for this upstream is missing or empty: no request was made.
    #[error("the credential of the upstream is not usable: {reason}")]
    Credential {
        /// Names the secret and the key.
        reason: String,
    },
    /// The certificate authorities for this upstream are missing or broken: no request was made.
    #[error("the certificate authorities for the upstream are not usable: {reason}")]
    Trust {
        /// Names the object and the key.
        reason: String,
    },
    /// The answer cannot be used: a malformed or endless redirect, an over-long header block.
    #[error("{origin} gave an answer that cannot be used: {reason}")]
    Protocol {
        /// `scheme://host:port`.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The text of an error with that of its innermost cause, for logs and `/status`.
pub fn with_cause(error: &FetchError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    match causes.last() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
