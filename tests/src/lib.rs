//! Scripted upstream and rigs for the tests of the built programs.
//!
//! Everything in this crate runs inside tests, so a broken expectation panics with what was expected.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test tool reports by panicking")]

pub mod bytes_of;
pub mod client;
pub mod cluster;
pub mod fixture;
pub mod port;
pub mod relay;
pub mod rig;
pub mod upstream;
pub mod wait;

pub use client::{Answer, Ask, Client};
pub use fixture::{Fixture, Protocol};
pub use rig::{Manifest, Rig};
pub use upstream::{Gate, Reply, Resource, Upstream};
