//! A suite's `InRelease` or `Release`: which index files there are, with their digests. Parsed and never changed.

use std::collections::BTreeMap;

use super::path::is_moment;
use crate::date;
use crate::digest::{Algorithm, Digest};
use crate::ecosystem::gathered::Gathered;
use crate::intent::{ListedFile, Raw, Reading, Unexpected};

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// The fields that list files; the first two prove nothing, and are folders below `by-hash` all the same. Names of fields
/// are of any case (deb822(5)).
const SECTIONS: [&str; 4] = ["MD5Sum", "SHA1", "SHA256", "SHA512"];

/// What is known of one file.
#[derive(Default)]
struct Entry<'a> {
    size: Option<u64>,
    digests: Vec<Digest>,
    /// Names of folder and file below `by-hash` that prove nothing, but are asked for.
    weak: Vec<(&'static str, &'a str)>,
}

/// Understands a head.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    // What is not UTF-8 is in fields for people; a name of a file with such bytes is none that a client can ask for.
    let text = String::from_utf8_lossy(raw.bytes);
    let lines = signed_lines(&text)?;
    let mut entries: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    let (mut section, mut has_section) = (None, false);
    let (mut by_digest, mut valid_until, mut revision) = (false, None, None);
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if let Some(section) = section {
                take(section, line, &mut entries);
            }
            continue;
        }
        let Some((field, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(Unexpected("a head with a line that is no field".to_owned()));
        };
        section = SECTIONS.into_iter().find(|section| field.eq_ignore_ascii_case(section));
        has_section |= section.is_some();
        if field.eq_ignore_ascii_case("Acquire-By-Hash") {
            by_digest = value.trim() == "yes";
        } else if field.eq_ignore_ascii_case("Valid-Until") {
            valid_until = date::of_mail(value);
        } else if field.eq_ignore_ascii_case("Date") {
            revision = date::of_mail(value);
        }
    }
    if !has_section {
        return Err(Unexpected("a head that names no index files".to_owned()));
    }
    let mut gathered = Gathered::default();
    for (name, entry) in entries {
        for (directory, hex) in &entry.weak {
            let folder = name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            gathered.file(listed(format!("{folder}by-hash/{directory}/{hex}"), &entry));
        }
        gathered.file(listed(name.to_owned(), &entry));
    }
    // What an archive was at a moment of the past stays so: that there are newer heads elsewhere takes nothing from it.
    let is_of_the_past = raw.url.path_segments().is_some_and(|mut folders| folders.any(is_moment));
    Ok(Reading { by_digest, valid_until: valid_until.filter(|_| !is_of_the_past), revision, ..gathered.reading()? })
}

fn listed(name: String, entry: &Entry<'_>) -> ListedFile {
    ListedFile { name, url: String::new(), digests: entry.digests.clone(), size: entry.size }
}

/// One line of a section: digest, size, name.
fn take<'a>(section: &'static str, line: &'a str, entries: &mut BTreeMap<&'a str, Entry<'a>>) {
    let mut words = line.split_ascii_whitespace();
    let (Some(hex), Some(size), Some(name)) = (words.next(), words.next(), words.next()) else { return };
    let strong = match section {
        "SHA256" => Some(Algorithm::Sha256),
        "SHA512" => Some(Algorithm::Sha512),
        _ => None,
    };
    if let Some(algorithm) = strong {
        let Some(digest) = Digest::from_hex(algorithm, hex) else { return };
        let entry = entries.entry(name).or_default();
        entry.digests.push(digest);
        entry.size = size.parse().ok();
    } else if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        entries.entry(name).or_default().weak.push((section, hex));
    }
}

/// The lines that the signature covers; all of them where there is none.
fn signed_lines(text: &str) -> Result<impl Iterator<Item = &str>, Unexpected> {
    let text = text.trim_start();
    let (body, is_signed) = match text.strip_prefix(SIGNED) {
        None => (text, false),
        Some(rest) => {
            let body = rest.split_once("\n\n").or_else(|| rest.split_once("\r\n\r\n")).map(|(_, body)| body);
            let body = body.and_then(|body| body.split_once(SIGNATURE)).filter(|(_, end)| end.contains(END));
            let (body, _) = body.ok_or_else(|| Unexpected("a signed document that is cut".to_owned()))?;
            (body, true)
        }
    };
    Ok(body.lines().map(move |line| if is_signed { line.strip_prefix("- ").unwrap_or(line) } else { line }))
}
