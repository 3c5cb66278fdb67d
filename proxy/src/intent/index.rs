//! Index generations: a signed document, the head, names index files with their digests, and these name the files that
//! clients install. All of it must be of one moment of the upstream.

use std::fmt;

use super::{Artifact, Forward, Key, ListedFile, Metadata};
use crate::digest::Digest;
use crate::upstream_path::UpstreamPath;

/// What makes a document the head of an index generation.
#[derive(Clone, Copy)]
pub struct Generation {
    /// The index file that an entry of the head means: by the head's key, the entry, and whether the upstream serves
    /// files by their digests too. `None`: it is not served.
    pub index: fn(&Key, &ListedFile, bool) -> Option<Artifact>,
    /// Where the head's detached signature is; `None` where the head holds its own.
    pub signature: Option<fn(&Key) -> UpstreamPath>,
}

impl fmt::Debug for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = if self.signature.is_some() { "detached" } else { "inline" };
        formatter.debug_struct("Generation").field("signature", &signature).finish_non_exhaustive()
    }
}

/// A file of an index generation, by its name.
#[derive(Clone, Debug)]
pub struct Indexed {
    /// The generations that it may be of, the likeliest first: a path does not always tell where the one's name ends
    /// and the other's begins.
    pub within: Vec<Within>,
    /// What is asked of the upstream where it has none of the heads, and nothing says which bytes the file is; `None`: it
    /// is not served then.
    pub headless: Option<Forward>,
}

/// A name within a generation.
#[derive(Clone, Debug)]
pub struct Within {
    /// The documents that may be the head, the preferred one first.
    pub heads: Vec<Metadata>,
    /// The file's name there.
    pub name: String,
}

/// How index files name an artifact.
#[derive(Clone, Debug)]
pub struct NamedInIndexes {
    /// The path that they give, in its canonical spelling.
    pub path: String,
    /// The index that names it, where its path tells which: fetched when none is known to name it.
    pub by: Option<Indexed>,
    /// The head that a document's package and file mean: to find the generations again after a restart.
    pub head: fn(&str, &str) -> Option<Metadata>,
}

/// A file that an index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path, in its canonical spelling.
    pub path: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether the path is what the index most likely means. Where others are possible, they are named too, and count
    /// as long as no index means them in earnest.
    pub is_likely: bool,
}

/// Makes the reader of the index with this key.
pub type NewScan = fn(&Key) -> Box<dyn ScanIndex>;

/// Reads an index line by line. It is never in memory whole.
pub trait ScanIndex: Send {
    /// Takes the next line, without its end. Lines that no file name or digest fills are left out.
    fn line(&mut self, line: &[u8], found: &mut dyn FnMut(NamedFile));

    /// Takes the end.
    fn end(&mut self, found: &mut dyn FnMut(NamedFile));
}
