//! From a `PackageProxy` to its objects and its status, step by step.

pub mod plan;
