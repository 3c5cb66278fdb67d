//! A well-behaved answer: validators, conditional requests, ranges, content codings and negotiation, as a good
//! registry does them.

use std::io::Write as _;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::{Logged, Reply};

/// A document or file with a strong validator.
#[derive(Clone, Debug)]
pub struct Resource {
    body: Bytes,
    content_type: String,
    etag: Option<String>,
    last_modified: Option<String>,
    ranges: bool,
    gzip: bool,
    dates_only: bool,
    headers: Vec<(String, String)>,
    /// Other forms: the text that `Accept` must contain, and the form.
    forms: Vec<(String, Resource)>,
    /// What a cache in front of it holds.
    cached: Option<Box<Resource>>,
}

impl Resource {
    /// A resource with an `ETag` that follows from its bytes, and with ranges.
    pub fn new(body: impl Into<Bytes>, content_type: &str) -> Self {
        let body = body.into();
        let etag = format!("\"{}\"", &HEXLOWER.encode(&Sha256::digest(&body))[..16]);
        Self {
            body,
            content_type: content_type.to_owned(),
            etag: Some(etag),
            last_modified: None,
            ranges: true,
            gzip: false,
            dates_only: false,
            headers: Vec::new(),
            forms: Vec::new(),
            cached: None,
        }
    }

    /// A file: `application/octet-stream`.
    pub fn file(body: impl Into<Bytes>) -> Self {
        Self::new(body, "application/octet-stream")
    }

    /// The bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Sends no validator at all.
    #[must_use]
    pub fn without_validators(mut self) -> Self {
        self.etag = None;
        self.last_modified = None;
        self
    }

    /// Sends this `ETag`.
    #[must_use]
    pub fn etag(mut self, etag: &str) -> Self {
        self.etag = Some(etag.to_owned());
        self
    }

    /// Sends this `Last-Modified`.
    #[must_use]
    pub fn last_modified(mut self, date: &str) -> Self {
        self.last_modified = Some(date.to_owned());
        self
    }

    /// Ignores `Range`.
    #[must_use]
    pub fn without_ranges(mut self) -> Self {
        self.ranges = false;
        self
    }

    /// Ignores `If-None-Match` and looks at dates alone, as simple servers do.
    #[must_use]
    pub fn comparing_dates_only(mut self) -> Self {
        self.dates_only = true;
        self
    }

    /// Sends `Content-Encoding: gzip` to whoever accepts it.
    #[must_use]
    pub fn gzipped(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a form that is sent when `Accept` contains this text; forms are tried in the order in which they were
    /// added, before the resource itself.
    #[must_use]
    pub fn form(mut self, accept: &str, form: Self) -> Self {
        self.forms.push((accept.to_owned(), form));
        self
    }

    /// Puts a cache in front of it that holds this, and asks for nothing else unless a request tells it to
    /// (RFC 9111 §5.2.1.4, and §5.4 for those of HTTP/1.0).
    #[must_use]
    pub fn behind_a_cache_of(mut self, cached: Self) -> Self {
        self.cached = Some(Box::new(cached));
        self
    }

    /// The head of a 200 of this resource without any byte of the body, to which a test adds steps; its length is
    /// claimed in full.
    pub fn head(&self) -> Reply {
        self.labelled(Reply::new(200)).claims(self.body.len())
    }

    /// A 200 that breaks off with a reset after so many bytes.
    pub fn reset_after(&self, bytes: usize) -> Reply {
        self.head().bytes(self.body.slice(..bytes)).reset()
    }

    /// A 200 that ends in an orderly way after so many bytes, although more were promised.
    pub fn cut_after(&self, bytes: usize) -> Reply {
        self.head().bytes(self.body.slice(..bytes)).cut()
    }

    fn labelled(&self, mut reply: Reply) -> Reply {
        reply = reply.header("Content-Type", &self.content_type);
        if let Some(etag) = &self.etag {
            reply = reply.header("ETag", etag);
        }
        if let Some(date) = &self.last_modified {
            reply = reply.header("Last-Modified", date);
        }
        if self.ranges {
            reply = reply.header("Accept-Ranges", "bytes");
        }
        if !self.forms.is_empty() {
            reply = reply.header("Vary", "Accept");
        }
        self.headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value))
    }

    /// What a request for this resource gets (RFC 9110 §13, §14).
    pub(super) fn answer(&self, request: &Logged) -> Reply {
        let passes_by = ["cache-control", "pragma"].iter().all(|name| request.header(name) == Some("no-cache"));
        if let Some(cached) = self.cached.as_ref().filter(|_| !passes_by) {
            return cached.answer(request);
        }
        let accept = request.header("accept").unwrap_or_default();
        match self.forms.iter().find(|(wanted, _)| accept.contains(wanted.as_str())) {
            Some((_, form)) => form.itself(request).header("Vary", "Accept"),
            None => self.itself(request),
        }
    }

    fn itself(&self, request: &Logged) -> Reply {
        if self.is_unchanged(request) {
            return self.labelled(Reply::new(304));
        }
        let accepts_gzip = request.header("accept-encoding").is_some_and(|codings| codings.contains("gzip"));
        if self.gzip && accepts_gzip {
            let reply = self.labelled(Reply::new(200)).header("Content-Encoding", "gzip");
            return reply.header("Vary", "Accept-Encoding").bytes(gzip(&self.body));
        }
        match self.range(request) {
            Wanted::Part(first, last) => self
                .labelled(Reply::new(206))
                .header("Content-Range", &format!("bytes {first}-{last}/{}", self.body.len()))
                .bytes(self.body.slice(first..=last)),
            Wanted::Nothing => Reply::new(416).header("Content-Range", &format!("bytes */{}", self.body.len())),
            Wanted::Whole => self.labelled(Reply::new(200)).bytes(self.body.clone()),
        }
    }

    fn is_unchanged(&self, request: &Logged) -> bool {
        if let Some(wanted) = request.header("if-none-match").filter(|_| !self.dates_only) {
            let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
            return self.etag.as_deref().is_some_and(|etag| wanted.split(',').any(|one| bare(one) == bare(etag)));
        }
        match (request.header("if-modified-since"), &self.last_modified) {
            (Some(since), Some(date)) => since == date,
            _ => false,
        }
    }

    fn range(&self, request: &Logged) -> Wanted {
        self.part(request).unwrap_or(Wanted::Whole)
    }

    fn part(&self, request: &Logged) -> Option<Wanted> {
        if !self.ranges {
            return None;
        }
        if let Some(condition) = request.header("if-range")
            && self.etag.as_deref() != Some(condition)
            && self.last_modified.as_deref() != Some(condition)
        {
            return None;
        }
        let (first, last) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let length = self.body.len();
        let first = first.parse::<usize>().ok()?;
        let last = last.parse::<usize>().unwrap_or(length.saturating_sub(1)).min(length.saturating_sub(1));
        Some(if first < length && first <= last { Wanted::Part(first, last) } else { Wanted::Nothing })
    }
}

/// What a `Range` header asks for.
enum Wanted {
    Whole,
    /// First and last byte.
    Part(usize, usize),
    /// No byte that exists.
    Nothing,
}

/// One gzip member.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}
