//! An index file: one JSON object a line, one line a version. Served byte for byte; only the checksums are taken out.

use std::borrow::Cow;

use serde::Deserialize;

use super::name::file;
use crate::ecosystem::gathered::Gathered;
use crate::digest::{Algorithm, Digest};
use crate::intent::{ListedFile, Raw, Reading, Unexpected};
use crate::rewrite::json;

/// What is used of a line. The rest is for clients, of whatever version they are.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    vers: Cow<'a, str>,
    #[serde(borrow)]
    cksum: Cow<'a, str>,
}

/// Reads an index file. As cargo does, it passes over lines that it cannot read, which newer registries may write for
/// newer clients, but not over a last line without its end: that is a cut document, and cargo would miss a version.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let document = json::text(raw.bytes)?;
    let mut gathered = Gathered::default();
    let mut has_versions = false;
    for line in document.split_inclusive('\n') {
        match serde_json::from_str::<Line<'_>>(line) {
            Ok(line) if line.name.eq_ignore_ascii_case(&raw.key.package) => {
                has_versions = true;
                gathered.file(ListedFile {
                    name: file(&line.name, &line.vers),
                    url: String::new(),
                    digests: Digest::from_hex(Algorithm::Sha256, &line.cksum).map_or_else(Vec::new, |digest| vec![digest]),
                    size: None,
                });
            }
            Err(error) if error.is_eof() && !line.ends_with('\n') => {
                return Err(Unexpected("the last line of the index file is cut".to_owned()));
            }
            _ => {}
        }
    }
    if !has_versions {
        return Err(Unexpected("no line of the index file describes a version of this crate".to_owned()));
    }
    gathered.reading()
}
