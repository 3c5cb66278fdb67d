//! The control plane of PackageProxy.

use std::process::ExitCode;

pub mod controller;
pub mod facts;
pub mod kinds;
pub mod render;

/// What the binary does.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
