//! What is stored of an artifact.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::digest::Digest;
use crate::store::BlobId;

/// A stored artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its bytes; the pin, where the upstream publishes no digest.
    pub blob: BlobId,
    /// Their length.
    pub length: u64,
    /// The published digest that they were verified against.
    pub verified: Option<String>,
    /// The upstream's `Last-Modified`, if it gave one.
    pub last_modified: Option<String>,
    /// Base of the fallback that gave it; `None`: the first address of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Url>,
    /// The digests of its bytes, where clients ask for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// A document named it and nobody has asked for it yet: its bytes are served if another key has brought them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub referenced: bool,
    /// What it names, if it is an index of other files: see [`crate::cache::names`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<(BlobId, u64)>,
    /// Other bytes would do as well: nothing is lost with these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpinned: bool,
}

impl Artifact {
    /// Bytes of which no more is known. What differs is set with `..`.
    pub fn of(blob: BlobId, length: u64) -> Self {
        Self {
            blob,
            length,
            verified: None,
            last_modified: None,
            source: None,
            digests: Vec::new(),
            referenced: false,
            names: None,
            unpinned: false,
        }
    }

    /// Whether nobody but this record knows which bytes are the right ones.
    pub fn is_pin(&self) -> bool {
        self.verified.is_none() && !self.unpinned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_when_there_is_no_room() {
        let of = |verified: bool, unpinned| {
            let verified = verified.then(|| "sha256:00".to_owned());
            Artifact { verified, unpinned, ..Artifact::of(BlobId::of(b"x"), 1) }
        };
        assert!(of(false, false).is_pin());
        assert!(!of(true, false).is_pin() && !of(false, true).is_pin());
    }
}
