//! Archives of Debian packages: what apt asks of them. A suite's `InRelease` is the head of an index generation; every
//! document is passed on byte for byte, since it is signed.

use super::Ecosystem;
use crate::client::{ClientSetup, Endpoint};
use crate::digest::Digest;
use crate::intent::{
    Artifact, Forward, Generation, Indexed, Intent, Key, ListedFile, Metadata, NamedInIndexes, NewScan, Raw, Reading,
    Refusal, Source, Within, is_no_page,
};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;
use path::{is_package_file, is_scanned, is_suite_index};

mod clients;
mod path;
mod release;
mod stanza;
#[cfg(test)]
mod tests;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const READ_ONLY: &str = "this proxy only reads; upload to the archive itself";
/// Segments that the name of a suite may have.
const SUITE: usize = 3;
/// The heads of a generation, the preferred one first.
const HEADS: [&str; 2] = ["InRelease", "Release"];
/// Longest head in bytes: some thirty times that of the largest archive. Its entries are in memory while it is current.
const LONGEST_HEAD: u64 = 8 << 20;

/// The protocol.
#[derive(Debug)]
pub struct Debian;

impl Ecosystem for Debian {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        if !call.is_read() {
            return Err(Refusal::Method(READ_ONLY.to_owned()));
        }
        let path = call.path();
        if call.trailing_slash || path.is_empty() {
            return Err(not_found("listings of folders are not served"));
        }
        let intent = match path.as_slice() {
            ["dists", below @ ..] => in_dists(call, &path, below),
            ["project", "trace", ..] => Some(Intent::Metadata(trace(&path))),
            _ => elsewhere(call, &path),
        };
        intent.ok_or_else(|| not_found("no file of an archive has this path"))
    }

    fn has_dot_segments(&self) -> bool {
        true
    }

    /// Files that apt itself has named, of a version with an epoch: `x_1%3a2.0_all.deb`.
    fn percent_in_names(&self) -> bool {
        true
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

/// A path below `dists/`.
fn in_dists(call: &Call, path: &[&str], below: &[&str]) -> Option<Intent> {
    let (file, folder) = path.split_last()?;
    Some(match below {
        [] | [_] => return None,
        [.., "by-hash", algorithm, hex] => match by_digest(&path[..path.len() - 3], algorithm, hex) {
            Some(artifact) => Intent::Artifact(artifact),
            // By digests that prove nothing: the head's table has the addresses with them as well.
            None if matches!(*algorithm, "MD5Sum" | "SHA1") => Intent::Indexed(indexed(below)),
            None => return None,
        },
        [index @ .., holder, name] if path::holds_patches(holder) && *name != "Index" => {
            named_file(path, Some(indexed(&[index, &[*holder, "Index"]].concat())))
        }
        [.., "ChangeLog"] => forward(call, path),
        _ if path::is_sum(file) => Intent::Indexed(indexed(below)),
        _ => match path::images(below) {
            Some(images) => named_file(path, Some(indexed(&[images, &["SHA256SUMS"]].concat()))),
            None if is_head(file, folder) => head_or_signature(file, folder),
            None => Intent::Indexed(indexed(below)),
        },
    })
}

/// A path outside of `dists/`: a package, or a file of a flat repository, whose indexes lie beside its head.
fn elsewhere(call: &Call, path: &[&str]) -> Option<Intent> {
    let (file, folder) = path.split_last()?;
    match path {
        [folder @ .., "by-hash", algorithm, hex] => by_digest(folder, algorithm, hex).map(Intent::Artifact),
        [suite @ .., holder, name] if path::holds_patches(holder) => Some(match *name {
            "Index" => Intent::Indexed(flat(suite, &format!("{holder}/Index"))),
            _ => named_file(path, Some(flat(suite, &format!("{holder}/Index")))),
        }),
        _ if is_head(file, folder) => Some(head_or_signature(file, folder)),
        ["doc" | "indices", ..] if path::is_page(file) => Some(forward(call, path)),
        ["doc" | "indices", ..] if !path::is_of_repository(file) => Some(Intent::Metadata(changing(path))),
        _ if file.starts_with("ls-lR") => Some(Intent::Metadata(changing(path))),
        _ if is_package_file(file) => Some(named_file(path, None)),
        _ if is_suite_index(file) => {
            // Of a folder of packages that somebody has listed, and no more. An archive with suites has heads elsewhere.
            let headless = (!folder.contains(&"dists")).then(|| forwarded(call, path));
            Some(Intent::Indexed(Indexed { headless, ..flat(folder, file) }))
        }
        ["tools", ..] => Some(forward(call, path)),
        // Keys that people fetch before they trust the archive.
        [.., file] if [".gpg", ".asc", ".key"].iter().any(|end| file.ends_with(end)) => Some(forward(call, path)),
        _ => None,
    }
}

/// Whether this is a suite's own document; folders of indexes hold a small file `Release` too.
fn is_head(file: &str, folder: &[&str]) -> bool {
    let of_a_suite = |folder: &&str| !folder.starts_with("binary-") && *folder != "source";
    matches!(file, "InRelease" | "Release.gpg" | "Release") && folder.last().is_none_or(of_a_suite)
}

fn head_or_signature(file: &str, folder: &[&str]) -> Intent {
    match file {
        "Release.gpg" => Intent::Signature(head(folder, "Release")),
        "Release" => Intent::Metadata(head(folder, "Release")),
        _ => Intent::Metadata(head(folder, "InRelease")),
    }
}

/// The head of the suite in a folder.
fn head(folder: &[&str], file: &'static str) -> Metadata {
    let from = UpstreamPath::from_segments(folder.iter().chain([&file]));
    let signature: fn(&Key) -> UpstreamPath =
        |key| UpstreamPath::from_segments(segments(&key.package).chain(["Release.gpg"]));
    Metadata {
        accept: None,
        limit: Some(LONGEST_HEAD),
        generation: Some(Generation { index, signature: (file == "Release").then_some(signature) }),
        ..Metadata::verbatim(Key::file(folder.join("/"), "", file, "head"), from, release::read, TEXT)
    }
}

/// The head that a stored document is.
fn head_of(package: &str, file: &str) -> Option<Metadata> {
    let file = HEADS.into_iter().find(|head| *head == file)?;
    Some(head(&segments(package).collect::<Vec<_>>(), file))
}

fn heads(folder: &[&str]) -> Vec<Metadata> {
    HEADS.into_iter().map(|file| head(folder, file)).collect()
}

/// An index file below `dists/`: the suite's name ends somewhere in its path.
fn indexed(below: &[&str]) -> Indexed {
    let longest = SUITE.min(below.len().saturating_sub(1));
    let within = |length: usize| Within {
        heads: heads(&[&["dists"], &below[..length]].concat()),
        name: below[length..].join("/"),
    };
    Indexed { within: (1..=longest).map(within).collect(), headless: None }
}

/// An index file of a flat repository.
fn flat(folder: &[&str], name: &str) -> Indexed {
    Indexed { within: vec![Within { heads: heads(folder), name: name.to_owned() }], headless: None }
}

/// The index file that an entry of a head means: by digest where the upstream has it, else by its name.
fn index(head: &Key, file: &ListedFile, by_digest: bool) -> Option<Artifact> {
    let digest = Digest::strongest(&file.digests)?;
    let path: Vec<&str> = segments(&head.package).chain(file.name.split('/')).collect();
    if path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
        return None;
    }
    let (name, folder) = path.split_last()?;
    let (name, folder) = match folder {
        [folder @ .., "by-hash", _] => (None, folder),
        _ => (Some(*name), folder),
    };
    let mut artifact = of_digest(folder, name, digest.clone());
    match name.map(|_| UpstreamPath::from_segments(&path)) {
        Some(canonical) if !by_digest => artifact.source = Source::Layout(canonical),
        canonical => artifact.spare = canonical,
    }
    artifact.magic = name.map_or(b"", path::magic_of_index);
    artifact.size = file.size;
    artifact.immutable = false;
    Some(artifact)
}

/// A file at the address that contains its digest; `None` unless it proves the content.
fn by_digest(folder: &[&str], algorithm: &str, hex: &str) -> Option<Artifact> {
    let algorithm = path::algorithm(algorithm)?;
    Some(of_digest(folder, None, Digest::from_lower_hex(algorithm, hex)?))
}

fn of_digest(folder: &[&str], name: Option<&str>, digest: Digest) -> Artifact {
    let (directory, text) = (path::directory(digest.algorithm()), digest.text());
    let hex = text.rsplit(':').next().unwrap_or_default();
    let source = UpstreamPath::from_segments(folder.iter().copied().chain(["by-hash", directory, hex]));
    let key = Key::file(folder.join("/"), "", text, "index");
    let scan: NewScan = |key| stanza::scan(&key.package);
    Artifact {
        expect: Some(digest),
        scan: is_scanned(folder, name).then_some(scan),
        ..Artifact::at(key, Source::Layout(source), BYTES)
    }
}

/// A package, a source file, a patch, an installer: verified by what the indexes say of its path.
fn named_file(path: &[&str], by: Option<Indexed>) -> Intent {
    let file = path.last().copied().unwrap_or_default();
    let whole = path.join("/");
    let (package, version) = path::package_and_version(file);
    let key = Key::file(package, version, &whole, "file");
    let source = Source::Layout(UpstreamPath::from_segments(path));
    Intent::Artifact(Artifact {
        magic: path::magic(file),
        indexed: Some(NamedInIndexes { path: whole, by, head: head_of }),
        ..Artifact::at(key, source, path::content_type(file))
    })
}

/// When the mirror was updated.
fn trace(path: &[&str]) -> Metadata {
    let key = Key::file("", "", path.join("/"), "trace");
    let read = |_: Raw<'_>| Ok(Reading::default());
    Metadata { accept: None, ..Metadata::verbatim(key, UpstreamPath::from_segments(path), read, TEXT) }
}

/// Lists and texts of the archive as a whole, of any size: they change under their names.
fn changing(path: &[&str]) -> Metadata {
    let key = Key::file("", "", path.join("/"), "changing");
    let kind = path::content_type(path.last().copied().unwrap_or_default());
    Metadata::opaque(key, UpstreamPath::from_segments(path), kind, is_no_page)
}

fn forward(call: &Call, path: &[&str]) -> Intent {
    Intent::Forward(forwarded(call, path))
}

fn forwarded(call: &Call, path: &[&str]) -> Forward {
    Forward {
        base: None,
        method: call.method.clone(),
        to: UpstreamPath::from_segments(path),
        query: None,
        accept: None,
        body_limit: 0,
        content_type: BYTES,
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn not_found(what: &str) -> Refusal {
    Refusal::NotFound(what.to_owned())
}
