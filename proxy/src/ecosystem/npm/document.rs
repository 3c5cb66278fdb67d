//! What packuments and version manifests say: tarballs with their digests, and the places of links to them.

use std::borrow::Cow;

use serde::de::MapAccess;
use url::Url;

use super::abbreviate::abbreviate;
use super::name::{Package, is_file};
use crate::digest::{Algorithm, Digest};
use crate::intent::{Edit, Link, ListedFile, Raw, Reading, Unexpected};
use crate::rewrite::json::{self, Member, Members, Text};

/// The media type of abbreviated packuments.
pub(super) const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

/// Reads a full packument.
pub(super) fn read_full(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    packument(json::text(raw.bytes)?, raw).map(|(reading, _)| reading)
}

/// Reads what was asked for as an abbreviated packument. An upstream that knows only full ones sends one all the same:
/// then the abbreviated form is made here, as clients that ask for it would otherwise get a document ten times as
/// long.
pub(super) fn read_abbreviated(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let document = json::text(raw.bytes)?;
    let media_type = raw.content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(ABBREVIATED) {
        let (reading, outline) = packument(document, raw)?;
        if !outline.has_readme {
            return Ok(reading);
        }
    }
    let abbreviated = abbreviate(document)?;
    let (reading, _) = packument(&abbreviated, raw)?;
    Ok(Reading { replacement: Some(abbreviated.into_bytes()), ..reading })
}

/// Reads the document about one version.
pub(super) fn read_manifest(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let document = json::text(raw.bytes)?;
    let mut manifest = Version::default();
    json::read(document, &mut manifest)?;
    let version = manifest.version.and_then(Text::value);
    let version = version.ok_or_else(|| Unexpected("the version manifest has no `version`".to_owned()))?;
    let mut links = Links::new(raw, document);
    links.version(&version, &manifest.dists);
    Ok(links.finish())
}

/// Reads a map from tag to version.
pub(super) fn read_tags(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let tags: Result<std::collections::BTreeMap<String, String>, _> = serde_json::from_slice(raw.bytes);
    tags.map(|_| Reading::default()).map_err(|error| json::broken("the list of tags", &error))
}

/// Checks that a document of the registry holds the array that its key's representation promises.
pub(super) fn read_array(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    struct Holder(bool, &'static str);
    impl<'de> Members<'de> for Holder {
        fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
            let raw = value.raw()?;
            self.0 |= key == self.1 && raw.starts_with('[');
            Ok(())
        }
    }
    let mut holder = Holder(false, raw.key.representation);
    json::read(json::text(raw.bytes)?, &mut holder)?;
    if holder.0 { Ok(Reading::default()) } else { Err(Unexpected(format!("the document has no `{}`", holder.1))) }
}

fn packument(document: &str, raw: Raw<'_>) -> Result<(Reading, Outline), Unexpected> {
    let mut reader = Packument { outline: Outline::default(), links: Links::new(raw, document) };
    json::read(document, &mut reader)?;
    reader.outline.check()?;
    Ok((reader.links.finish(), reader.outline))
}

/// What of a packument tells it from any other JSON document.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outline {
    pub(super) has_name: bool,
    pub(super) has_error: bool,
    pub(super) has_readme: bool,
    /// Whether `versions` is an object, where there is one.
    pub(super) versions: Option<bool>,
}

impl Outline {
    /// A package all of whose versions were withdrawn has a name but no `versions`.
    pub(super) fn check(self) -> Result<(), Unexpected> {
        match self.versions {
            Some(true) => Ok(()),
            Some(false) => Err(Unexpected("`versions` of the packument is not an object".to_owned())),
            None if self.has_name && !self.has_error => Ok(()),
            None => Err(Unexpected("the document is JSON, but not a packument".to_owned())),
        }
    }
}

struct Packument<'a> {
    outline: Outline,
    links: Links<'a>,
}

impl<'de> Members<'de> for Packument<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "versions" => {
                let is_object = value.objects_by_name(|version, entry: Version<'_>| self.links.version(version, &entry.dists))?;
                self.outline.versions = Some(is_object);
            }
            "name" => self.outline.has_name |= value.text()?.is_some(),
            "error" => {
                self.outline.has_error = true;
                value.skip()?;
            }
            "readme" => {
                self.outline.has_readme = true;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// One version's object. Of duplicate members JavaScript keeps the last; links in the others are replaced all the same.
#[derive(Default)]
struct Version<'de> {
    version: Option<Text<'de>>,
    dists: Vec<Dist<'de>>,
}

impl<'de> Members<'de> for Version<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "version" => self.version = value.text()?,
            "dist" => {
                let mut dist = Dist::default();
                value.object(&mut dist)?;
                self.dists.push(dist);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Dist<'de> {
    tarballs: Vec<Text<'de>>,
    attestations: Vec<Text<'de>>,
    integrity: Option<Text<'de>>,
    shasum: Option<Text<'de>>,
}

impl<'de> Members<'de> for Dist<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "tarball" => self.tarballs.extend(value.text()?),
            "integrity" => self.integrity = value.text()?,
            "shasum" => self.shasum = value.text()?,
            "attestations" => {
                let mut attestations = Attestations::default();
                value.object(&mut attestations)?;
                self.attestations.append(&mut attestations.0);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Attestations<'de>(Vec<Text<'de>>);

impl<'de> Members<'de> for Attestations<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "url" => self.0.extend(value.text()?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

impl Dist<'_> {
    /// The digests to check a tarball with: subresource integrity, or what packages from before 2017 have.
    fn digests(&self) -> Vec<Digest> {
        let text = |text: Option<Text<'_>>| text.and_then(Text::value).map(Cow::into_owned);
        let digests = text(self.integrity).map_or_else(Vec::new, |text| Digest::from_integrity(&text));
        if digests.is_empty() {
            return text(self.shasum).and_then(|hex| Digest::from_hex(Algorithm::Sha1, &hex)).into_iter().collect();
        }
        digests
    }
}

/// Gathers files and edits, version by version.
struct Links<'a> {
    document: &'a str,
    base: &'a Url,
    package: Package<'a>,
    files: Vec<ListedFile>,
    /// Files under the upstream's own names, where these are not the conventional ones: lock files have them.
    otherwise_named: Vec<ListedFile>,
    edits: Vec<Edit>,
}

impl<'a> Links<'a> {
    fn new(raw: Raw<'a>, document: &'a str) -> Self {
        Self {
            document,
            base: raw.url,
            package: Package::of(&raw.key.package),
            files: Vec::new(),
            otherwise_named: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Every tarball gets the conventional address, whatever the upstream's is: for any other shape some clients write
    /// the whole address into their lock file.
    fn version(&mut self, version: &str, dists: &[Dist<'_>]) {
        let file = self.package.file(version);
        let tarball = self.package.tarball(&file);
        let attestations = self.package.attestations(version);
        for dist in dists {
            for (texts, to) in [(&dist.tarballs, &tarball), (&dist.attestations, &attestations)] {
                self.edits.extend(texts.iter().map(|text| Edit {
                    at: text.place(self.document),
                    to: Link::BelowBase(to.as_str().to_owned()),
                }));
            }
        }
        let Some(dist) = dists.last() else { return };
        let Some(mut url) = dist.tarballs.last().and_then(|text| self.base.join(text.value()?.as_ref()).ok()) else {
            return;
        };
        if !matches!(url.scheme(), "http" | "https") {
            return;
        }
        url.set_fragment(None);
        let digests = dist.digests();
        let own_name = url.path_segments().and_then(Iterator::last).unwrap_or_default();
        let own_name = percent_encoding::percent_decode_str(own_name).decode_utf8_lossy();
        if own_name != file && is_file(&own_name) {
            let name = own_name.into_owned();
            self.otherwise_named.push(ListedFile { name, url: url.to_string(), digests: digests.clone(), size: None });
        }
        self.files.push(ListedFile { name: file, url: url.into(), digests, size: None });
    }

    fn finish(mut self) -> Reading {
        self.edits.sort_by_key(|edit| edit.at.start);
        // The last of two equal names wins, and that must be the version that the name belongs to.
        self.otherwise_named.append(&mut self.files);
        Reading { files: self.otherwise_named, edits: self.edits, replacement: None }
    }
}
