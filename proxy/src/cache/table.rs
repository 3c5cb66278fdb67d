//! What was read of a document, in a form that later requests use without parsing the document again: the files that
//! it names, sorted for a binary search, and the edits that make its links ours.
//!
//! Form: a line `files edits` with the lengths of both parts in bytes, then lines of tab-separated fields.

use bytes::Bytes;

use crate::digest::Digest;
use crate::intent::{Edit, Link, ListedFile, Reading};

/// The extract of one document.
#[derive(Clone, Debug, Default)]
pub struct Table {
    files: Bytes,
    edits: Bytes,
}

impl Table {
    /// Whether nothing was extracted.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.edits.is_empty()
    }

    /// Sorts what was read. Names and addresses with control characters name nothing and are left out.
    pub fn new(reading: Reading) -> Self {
        let mut files = reading.files;
        files.retain(|file| !file.name.contains(char::is_control) && !file.url.contains(char::is_control));
        // Stable, so that the last of two equal names is the last of its run.
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut lines = String::new();
        for (index, file) in files.iter().enumerate() {
            if files.get(index + 1).is_some_and(|next| next.name == file.name) {
                continue;
            }
            let size = file.size.map(|size| size.to_string()).unwrap_or_default();
            let digests: Vec<String> = file.digests.iter().map(ToString::to_string).collect();
            lines.push_str(&format!("{}\t{}\t{size}\t{}\n", file.name, file.url, digests.join(" ")));
        }
        let mut edits = String::new();
        for edit in reading.edits {
            let (kind, text) = match &edit.to {
                Link::BelowBase(text) => ('b', text),
                Link::Text(text) => ('t', text),
            };
            edits.push_str(&format!("{}\t{}\t{kind}\t{text}\n", edit.at.start, edit.at.end));
        }
        Self { files: lines.into(), edits: edits.into() }
    }

    /// The form on disk.
    pub fn encode(&self) -> Bytes {
        let mut all = format!("{} {}\n", self.files.len(), self.edits.len()).into_bytes();
        all.extend_from_slice(&self.files);
        all.extend_from_slice(&self.edits);
        all.into()
    }

    /// Reads the form on disk; `None` if it is damaged.
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let line = memchr::memchr(b'\n', bytes)?;
        let (files, edits) = std::str::from_utf8(&bytes[..line]).ok()?.split_once(' ')?;
        let (files, edits): (usize, usize) = (files.parse().ok()?, edits.parse().ok()?);
        let start = line + 1;
        if bytes.len() != start.checked_add(files)?.checked_add(edits)? {
            return None;
        }
        Some(Self { files: bytes.slice(start..start + files), edits: bytes.slice(start + files..) })
    }

    /// The file of a name.
    pub fn file(&self, name: &str) -> Option<ListedFile> {
        let bytes = &self.files[..];
        let (mut low, mut high) = (0, bytes.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let start = memchr::memrchr(b'\n', &bytes[low..middle]).map_or(low, |at| low + at + 1);
            let end = start + memchr::memchr(b'\n', &bytes[start..])?;
            let mut fields = bytes[start..end].split(|byte| *byte == b'\t');
            match fields.next()?.cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = end + 1,
                std::cmp::Ordering::Greater => high = start,
                std::cmp::Ordering::Equal => {
                    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
                    return Some(ListedFile {
                        name: name.to_owned(),
                        url: text()?.to_owned(),
                        size: text()?.parse().ok(),
                        digests: text()?.split(' ').filter_map(Digest::parse).collect(),
                    });
                }
            }
        }
        None
    }

    /// The edits, in order.
    pub fn edits(&self) -> Option<Vec<Edit>> {
        let text = std::str::from_utf8(&self.edits).ok()?;
        text.lines()
            .map(|line| {
                let mut fields = line.splitn(4, '\t');
                let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                let to = match (fields.next()?, fields.next()?.to_owned()) {
                    ("b", text) => Link::BelowBase(text),
                    ("t", text) => Link::Text(text),
                    _ => return None,
                };
                Some(Edit { at: start..end, to })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    fn file(name: &str, url: &str) -> ListedFile {
        ListedFile {
            name: name.into(),
            url: url.into(),
            digests: Digest::from_hex(Algorithm::Sha1, &"ab".repeat(20)).into_iter().collect(),
            size: Some(7),
        }
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> = (0..500).map(|n| format!("pkg-{n}.tgz")).collect();
        let files = names.iter().map(|name| file(name, "https://registry.example/x")).collect();
        let table = Table::decode(&Table::new(Reading { files, ..Reading::default() }).encode()).unwrap();
        for name in &names {
            assert_eq!(table.file(name), Some(file(name, "https://registry.example/x")), "{name}");
        }
        for absent in ["", "pkg-", "pkg-500.tgz", "pkg-1", "pkg-10.tg", "zzz", "pkg-99.tgz\n"] {
            assert_eq!(table.file(absent), None, "{absent}");
        }
        assert_eq!(Table::default().file("a"), None);
    }

    #[test]
    fn the_last_of_two_equal_names_wins() {
        let files = vec![file("a", "https://registry.example/1"), file("a", "https://registry.example/2")];
        let table = Table::new(Reading { files, ..Reading::default() });
        assert_eq!(table.file("a").unwrap().url, "https://registry.example/2");
    }

    #[test]
    fn edits_survive_and_damage_is_noticed() {
        let edits = vec![
            Edit { at: 3..9, to: Link::BelowBase("a/-/a-1.0.0.tgz".into()) },
            Edit { at: 20..20, to: Link::Text("../../files/a/a.whl".into()) },
        ];
        let encoded = Table::new(Reading { edits: edits.clone(), ..Reading::default() }).encode();
        assert_eq!(Table::decode(&encoded).unwrap().edits(), Some(edits));
        for cut in 0..encoded.len() {
            assert!(Table::decode(&encoded.slice(..cut)).is_none(), "{cut}");
        }
    }
}
