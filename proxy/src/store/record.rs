//! What the cache knows of one key: a small versioned file. An unknown version is a miss, never an error.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use url::Url;

use super::BlobId;
use super::inventory::Kind;
use crate::clock::Millis;
use crate::digest::Digest;
use crate::intent::{Key, ServedAs};

mod artifact;

pub use artifact::Artifact;

/// The version of [`Record`]'s form. A change of meaning takes the next number.
const FORMAT: u32 = 1;

/// The part of the store that belongs to one proxy with one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// The tenant: blobs are shared below this name.
    pub owner: String,
    /// Name of the records' directory: proxy, and a hash of upstream and ecosystem.
    pub directory: String,
    /// That directory below those of all owners.
    pub(super) place: String,
    seed: [u8; 32],
}

impl Space {
    /// The space of a proxy. `owner` and `proxy` are RFC 1123 labels and so are safe as file names.
    pub fn new(owner: &str, proxy: &str, ecosystem: &str, upstream: &Url) -> Self {
        let seed: [u8; 32] = sha2::Sha256::new()
            .chain_update(owner)
            .chain_update([0])
            .chain_update(proxy)
            .chain_update([0])
            .chain_update(ecosystem)
            .chain_update([0])
            .chain_update(upstream.as_str())
            .finalize()
            .into();
        let directory = format!("{proxy}.{}", &HEXLOWER.encode(&seed)[..12]);
        Self { owner: owner.to_owned(), place: place(owner, &directory), directory, seed }
    }

    /// Whether a directory of records is this proxy's, with whatever upstream.
    pub fn is_of_same_proxy(&self, directory: &str) -> bool {
        let proxy = |directory: &str| directory.rsplit_once('.').map(|(proxy, _)| proxy.to_owned());
        proxy(directory).is_some_and(|name| Some(name) == proxy(&self.directory))
    }

    /// The name of a key's record.
    pub fn record_id(&self, key: &Key) -> RecordId {
        let mut hasher = sha2::Sha256::new().chain_update(self.seed);
        for part in [&key.package, &key.version, &key.file] {
            // The length in front makes the sequence of parts unambiguous.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(key.representation);
        let hash: [u8; 32] = hasher.finalize().into();
        let mut id = [0; 20];
        id.copy_from_slice(&hash[..20]);
        RecordId(id)
    }
}

/// A directory of records below those of all owners.
pub(super) fn place(owner: &str, directory: &str) -> String {
    format!("{owner}/records/{directory}")
}

/// The name of a record: a hash of everything that a key means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId([u8; 20]);

impl RecordId {
    /// Reads what `Display` writes.
    pub(super) fn from_hex(hex: &str) -> Option<Self> {
        Some(Self(HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?))
    }

    /// A short form for places that tolerate a collision.
    pub fn short(&self) -> u64 {
        u64::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3], self.0[4], self.0[5], self.0[6], self.0[7]])
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The key's package, so that a purge finds it.
    pub package: String,
    /// The key's version.
    pub version: String,
    /// The key's file.
    pub file: String,
    /// When the upstream last confirmed it.
    pub validated: Millis,
    /// What there is.
    pub state: State,
}

/// What there is of a key.
#[expect(clippy::large_enum_variant, reason = "a record is always behind a pointer of its own")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A metadata document.
    Document(Document),
    /// An artifact.
    Artifact(Artifact),
}

/// A stored metadata document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Digest of the upstream's bytes without content coding, to notice an unchanged document.
    pub received: BlobId,
    /// The bytes that are kept: those received, or what the ecosystem made of them.
    pub raw: BlobId,
    /// Their length.
    pub length: u64,
    /// What was read from them: files and edits, see [`crate::cache::table`].
    pub reading: Option<(BlobId, u64)>,
    /// The upstream's `Content-Type`.
    pub content_type: String,
    /// Where it came from after redirects.
    pub url: Url,
    /// The upstream's validators, verbatim.
    pub etag: Option<String>,
    /// See `etag`.
    pub last_modified: Option<String>,
    /// What is served beside the bytes.
    #[serde(default)]
    pub served: ServedAs,
    /// When these bytes were first seen.
    pub changed: Millis,
    /// What was made of it for clients, newest last.
    pub variants: Vec<Variant>,
    /// The digests of the bytes that are kept, where clients ask for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// See [`crate::intent::Reading::revision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Since when the upstream sends an older revision instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_since: Option<Millis>,
    /// Until when it may stand in while the upstream fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Millis>,
    /// Whether the upstream serves the files that it names by their digests too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_digest: bool,
    /// Its detached signature, fetched with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<(BlobId, u64)>,
}

/// One form of a document that is kept ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The base of its links; empty where none is used.
    pub base: String,
    /// Hash of all that shaped it; also its entity tag.
    pub fingerprint: String,
    /// Its bytes.
    pub blob: BlobId,
    /// Their length.
    pub length: u64,
}

impl Record {
    /// A record of what is known of `key`, confirmed at `validated`.
    pub fn new(key: &Key, validated: Millis, state: State) -> Self {
        Self {
            format: FORMAT,
            package: key.package.clone(),
            version: key.version.clone(),
            file: key.file.clone(),
            validated,
            state,
        }
    }

    /// The document, if that is what there is.
    pub fn document(&self) -> Option<&Document> {
        match &self.state {
            State::Document(document) => Some(document),
            State::Artifact(_) => None,
        }
    }

    /// The artifact, if that is what there is.
    pub fn artifact(&self) -> Option<&Artifact> {
        match &self.state {
            State::Artifact(artifact) => Some(artifact),
            State::Document(_) => None,
        }
    }

    /// Whether a purge of a package, or of one version of it, concerns it.
    pub(super) fn is_of(&self, package: &str, version: Option<&str>) -> bool {
        // A document about the whole package goes with any of its versions: it lists them.
        self.package == package && version.is_none_or(|version| self.version == version || self.version.is_empty())
    }

    /// What is lost with it.
    pub(super) fn kind(&self) -> Kind {
        match &self.state {
            State::Document(_) => Kind::Document,
            // Which bytes were the first ones, or which fallback is to give what belongs to them, nobody else knows.
            State::Artifact(artifact) if artifact.is_pin() || artifact.source.is_some() => Kind::Lasting,
            State::Artifact(_) => Kind::Artifact,
        }
    }

    /// Bytes that it takes in memory, more or less: much of it is what clients and upstreams say.
    pub(super) fn size(&self) -> u64 {
        let said = |text: &Option<String>| text.as_deref().map_or(0, str::len);
        let of_state = match &self.state {
            State::Document(document) => {
                let served = &document.served;
                let headers = served.headers.iter().map(|(name, value)| name.len() + value.len());
                let variants = document
                    .variants
                    .iter()
                    .map(|variant| size_of::<Variant>() + variant.base.len() + variant.fingerprint.len());
                document.content_type.len()
                    + document.url.as_str().len()
                    + said(&document.etag)
                    + said(&document.last_modified)
                    + said(&served.content_type)
                    + said(&served.next)
                    + headers.chain(variants).sum::<usize>()
            }
            State::Artifact(artifact) => said(&artifact.verified) + said(&artifact.last_modified),
        };
        (size_of::<Self>() + self.package.len() + self.version.len() + self.file.len() + of_state) as u64
    }

    /// The blobs that it names.
    pub(super) fn blobs(&self) -> Vec<BlobId> {
        match &self.state {
            State::Document(document) => {
                let extra = [document.reading, document.signature].into_iter().flatten().map(|(id, _)| id);
                let variants = document.variants.iter().map(|variant| variant.blob);
                std::iter::once(document.raw).chain(extra).chain(variants).collect()
            }
            State::Artifact(artifact) => {
                std::iter::once(artifact.blob).chain(artifact.names.map(|(id, _)| id)).collect()
            }
        }
    }

    /// The digests of its bytes that clients ask for.
    pub fn digests(&self) -> &[Digest] {
        match &self.state {
            State::Document(document) => &document.digests,
            State::Artifact(artifact) => &artifact.digests,
        }
    }

    /// The form on disk.
    pub fn encode(&self) -> Vec<u8> {
        // Maps with string keys only: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the form on disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, BrokenRecord> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(BrokenRecord::Format(format));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// A record that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum BrokenRecord {
    /// Cut, overwritten, or not a record.
    #[error("it cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Written by another version of the program.
    #[error("it has format {0}, which this version does not know")]
    Format(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(package: &str, version: &str, file: &str) -> Key {
        Key { package: package.into(), version: version.into(), file: file.into(), representation: "tarball" }
    }

    fn space(upstream: &str) -> Space {
        Space::new("team", "npm", "npm", &Url::parse(upstream).unwrap())
    }

    #[test]
    fn keys_are_told_apart() {
        let space_a = space("https://registry.example/a/");
        let ids = [
            space_a.record_id(&key("ab", "c", "")),
            space_a.record_id(&key("a", "bc", "")),
            space_a.record_id(&key("a", "b", "c")),
            space_a.record_id(&Key { representation: "full", ..key("a", "b", "c") }),
            space("https://registry.example/b/").record_id(&key("a", "b", "c")),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(ids.iter().position(|other| other == id), Some(index));
        }
    }

    #[test]
    fn a_record_survives_the_disk_and_damage_does_not() {
        let record = Record::new(
            &key("a", "1.0.0", "a-1.0.0.tgz"),
            7,
            State::Artifact(Artifact {
                verified: Some("sha1:00".into()),
                source: Some(Url::parse("https://mirror.example/").unwrap()),
                digests: vec![Digest::sha256(b"x")],
                ..Artifact::of(BlobId::of(b"x"), 1)
            }),
        );
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        for cut in 0..bytes.len() {
            assert!(Record::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let newer = String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":99");
        assert!(matches!(Record::decode(newer.as_bytes()), Err(BrokenRecord::Format(99))));
    }
}
