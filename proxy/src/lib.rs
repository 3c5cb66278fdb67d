//! The data plane of PackageProxy.
//!
//! One request goes one straight way: `request` reads it, `ecosystem` says what it means (an `intent`), `resolve`
//! finds address and digest, `cache` decides whether what is stored will do, `fetch` and `store` get what is missing,
//! `respond` answers.

pub mod access;
pub mod admin;
pub mod app;
pub mod body;
pub mod cache;
pub mod cache_status;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod digest;
pub mod ecosystem;
pub mod error;
pub mod fetch;
pub mod handle;
pub mod init;
pub mod intent;
pub mod links;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod negotiate;
pub mod request;
pub mod resolve;
pub mod respond;
pub mod rewrite;
pub mod secrets;
pub mod serve;
pub mod server;
pub mod site;
pub mod status;
pub mod store;
pub mod upstream_path;
pub mod workshop;
