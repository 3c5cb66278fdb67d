//! The table of contents of a zip, and Go's digest of what is in it. Memory is bounded by the table alone, which is
//! bounded: files are decompressed piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use flate2::read::DeflateDecoder;
use sha2::Digest as _;

use crate::digest::{Algorithm, Digest};

/// The longest table in bytes: more than a hundred thousand files.
const LONGEST_TABLE: u64 = 16 << 20;
/// The most bytes of all files together, once decompressed. Go allows modules of a quarter of it.
const MOST_BYTES: u64 = 2 << 30;
/// Bytes read at a time.
const PIECE: usize = 64 << 10;

const END: u32 = 0x0605_4b50;
const END_LENGTH: u64 = 22;
const LONGEST_COMMENT: u64 = 0xffff;
const LOCATOR_64: u32 = 0x0706_4b50;
const LOCATOR_64_LENGTH: u64 = 20;
const END_64: u32 = 0x0606_4b50;
const END_64_LENGTH: usize = 56;
const HEADER: u32 = 0x0201_4b50;
const HEADER_LENGTH: usize = 46;
const LOCAL_HEADER: u32 = 0x0403_4b50;
const LOCAL_HEADER_LENGTH: usize = 30;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A file is no zip that can be read here.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// It is damaged, or something else.
    #[error("it is no zip: {0}")]
    Broken(&'static str),
    /// It is larger inside than any real one.
    #[error("it holds more than {0}")]
    TooLarge(&'static str),
    /// It uses something that this reader does not know.
    #[error("it uses {0}")]
    Unsupported(&'static str),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A zip with its table of contents.
#[derive(Debug)]
pub struct Zip<'a> {
    file: &'a File,
    table: Vec<u8>,
    /// Sorted by name.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Range<usize>,
    method: u16,
    compressed: u64,
    length: u64,
    header: u64,
}

impl<'a> Zip<'a> {
    /// Reads the table of a zip of this length. Blocks on the disk.
    pub fn open(file: &'a File, length: u64) -> Result<Self, ZipError> {
        let place = place_of_table(file, length)?;
        if place.end - place.start > LONGEST_TABLE {
            return Err(ZipError::TooLarge("a hundred thousand files"));
        }
        let mut table = vec![0; (place.end - place.start) as usize];
        file.read_exact_at(&mut table, place.start)?;
        let mut entries = Vec::new();
        let (mut at, mut total, mut packed) = (0, 0_u64, 0_u64);
        while at < table.len() {
            let entry = entry(&table, at)?;
            at = next(&table, at)?;
            total = total.saturating_add(entry.length);
            packed = packed.saturating_add(entry.compressed + (LOCAL_HEADER_LENGTH + entry.name.len()) as u64);
            if entry.compressed > place.start || entry.header > place.start {
                return Err(ZipError::Broken("a file lies outside of it"));
            }
            entries.push(entry);
        }
        // However little each claims to hold, nobody reads the same bytes a hundred thousand times.
        if packed > place.start {
            return Err(ZipError::Broken("its files overlap"));
        }
        if total > MOST_BYTES {
            return Err(ZipError::TooLarge("2 GiB once decompressed"));
        }
        entries.sort_by(|a, b| table[a.name.clone()].cmp(&table[b.name.clone()]));
        if entries.windows(2).any(|pair| table[pair[0].name.clone()] == table[pair[1].name.clone()]) {
            return Err(ZipError::Broken("two files have one name"));
        }
        Ok(Self { file, table, entries })
    }

    /// Whether there are files and all lie in this folder, whose name ends in `/`.
    pub fn lies_in(&self, folder: &str) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| self.name(entry).starts_with(folder.as_bytes()))
    }

    /// Go's digest of it. Blocks on the disk and takes as long as it takes to decompress everything.
    pub fn h1(&self) -> Result<Digest, ZipError> {
        let mut hashes = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            if self.name(entry).contains(&b'\n') {
                return Err(ZipError::Broken("a name has a line break"));
            }
            hashes.push(self.sha256(entry)?);
        }
        let files = self.entries.iter().zip(hashes).map(|(entry, hash)| (self.name(entry), hash));
        Ok(Digest::h1(Algorithm::H1Zip, files))
    }

    fn name(&self, entry: &Entry) -> &[u8] {
        &self.table[entry.name.clone()]
    }

    fn sha256(&self, entry: &Entry) -> Result<[u8; 32], ZipError> {
        let mut header = [0; LOCAL_HEADER_LENGTH];
        self.file.read_exact_at(&mut header, entry.header)?;
        if u32_at(&header, 0) != Some(LOCAL_HEADER) {
            return Err(ZipError::Broken("a file does not begin where the table says"));
        }
        let skipped = u64::from(u16_at(&header, 26).unwrap_or(0)) + u64::from(u16_at(&header, 28).unwrap_or(0));
        let start = entry.header + LOCAL_HEADER_LENGTH as u64 + skipped;
        let content = Part { file: self.file, range: start..start + entry.compressed };
        match entry.method {
            STORED => hash(content, entry.length),
            DEFLATED => hash(DeflateDecoder::new_with_buf(content, vec![0; PIECE]), entry.length),
            _ => Err(ZipError::Unsupported("a compression other than deflate")),
        }
    }
}

fn hash(mut content: impl Read, length: u64) -> Result<[u8; 32], ZipError> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut left = length;
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        left = left.checked_sub(count as u64).ok_or(ZipError::Broken("a file is longer than the table says"))?;
        hasher.update(&buffer[..count]);
    }
    if left > 0 {
        return Err(ZipError::Broken("a file is shorter than the table says"));
    }
    Ok(hasher.finalize().into())
}

/// A part of a file, read once from its start.
struct Part<'a> {
    file: &'a File,
    range: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = (self.range.end - self.range.start).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..most], self.range.start)?;
        self.range.start += count as u64;
        Ok(count)
    }
}

/// Where the table lies.
fn place_of_table(file: &File, length: u64) -> Result<Range<u64>, ZipError> {
    let broken = || ZipError::Broken("it has no end");
    let start = length.saturating_sub(END_LENGTH + LONGEST_COMMENT);
    let mut tail = vec![0; (length - start) as usize];
    file.read_exact_at(&mut tail, start)?;
    // The last one whose comment reaches to the end.
    let is_end = |at: &usize| {
        let comment = u16_at(&tail, at + 20).map(usize::from);
        u32_at(&tail, *at) == Some(END)
            && comment.is_some_and(|comment| at + END_LENGTH as usize + comment == tail.len())
    };
    let at = (0..tail.len()).rev().find(is_end).ok_or_else(broken)?;
    let end = start + at as u64;
    let count = u16_at(&tail, at + 10).ok_or_else(broken)?;
    let size = u32_at(&tail, at + 12).ok_or_else(broken)?;
    let offset = u32_at(&tail, at + 16).ok_or_else(broken)?;
    if count == u16::MAX || size == u32::MAX || offset == u32::MAX {
        return place_of_large_table(file, end);
    }
    within(u64::from(offset), u64::from(size), end)
}

/// The same of a zip with very many files.
fn place_of_large_table(file: &File, end: u64) -> Result<Range<u64>, ZipError> {
    let broken = || ZipError::Broken("its end is none");
    let mut locator = [0; LOCATOR_64_LENGTH as usize];
    file.read_exact_at(&mut locator, end.checked_sub(LOCATOR_64_LENGTH).ok_or_else(broken)?)?;
    let at = u64_at(&locator, 8).filter(|_| u32_at(&locator, 0) == Some(LOCATOR_64)).ok_or_else(broken)?;
    let mut record = [0; END_64_LENGTH];
    if at > end {
        return Err(broken());
    }
    file.read_exact_at(&mut record, at)?;
    match (u32_at(&record, 0), u64_at(&record, 40), u64_at(&record, 48)) {
        (Some(END_64), Some(size), Some(offset)) => within(offset, size, at),
        _ => Err(broken()),
    }
}

fn within(offset: u64, size: u64, end: u64) -> Result<Range<u64>, ZipError> {
    let table_end = offset.checked_add(size).filter(|table_end| *table_end <= end);
    table_end.map(|table_end| offset..table_end).ok_or(ZipError::Broken("its table lies outside of it"))
}

fn entry(table: &[u8], at: usize) -> Result<Entry, ZipError> {
    let cut = || ZipError::Broken("its table is cut");
    let number = |offset: usize| u32_at(table, at + offset).ok_or_else(cut);
    if number(0)? != HEADER {
        return Err(ZipError::Broken("its table is damaged"));
    }
    let (compressed, length, header) = (number(20)?, number(24)?, number(42)?);
    if [compressed, length, header].contains(&u32::MAX) {
        return Err(ZipError::Unsupported("files of more than 4 GiB"));
    }
    let name = at + HEADER_LENGTH..at + HEADER_LENGTH + usize::from(u16_at(table, at + 28).ok_or_else(cut)?);
    if name.end > table.len() {
        return Err(cut());
    }
    if u16_at(table, at + 8).ok_or_else(cut)? & 1 != 0 {
        return Err(ZipError::Unsupported("encryption"));
    }
    let method = u16_at(table, at + 10).ok_or_else(cut)?;
    Ok(Entry { name, method, compressed: compressed.into(), length: length.into(), header: header.into() })
}

fn next(table: &[u8], at: usize) -> Result<usize, ZipError> {
    let lengths = [28, 30, 32].map(|offset| u16_at(table, at + offset).map(usize::from));
    lengths
        .into_iter()
        .try_fold(at + HEADER_LENGTH, |sum, length| length.map(|length| sum + length))
        .ok_or(ZipError::Broken("its table is cut"))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
