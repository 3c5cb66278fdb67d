//! What `Packages`, `Sources`, the `Index` of patches and the `SHA256SUMS` of installers say of other files, line by line.

use super::path::{holds_images, holds_patches};
use crate::digest::{Algorithm, Digest};
use crate::intent::{NamedFile, ScanIndex};

/// Files of one stanza; a source package has a handful.
const FILES: usize = 4096;
/// Folders that lead to a flat repository and are tried as its root.
const ROOTS: usize = 8;

/// The reader of the index in a folder.
pub(super) fn scan(folder: &str) -> Box<dyn ScanIndex> {
    let last = folder.rsplit('/').next().unwrap_or_default();
    if folder.starts_with("dists/") && holds_images(last) {
        return Box::new(Sums { folder: folder.to_owned() });
    }
    let paths = match folder {
        patches if holds_patches(patches) => Paths::Patches(patches.to_owned()),
        "dists" => Paths::OfRoot,
        suite if suite.starts_with("dists/") => Paths::OfRoot,
        flat => Paths::Flat(flat.to_owned()),
    };
    Box::new(Scan { paths, stanza: Stanza::default() })
}

/// What the paths of an index begin at.
#[derive(Debug)]
enum Paths {
    /// The archive's root.
    OfRoot,
    /// They are names of patches in this folder.
    Patches(String),
    /// The archive's root as well, but that may be this folder of a flat repository or any that leads to it: only the
    /// client's configuration tells (`deb URL/a b/` or `deb URL/a/b ./`).
    Flat(String),
}

impl Paths {
    /// Names a file by all paths that it may have.
    fn name(&self, path: &str, digest: &Digest, size: u64, found: &mut dyn FnMut(NamedFile)) {
        let mut name = |folder: &str, is_likely| {
            let path = canonical(&format!("{folder}/{path}"));
            if let Some(path) = path {
                found(NamedFile { path, digest: digest.clone(), size, is_likely });
            }
        };
        match self {
            Self::OfRoot => name("", true),
            Self::Patches(folder) => name(folder, true),
            Self::Flat(folder) => {
                name(folder, true);
                for (at, _) in folder.match_indices('/').chain((!folder.is_empty()).then_some((0, ""))).take(ROOTS) {
                    // One that begins with the rest of the folder most likely begins at its top.
                    let rest = folder[at..].trim_start_matches('/');
                    let is_likely = path.strip_prefix(rest).is_some_and(|path| path.starts_with('/'));
                    name(&folder[..at], is_likely);
                }
            }
        }
    }
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
            found(NamedFile { path, digest, size: 0, is_likely: true });
        }
    }

    fn end(&mut self, _found: &mut dyn FnMut(NamedFile)) {}
}

/// A file of stanzas.
#[derive(Debug)]
struct Scan {
    paths: Paths,
    stanza: Stanza,
}

/// The stanza that is being read.
#[derive(Debug, Default)]
struct Stanza {
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
        let stanza = &mut self.stanza;
        if line.starts_with([' ', '\t']) {
            if stanza.within == List::Files && stanza.files.len() < FILES {
                stanza.files.extend(listed(line));
            }
            return;
        }
        stanza.within = List::None;
        let Some((field, value)) = line.split_once(':') else { return };
        let value = value.trim();
        let are_patches = matches!(self.paths, Paths::Patches(_));
        let is = |name: &str| field.eq_ignore_ascii_case(name);
        if is("Filename") {
            stanza.path = canonical(value);
        } else if is("SHA256") {
            stanza.digest = Digest::from_hex(Algorithm::Sha256, value);
        } else if is("Size") {
            stanza.size = value.parse().ok();
        } else if is("Directory") {
            stanza.directory = canonical(value);
        } else if is(if are_patches { "SHA256-Download" } else { "Checksums-Sha256" }) {
            stanza.within = List::Files;
        }
    }

    fn end(&mut self, found: &mut dyn FnMut(NamedFile)) {
        let stanza = std::mem::take(&mut self.stanza);
        if let (Some(path), Some(digest)) = (&stanza.path, &stanza.digest) {
            self.paths.name(path, digest, stanza.size.unwrap_or_default(), found);
        }
        let directory = match self.paths {
            Paths::Patches(_) => String::new(),
            _ => match stanza.directory {
                Some(directory) => directory,
                None => return,
            },
        };
        for (name, digest, size) in stanza.files {
            if let Some(path) = canonical(&format!("{directory}/{name}")) {
                self.paths.name(&path, &digest, size, found);
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
