//! Manifests and indexes: what they are and which blobs they name.

use serde::{Deserialize, Deserializer};

use super::{blob_key, manifest_key, members, name};
use crate::digest::Digest;
use crate::intent::{Raw, Reading, Reference, ServedAs, Unexpected};

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// All that is understood, in every request and whatever the client takes: a registry that misses a type converts to
/// one that it finds, and then the digest is another. The first schema is not among them, for it has no digests of
/// its own.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                                 application/vnd.oci.image.manifest.v1+json, \
                                 application/vnd.docker.distribution.manifest.list.v2+json, \
                                 application/vnd.docker.distribution.manifest.v2+json, \
                                 application/vnd.oci.artifact.manifest.v1+json";

pub(super) const KNOWN: [&str; 5] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "listed")]
    manifests: Listed,
}

/// A list of manifests.
#[derive(Default)]
enum Listed {
    #[default]
    Absent,
    /// As some programs write a list of nothing, and some in images, too, which have no such list.
    Null,
    These(Vec<Descriptor>),
}

fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Listed, D::Error> {
    Ok(Option::deserialize(deserializer)?.map_or(Listed::Null, Listed::These))
}

impl Document {
    /// Whether it says something of an image.
    fn is_image(&self) -> bool {
        self.config.is_some() || self.layers.is_some()
    }

    fn is_index(&self) -> bool {
        match self.manifests {
            Listed::Absent => false,
            Listed::Null => !self.is_image(),
            Listed::These(_) => true,
        }
    }

    /// The blobs that a registry looks for before it takes a document of this type. What else stands in it nobody has
    /// looked at.
    fn named(&self, media_type: &str) -> impl Iterator<Item = &Descriptor> {
        let (config, layers, blobs) = match media_type {
            OCI_INDEX | DOCKER_LIST => (None, None, None),
            OCI_ARTIFACT => (None, None, self.blobs.as_ref()),
            _ => (self.config.as_ref(), self.layers.as_ref(), None),
        };
        config.into_iter().chain(layers.into_iter().flatten()).chain(blobs.into_iter().flatten())
    }

    /// What it lists as an index.
    fn children(&self) -> &[Descriptor] {
        if let Listed::These(children) = &self.manifests { children } else { &[] }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    size: Option<u64>,
    media_type: Option<String>,
    urls: Option<Vec<serde::de::IgnoredAny>>,
}

impl Descriptor {
    /// Whether a registry takes a manifest that names it without having it: then the manifest vouches for nothing.
    fn is_foreign(&self) -> bool {
        let kind = self.media_type.as_deref().unwrap_or_default();
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || ["foreign", "nondistributable"].iter().any(|word| kind.contains(word))
    }
}

/// Reads a manifest or an index.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let unexpected = |reason: &str| Unexpected(reason.to_owned());
    let document: Document = serde_json::from_slice(raw.bytes)
        .map_err(|error| Unexpected(format!("no manifest where one was asked for ({error})")))?;
    let content_type = media_type(&document, raw.content_type)?;
    let repository = &raw.key.package;
    // Where a registry may have read another document it has looked for other blobs.
    let vouches = members::are_plain(raw.bytes);
    let (mut references, mut present) = (Vec::new(), Vec::new());
    for descriptor in document.named(content_type) {
        let digest = name::digest(&descriptor.digest).map_err(|_| unexpected("a manifest that names no digest"))?;
        if !descriptor.is_foreign() {
            let key = blob_key(repository, &digest);
            present.push(key.clone());
            references.extend(vouches.then_some(Reference { key, digest, size: descriptor.size }));
        }
    }
    for child in document.children() {
        let digest = name::digest(&child.digest).map_err(|_| unexpected("an index that names no digest"))?;
        present.push(manifest_key(repository, &digest.to_string()));
    }
    let is_tag = name::digest(&raw.key.version).is_err();
    let also = is_tag.then(|| manifest_key(repository, &Digest::sha256(raw.bytes).to_string()));
    let served = ServedAs { content_type: Some(content_type.to_owned()), ..ServedAs::default() };
    Ok(Reading { served, also, references, present, ..Reading::default() })
}

/// What the document says that it is, else what the upstream says, else what it looks like. One that could be taken
/// for either kind is nobody's: two clients would see two images under one digest.
fn media_type(document: &Document, said: &str) -> Result<&'static str, Unexpected> {
    let known = |text: &str| KNOWN.into_iter().find(|known| *known == text);
    let is_index = document.is_index();
    if is_index && document.is_image() {
        return Err(Unexpected("a document that is both a manifest and an index".to_owned()));
    }
    if document.schema_version == Some(1) {
        return Err(Unexpected("a manifest of the first schema, which is not passed on".to_owned()));
    }
    let said = said.split(';').next().unwrap_or_default().trim();
    let shape = if is_index { OCI_INDEX } else { OCI_MANIFEST };
    let kind = match &document.media_type {
        Some(own) => {
            known(own).ok_or_else(|| Unexpected(format!("a manifest of the unknown type {:?}", shortened(own))))?
        }
        None => known(said).unwrap_or(shape),
    };
    let is_of_index = matches!(kind, OCI_INDEX | DOCKER_LIST);
    // An image of no layers may leave them out.
    let has_content = is_index || document.is_image() || document.blobs.is_some() || kind == OCI_ARTIFACT;
    if is_of_index != is_index || !has_content {
        return Err(Unexpected("a document that is not what its type says".to_owned()));
    }
    Ok(kind)
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
