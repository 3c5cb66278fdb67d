//! `spec.cache`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StorageSpec;
use crate::values::{ByteSize, GoDuration};

/// What is kept and for how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheSpec {
    /// How long metadata is fresh; `0s` asks the upstream each time.
    #[serde(rename = "metadataTTL", skip_serializing_if = "Option::is_none")]
    pub metadata_ttl: Option<GoDuration>,
    /// How long it is remembered that the upstream lacks something.
    #[serde(rename = "negativeTTL", skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<GoDuration>,
    /// How long after expiry metadata is served at once while it is revalidated in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<GoDuration>,
    /// How long after expiry metadata is served while the upstream fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<GoDuration>,
    /// How long a client waits for a revalidation before it gets stale metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revalidation_wait: Option<GoDuration>,
    /// Bytes on disk at which the least recently used files are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteSize>,
    /// Bytes of the largest metadata document that is taken from the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_metadata_size: Option<ByteSize>,
    /// Where the cache lies in a cluster; by default `Ephemeral`. Outside of one the program is told by a flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,
}
