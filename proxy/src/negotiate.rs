//! Content codings that a client takes, ranges that it wants, validators that it holds (RFC 9110 §12.5.3, §14, §13).

use std::ops::Range;

use http::{HeaderMap, header};

use crate::cache::Coding;

/// The codings that the client takes, best first. Equal weights go by what is smaller to send.
pub fn codings(headers: &HeaderMap) -> Vec<Coding> {
    let mut weights: [Option<u16>; 2] = [None, None];
    let mut any = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for item in value.split(',') {
            let mut parts = item.split(';');
            let name = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1000, weight);
            match name.to_ascii_lowercase().as_str() {
                "zstd" => weights[0] = Some(weight),
                "gzip" | "x-gzip" => weights[1] = Some(weight),
                "*" => any = Some(weight),
                _ => {}
            }
        }
    }
    let mut codings: Vec<(u16, Coding)> = [Coding::Zstd, Coding::Gzip]
        .into_iter()
        .zip(weights)
        .map(|(coding, weight)| (weight.or(any).unwrap_or(0), coding))
        .filter(|(weight, _)| *weight > 0)
        .collect();
    codings.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    codings.into_iter().map(|(_, coding)| coding).collect()
}

/// A quality value in thousandths; one that cannot be read counts as zero.
fn weight(text: &str) -> u16 {
    text.trim().parse::<f32>().map_or(0, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// What a `Range` header asks of a body of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, several, or one that cannot be read.
    Whole,
    /// One range, not empty.
    Part(Range<u64>),
    /// A range that begins past the end.
    Unsatisfiable,
}

/// Reads a `Range` header (RFC 9110 §14.2). Only one range is served; the whole answers anything else.
pub fn wanted(headers: &HeaderMap, length: u64) -> Wanted {
    let Some(range) = range_header(headers) else { return Wanted::Whole };
    let Some((first, last)) = range.split_once('-') else { return Wanted::Whole };
    // `parse` alone would take a sign.
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => Wanted::Unsatisfiable,
            Some(_) if length == 0 => Wanted::Unsatisfiable,
            Some(suffix) => Wanted::Part(length.saturating_sub(suffix)..length),
            None => Wanted::Whole,
        },
        (first, last) => {
            let (Some(first), last) = (number(first), if last.is_empty() { Some(u64::MAX) } else { number(last) })
            else {
                return Wanted::Whole;
            };
            match last {
                Some(last) if last < first => Wanted::Whole,
                Some(_) if first >= length => Wanted::Unsatisfiable,
                Some(last) => Wanted::Part(first..last.saturating_add(1).min(length)),
                None => Wanted::Whole,
            }
        }
    }
}

fn range_header(headers: &HeaderMap) -> Option<&str> {
    let range = headers.get(header::RANGE)?.to_str().ok()?.trim().strip_prefix("bytes=")?;
    (!range.contains(',')).then_some(range)
}

/// Whether what the client holds is what it would get (RFC 9110 §13.1.2, §13.1.3).
pub fn is_current(headers: &HeaderMap, etag: &str, last_modified: Option<&str>) -> bool {
    let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        // Weak comparison: a prefix says nothing here.
        let opaque = etag.trim_start_matches("W/");
        return tags.filter_map(|value| value.to_str().ok()).any(|value| {
            value.trim() == "*" || value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == opaque)
        });
    }
    // A date is compared as text: it is ours, and a client sends back what it was given.
    match (headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok()), last_modified) {
        (Some(since), Some(modified)) => since == modified,
        _ => false,
    }
}

/// Whether a range may be served from bytes with this tag (RFC 9110 §13.1.5): strong comparison.
pub fn allows_range(headers: &HeaderMap, etag: &str, last_modified: Option<&str>) -> bool {
    match headers.get(header::IF_RANGE).map(|value| value.to_str().unwrap_or_default()) {
        None => true,
        Some(value) => value == etag || Some(value) == last_modified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn codings_by_weight() {
        for (value, expected) in [
            ("gzip, deflate", vec![Coding::Gzip]),
            ("deflate, gzip, br, zstd", vec![Coding::Zstd, Coding::Gzip]),
            ("gzip;q=1.0, zstd;q=0.5", vec![Coding::Gzip, Coding::Zstd]),
            ("gzip;q=0", vec![]),
            ("identity", vec![]),
            ("*", vec![Coding::Zstd, Coding::Gzip]),
            ("*, zstd;q=0", vec![Coding::Gzip]),
            ("gzip;q=nonsense", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(codings(&headers(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }

    #[test]
    fn ranges() {
        for (value, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-300", Wanted::Part(0..10)),
            ("bytes=2-99999999999999999999", Wanted::Whole),
            ("bytes=2-18446744073709551615", Wanted::Part(2..10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=-9223372036854775608-", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=", Wanted::Whole),
        ] {
            assert_eq!(wanted(&headers(header::RANGE, value), 10), expected, "{value}");
        }
        assert_eq!(wanted(&headers(header::RANGE, "bytes=-3"), 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(&HeaderMap::new(), 10), Wanted::Whole);
    }

    #[test]
    fn conditions() {
        let none_match = |value| is_current(&headers(header::IF_NONE_MATCH, value), "\"a\"", None);
        assert!(none_match("\"a\"") && none_match("\"b\", W/\"a\"") && none_match("*"));
        assert!(!none_match("\"b\"") && !none_match("a"));
        let date = "Mon, 01 Jan 2024 00:00:00 GMT";
        assert!(is_current(&headers(header::IF_MODIFIED_SINCE, date), "\"a\"", Some(date)));
        assert!(!is_current(&headers(header::IF_MODIFIED_SINCE, date), "\"a\"", None));
        assert!(allows_range(&headers(header::IF_RANGE, "\"a\""), "\"a\"", None));
        assert!(!allows_range(&headers(header::IF_RANGE, "W/\"a\""), "\"a\"", None));
    }
}
