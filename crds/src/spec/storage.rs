//! `spec.cache.storage`: where the cache lies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::plain_enum;
use crate::values::ByteSize;

/// Where the cache lies: a union of which `type` names the member that may be given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// The kind of volume.
    #[serde(rename = "type")]
    pub kind: StorageType,
    /// The volume of the type `Ephemeral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralSpec>,
    /// The volume of the type `PersistentVolumeClaim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimSpec>,
}

/// The kind of volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum StorageType {
    /// A directory of the node that ends with the pod.
    Ephemeral,
    /// A claim that outlives the pod.
    PersistentVolumeClaim,
}

/// A directory of the node that ends with the pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EphemeralSpec {
    /// Bytes that the directory may hold; by default `10Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<ByteSize>,
}

/// A claim that outlives the pod: a new one of `size`, or one that exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    /// Bytes of the new claim. May grow, never shrink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// A claim in the same namespace that somebody else made and keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub existing_claim_name: Option<String>,
    /// The storage class of the new claim; by default the cluster's. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub storage_class_name: Option<String>,
    /// Who may mount the new claim; by default `ReadWriteOnce`. Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<AccessMode>,
    /// What becomes of the new claim when the `PackageProxy` is deleted; by default `Retain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<RetentionPolicy>,
}

/// Who may mount a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum AccessMode {
    /// Pods of one node: old and new pod overlap during a rollout.
    ReadWriteOnce,
    /// One pod: a rollout ends the old pod first.
    ReadWriteOncePod,
    /// Pods of any node.
    ReadWriteMany,
}

impl AccessMode {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
            Self::ReadWriteMany => "ReadWriteMany",
        }
    }
}

/// What becomes of a claim when its `PackageProxy` is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum RetentionPolicy {
    /// It stays, and a `PackageProxy` of the same name takes it again with what it holds.
    Retain,
    /// It is deleted with the `PackageProxy`.
    Delete,
}
