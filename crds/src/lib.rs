//! The contract: what a `PackageProxy` manifest may say, what its fields default to, and which mistakes are refused.
//!
//! Both programs read this crate and nothing here does I/O: the data plane reads its configuration with it, the
//! operator its API objects, so the two cannot disagree on a field, a default or a message.

pub mod ecosystem;
pub mod settings;

pub use ecosystem::Ecosystem;
pub use settings::{
    AuthKind, AuthSettings, BreakerSettings, CacheSettings, FallbackOn, FallbackSettings, RetrySettings, Settings,
    TrustSettings, UpstreamSettings,
};
