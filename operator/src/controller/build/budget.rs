//! The PodDisruptionBudget, only where there is more than one pod: on a single one it would block every node drain.

use serde_json::json;

use super::{Child, Component, child, selector};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

pub(super) fn build(plan: &Plan) -> Option<Child> {
    if plan.workload.replicas <= 1 {
        return None;
    }
    let mut budget = child(plan, ChildKind::PodDisruptionBudget, plan.name().to_owned(), Component::Proxy);
    budget.object["spec"] = json!({
        "maxUnavailable": 1,
        // A pod that is not ready serves nobody: it may always go.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector(plan)},
    });
    Some(budget)
}
