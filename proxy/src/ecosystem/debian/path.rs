//! What the names of an archive's files tell.

use crate::digest::Algorithm;

/// The kinds of packages: what their names end in, `Content-Type`, first bytes.
const PACKAGES: &[(&str, &str, &[u8])] = &[
    (".deb", DEB, AR),
    (".udeb", DEB, AR),
    (".ddeb", DEB, AR),
    (".dsc", "text/prs.lines.tag", b""),
    (".tar.xz", "application/x-xz", b"\xfd7zXZ"),
    (".tar.gz", "application/gzip", b"\x1f\x8b"),
    (".tar.bz2", "application/x-bzip2", b"BZh"),
    (".tar.zst", "application/zstd", b""),
    (".tar.lzma", "application/x-lzma", b""),
    (".diff.gz", "application/gzip", b"\x1f\x8b"),
    (".gz", "application/gzip", b"\x1f\x8b"),
    (".buildinfo", "text/plain; charset=utf-8", b""),
    (".changes", "text/plain; charset=utf-8", b""),
];
const DEB: &str = "application/vnd.debian.binary-package";
const AR: &[u8] = b"!<arch>\n";
/// Names of index files that lie beside the head of a flat repository.
const INDEXES: &[&str] = &["Packages", "Sources", "Contents", "Translation", "Components", "Commands"];

fn kind(file: &str) -> Option<&'static (&'static str, &'static str, &'static [u8])> {
    PACKAGES.iter().find(|(end, _, _)| file.ends_with(end))
}

/// Whether a file is of a binary or source package, detached signatures of tarballs included.
pub(super) fn is_package_file(file: &str) -> bool {
    let signed = file.strip_suffix(".asc").or_else(|| file.strip_suffix(".sig")).filter(|name| name.contains(".tar."));
    kind(signed.unwrap_or(file)).is_some() && !is_suite_index(file)
}

/// Whether a file is an index of a flat repository.
pub(super) fn is_suite_index(file: &str) -> bool {
    let stem = file.split(['.', '-']).next().unwrap_or_default();
    INDEXES.contains(&stem)
}

/// The `Content-Type` of a package's file.
pub(super) fn content_type(file: &str) -> &'static str {
    kind(file).map_or(super::BYTES, |(_, content_type, _)| content_type)
}

/// The first bytes of a package's file.
pub(super) fn magic(file: &str) -> &'static [u8] {
    kind(file).map_or(b"", |(_, _, magic)| magic)
}

/// The first bytes of an index, where its name says how it is compressed.
pub(super) fn magic_of_index(file: &str) -> &'static [u8] {
    match file.rsplit_once('.') {
        Some((_, "gz")) => b"\x1f\x8b",
        Some((_, "xz")) => b"\xfd7zXZ",
        Some((_, "bz2")) => b"BZh",
        _ => b"",
    }
}

/// The names of package and version in `NAME_VERSION_ARCH.deb`, or what comes closest to them.
pub(super) fn package_and_version(file: &str) -> (&str, &str) {
    let (package, rest) = file.split_once('_').unwrap_or((file, ""));
    let version = rest.split('_').next().unwrap_or_default();
    let known = [".dsc", ".orig.tar", ".debian.tar", ".tar", ".diff"];
    let end = known.iter().filter_map(|end| version.find(end)).min();
    (package, &version[..end.unwrap_or(version.len())])
}

/// The algorithm of a folder below `by-hash`, if its digests prove anything.
pub(super) fn algorithm(directory: &str) -> Option<Algorithm> {
    match directory {
        "SHA256" => Some(Algorithm::Sha256),
        "SHA512" => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// The folder of an algorithm below `by-hash`.
pub(super) fn directory(algorithm: Algorithm) -> &'static str {
    if algorithm == Algorithm::Sha512 { "SHA512" } else { "SHA256" }
}

/// Whether a folder holds patches of an index.
pub(super) fn holds_patches(folder: &str) -> bool {
    folder.rsplit_once('.').is_some_and(|(_, end)| end == "diff")
}

/// Whether a file lists the digests of installers.
pub(super) fn is_sum(file: &str) -> bool {
    matches!(file, "SHA256SUMS" | "SHA1SUMS" | "MD5SUMS")
}

/// The folder of installers, below `dists/`, that a path leads into; the list of their digests lies there.
pub(super) fn images<'a, 'b>(below: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let installer = below.iter().position(|segment| segment.starts_with("installer-"))?;
    let images = installer + below[installer..].iter().position(|segment| *segment == "images")?;
    (images + 1 < below.len()).then(|| &below[..=images])
}

/// Whether an index names other files with their digests. By its folder alone where it is asked for by digest.
pub(super) fn is_scanned(folder: &[&str], name: Option<&str>) -> bool {
    let last = folder.last().copied().unwrap_or_default();
    let is_flat = folder.first() != Some(&"dists");
    let has_stanzas = is_flat || last.starts_with("binary-") || last == "source";
    match name {
        Some("Index") => holds_patches(last),
        Some("SHA256SUMS") => true,
        Some(name) => has_stanzas && (name.starts_with("Packages") || name.starts_with("Sources")),
        None => has_stanzas || holds_patches(last) || last == "images",
    }
}
