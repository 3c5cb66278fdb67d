//! Replacing links in documents without printing them anew: every byte that is not a link stays as the upstream sent
//! it. Pure functions over bytes.

use std::ops::Range;

use crate::intent::{Edit, Link};

pub mod json;

/// The document with its links replaced. `base` ends in `/`; `edits` are in ascending order and inside `bytes`.
pub fn apply(bytes: &[u8], edits: &[Edit], base: &str) -> Vec<u8> {
    let mut splice = Splice::new(bytes, edits.len() * (base.len() + 16));
    for edit in edits {
        match &edit.to {
            Link::BelowBase(path) => splice.replace(edit.at.clone(), &[base, path]),
            Link::Text(text) => splice.replace(edit.at.clone(), &[text]),
        }
    }
    splice.finish()
}

/// A document that is copied while places in it are replaced one after the other.
#[derive(Debug)]
pub struct Splice<'a> {
    bytes: &'a [u8],
    copied: usize,
    out: Vec<u8>,
}

impl<'a> Splice<'a> {
    /// `growth`: how many bytes longer the result may become.
    pub fn new(bytes: &'a [u8], growth: usize) -> Self {
        Self { bytes, copied: 0, out: Vec::with_capacity(bytes.len() + growth) }
    }

    /// Replaces a place behind all earlier ones by some texts.
    pub fn replace(&mut self, at: Range<usize>, texts: &[&str]) {
        self.out.extend_from_slice(&self.bytes[self.copied..at.start]);
        for text in texts {
            self.out.extend_from_slice(text.as_bytes());
        }
        self.copied = at.end;
    }

    /// The whole result.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.bytes[self.copied..]);
        self.out
    }
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
