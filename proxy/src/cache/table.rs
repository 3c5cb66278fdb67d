//! What was read of a document, in a form that later requests use without parsing the document again: the files that
//! it names, sorted for a binary search, and the edits that make its links ours. It is a blob of its own and is never
//! in memory whole: of a large document it is large as well.
//!
//! Form: a head of `HEAD` bytes with five numbers, then a line a file, then a line an edit; fields are separated by
//! tabs.

use std::fmt::Write as _;
use std::io;

use crate::digest::Digest;
use crate::intent::{Edit, Link, ListedFile, Reading};
use crate::memory::Patience;
use crate::store::Blob;

/// Bytes of the head: lengths of both parts, and what the edits remove and add.
const HEAD: usize = 100;
/// A line is read in pieces of this size.
const PIECE: usize = 1024;
/// A longer line means damage.
const LONGEST: usize = 64 << 10;

/// The form on disk of what was read; `None` if there is nothing to keep. Names and addresses with control characters
/// name nothing and are left out.
pub fn encode(reading: Reading) -> Option<Vec<u8>> {
    let mut files = reading.files;
    files.retain(|file| !file.name.contains(char::is_control) && !file.url.contains(char::is_control));
    // Stable, so that the last of two equal names is the last of its run.
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() && reading.edits.is_empty() {
        return None;
    }
    let mut text = " ".repeat(HEAD);
    for (index, file) in files.iter().enumerate() {
        if files.get(index + 1).is_some_and(|next| next.name == file.name) {
            continue;
        }
        let _ = write!(text, "{}\t{}\t", file.name, file.url);
        if let Some(size) = file.size {
            let _ = write!(text, "{size}");
        }
        for (number, digest) in file.digests.iter().enumerate() {
            let _ = write!(text, "{}{digest}", if number == 0 { '\t' } else { ' ' });
        }
        text.push('\n');
    }
    let files_length = text.len() - HEAD;
    let (mut removed, mut added, mut based) = (0, 0, 0);
    for edit in &reading.edits {
        let (kind, link) = match &edit.to {
            Link::BelowBase(link) => ('b', link),
            Link::Text(link) => ('t', link),
        };
        removed += edit.at.len();
        added += link.len();
        based += usize::from(kind == 'b');
        let _ = writeln!(text, "{}\t{}\t{kind}\t{link}", edit.at.start, edit.at.end);
    }
    let edits_length = text.len() - HEAD - files_length;
    let head = format!("{files_length:<19} {edits_length:<19} {removed:<19} {added:<19} {based:<19}\n");
    text.replace_range(..HEAD, &head);
    Some(text.into_bytes())
}

/// The extract of one document.
#[derive(Clone, Debug)]
pub struct Table {
    blob: Blob,
    files_end: u64,
    edits_end: u64,
    removed: u64,
    added: u64,
    based: u64,
}

impl Table {
    /// Opens what [`encode`] made; `None` if it is damaged. Blocks on the disk unless it is in memory, as all reads
    /// of a table do.
    pub fn open(blob: Blob) -> Option<Self> {
        let mut head = [0; HEAD];
        if read_full(&blob, 0, &mut head).ok()? < HEAD {
            return None;
        }
        let mut numbers = std::str::from_utf8(&head).ok()?.split_ascii_whitespace().map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        let (files, edits, removed, added, based) = (number()?, number()?, number()?, number()?, number()?);
        let files_end = (HEAD as u64).checked_add(files)?;
        let edits_end = files_end.checked_add(edits)?;
        (edits_end == blob.length()).then_some(Self { blob, files_end, edits_end, removed, added, based })
    }

    /// Whether its reads need no thread that may wait.
    pub fn is_in_memory(&self) -> bool {
        self.blob.in_memory().is_some()
    }

    /// The length of a document of `raw` bytes once its links begin with a base of `base` bytes.
    pub fn spliced_length(&self, raw: u64, base: usize) -> u64 {
        (raw + self.added + self.based * base as u64).saturating_sub(self.removed)
    }

    /// The edits, in order.
    pub fn edits(&self) -> Edits {
        Edits { lines: Lines::new(self.blob.clone(), self.files_end, self.edits_end) }
    }

    /// All files, in the order of their names.
    pub fn files(&self) -> Files {
        Files(Lines::new(self.blob.clone(), HEAD as u64, self.files_end))
    }

    /// The file of a name.
    pub fn file(&self, name: &str) -> io::Result<Option<ListedFile>> {
        let (mut low, mut high) = (HEAD as u64, self.files_end);
        while low < high {
            let start = self.line_start(low, u64::midpoint(low, high))?;
            let mut lines = Lines::new(self.blob.clone(), start, self.files_end);
            let line = lines.next_line()?.unwrap_or_default();
            let end = start + line.len() as u64 + 1;
            let mut fields = line.split('\t');
            match fields.next().unwrap_or_default().cmp(name) {
                std::cmp::Ordering::Less => low = end,
                std::cmp::Ordering::Greater => high = start,
                std::cmp::Ordering::Equal => return Ok(Some(file_of(name, fields))),
            }
        }
        Ok(None)
    }

    /// Where the line begins that `at` lies in; not before `low`.
    fn line_start(&self, low: u64, at: u64) -> io::Result<u64> {
        let mut end = at;
        while end > low {
            let start = end.saturating_sub(PIECE as u64).max(low);
            let mut piece = vec![0; (end - start) as usize];
            read_full(&self.blob, start, &mut piece)?;
            if let Some(found) = memchr::memrchr(b'\n', &piece) {
                return Ok(start + found as u64 + 1);
            }
            end = start;
        }
        Ok(low)
    }
}

fn file_of<'a>(name: &str, mut fields: impl Iterator<Item = &'a str>) -> ListedFile {
    let url = fields.next().unwrap_or_default().to_owned();
    let size = fields.next().and_then(|text| text.parse().ok());
    let digests = fields.next().unwrap_or_default().split(' ').filter_map(Digest::parse).collect();
    ListedFile { name: name.to_owned(), url, digests, size }
}

/// The files of a document, read as they are needed.
#[derive(Debug)]
pub struct Files(Lines);

impl Files {
    /// The next file.
    pub fn read(&mut self) -> io::Result<Option<ListedFile>> {
        let Some(line) = self.0.next_line()? else { return Ok(None) };
        let mut fields = line.split('\t');
        let name = fields.next().unwrap_or_default();
        Ok(Some(file_of(name, fields)))
    }
}

/// The edits of a document, read as they are needed.
#[derive(Debug)]
pub struct Edits {
    lines: Lines,
}

impl Edits {
    /// None at all.
    pub fn none() -> Self {
        Self { lines: Lines::new(Blob::memory(crate::store::BlobId::of(b""), bytes::Bytes::new()), 0, 0) }
    }

    /// As of the blob that they are read from.
    pub fn patience(&self) -> Patience {
        self.lines.blob.patience()
    }

    /// The next edit.
    pub fn read(&mut self) -> io::Result<Option<Edit>> {
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        let mut fields = line.splitn(4, '\t');
        let mut field = || fields.next().ok_or(io::ErrorKind::InvalidData);
        let (start, end) = (number(field()?)?, number(field()?)?);
        let to = match (field()?, field()?.to_owned()) {
            ("b", text) => Link::BelowBase(text),
            (_, text) => Link::Text(text),
        };
        Ok(Some(Edit { at: start..end, to }))
    }
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Lines of a part of a blob.
#[derive(Debug)]
struct Lines {
    blob: Blob,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl Lines {
    fn new(blob: Blob, position: u64, end: u64) -> Self {
        Self { blob, position, end, buffer: Vec::new(), used: 0 }
    }

    fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut searched = self.used;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                let line = self.buffer[self.used..searched + found].to_vec();
                self.used = searched + found + 1;
                return String::from_utf8(line).map(Some).map_err(|_| io::ErrorKind::InvalidData.into());
            }
            if self.position >= self.end {
                return if self.used == self.buffer.len() { Ok(None) } else { Err(io::ErrorKind::InvalidData.into()) };
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            searched = self.buffer.len();
            if searched > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // The first read is for one line; whoever reads on reads many.
            let wanted = if searched == 0 && self.buffer.capacity() == 0 { PIECE } else { 16 * PIECE };
            let wanted = wanted.min((self.end - self.position) as usize);
            self.buffer.resize(searched + wanted, 0);
            let count = read_full(&self.blob, self.position, &mut self.buffer[searched..])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.truncate(searched + count);
            self.position += count as u64;
        }
    }
}

fn read_full(blob: &Blob, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match blob.read_at(offset + filled as u64, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use crate::store::BlobId;

    fn file(name: &str, url: &str) -> ListedFile {
        ListedFile {
            name: name.into(),
            url: url.into(),
            digests: Digest::from_hex(Algorithm::Sha1, &"ab".repeat(20)).into_iter().collect(),
            size: Some(7),
        }
    }

    fn open(bytes: &[u8]) -> Option<Table> {
        Table::open(Blob::memory(BlobId::of(bytes), bytes.to_vec().into()))
    }

    fn table(reading: Reading) -> Table {
        open(&encode(reading).unwrap()).unwrap()
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> = (0..500).map(|n| format!("pkg-{n}.tgz")).collect();
        // Some lines are longer than a piece.
        let url = |n: usize| format!("https://registry.example/{}", "x".repeat(n * 7));
        let files: Vec<ListedFile> = names.iter().enumerate().map(|(n, name)| file(name, &url(n))).collect();
        let table = table(Reading { files: files.clone(), ..Reading::default() });
        for expected in files {
            assert_eq!(table.file(&expected.name).unwrap().unwrap(), expected);
        }
        let mut files = table.files();
        let mut count = 0;
        while let Some(file) = files.read().unwrap() {
            assert!(names.contains(&file.name));
            count += 1;
        }
        assert_eq!(count, names.len());
        for absent in ["", "pkg-", "pkg-500.tgz", "pkg-1", "pkg-10.tg", "zzz", "pkg-99.tgz\n"] {
            assert_eq!(table.file(absent).unwrap(), None, "{absent}");
        }
        assert!(encode(Reading::default()).is_none());
    }

    #[test]
    fn the_last_of_two_equal_names_wins() {
        let files = vec![file("a", "https://registry.example/1"), file("a", "https://registry.example/2")];
        let table = table(Reading { files, ..Reading::default() });
        assert_eq!(table.file("a").unwrap().unwrap().url, "https://registry.example/2");
    }

    #[test]
    fn edits_survive_and_damage_is_noticed() {
        let expected: Vec<Edit> = (0..5000)
            .map(|n| match n % 2 {
                0 => Edit { at: n * 10..n * 10 + 4, to: Link::BelowBase(format!("a/-/a-{n}.0.0.tgz")) },
                _ => Edit { at: n * 10..n * 10, to: Link::Text("../../files/a/a.whl".into()) },
            })
            .collect();
        let encoded = encode(Reading { edits: expected.clone(), ..Reading::default() }).unwrap();
        let table = open(&encoded).unwrap();
        let mut edits = table.edits();
        let mut found = Vec::new();
        while let Some(edit) = edits.read().unwrap() {
            found.push(edit);
        }
        assert_eq!(found, expected);
        for cut in (0..encoded.len()).step_by(97) {
            assert!(open(&encoded[..cut]).is_none(), "{cut}");
        }
    }
}
