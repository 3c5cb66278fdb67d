//! The ConfigMap that the data plane reads, and reads again whenever it changes.

use serde_json::json;

use super::{Child, Component, child};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// The key, and with it the name of the file.
pub(super) const KEY: &str = "manifest.json";

pub(super) fn build(plan: &Plan) -> Child {
    let mut map = child(plan, ChildKind::ConfigMap, name(plan), Component::Proxy);
    map.object["data"] = json!({KEY: format!("{:#}\n", plan.manifest)});
    map
}

/// Its name.
pub(super) fn name(plan: &Plan) -> String {
    format!("{}-manifest", plan.name())
}
