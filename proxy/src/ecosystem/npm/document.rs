//! What packuments and version manifests say: tarballs with their digests, and the places of links to them.

use serde::de::MapAccess;
use url::Url;

use super::abbreviate::abbreviate;
use super::name::{Package, is_file};
use crate::date;
use crate::digest::{Algorithm, Digest};
use crate::ecosystem::gathered::Gathered;
use crate::intent::{Link, ListedFile, Raw, Reading, Unexpected};
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
    let version = manifest.number.and_then(Text::value);
    let version = version.ok_or_else(|| Unexpected("the version manifest has no `version`".to_owned()))?;
    let mut links = Links::new(raw, document);
    links.version(&version, &manifest);
    links.gathered.reading()
}

/// Reads a map from tag to version.
pub(super) fn read_tags(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    /// Whether some value is no version.
    struct Tags(bool);
    impl<'de> Members<'de> for Tags {
        fn member<A: MapAccess<'de>>(&mut self, _: &str, value: Member<'_, A>) -> Result<(), A::Error> {
            self.0 |= value.text()?.is_none();
            Ok(())
        }
    }
    let mut tags = Tags(false);
    json::read(json::text(raw.bytes)?, &mut tags)?;
    if tags.0 { Err(Unexpected("the list of tags names something else than versions".to_owned())) } else { Ok(Reading::default()) }
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
    let mut reader = Packument { outline: Outline::default(), modified: None, links: Links::new(raw, document) };
    json::read(document, &mut reader)?;
    reader.outline.check()?;
    let revision = reader.modified.and_then(Text::value).and_then(|text| date::of_internet(&text));
    Ok((Reading { revision, ..reader.links.gathered.reading()? }, reader.outline))
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
    /// When the package last changed: of its own in the abbreviated form, else of `time`.
    modified: Option<Text<'a>>,
    links: Links<'a>,
}

impl<'de> Members<'de> for Packument<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "versions" => {
                let is_object = value.objects_by_name(|version, entry: Version<'_>| self.links.version(version, &entry))?;
                self.outline.versions = Some(is_object);
            }
            "modified" => self.modified = value.text()?,
            "time" => drop(value.object(&mut Time(&mut self.modified))?),
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

struct Time<'a, 'de>(&'a mut Option<Text<'de>>);

impl<'de> Members<'de> for Time<'_, 'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "modified" => *self.0 = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// One version's object. Of duplicate members JavaScript keeps the last; links in the others are replaced all the same.
#[derive(Default)]
struct Version<'de> {
    number: Option<Text<'de>>,
    /// Of every `dist`.
    links: DistLinks<'de>,
    /// The last one.
    dist: Dist<'de>,
}

impl<'de> Members<'de> for Version<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "version" => self.number = value.text()?,
            "dist" => {
                self.dist = Dist::default();
                value.object(&mut DistMembers { links: &mut self.links, dist: &mut self.dist })?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct DistLinks<'de> {
    tarballs: Vec<Text<'de>>,
    attestations: Vec<Text<'de>>,
}

#[derive(Clone, Copy, Default)]
struct Dist<'de> {
    tarball: Option<Text<'de>>,
    integrity: Option<Text<'de>>,
    shasum: Option<Text<'de>>,
}

struct DistMembers<'a, 'de> {
    links: &'a mut DistLinks<'de>,
    dist: &'a mut Dist<'de>,
}

impl<'de> Members<'de> for DistMembers<'_, 'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "tarball" => {
                if let Some(tarball) = value.text()? {
                    self.dist.tarball = Some(tarball);
                    self.links.tarballs.push(tarball);
                }
            }
            "integrity" => self.dist.integrity = value.text()?,
            "shasum" => self.dist.shasum = value.text()?,
            "attestations" => drop(value.object(&mut Attestations(&mut self.links.attestations))?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

struct Attestations<'a, 'de>(&'a mut Vec<Text<'de>>);

impl<'de> Members<'de> for Attestations<'_, 'de> {
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
        let digests = self.integrity.and_then(Text::value).map_or_else(Vec::new, |text| Digest::from_integrity(&text));
        if digests.is_empty() {
            let sha1 = self.shasum.and_then(Text::value).and_then(|hex| Digest::from_hex(Algorithm::Sha1, &hex));
            return sha1.map_or_else(Vec::new, |digest| vec![digest]);
        }
        digests
    }
}

/// Gathers files and links, version by version.
struct Links<'a> {
    document: &'a str,
    base: &'a Url,
    package: Package<'a>,
    gathered: Gathered,
}

impl<'a> Links<'a> {
    fn new(raw: Raw<'a>, document: &'a str) -> Self {
        Self { document, base: raw.url, package: Package::of(&raw.key.package), gathered: Gathered::default() }
    }

    /// Every tarball gets the conventional address, whatever the upstream's is: for any other shape some clients write
    /// the whole address into their lock file.
    fn version(&mut self, version: &str, entry: &Version<'_>) {
        if !entry.links.attestations.is_empty() {
            let attestations = self.package.attestations(version);
            for text in &entry.links.attestations {
                self.gathered.link(text.place(self.document), Link::BelowBase, attestations.as_str());
            }
        }
        if entry.links.tarballs.is_empty() {
            return;
        }
        let file = self.package.file(version);
        let tarball = self.package.tarball(&file);
        for text in &entry.links.tarballs {
            self.gathered.link(text.place(self.document), Link::BelowBase, tarball.as_str());
        }
        let url = entry.dist.tarball.and_then(|text| self.base.join(text.value()?.as_ref()).ok());
        let Some(mut url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else { return };
        url.set_fragment(None);
        let digests = entry.dist.digests();
        let own_name = url.path_segments().and_then(Iterator::last).unwrap_or_default();
        let own_name = percent_encoding::percent_decode_str(own_name).decode_utf8_lossy();
        if own_name != file && is_file(&own_name) {
            // Lock files have the upstream's own names. A version to which such a name belongs comes first.
            let (name, digests) = (own_name.into_owned(), digests.clone());
            self.gathered.file_giving_way(ListedFile { name, url: url.to_string(), digests, size: None });
        }
        self.gathered.file(ListedFile { name: file, url: url.into(), digests, size: None });
    }
}
