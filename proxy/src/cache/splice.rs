//! Replaces links while a document is read: constant memory, whatever the document's size.

use std::io::{self, Read};

use super::table::Edits;
use crate::intent::{Edit, Link};
use crate::store::Blob;

/// A document with its links replaced, as a reader.
#[derive(Debug)]
pub struct Spliced {
    raw: Blob,
    base: String,
    edits: Edits,
    /// The next edit, not begun.
    next: Next,
    /// Where the next raw byte is.
    position: u64,
    /// What is left of the link that is being written.
    link: Vec<u8>,
    link_sent: usize,
}

#[derive(Debug)]
enum Next {
    Unread,
    Edit(Edit),
    None,
}

impl Spliced {
    /// `edits` ascend and do not overlap; `base` ends in `/`.
    pub fn new(raw: Blob, edits: Edits, base: String) -> Self {
        Self { raw, base, edits, next: Next::Unread, position: 0, link: Vec::new(), link_sent: 0 }
    }

    fn begin_link(&mut self, edit: Edit) {
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
    }

    /// What is left of a link, and then raw bytes up to `until`. Nothing: the link is sent and `until` is reached.
    fn copy(&mut self, until: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.link_sent < self.link.len() {
            let rest = &self.link[self.link_sent..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.link_sent += count;
            return Ok(count);
        }
        if self.position >= until {
            return Ok(0);
        }
        let wanted = (until - self.position).min(buffer.len() as u64) as usize;
        let count = self.raw.read_at(self.position, &mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Read for Spliced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if matches!(self.next, Next::Unread) {
                self.next = self.edits.read()?.map_or(Next::None, Next::Edit);
            }
            let until = match &self.next {
                Next::Edit(edit) => edit.at.start as u64,
                Next::Unread | Next::None => self.raw.length(),
            };
            let count = self.copy(until, &mut buffer[filled..])?;
            filled += count;
            if count == 0 {
                match std::mem::replace(&mut self.next, Next::Unread) {
                    Next::Edit(edit) => self.begin_link(edit),
                    Next::Unread | Next::None => {
                        self.next = Next::None;
                        break;
                    }
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::table::{self, Table};
    use crate::intent::Reading;
    use crate::store::BlobId;
    use proptest::prelude::*;

    fn memory(bytes: &[u8]) -> Blob {
        Blob::memory(BlobId::of(bytes), bytes.to_vec().into())
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
            let base = "http://127.0.0.1:8080/npm/";
            let expected = crate::rewrite::apply(&raw, &edits, base);
            let encoded = table::encode(Reading { edits, ..Reading::default() });
            let table = encoded.map(|bytes| Table::open(memory(&bytes)).unwrap());
            let edits = table.as_ref().map_or_else(Edits::none, Table::edits);
            let mut spliced = Spliced::new(memory(&raw), edits, base.to_owned());
            let mut out = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                let count = spliced.read(&mut buffer).unwrap();
                if count == 0 { break }
                out.extend_from_slice(&buffer[..count]);
            }
            prop_assert_eq!(&out, &expected);
            if let Some(table) = table {
                prop_assert_eq!(out.len() as u64, table.spliced_length(raw.len() as u64, base.len()));
            }
        }
    }
}
