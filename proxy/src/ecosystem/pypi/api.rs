//! The older JSON API about a project or a version, and the attestations of a file.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::page::{last_segment, resolve};
use crate::ecosystem::gathered::Gathered;
use crate::intent::{Link, Raw, Reading, Unexpected};
use crate::rewrite::json::{self, Member, Members, Text};
use crate::upstream_path::UpstreamPath;

/// Reads `pypi/NAME/json` or `pypi/NAME/VERSION/json`: the links to files, in `urls` and in every release.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let document = json::text(raw.bytes)?;
    let mut found = Document { has_info: false, text: document, raw, gathered: Gathered::default() };
    json::read(document, &mut found)?;
    if !found.has_info {
        return Err(Unexpected("the document is JSON, but has no `info`".to_owned()));
    }
    found.gathered.reading()
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

struct Document<'a> {
    has_info: bool,
    text: &'a str,
    raw: Raw<'a>,
    gathered: Gathered,
}

impl Document<'_> {
    fn entry(&mut self, entry: Entry<'_>) {
        let Some(last) = entry.urls.last() else { return };
        let name = entry.filename.and_then(Text::value).map(Cow::into_owned);
        let name = name.or_else(|| Some(last_segment(&resolve(&last.value()?, self.raw.url)?)));
        let ours = UpstreamPath::from_segments(["files", &self.raw.key.package, name.as_deref().unwrap_or_default()]);
        for url in entry.urls {
            self.gathered.link(url.place(self.text), Link::BelowBase, ours.as_str());
        }
    }
}

impl<'de> Members<'de> for Document<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "info" => self.has_info |= value.raw()?.starts_with('{'),
            "urls" => drop(value.array(|entry| self.entry(entry))?),
            "releases" => drop(value.object(&mut Releases(self))?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// An array of files for each version.
struct Releases<'a, 'b>(&'a mut Document<'b>);

impl<'de> Members<'de> for Releases<'_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, _: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        value.array(|entry| self.0.entry(entry)).map(drop)
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
