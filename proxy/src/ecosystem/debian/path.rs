//! What the names of an archive's files tell.

use crate::digest::Algorithm;

/// What the names of a kind of files end in, their `Content-Type`, their first bytes.
type Kind = (&'static str, &'static str, &'static [u8]);

/// The kinds of packages.
const PACKAGES: &[Kind] = &[
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
    (".buildinfo", "text/plain; charset=utf-8", b""),
    (".changes", "text/plain; charset=utf-8", b""),
];
/// Patches of indexes. Their folder tells what they are: elsewhere such a name may be of a list that changes.
const PATCH: Kind = (".gz", "application/gzip", b"\x1f\x8b");
const DEB: &str = "application/vnd.debian.binary-package";
const AR: &[u8] = b"!<arch>\n";
/// Names of index files that lie beside the head of a flat repository.
const INDEXES: &[&str] = &["Packages", "Sources", "Contents", "Translation", "Components", "Commands"];

fn kind(file: &str) -> Option<&'static Kind> {
    PACKAGES.iter().chain([&PATCH]).find(|(end, _, _)| file.ends_with(end))
}

/// Whether a file is of a binary or source package, detached signatures of tarballs included.
pub(super) fn is_package_file(file: &str) -> bool {
    let signed = file.strip_suffix(".asc").or_else(|| file.strip_suffix(".sig")).filter(|name| name.contains(".tar."));
    let name = signed.unwrap_or(file);
    PACKAGES.iter().any(|(end, _, _)| name.ends_with(end)) && !is_suite_index(file)
}

/// Whether a file is an index of a flat repository.
pub(super) fn is_suite_index(file: &str) -> bool {
    let stem = file.split(['.', '-']).next().unwrap_or_default();
    INDEXES.contains(&stem)
}

/// Whether a file is a web page by its name.
pub(super) fn is_page(file: &str) -> bool {
    [".html", ".htm"].iter().any(|end| file.ends_with(end))
}

/// Whether a file can be nothing but a package or an index, in whatever folder.
pub(super) fn is_of_repository(file: &str) -> bool {
    is_suite_index(file) || [".deb", ".udeb", ".ddeb", ".dsc"].iter().any(|end| file.ends_with(end))
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

/// Whether a folder holds installers: `images`, or those of an older kind.
pub(super) fn holds_images(folder: &str) -> bool {
    folder == "images" || folder.ends_with("-images")
}

/// Whether a folder is named after a moment (`20240131T120000Z`): below it is what an archive was then.
pub(super) fn is_moment(folder: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    folder.len() == 16 && folder.bytes().enumerate().all(fits)
}

/// The folder of installers, below `dists/`, that a path leads into; the list of their digests lies there.
pub(super) fn images<'a, 'b>(below: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let installer = below.iter().position(|segment| segment.starts_with("installer-"))?;
    let images = installer + below[installer..].iter().position(|segment| holds_images(segment))?;
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
        None => has_stanzas || holds_patches(last) || holds_images(last),
    }
}
