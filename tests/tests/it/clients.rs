//! Real clients against real registries: each application is installed directly, through a cold proxy, through a warm
//! one and with the registries cut off, and the four installed trees must be the same.
//!
//! `tests/run` installs the clients, builds the release binary and runs these tests two at a time, or one after the
//! other with `CLIENTS_AT_ONCE=1`: each of them reports its times, and asserts nothing about them.

#![cfg(test)]

mod cargo;
pub(crate) mod container;
mod debian;
mod go;
mod gradle;
mod ivy;
mod java;
mod machine;
mod maven;
mod npm;
mod private;
mod proxy;
mod python;
mod report;
mod sbt;
mod scenario;
mod scratch;
mod tree;
