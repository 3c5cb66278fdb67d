//! The JSON form of a project's page (PEP 691 and its successors): what it says, and where its links are.

use std::borrow::Cow;

use serde::de::MapAccess;
use url::Url;

use super::name::is_file;
use super::page::{File, Hashes, Page, check_version, is_secure, last_segment, link, provenance_here, resolve, unmarked};
use crate::ecosystem::gathered::{LINKS, TEXT, too_many_links, too_much_text};
use crate::intent::{Raw, Unexpected};
use crate::rewrite::Splice;
use crate::rewrite::json::{self, Member, Members, Text};

/// The longest name of a file that a link is made of: a longer one is none.
const LONGEST_NAME: usize = 512;
/// The longest object of digests in bytes.
const LONGEST_HASHES: usize = 4 << 10;
/// Notes kept, and bytes of a list of them.
const NOTES: usize = 256;
const LONGEST_NOTES: usize = 64 << 10;

/// Reads a page; `each` gets the files that have an address.
pub(super) fn parse(raw: Raw<'_>, each: &mut dyn FnMut(File)) -> Result<Page, Unexpected> {
    walk(json::text(unmarked(raw.bytes))?, raw, |entry| {
        let url = entry.url(raw.url);
        let name = entry.name(url.as_ref());
        if let Some(mut url) = url.filter(|_| is_file(&name)) {
            url.set_fragment(None);
            each(entry.file(name, url.into()));
        }
    })
}

/// The page with its links replaced. Every other byte stays.
pub(super) fn splice(raw: Raw<'_>, base: &str) -> Result<Vec<u8>, Unexpected> {
    let document = json::text(unmarked(raw.bytes))?;
    let mut splice = Splice::new(document.as_bytes(), 0);
    let is_secure = is_secure(base);
    walk(document, raw, |entry| {
        let ours = link(&raw.key.package, &entry.name(entry.url(raw.url).as_ref()));
        let mut links = entry.urls.iter().map(|url| (url.place(document), None)).collect::<Vec<_>>();
        links.extend(entry.provenances.iter().filter(|_| is_secure).filter_map(|text| {
            Some((text.place(document), Some(provenance_here(&text.value()?, raw.url)?)))
        }));
        links.sort_unstable_by_key(|(at, _)| at.start);
        for (at, provenance) in links {
            match provenance {
                Some(path) => splice.replace(at, &[base, &path]),
                None => splice.replace(at, &[&ours]),
            }
        }
    })?;
    Ok(splice.finish())
}

/// Goes through a page. Nothing is kept of an entry once `each` has seen it.
fn walk<'de>(document: &'de str, raw: Raw<'_>, each: impl FnMut(Entry<'de>)) -> Result<Page, Unexpected> {
    let project = raw.key.package.len();
    let mut found =
        Document { meta: Meta::default(), status: Status::default(), has_files: false, project, links: 0, text: 0, each };
    json::read(document, &mut found)?;
    if !found.has_files {
        return Err(Unexpected("the document is JSON, but has no `files`: not a project page".to_owned()));
    }
    if found.links > LINKS {
        return Err(too_many_links());
    }
    if found.text > TEXT {
        return Err(too_much_text());
    }
    let api_version = text(found.meta.api_version).unwrap_or_else(|| "1.0".to_owned());
    check_version(&api_version)?;
    let mut page = Page { api_version, notes: found.meta.notes };
    for (name, value) in [("project-status", found.status.status), ("project-status-reason", found.status.reason)] {
        page.notes.extend(text(value).map(|value| (name.to_owned(), value)));
    }
    Ok(page)
}

fn text(text: Option<Text<'_>>) -> Option<String> {
    text.and_then(Text::value).map(Cow::into_owned)
}

struct Document<'de, F> {
    meta: Meta<'de>,
    status: Status<'de>,
    has_files: bool,
    /// Bytes of the project's name, which is in every link.
    project: usize,
    /// Links so far, and the most bytes that ours in their places may have.
    links: usize,
    text: usize,
    each: F,
}

impl<'de, F: FnMut(Entry<'de>)> Document<'de, F> {
    fn entry(&mut self, entry: Entry<'de>) {
        if entry.urls.is_empty() && entry.provenances.is_empty() {
            return;
        }
        self.links += entry.urls.len() + entry.provenances.len();
        self.text += entry.urls.len() * (self.project + entry.name_length() + "../../files//".len());
        if self.links <= LINKS && self.text <= TEXT {
            (self.each)(entry);
        }
    }
}

impl<'de, F: FnMut(Entry<'de>)> Members<'de> for Document<'de, F> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "meta" => drop(value.object(&mut self.meta)?),
            "project-status" => drop(value.object(&mut self.status)?),
            "alternate-locations" => self.meta.locations("alternate-locations", value.raw()?),
            "files" => self.has_files |= value.array(|entry| self.entry(entry))?,
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
        if raw.len() > LONGEST_NOTES {
            return;
        }
        let addresses: Vec<String> = serde_json::from_str(raw).unwrap_or_default();
        let room = NOTES.saturating_sub(self.notes.len());
        self.notes.extend(addresses.into_iter().take(room).map(|address| (name.to_owned(), address)));
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
    /// The address of the file.
    fn url(&self, page: &Url) -> Option<Url> {
        self.urls.last().and_then(|url| resolve(&url.value()?, page))
    }

    /// The name of the file, which may be none that a file can have.
    fn name(&self, url: Option<&Url>) -> String {
        let name = text(self.filename).or_else(|| url.map(last_segment)).unwrap_or_default();
        if name.len() > LONGEST_NAME { String::new() } else { name }
    }

    /// The most bytes that the name has in a link, where each may be escaped.
    fn name_length(&self) -> usize {
        let given = self.filename.or_else(|| self.urls.last().copied());
        given.map_or(0, |text| text.length().min(LONGEST_NAME) * "%20".len())
    }

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

/// An object of digests; `None` for any other value, and for what is longer than any real one.
fn hashes(raw: &str) -> Option<Hashes> {
    if raw.len() > LONGEST_HASHES {
        return None;
    }
    let map: std::collections::BTreeMap<String, String> = serde_json::from_str(raw).ok()?;
    Some(map.into_iter().collect())
}
