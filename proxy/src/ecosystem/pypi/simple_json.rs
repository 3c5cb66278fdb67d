//! The JSON form of a project's page (PEP 691 and its successors): what it says, and where its links are.

use serde::de::MapAccess;

use super::name::is_file;
use super::page::{File, Hashes, Page, check_version, last_segment, link, provenance_here, resolve};
use crate::intent::{Edit, Link, Raw, Unexpected};
use crate::rewrite::json::{self, Member, Members, Text};

/// Reads a page. `rewrite_provenance`: whether the attestations' addresses are among the edits.
pub(super) fn parse(raw: Raw<'_>, rewrite_provenance: bool) -> Result<(Page, Vec<Edit>), Unexpected> {
    let document = json::text(raw.bytes)?;
    let mut found = Document::default();
    json::read(document, &mut found)?;
    if !found.has_files {
        return Err(Unexpected("the document is JSON, but has no `files`: not a project page".to_owned()));
    }
    let api_version = text(found.meta.api_version).unwrap_or_else(|| "1.0".to_owned());
    check_version(&api_version)?;
    let mut page = Page { api_version, notes: found.meta.notes, files: Vec::new() };
    for (name, value) in [("project-status", found.status.status), ("project-status-reason", found.status.reason)] {
        page.notes.extend(text(value).map(|value| (name.to_owned(), value)));
    }
    let mut edits = Vec::new();
    for entry in found.files {
        let url = entry.urls.last().and_then(|url| resolve(&url.value()?, raw.url));
        let name = text(entry.filename).or_else(|| url.as_ref().map(last_segment)).unwrap_or_default();
        let ours = link(&raw.key.package, &name);
        let to_files = entry.urls.iter().map(|url| (url, Link::Text(ours.clone())));
        let to_provenances = entry.provenances.iter().filter(|_| rewrite_provenance).filter_map(|text| {
            Some((text, Link::BelowBase(provenance_here(&text.value()?, raw.url)?)))
        });
        edits.extend(to_files.chain(to_provenances).map(|(text, to)| Edit { at: text.place(document), to }));
        if let Some(mut url) = url.filter(|_| is_file(&name)) {
            url.set_fragment(None);
            page.files.push(entry.file(name, url.into()));
        }
    }
    edits.sort_by_key(|edit| edit.at.start);
    Ok((page, edits))
}

fn text(text: Option<Text<'_>>) -> Option<String> {
    text.and_then(Text::value).map(std::borrow::Cow::into_owned)
}

#[derive(Default)]
struct Document<'de> {
    meta: Meta<'de>,
    status: Status<'de>,
    has_files: bool,
    files: Vec<Entry<'de>>,
}

impl<'de> Members<'de> for Document<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "meta" => drop(value.object(&mut self.meta)?),
            "project-status" => drop(value.object(&mut self.status)?),
            "alternate-locations" => self.meta.locations("alternate-locations", value.raw()?),
            "files" => self.has_files |= value.array(|entry| self.files.push(entry))?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Meta<'de> {
    api_version: Option<Text<'de>>,
    notes: Vec<(String, String)>,
}

impl Meta<'_> {
    /// A list of addresses (PEP 708), each of which is a note in HTML.
    fn locations(&mut self, name: &str, raw: &str) {
        let addresses: Vec<String> = serde_json::from_str(raw).unwrap_or_default();
        self.notes.extend(addresses.into_iter().map(|address| (name.to_owned(), address)));
    }
}

impl<'de> Members<'de> for Meta<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "api-version" => self.api_version = value.text()?,
            "tracks" => self.locations("tracks", value.raw()?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Status<'de> {
    status: Option<Text<'de>>,
    reason: Option<Text<'de>>,
}

impl<'de> Members<'de> for Status<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "status" => self.status = value.text()?,
            "reason" => self.reason = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// One element of `files`.
#[derive(Default)]
struct Entry<'de> {
    filename: Option<Text<'de>>,
    urls: Vec<Text<'de>>,
    provenances: Vec<Text<'de>>,
    requires_python: Option<Text<'de>>,
    hashes: Hashes,
    yanked: &'de str,
    core_metadata: &'de str,
    /// The name of `core-metadata` before PEP 714.
    dist_info_metadata: &'de str,
    gpg_sig: &'de str,
    size: &'de str,
}

impl<'de> Members<'de> for Entry<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "filename" => self.filename = value.text()?,
            "url" => self.urls.extend(value.text()?),
            "provenance" => self.provenances.extend(value.text()?),
            "requires-python" => self.requires_python = value.text()?,
            "hashes" => self.hashes = hashes(value.raw()?).unwrap_or_default(),
            "yanked" => self.yanked = value.raw()?,
            "core-metadata" => self.core_metadata = value.raw()?,
            "dist-info-metadata" | "data-dist-info-metadata" => self.dist_info_metadata = value.raw()?,
            "gpg-sig" => self.gpg_sig = value.raw()?,
            "size" => self.size = value.raw()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl Entry<'_> {
    fn file(self, name: String, url: String) -> File {
        let advertised = |raw: &str| if raw == "true" { Some(Hashes::new()) } else { hashes(raw) };
        File {
            name,
            url,
            hashes: self.hashes,
            requires_python: text(self.requires_python),
            yanked: match self.yanked {
                "true" => Some(String::new()),
                reason => text(Text::of(reason)).filter(|reason| !reason.is_empty()),
            },
            core_metadata: advertised(self.core_metadata).or_else(|| advertised(self.dist_info_metadata)),
            gpg_sig: self.gpg_sig.parse().ok(),
            provenance: text(self.provenances.last().copied()).filter(|address| !address.is_empty()),
            size: self.size.parse().ok(),
        }
    }
}

/// An object of digests; `None` for any other value.
fn hashes(raw: &str) -> Option<Hashes> {
    let map: std::collections::BTreeMap<String, String> = serde_json::from_str(raw).ok()?;
    Some(map.into_iter().collect())
}
