//! The header of a request, built from nothing but what is asked: no line of a client's request ever gets here.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, PRAGMA, RANGE,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Version};

use crate::fetch::{Ask, Purpose};
use crate::request::DISABLE_MODULE_FETCH;

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("packageproxy/", env!("CARGO_PKG_VERSION")));

/// Whether the end of a body is marked (RFC 9112 §6.3): by its length, or by a last chunk where `chunked` is the final
/// transfer coding. HTTP/2 always marks it.
pub(super) fn is_framed(version: Version, headers: &HeaderMap) -> bool {
    let last_coding = headers.get_all(TRANSFER_ENCODING).iter().next_back().and_then(|value| value.to_str().ok());
    let last_coding = last_coding.and_then(|codings| codings.rsplit(',').next()).map(str::trim);
    version >= Version::HTTP_2
        || match last_coding {
            Some(coding) => coding.eq_ignore_ascii_case("chunked"),
            None => headers.contains_key(CONTENT_LENGTH),
        }
}

/// Everything but the credential and what describes a body.
pub(super) fn headers(ask: &Ask) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, ask.accept.clone().unwrap_or(HeaderValue::from_static("*/*")));
    // A range counts bytes of one representation (RFC 9110 §14.1), so the rest is asked for without coding as well.
    let coding = if ask.purpose == Purpose::Metadata && ask.resume.is_none() { "gzip" } else { "identity" };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
    if ask.no_cache {
        headers.insert(CACHE_CONTROL, NO_CACHE);
        // For caches of HTTP/1.0.
        headers.insert(PRAGMA, NO_CACHE);
    }
    if ask.passive {
        headers.insert(DISABLE_MODULE_FETCH, HeaderValue::from_static("true"));
    }
    let (etag, modified) = (&ask.validators.etag, &ask.validators.last_modified);
    for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    if let Some(resume) = &ask.resume {
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", resume.from)) {
            headers.insert(RANGE, range);
        }
        if let Some(validator) = &resume.if_range {
            headers.insert(IF_RANGE, validator.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::fetch::{Resume, Validators};

    #[test]
    fn what_marks_the_end_of_a_body() {
        for (version, name, value, expected) in [
            (Version::HTTP_11, "content-length", "7", true),
            (Version::HTTP_11, "transfer-encoding", "gzip, chunked", true),
            (Version::HTTP_11, "transfer-encoding", "xchunked", false),
            (Version::HTTP_11, "transfer-encoding", "chunked, gzip", false),
            (Version::HTTP_11, "x-other", "chunked", false),
            (Version::HTTP_10, "x-other", "7", false),
            (Version::HTTP_2, "x-other", "7", true),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
            assert_eq!(is_framed(version, &headers), expected, "{version:?} {name}: {value}");
        }
    }

    #[test]
    fn exactly_what_is_asked() {
        let plain = Ask::get(Url::parse("https://registry.example/a").unwrap(), Purpose::Metadata);
        let sent = |ask: &Ask| {
            let headers = headers(ask);
            let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
                (name.as_str() != "user-agent").then(|| format!("{name}: {}", value.to_str().unwrap()))
            };
            headers.iter().filter_map(line).collect::<Vec<_>>()
        };
        assert_eq!(sent(&plain), ["accept: */*", "accept-encoding: gzip"]);
        let artifact = Ask { purpose: Purpose::Artifact, ..plain.clone() };
        assert_eq!(sent(&artifact), ["accept: */*", "accept-encoding: identity"]);
        let doubted = Ask { no_cache: true, ..artifact };
        let lines = ["accept: */*", "accept-encoding: identity", "cache-control: no-cache", "pragma: no-cache"];
        assert_eq!(sent(&doubted), lines);
        let passive = Ask { passive: true, ..plain.clone() };
        assert_eq!(sent(&passive), ["accept: */*", "accept-encoding: gzip", "disable-module-fetch: true"]);

        let weak = Some(HeaderValue::from_static("W/\"a b\""));
        let date = Some(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
        let conditional = Ask {
            accept: Some(HeaderValue::from_static("application/json")),
            validators: Validators { etag: weak, last_modified: date },
            ..plain.clone()
        };
        assert_eq!(
            sent(&conditional),
            [
                "accept: application/json",
                "accept-encoding: gzip",
                "if-none-match: W/\"a b\"",
                "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT"
            ]
        );
        let resume = Some(Resume { from: 7, if_range: Some(HeaderValue::from_static("\"s\"")) });
        let lines = ["accept: */*", "accept-encoding: identity", "range: bytes=7-", "if-range: \"s\""];
        assert_eq!(sent(&Ask { resume, ..plain }), lines);
    }
}
