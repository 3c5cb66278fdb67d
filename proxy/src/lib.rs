//! The data plane of PackageProxy.
//!
//! One request goes one straight way: `request` reads it, `ecosystem` says what it means (an `intent`), `resolve`
//! finds address and digest, `cache` decides whether what is stored will do, `fetch` and `store` get what is missing,
//! `respond` answers.
//!
//! Without the feature `server` only what knows neither network nor disk is left: manifests, the table of ecosystems and
//! the set-ups of clients, for programs that configure proxies.

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod app;
pub mod blob_id;
#[cfg(feature = "server")]
pub mod body;
#[cfg(feature = "server")]
pub mod cache;
#[cfg(feature = "server")]
pub mod cache_status;
#[cfg(feature = "server")]
pub mod certificate;
pub mod checksum_sibling;
#[cfg(feature = "server")]
pub mod cli;
pub mod client;
#[cfg(feature = "server")]
pub mod clock;
pub mod config;
pub mod date;
pub mod digest;
pub mod ecosystem;
#[cfg(feature = "server")]
pub mod error;
#[cfg(feature = "server")]
pub mod fetch;
#[cfg(feature = "server")]
pub mod handle;
#[cfg(feature = "server")]
pub mod housekeeping;
#[cfg(feature = "server")]
pub mod init;
pub mod intent;
#[cfg(feature = "server")]
pub mod links;
#[cfg(feature = "server")]
pub mod log;
#[cfg(feature = "server")]
pub mod memory;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod negotiate;
pub mod request;
#[cfg(feature = "server")]
pub mod resolve;
#[cfg(feature = "server")]
pub mod respond;
pub mod rewrite;
pub mod secrets;
#[cfg(feature = "server")]
pub mod serve;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod site;
#[cfg(feature = "server")]
pub mod status;
#[cfg(feature = "server")]
pub mod store;
pub mod upstream_path;
#[cfg(feature = "server")]
pub mod workshop;
#[cfg(feature = "server")]
pub mod zip;
