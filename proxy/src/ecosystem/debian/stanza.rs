//! What `Packages`, `Sources`, the `Index` of patches and the `SHA256SUMS` of installers say of other files, line by line.

use super::path::holds_patches;
use crate::digest::{Algorithm, Digest};
use crate::intent::{NamedFile, ScanIndex};

/// Files of one stanza; a source package has a handful.
const FILES: usize = 4096;

/// The reader of the index in a folder.
pub(super) fn scan(folder: &str) -> Box<dyn ScanIndex> {
    if folder.ends_with("/images") {
        return Box::new(Sums { folder: folder.to_owned() });
    }
    Box::new(Scan { folder: if holds_patches(folder) { folder.to_owned() } else { String::new() }, ..Scan::default() })
}

/// A list of digests and names.
#[derive(Debug)]
struct Sums {
    folder: String,
}

impl ScanIndex for Sums {
    fn line(&mut self, line: &[u8], found: &mut dyn FnMut(NamedFile)) {
        let Some((hex, name)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else { return };
        let path = canonical(&format!("{}/{}", self.folder, name.trim_start_matches([' ', '*'])));
        if let (Some(path), Some(digest)) = (path, Digest::from_hex(Algorithm::Sha256, hex)) {
            found(NamedFile { path, digest, size: 0 });
        }
    }

    fn end(&mut self, _found: &mut dyn FnMut(NamedFile)) {}
}

/// The stanza that is being read.
#[derive(Debug, Default)]
struct Scan {
    /// Where the patches of an `Index` lie; empty for other indexes.
    folder: String,
    within: List,
    path: Option<String>,
    digest: Option<Digest>,
    size: Option<u64>,
    directory: Option<String>,
    files: Vec<(String, Digest, u64)>,
}

/// The list that following lines belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    None,
    Files,
}

impl ScanIndex for Scan {
    fn line(&mut self, line: &[u8], found: &mut dyn FnMut(NamedFile)) {
        if line.iter().all(u8::is_ascii_whitespace) {
            self.end(found);
            return;
        }
        let Ok(line) = std::str::from_utf8(line) else { return };
        if line.starts_with([' ', '\t']) {
            if self.within == List::Files && self.files.len() < FILES {
                self.files.extend(listed(line));
            }
            return;
        }
        self.within = List::None;
        let Some((field, value)) = line.split_once(':') else { return };
        let value = value.trim();
        match field {
            "Filename" => self.path = canonical(value),
            "SHA256" => self.digest = Digest::from_hex(Algorithm::Sha256, value),
            "Size" => self.size = value.parse().ok(),
            "Directory" => self.directory = canonical(value),
            "Checksums-Sha256" if self.folder.is_empty() => self.within = List::Files,
            "SHA256-Download" if !self.folder.is_empty() => self.within = List::Files,
            _ => {}
        }
    }

    fn end(&mut self, found: &mut dyn FnMut(NamedFile)) {
        let stanza = std::mem::replace(self, Self { folder: self.folder.clone(), ..Self::default() });
        if let (Some(path), Some(digest)) = (stanza.path, stanza.digest) {
            found(NamedFile { path, digest, size: stanza.size.unwrap_or_default() });
        }
        let directory = if stanza.folder.is_empty() { stanza.directory } else { Some(stanza.folder) };
        let Some(directory) = directory else { return };
        for (name, digest, size) in stanza.files {
            if let Some(path) = canonical(&format!("{directory}/{name}")) {
                found(NamedFile { path, digest, size });
            }
        }
    }
}

/// A line `DIGEST SIZE NAME`.
fn listed(line: &str) -> Option<(String, Digest, u64)> {
    let mut words = line.split_ascii_whitespace();
    let digest = Digest::from_hex(Algorithm::Sha256, words.next()?)?;
    let size = words.next()?.parse().ok()?;
    Some((words.next()?.to_owned(), digest, size))
}

/// A path as requests spell it: without empty segments and `.`; `None` if it leads elsewhere.
fn canonical(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
    (!segments.contains(&"..")).then(|| segments.join("/"))
}
