//! What is gathered of a document while it is read, with bounds: few bytes can name very many files, or the same long
//! text again and again, and memory is granted by the length of the document.

use std::ops::Range;

use crate::intent::{Edit, Link, ListedFile, Reading, Unexpected};

/// The most files of a document. The largest of real ones have some ten thousands.
pub(super) const FILES: usize = 250_000;
/// The most links of a document that are replaced.
pub(super) const LINKS: usize = 2 * FILES;
/// Bytes of all names, addresses and links together.
pub(super) const TEXT: usize = 64 << 20;

/// A [`Reading`] that is growing. What goes beyond a bound is dropped at once and the document refused at the end.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    files: Vec<ListedFile>,
    giving_way: Vec<ListedFile>,
    edits: Vec<Edit>,
    text: usize,
    exceeded: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Files,
    Links,
    Text,
}

impl Gathered {
    /// Takes a file. The last of two equal names wins.
    pub(super) fn file(&mut self, mut file: ListedFile) {
        if self.has_room(&mut file) {
            self.files.push(file);
        }
    }

    /// Takes a file under a name that may belong to another one.
    pub(super) fn file_giving_way(&mut self, mut file: ListedFile) {
        if self.has_room(&mut file) {
            self.giving_way.push(file);
        }
    }

    /// Takes a link to replace, in any order; `kind` is a variant of [`Link`].
    pub(super) fn link(&mut self, at: Range<usize>, kind: fn(String) -> Link, text: &str) {
        if self.edits.len() == LINKS {
            self.exceeded = Some(Bound::Links);
        }
        self.count(text.len());
        if self.exceeded.is_none() {
            self.edits.push(Edit { at, to: kind(text.to_owned()) });
        }
    }

    fn has_room(&mut self, file: &mut ListedFile) -> bool {
        // An address that was resolved has room for twice its length, and for the fragment that it had.
        file.name.shrink_to_fit();
        file.url.shrink_to_fit();
        if self.files.len() + self.giving_way.len() == FILES {
            self.exceeded = Some(Bound::Files);
        }
        self.count(file.name.len() + file.url.len());
        self.exceeded.is_none()
    }

    fn count(&mut self, text: usize) {
        self.text += text;
        if self.text > TEXT {
            self.exceeded = Some(Bound::Text);
        }
    }

    /// All that was gathered, if it was within bounds.
    pub(super) fn reading(mut self) -> Result<Reading, Unexpected> {
        match self.exceeded {
            None => {}
            Some(Bound::Files) => return Err(Unexpected(format!("the document names more than {FILES} files"))),
            Some(Bound::Links) => return Err(too_many_links()),
            Some(Bound::Text) => return Err(too_much_text()),
        }
        self.edits.sort_unstable_by_key(|edit| edit.at.start);
        self.giving_way.append(&mut self.files);
        Ok(Reading { files: self.giving_way, edits: self.edits, ..Reading::default() })
    }
}

/// The refusal of a document with more than [`LINKS`] links.
pub(super) fn too_many_links() -> Unexpected {
    Unexpected(format!("the document has more than {LINKS} links"))
}

/// The refusal of a document with more than [`TEXT`] bytes of addresses.
pub(super) fn too_much_text() -> Unexpected {
    Unexpected(format!("the document names more than {TEXT} bytes of addresses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(url: String) -> ListedFile {
        ListedFile { name: String::new(), url, digests: Vec::new(), size: None }
    }

    #[test]
    fn bounds_refuse_what_is_beyond_them() {
        for (files, links, text, expected) in [
            (FILES, LINKS, 0, None),
            (FILES + 1, 0, 0, Some("more than 250000 files")),
            (0, LINKS + 1, 0, Some("more than 500000 links")),
            (0, 1, TEXT, None),
            (0, 2, TEXT / 2 + 1, Some("bytes of addresses")),
            (2, 0, TEXT / 2 + 1, Some("bytes of addresses")),
        ] {
            let mut gathered = Gathered::default();
            (0..files).for_each(|_| gathered.file(file("x".repeat(text))));
            (0..links).for_each(|at| gathered.link(at..at, Link::Text, &"x".repeat(text)));
            let refused = gathered.reading().err().map(|Unexpected(reason)| reason);
            assert_eq!(refused.is_some(), expected.is_some(), "{refused:?}");
            assert!(refused.unwrap_or_default().contains(expected.unwrap_or_default()), "{expected:?}");
        }
    }

    #[test]
    fn the_order_says_who_wins() {
        let mut gathered = Gathered::default();
        gathered.file(file("one".into()));
        gathered.file_giving_way(file("two".into()));
        gathered.link(5..6, Link::Text, "");
        gathered.link(1..2, Link::Text, "");
        let reading = gathered.reading().unwrap();
        assert_eq!(reading.files.iter().map(|file| file.url.as_str()).collect::<Vec<_>>(), ["two", "one"]);
        assert_eq!(reading.edits.iter().map(|edit| edit.at.start).collect::<Vec<_>>(), [1, 5]);
    }
}
