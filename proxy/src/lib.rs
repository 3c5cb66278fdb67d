//! The data plane of PackageProxy.
//!
//! One request goes one straight way: `request` reads it, `ecosystem` says what it means (an `intent`), `resolve`
//! finds address and digest, `cache` decides whether what is stored will do, `fetch` and `store` get what is missing,
//! `respond` answers.

pub mod cli;
pub mod client;
pub mod config;
pub mod digest;
pub mod ecosystem;
pub mod fetch;
pub mod init;
pub mod intent;
pub mod request;
pub mod secrets;
pub mod upstream_path;
