//! The contract: what a `PackageProxy` manifest may say, what its fields default to, and which mistakes are refused.
//!
//! Both programs read this crate and nothing here does I/O: the data plane reads its configuration with it, the
//! operator its API objects, so the two cannot disagree on a field, a default or a message.

pub mod class;
mod defaults;
pub mod definition;
pub mod ecosystem;
pub mod examples;
pub mod manifest;
pub mod problem;
pub mod rules;
pub mod schema;
pub mod settings;
pub mod spec;
pub mod status;
pub mod structure;
pub mod values;
pub mod workload;

pub use class::{CLASS_KIND, PackageProxyClass, PackageProxyClassSpec};
pub use ecosystem::Ecosystem;
pub use manifest::{API_VERSION, KIND, Metadata, PackageProxy, Reading, read};
pub use problem::{Problem, ProblemKind};
pub use settings::{
    AuthKind, AuthSettings, BreakerSettings, CacheSettings, FallbackOn, FallbackSettings, RetrySettings, Settings,
    TrustSettings, UpstreamSettings,
};
pub use spec::{LogLevel, PackageProxySpec, UpstreamSpec};
pub use status::{PackageProxyClassStatus, PackageProxyStatus};
pub use workload::Workload;
