//! Names of repositories, tags and digests (OCI distribution specification, Pulling manifests; OCI image
//! specification, Digests).

use crate::digest::{Algorithm, Digest};
use crate::intent::Refusal;

/// Longest name of a repository that clients take.
const LONGEST: usize = 255;

/// The name of a repository from its segments.
pub(super) fn joined(segments: &[&str]) -> Result<String, Refusal> {
    let name = segments.join("/");
    if segments.is_empty() || name.len() > LONGEST || !segments.iter().all(|segment| is_component(segment)) {
        return Err(Refusal::NotFound("no repository can have that name".to_owned()));
    }
    Ok(name)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(segment: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = segment.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| is_inner(**byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let between = match rest {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|byte| **byte == b'-').count(),
            _ => return false,
        };
        rest = &rest[between..];
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub(super) fn is_tag(text: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_other = |byte: u8| is_first(byte) || byte == b'.' || byte == b'-';
    matches!(text.as_bytes(), [first, rest @ ..] if is_first(*first) && rest.len() < 128 && rest.iter().all(|b| is_other(*b)))
}

/// A digest in its one spelling, under one of the two algorithms that are registered.
pub(super) fn digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text)
        .filter(|digest| matches!(digest.algorithm(), Algorithm::Sha256 | Algorithm::Sha512))
        .filter(|digest| digest.to_string() == text)
        .ok_or_else(|| Refusal::Bad("a digest is sha256: or sha512: and lower-case hexadecimal digits".to_owned()))
}
