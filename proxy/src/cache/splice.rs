//! Replaces links while a document is read: constant memory, whatever the document's size.

use std::io::{self, Read};

use crate::intent::{Edit, Link};
use crate::store::Blob;

/// A document with its links replaced, as a reader.
#[derive(Debug)]
pub struct Spliced {
    raw: Blob,
    base: String,
    edits: std::vec::IntoIter<Edit>,
    /// The next edit, not begun.
    next: Option<Edit>,
    /// Where the next raw byte is.
    position: u64,
    /// What is left of the link that is being written.
    link: Vec<u8>,
    link_sent: usize,
}

impl Spliced {
    /// `edits` ascend and do not overlap; `base` ends in `/`.
    pub fn new(raw: Blob, edits: Vec<Edit>, base: String) -> Self {
        let mut edits = edits.into_iter();
        let next = edits.next();
        Self { raw, base, edits, next, position: 0, link: Vec::new(), link_sent: 0 }
    }

    /// The length of the whole.
    pub fn length(raw: &Blob, edits: &[Edit], base: &str) -> u64 {
        let (gone, come) = edits.iter().fold((0, 0), |(gone, come), edit| {
            let link = match &edit.to {
                Link::BelowBase(text) => base.len() + text.len(),
                Link::Text(text) => text.len(),
            };
            (gone + edit.at.len() as u64, come + link as u64)
        });
        (raw.length() + come).saturating_sub(gone)
    }
}

impl Read for Spliced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.link_sent < self.link.len() {
                let rest = &self.link[self.link_sent..];
                let count = rest.len().min(buffer.len() - filled);
                buffer[filled..filled + count].copy_from_slice(&rest[..count]);
                self.link_sent += count;
                filled += count;
                continue;
            }
            let until = self.next.as_ref().map_or(self.raw.length(), |edit| edit.at.start as u64);
            if self.position < until {
                let wanted = (until - self.position).min((buffer.len() - filled) as u64) as usize;
                let count = self.raw.read_at(self.position, &mut buffer[filled..filled + wanted])?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.position += count as u64;
                filled += count;
                continue;
            }
            let Some(edit) = self.next.take() else { break };
            self.position = edit.at.end as u64;
            self.link.clear();
            self.link_sent = 0;
            match edit.to {
                Link::BelowBase(text) => {
                    self.link.extend_from_slice(self.base.as_bytes());
                    self.link.extend_from_slice(text.as_bytes());
                }
                Link::Text(text) => self.link.extend_from_slice(text.as_bytes()),
            }
            self.next = self.edits.next();
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BlobId;
    use proptest::prelude::*;

    fn reference(raw: &[u8], edits: &[Edit], base: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut position = 0;
        for edit in edits {
            out.extend_from_slice(&raw[position..edit.at.start]);
            match &edit.to {
                Link::BelowBase(text) => out.extend_from_slice(format!("{base}{text}").as_bytes()),
                Link::Text(text) => out.extend_from_slice(text.as_bytes()),
            }
            position = edit.at.end;
        }
        out.extend_from_slice(&raw[position..]);
        out
    }

    proptest! {
        #[test]
        fn any_edits_and_any_read_size_give_the_same_bytes(
            raw in proptest::collection::vec(any::<u8>(), 0..200),
            cuts in proptest::collection::btree_set(0_usize..200, 0..12),
            size in 1_usize..70,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= raw.len()).collect();
            cuts.truncate(cuts.len() / 2 * 2);
            let edits: Vec<Edit> = cuts.chunks(2).enumerate().map(|(n, pair)| Edit {
                at: pair[0]..pair[1],
                to: if n % 2 == 0 { Link::BelowBase("name".repeat(n)) } else { Link::Text("x".into()) },
            }).collect();
            let blob = Blob::memory(BlobId::of(&raw), raw.clone().into());
            let base = "http://127.0.0.1:8080/npm/";
            let mut spliced = Spliced::new(blob.clone(), edits.clone(), base.to_owned());
            let mut out = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                let count = spliced.read(&mut buffer).unwrap();
                if count == 0 { break }
                out.extend_from_slice(&buffer[..count]);
            }
            prop_assert_eq!(&out, &reference(&raw, &edits, base));
            prop_assert_eq!(out.len() as u64, Spliced::length(&blob, &edits, base));
        }
    }
}
