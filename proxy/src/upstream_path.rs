//! An address below an upstream's base, built from single segments so that no text of a client can leave the base.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What stands as it is in a path segment: RFC 3986's unreserved characters and those sub-delimiters that registries
/// use in names and versions. Not `+`, which object stores take for a space, so that apt encodes it, too.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'@')
    .remove(b'=')
    .remove(b',')
    .remove(b':')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

/// A relative path of encoded segments. Never absolute, never with `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamPath(String);

impl UpstreamPath {
    /// Encodes each segment. A segment `.` or `..` is encoded to something that no server resolves, although
    /// [`crate::request::Call`] has refused it before.
    pub fn from_segments<I: IntoIterator<Item: AsRef<str>>>(segments: I) -> Self {
        // Longer than most.
        let mut path = String::with_capacity(128);
        for (index, segment) in segments.into_iter().enumerate() {
            if index > 0 {
                path.push('/');
            }
            match segment.as_ref() {
                dots @ ("." | "..") => path.extend(std::iter::repeat_n("%252E", dots.len())),
                segment => path.extend(utf8_percent_encode(segment, SEGMENT)),
            }
        }
        Self(path)
    }

    /// Appends a final `/`.
    #[must_use]
    pub fn slash(mut self) -> Self {
        self.0.push('/');
        self
    }

    /// The path without its base, encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute address below `base`, which ends in `/`.
    pub fn below(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.set_path(&format!("{}{}", base.path(), self.0));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_below_the_base() {
        let base = Url::parse("https://registry.example/repo/a/").unwrap();
        for (segments, expected) in [
            (vec!["left-pad"], "/repo/a/left-pad"),
            (vec!["@scope", "name"], "/repo/a/@scope/name"),
            (vec!["@scope/name"], "/repo/a/@scope%2Fname"),
            (vec!["..", "b"], "/repo/a/%252E%252E/b"),
            (vec!["a?b#c"], "/repo/a/a%3Fb%23c"),
            (vec!["1.0.0+build"], "/repo/a/1.0.0%2Bbuild"),
            (vec!["a%2e%2e"], "/repo/a/a%252e%252e"),
            (vec!["a\\..\\b"], "/repo/a/a%5C..%5Cb"),
        ] {
            assert_eq!(UpstreamPath::from_segments(&segments).below(&base).path(), expected, "{segments:?}");
        }
    }
}
