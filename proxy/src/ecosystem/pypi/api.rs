//! The older JSON API about a project or a version, and the attestations of a file.

use serde::de::MapAccess;

use super::page::{last_segment, resolve};
use crate::intent::{Edit, Link, Raw, Reading, Unexpected};
use crate::rewrite::json::{self, Member, Members, Text};
use crate::upstream_path::UpstreamPath;

/// Reads `pypi/NAME/json` or `pypi/NAME/VERSION/json`: the links to files, in `urls` and in every release.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let document = json::text(raw.bytes)?;
    let mut found = Document::default();
    json::read(document, &mut found)?;
    if !found.has_info {
        return Err(Unexpected("the document is JSON, but has no `info`".to_owned()));
    }
    let mut edits = Vec::new();
    for entry in found.files {
        let url = entry.urls.last().and_then(|url| resolve(&url.value()?, raw.url));
        let name = entry.filename.and_then(Text::value).map(std::borrow::Cow::into_owned);
        let name = name.or_else(|| url.as_ref().map(last_segment)).unwrap_or_default();
        let ours = UpstreamPath::from_segments(["files", raw.key.package.as_str(), name.as_str()]);
        let to = || Link::BelowBase(ours.as_str().to_owned());
        edits.extend(entry.urls.iter().map(|url| Edit { at: url.place(document), to: to() }));
    }
    edits.sort_by_key(|edit| edit.at.start);
    Ok(Reading { edits, ..Reading::default() })
}

/// Checks that a document is an object with attestations (PEP 740).
pub(super) fn read_provenance(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let mut found = Provenance::default();
    json::read(json::text(raw.bytes)?, &mut found)?;
    if found.has_bundles {
        Ok(Reading::default())
    } else {
        Err(Unexpected("the document is JSON, but has no `attestation_bundles`".to_owned()))
    }
}

#[derive(Default)]
struct Document<'de> {
    has_info: bool,
    files: Vec<Entry<'de>>,
}

impl<'de> Members<'de> for Document<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "info" => self.has_info |= value.raw()?.starts_with('{'),
            "urls" => drop(value.array(|entry| self.files.push(entry))?),
            "releases" => drop(value.object(&mut Releases(&mut self.files))?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// An array of files for each version.
struct Releases<'a, 'de>(&'a mut Vec<Entry<'de>>);

impl<'de> Members<'de> for Releases<'_, 'de> {
    fn member<A: MapAccess<'de>>(&mut self, _: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        value.array(|entry| self.0.push(entry)).map(drop)
    }
}

#[derive(Default)]
struct Entry<'de> {
    filename: Option<Text<'de>>,
    urls: Vec<Text<'de>>,
}

impl<'de> Members<'de> for Entry<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "filename" => self.filename = value.text()?,
            "url" => self.urls.extend(value.text()?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Provenance {
    has_bundles: bool,
}

impl<'de> Members<'de> for Provenance {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        let raw = value.raw()?;
        self.has_bundles |= key == "attestation_bundles" && raw.starts_with('[');
        Ok(())
    }
}
