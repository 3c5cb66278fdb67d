//! From a `PackageProxy` to its objects and its status, step by step.

pub mod build;
pub mod conditions;
pub mod plan;
pub mod resolve;
