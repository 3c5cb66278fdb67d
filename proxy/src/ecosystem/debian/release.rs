//! A suite's `InRelease` or `Release`: which index files there are, with their digests. Parsed and never changed.

use std::collections::BTreeMap;

use crate::digest::{Algorithm, Digest};
use crate::ecosystem::gathered::Gathered;
use crate::intent::{ListedFile, Raw, Reading, Unexpected};

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

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
    let text = std::str::from_utf8(raw.bytes).map_err(|_| Unexpected("a head that is not UTF-8".to_owned()))?;
    let lines = signed_lines(text)?;
    let mut entries: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    let (mut section, mut has_section) = ("", false);
    let (mut by_digest, mut valid_until) = (false, None);
    for line in lines {
        if let Some(entry) = line.strip_prefix(' ') {
            take(section, entry, &mut entries);
            continue;
        }
        let Some((field, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(Unexpected("a head with a line that is no field".to_owned()));
        };
        section = field;
        has_section |= matches!(field, "MD5Sum" | "SHA1" | "SHA256" | "SHA512");
        match field {
            "Acquire-By-Hash" => by_digest = value.trim() == "yes",
            // RFC 2822 has no zone `UTC`.
            "Valid-Until" => valid_until = Some(value.trim().replace("UTC", "GMT")),
            _ => {}
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
    Ok(Reading { by_digest, valid_until, ..gathered.reading()? })
}

fn listed(name: String, entry: &Entry<'_>) -> ListedFile {
    ListedFile { name, url: String::new(), digests: entry.digests.clone(), size: entry.size }
}

/// One line of a section: digest, size, name.
fn take<'a>(section: &str, line: &'a str, entries: &mut BTreeMap<&'a str, Entry<'a>>) {
    let mut words = line.split_ascii_whitespace();
    let (Some(hex), Some(size), Some(name)) = (words.next(), words.next(), words.next()) else { return };
    let strong = match section {
        "SHA256" => Some(Algorithm::Sha256),
        "SHA512" => Some(Algorithm::Sha512),
        _ => None,
    };
    let weak = match section {
        "MD5Sum" => Some("MD5Sum"),
        "SHA1" => Some("SHA1"),
        _ => None,
    };
    if let Some(algorithm) = strong {
        let Some(digest) = Digest::from_hex(algorithm, hex) else { return };
        let entry = entries.entry(name).or_default();
        entry.digests.push(digest);
        entry.size = size.parse().ok();
    } else if let Some(directory) = weak
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        entries.entry(name).or_default().weak.push((directory, hex));
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
