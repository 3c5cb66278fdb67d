//! A request, read once: path segments decoded and traversal refused here and nowhere else.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method, header};
use percent_encoding::percent_decode_str;

use crate::ecosystem::Ecosystem;
use crate::intent::Refusal;

/// Longest path in bytes.
pub const PATH_LIMIT: usize = 4096;
/// Most segments of a path.
const SEGMENT_LIMIT: usize = 64;

/// Header of a client that wants only what caches hold already (Go's module proxies): `true`.
pub const DISABLE_MODULE_FETCH: HeaderName = HeaderName::from_static("disable-module-fetch");

/// What an ecosystem may know of a request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The decoded segments below the proxy's base with `/` between them: none is empty, `.` or `..`, none holds `/`, `\`
    /// or a control character.
    segments: String,
    /// Whether the path ends in `/`.
    pub trailing_slash: bool,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// The `Accept` header, all its lines joined.
    pub accept: String,
    /// Whether only what caches hold already is wanted, where the protocol has such a thing.
    pub passive: bool,
}

/// How clients of a protocol spell names in paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spelling {
    /// See [`crate::ecosystem::Ecosystem::encoded_scope_slash`].
    pub scope_slash: bool,
    /// See [`crate::ecosystem::Ecosystem::percent_in_names`].
    pub percent: bool,
}

impl Spelling {
    /// That of a protocol.
    pub fn of(protocol: &dyn Ecosystem) -> Self {
        Self { scope_slash: protocol.encoded_scope_slash(), percent: protocol.percent_in_names() }
    }
}

impl Call {
    /// Reads the part of a request that names something. `path` is the raw path below the proxy's base, without a
    /// leading slash.
    pub fn read(
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        spelling: Spelling,
    ) -> Result<Self, Refusal> {
        if path.len() > PATH_LIMIT {
            return Err(Refusal::TooLong { limit: PATH_LIMIT });
        }
        let (path, trailing_slash) = match path.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (path, path.is_empty()),
        };
        let mut segments = String::with_capacity(path.len());
        if !path.is_empty() {
            for (index, segment) in path.split('/').enumerate() {
                if index == SEGMENT_LIMIT {
                    return Err(Refusal::Bad(format!("the path has more than {SEGMENT_LIMIT} segments")));
                }
                decode(segment, spelling, &mut segments)?;
            }
        }
        let query = query.map_or_else(Vec::new, |query| {
            url::form_urlencoded::parse(query.as_bytes()).into_owned().take(SEGMENT_LIMIT).collect()
        });
        let mut accept = String::new();
        for value in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
            accept.push_str(if accept.is_empty() { "" } else { ", " });
            accept.push_str(value);
        }
        let passive = headers.get(DISABLE_MODULE_FETCH).is_some_and(|value| value == "true");
        Ok(Self { method: method.clone(), segments, trailing_slash, query, accept, passive })
    }

    /// The segments as string slices, for `match`.
    pub fn path(&self) -> Vec<&str> {
        if self.segments.is_empty() { Vec::new() } else { self.segments.split('/').collect() }
    }

    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the method only reads.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// A raw path without its segments `.`, for protocols whose clients write them.
pub fn without_dot_segments(path: &str) -> Cow<'_, str> {
    if path.split('/').all(|segment| segment != ".") {
        return path.into();
    }
    path.split('/').filter(|segment| *segment != ".").collect::<Vec<_>>().join("/").into()
}

/// Decodes one raw segment, once, and refuses what has no business in a name.
fn decode(raw: &str, spelling: Spelling, segments: &mut String) -> Result<(), Refusal> {
    if !raw.contains('%') {
        return add(segments, raw, spelling);
    }
    let decoded = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| Refusal::Bad("a path segment is not UTF-8 after decoding".to_owned()))?;
    if let Some((scope, name)) = decoded.split_once('/') {
        if !(spelling.scope_slash && scope.len() > 1 && scope.starts_with('@')) {
            return Err(Refusal::Bad("an encoded slash is only allowed between a scope and a name".to_owned()));
        }
        add(segments, scope, spelling)?;
        add(segments, name, spelling)
    } else {
        add(segments, &decoded, spelling)
    }
}

/// Refuses a decoded segment that is empty, a dot segment, or holds a separator, an escape or a control character.
fn add(segments: &mut String, segment: &str, spelling: Spelling) -> Result<(), Refusal> {
    let refused = if segment.contains('%') && !spelling.percent {
        Some("a doubly encoded path segment")
    } else {
        refused_in_any_layer(segment)
    };
    if let Some(reason) = refused {
        return Err(Refusal::Bad(format!("the path has {reason}")));
    }
    if !segments.is_empty() {
        segments.push('/');
    }
    segments.push_str(segment);
    Ok(())
}

/// Why a decoded segment is no name, however often the next one decodes it.
fn refused_in_any_layer(segment: &str) -> Option<&'static str> {
    let mut layer = Cow::from(segment);
    loop {
        let reason = refused(&layer);
        let Ok(inner) = percent_decode_str(&layer).decode_utf8() else { return Some("a doubly encoded path segment") };
        if reason.is_some() || inner == layer {
            return reason;
        }
        layer = inner.into_owned().into();
    }
}

/// Why a decoded segment is no name.
fn refused(segment: &str) -> Option<&'static str> {
    if let "" | "." | ".." = segment {
        return Some(if segment.is_empty() { "an empty path segment" } else { "a dot segment" });
    }
    segment.chars().find_map(|character| match character {
        '/' | '\\' => Some("a separator in a path segment"),
        _ if character.is_control() => Some("a control character in a path segment"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, scope_slash: bool) -> Result<Vec<String>, Refusal> {
        read_spelt(path, Spelling { scope_slash, percent: false })
    }

    fn read_spelt(path: &str, spelling: Spelling) -> Result<Vec<String>, Refusal> {
        let call = Call::read(&Method::GET, path, None, &HeaderMap::new(), spelling)?;
        Ok(call.path().into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn ordinary_paths() {
        for (path, scope, expected) in [
            ("", false, vec![]),
            ("is-number", false, vec!["is-number"]),
            ("simple/six/", false, vec!["simple", "six"]),
            ("@types%2fnode", true, vec!["@types", "node"]),
            ("@types%2Fnode/-/node-1.0.0.tgz", true, vec!["@types", "node", "-", "node-1.0.0.tgz"]),
            ("api/v1/crates/a/1.0.0%2Bb/download", false, vec!["api", "v1", "crates", "a", "1.0.0+b", "download"]),
        ] {
            assert_eq!(read(path, scope).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn traversal_and_disguises_are_refused() {
        for path in [
            "..",
            "a/../b",
            "a/%2e%2e/b",
            "%2e/b",
            "a/..%2fb",
            "a/%252e%252e/b",
            "a/..%5cb",
            "a//b",
            "%2F%2Fetc",
            "a%00b",
            "a%0d%0aX-Evil:1",
            "%c0%ae%c0%ae/b",
            "@%2fname",
            "a%2fb",
            "@a%2fb%2fc",
            "@a%2f..",
        ] {
            assert!(read(path, true).is_err(), "{path}");
        }
        assert!(read("@types%2fnode", false).is_err());
        assert_eq!(read(&"a".repeat(5000), false), Err(Refusal::TooLong { limit: PATH_LIMIT }));
    }

    #[test]
    fn a_percent_sign_is_part_of_a_name_where_that_is_usual() {
        let spelling = Spelling { scope_slash: false, percent: true };
        assert_eq!(read_spelt("a/x_1%253a2_all.deb", spelling).unwrap(), ["a", "x_1%3a2_all.deb"]);
        assert_eq!(read_spelt("100%25", spelling).unwrap(), ["100%"]);
        assert!(read("a/x_1%253a2_all.deb", false).is_err());
        for path in
            ["a/%252e%252e/b", "%252e", "a%252fb", "a%255cb", "a%2500b", "a%250ab", "%25ff", "a%2fb", "a%25252fb"]
        {
            assert!(read_spelt(path, spelling).is_err(), "{path}");
        }
    }

    #[test]
    fn a_trailing_slash_is_noticed() {
        let spelling = Spelling::default();
        let call = |path| Call::read(&Method::GET, path, None, &HeaderMap::new(), spelling).unwrap().trailing_slash;
        assert!(call("simple/six/"));
        assert!(!call("simple/six"));
    }
}
