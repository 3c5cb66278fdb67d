//! Replacing links in documents without printing them anew: every byte that is not a link stays as the upstream sent
//! it. Pure functions over bytes.

use crate::intent::{Edit, Link};

pub mod json;

/// The document with its links replaced. `base` ends in `/`; `edits` are in ascending order and inside `bytes`.
pub fn apply(bytes: &[u8], edits: &[Edit], base: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + edits.len() * (base.len() + 16));
    let mut copied = 0;
    for edit in edits {
        out.extend_from_slice(&bytes[copied..edit.at.start]);
        match &edit.to {
            Link::BelowBase(path) => {
                out.extend_from_slice(base.as_bytes());
                out.extend_from_slice(path.as_bytes());
            }
            Link::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        copied = edit.at.end;
    }
    out.extend_from_slice(&bytes[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_replace_only_their_range() {
        let edits = [
            Edit { at: 2..3, to: Link::BelowBase("x".to_owned()) },
            Edit { at: 3..3, to: Link::Text("-".to_owned()) },
            Edit { at: 5..6, to: Link::Text(String::new()) },
        ];
        assert_eq!(apply(b"abcdef", &edits, "http://h/"), b"abhttp://h/x-de");
        assert_eq!(apply(b"abc", &[], "http://h/"), b"abc");
    }
}
