//! The tests of the built programs, as one binary.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "all of it is tests")]

mod breaker;
mod budget;
mod clients;
mod cluster;
mod coalescing;
mod conformance;
mod containers;
mod credentials;
mod debian;
mod disk;
mod drain;
mod examples;
mod faults;
mod go;
mod gradle;
mod listing;
mod maven;
mod memory;
mod observability;
mod peers;
mod pins;
mod purges;
mod reload;
mod restart;
mod revisions;
mod stale;
