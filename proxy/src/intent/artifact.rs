//! Immutable files: where they are, what vouches for them, and what they are made like.

use crds::UpstreamSettings;

use super::{Key, ListedFile, Metadata, NamedInIndexes, NewScan, Raw, Unexpected};
use crate::checksum_sibling::ChecksumSiblings;
use crate::digest::Digest;
use crate::upstream_path::UpstreamPath;

/// An immutable file.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its name in the cache.
    pub key: Key,
    /// Its name in the documents of [`Self::listings`].
    pub listed_as: String,
    /// Where it is, unless a cached listing says otherwise.
    pub source: Source,
    /// Digest that the request itself names (content-addressed protocols).
    pub expect: Option<Digest>,
    /// Makes what [`Self::listings`] gives, of key and settings: a file that is in the cache never needs them.
    pub listed_by: fn(&Key, &UpstreamSettings) -> Vec<Metadata>,
    /// Makes what [`Self::siblings`] gives, of the key alone.
    pub follows: fn(&Key) -> Vec<Key>,
    /// Its length in bytes, where that is known beside the digest: a body of another one is not even begun.
    pub size: Option<u64>,
    /// The `Content-Type` served: the upstream's is never passed on.
    pub content_type: &'static str,
    /// First bytes that every such file has; empty where there is no such thing.
    pub magic: &'static [u8],
    /// Whether a body that begins so may be such a file. Asked where no digest vouches for it: what a portal or a broken
    /// registry sends with status 200 may be labelled as anything.
    pub may_begin: fn(&[u8]) -> bool,
    /// The digests that go with it: where [`Self::listings`] are empty, it is verified by those of the upstream.
    pub checksum_siblings: Option<&'static ChecksumSiblings>,
    /// What every such file is made like.
    pub shape: Shape,
    /// Another address of the same bytes, tried where the first one answers 404 or 403.
    pub spare: Option<UpstreamPath>,
    /// How to read what it says of other files, if it is an index of such.
    pub scan: Option<NewScan>,
    /// How index files name it.
    pub indexed: Option<NamedInIndexes>,
    /// Whether the address always means these bytes.
    pub immutable: bool,
    /// Whether, where no digest is published, the first bytes seen are the right ones until somebody purges them.
    pub pinned: bool,
    /// See [`Metadata::passive`].
    pub passive: bool,
}

/// Whether a `Content-Type` is that of a web page.
pub fn is_page_type(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|page| essence.eq_ignore_ascii_case(page))
}

/// Whether a body that begins so is no web page.
pub fn is_no_page(first: &[u8]) -> bool {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    !["<!doctype html", "<html"]
        .iter()
        .any(|page| text.get(..page.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(page.as_bytes())))
}

/// Whether a body that begins so is neither a web page nor the JSON in which registries report errors.
pub fn is_no_page_or_json(first: &[u8]) -> bool {
    is_no_page(first) && !first.trim_ascii_start().starts_with(b"{")
}

/// What is known of a kind of file, whatever its digest. It is checked before the file's end is released.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Nothing.
    Opaque,
    /// A zip whose entries all lie in a folder of this name, which ends in `/`.
    ZipOf(fn(&Key) -> String),
    /// A small text that a function understands.
    Text(fn(&Key, &str) -> Result<(), Unexpected>),
}

impl Artifact {
    /// A file that no document lists. What differs is set with `..`.
    pub fn at(key: Key, source: Source, content_type: &'static str) -> Self {
        let listed_as = key.file.clone();
        Self {
            key,
            listed_as,
            source,
            expect: None,
            size: None,
            listed_by: |_, _| Vec::new(),
            follows: |_| Vec::new(),
            content_type,
            magic: &[],
            may_begin: is_no_page,
            checksum_siblings: None,
            shape: Shape::Opaque,
            spare: None,
            scan: None,
            indexed: None,
            immutable: true,
            pinned: true,
            passive: false,
        }
    }

    /// The artifacts that belong together with this one, so that all have to come from one address where the registry
    /// has several. The first that is there decides.
    pub fn siblings(&self) -> Vec<Key> {
        (self.follows)(&self.key)
    }

    /// Documents that name it with address and digest. The first is the authority: it is consulted when cached, and
    /// asked again before a file that it lacks is refused. Where no listing is cached, the last, smallest, one is
    /// fetched beside the body for the digest.
    pub fn listings(&self, upstream: &UpstreamSettings) -> Vec<Metadata> {
        (self.listed_by)(&self.key, upstream)
    }
}

/// Where an artifact is.
#[derive(Clone, Debug)]
pub enum Source {
    /// Where the protocol's layout says, below the upstream's base.
    Layout(UpstreamPath),
    /// Only a listing tells.
    Listed,
    /// Another document tells how to build the address.
    Template(Box<Template>),
}

/// Builds an artifact's address from a registry-wide document (cargo's `config.json`).
#[derive(Clone, Debug)]
pub struct Template {
    /// Names the document.
    pub document: fn() -> Metadata,
    /// Builds the address from it and from what the listing says of the file, if that is known.
    pub build: fn(Raw<'_>, &Artifact, Option<&ListedFile>) -> Result<String, Unexpected>,
    /// Whether `build` needs the listing's entry; else it is looked up beside the body.
    pub needs_listing: fn(Raw<'_>) -> bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_errors_are_told_from_files() {
        for (first, file, page_or_json) in [
            (&b"<!DOCTYPE html><title>"[..], false, false),
            (b"\xef\xbb\xbf\n <HTML lang=en>", false, false),
            (b"  {\"errors\":[", true, false),
            (b"<?xml version=\"1.0\"?><project>", true, true),
            (b"<html", false, false),
            (b"<htm", true, true),
            (b"PK\x03\x04", true, true),
            (b"module example.com/a {", true, true),
            (b"", true, true),
        ] {
            assert_eq!((is_no_page(first), is_no_page_or_json(first)), (file, page_or_json), "{first:?}");
        }
    }
}
