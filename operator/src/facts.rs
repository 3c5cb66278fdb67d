//! What proxies say of themselves on their admin ports.

use serde::Deserialize;

/// The part of a proxy's `/status` that conditions are made of. Unknown members are ignored and missing ones are
/// empty: operator and proxy may differ by one minor version.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// What was last said of the configuration.
    pub configuration: ConfigurationReport,
    /// The proxies that are served: one in a pod.
    pub proxies: Vec<ProxyReport>,
    /// The volume.
    pub storage: StorageReport,
}

/// What was last said of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurationReport {
    /// Why the newest one is not in force; empty if it is.
    pub refused: Vec<String>,
    /// The generation of the one that was refused.
    pub refused_generation: Option<i64>,
    /// SHA-256 of the file that was refused. Proxies from before this was told say only the generation.
    pub refused_sha256: Option<String>,
    /// SHA-256 of the file in force, likewise.
    pub sha256: Option<String>,
}

/// One proxy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyReport {
    /// The generation in force.
    pub generation: Option<i64>,
    /// The registry behind it.
    pub upstream: UpstreamReport,
    /// Its secrets.
    pub credentials: CredentialsReport,
    /// What it answered from the cache.
    pub cache: CacheReport,
}

/// The registry behind a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamReport {
    /// A reason of the condition `UpstreamReachable`.
    pub reason: Option<String>,
    /// What went wrong.
    pub message: Option<String>,
}

/// The secrets of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialsReport {
    /// Each one that the manifest names.
    pub references: Vec<CredentialReport>,
    /// Whether the upstream refused the credential.
    pub rejected: bool,
}

/// One Secret or trust bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialReport {
    /// Its name.
    pub secret: String,
    /// Whether everything needed is there.
    pub resolved: bool,
    /// A reason of the condition `CredentialsResolved`.
    pub reason: Option<String>,
    /// The key that is missing or empty.
    pub key: Option<String>,
    /// The same in a sentence.
    pub problem: Option<String>,
}

/// What was answered from the cache since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheReport {
    /// Requests that were answered from it.
    pub hits: u64,
    /// All requests.
    pub requests: u64,
}

/// The volume of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageReport {
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes at which eviction starts.
    pub max_size: u64,
    /// Files.
    pub objects: u64,
    /// What is wrong with the volume.
    pub fault: Option<String>,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Whether the volume is full although less than `maxSize` is in use.
    pub full: bool,
}
