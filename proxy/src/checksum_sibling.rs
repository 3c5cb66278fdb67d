//! Digests that a repository publishes beside each file: as small files of their own (`X.sha1`) and as headers of the
//! file's answer (`X-Checksum-Sha1`). Both directions: what an upstream says, and what we say.

use http::{HeaderMap, HeaderName, header};

use crate::digest::{Algorithm, Digest};

/// How the files of a repository are accompanied by their digests.
#[derive(Debug)]
pub struct ChecksumSiblings {
    /// Computed of the bytes that are kept, and served: as headers and as siblings.
    pub served: &'static [Algorithm],
    /// Asked of the upstream where the answer's headers have none: in this order, until one is there.
    pub asked: &'static [Algorithm],
}

/// Longest sibling that is read: a digest, and perhaps the name of a file.
pub const LONGEST: usize = 4096;

/// The file that a name is the checksum sibling of, and under which algorithm.
pub fn split(name: &str) -> Option<(&str, Algorithm)> {
    let (file, extension) = name.rsplit_once('.')?;
    Some((file, of_extension(extension).filter(|_| !file.is_empty())?))
}

fn of_extension(extension: &str) -> Option<Algorithm> {
    let algorithms = [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];
    algorithms.into_iter().find(|algorithm| algorithm.name() == extension)
}

/// The digest in a sibling: in its first line that is not blank, which is the digest in either case and perhaps the
/// name of the file after it, or `NAME = DIGEST`. `None` for anything else: a web page, a cut one, another algorithm's.
pub fn read(body: &[u8], algorithm: Algorithm) -> Option<Digest> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}');
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let token = match line.rsplit_once("= ") {
        Some((_, digest)) => digest,
        None => line.split_ascii_whitespace().next()?,
    };
    Digest::from_hex(algorithm, token)
}

/// The digests that the headers of a file's answer give.
pub fn in_headers(headers: &HeaderMap) -> Vec<Digest> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let named = [Algorithm::Sha512, Algorithm::Sha256, Algorithm::Sha1, Algorithm::Md5].into_iter();
    let mut digests: Vec<Digest> =
        named.filter_map(|algorithm| Digest::from_hex(algorithm, text(header_of(algorithm)?)?)).collect();
    if digests.is_empty()
        && let Some(tag) = text(header::ETAG)
        && let Some(hex) = tag.strip_prefix("\"{SHA1{").and_then(|rest| rest.strip_suffix("}}\""))
    {
        // The entity tag of a widespread repository manager.
        digests.extend(Digest::from_hex(Algorithm::Sha1, hex));
    }
    digests
}

/// The header that carries a digest under this algorithm.
pub fn header_of(algorithm: Algorithm) -> Option<HeaderName> {
    match algorithm {
        Algorithm::Md5 => Some(HeaderName::from_static("x-checksum-md5")),
        Algorithm::Sha1 => Some(HeaderName::from_static("x-checksum-sha1")),
        Algorithm::Sha256 => Some(HeaderName::from_static("x-checksum-sha256")),
        Algorithm::Sha512 => Some(HeaderName::from_static("x-checksum-sha512")),
        Algorithm::Sha384 | Algorithm::H1Mod | Algorithm::H1Zip => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    #[test]
    fn names() {
        for (name, expected) in [
            ("a-1.0.jar.sha1", Some(("a-1.0.jar", Algorithm::Sha1))),
            ("a-1.0.jar.asc.sha512", Some(("a-1.0.jar.asc", Algorithm::Sha512))),
            ("a-1.0.jar.md5", Some(("a-1.0.jar", Algorithm::Md5))),
            ("a-1.0.jar", None),
            ("a-1.0.jar.SHA1", None),
            ("a-1.0.jar.sha384", None),
            (".sha1", None),
            ("sha1", None),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }

    #[test]
    fn bodies() {
        let upper = EMPTY.to_uppercase();
        for body in [
            EMPTY.to_owned(),
            format!("{EMPTY}\n"),
            format!("\r\n  {EMPTY}  a-1.0.jar\r\n"),
            format!("{upper} *a b.jar"),
            format!("SHA1(a-1.0.jar)= {EMPTY}\n"),
            format!("\u{feff}{EMPTY}\nmore"),
        ] {
            assert_eq!(
                read(body.as_bytes(), Algorithm::Sha1).map(|digest| digest.hex()).as_deref(),
                Some(EMPTY),
                "{body}"
            );
        }
        for body in ["", "\n\n", &EMPTY[1..], &format!("{EMPTY}0"), "<html>login</html>", "a-1.0.jar", "\0"] {
            assert_eq!(read(body.as_bytes(), Algorithm::Sha1), None, "{body}");
        }
        assert_eq!(read(&[0xff, 0xfe], Algorithm::Sha1), None);
        assert_eq!(read(EMPTY.as_bytes(), Algorithm::Md5), None);
    }

    #[test]
    fn headers() {
        let of = |entries: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in entries {
                headers.insert(*name, value.parse().unwrap());
            }
            in_headers(&headers).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let sha1 = format!("sha1:{EMPTY}");
        assert_eq!(of(&[("x-checksum-sha1", EMPTY)]), [sha1.as_str()]);
        assert_eq!(of(&[("etag", &format!("\"{{SHA1{{{EMPTY}}}}}\""))]), [sha1.as_str()]);
        let both =
            of(&[("x-checksum-md5", "d41d8cd98f00b204e9800998ecf8427e"), ("x-checksum-sha1", &EMPTY.to_uppercase())]);
        assert_eq!(both, [sha1.as_str(), "md5:d41d8cd98f00b204e9800998ecf8427e"]);
        assert!(of(&[("x-checksum-sha1", "none"), ("etag", "\"x\"")]).is_empty());
    }
}
