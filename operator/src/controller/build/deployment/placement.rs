//! On which nodes pods run.

use crds::spec::AccessMode;
use crds::workload::Storage;
use serde_json::{Value, json};

use crate::controller::build::selector;
use crate::controller::plan::Plan;

/// The manifest's affinity, and for a volume that belongs to one node at a time the wish to run beside the pods that
/// are there. The scheduler lets the first such pod go anywhere, since it matches its own term.
pub(super) fn affinity(plan: &Plan) -> Option<Value> {
    let given = plan.workload.pod.affinity.clone();
    let bound_to_node = match &plan.workload.storage {
        Storage::Claim { access_mode, .. } => *access_mode == AccessMode::ReadWriteOnce,
        // Whoever made it did not say; two pods on one node are right for every mode that admits two pods.
        Storage::ExistingClaim { .. } => true,
        Storage::Ephemeral { .. } => false,
    };
    if !bound_to_node {
        return given;
    }
    let term = json!({"labelSelector": {"matchLabels": selector(plan)}, "topologyKey": "kubernetes.io/hostname"});
    let mut affinity = given.filter(Value::is_object).unwrap_or_else(|| json!({}));
    let pods = object(&mut affinity["podAffinity"]);
    match &mut pods["requiredDuringSchedulingIgnoredDuringExecution"] {
        Value::Array(terms) => terms.push(term),
        none => *none = json!([term]),
    }
    Some(affinity)
}

/// The manifest's constraints; without any, pods spread over nodes as far as possible. Said for a single pod too, since
/// a template that depends on the number of pods would replace them all when one is added.
pub(super) fn spread(plan: &Plan) -> Value {
    if let Some(given) = &plan.workload.pod.topology_spread_constraints {
        return json!(given);
    }
    let default = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(plan)},
    }]);
    default
}

/// The object here; anything else is replaced by an empty one.
fn object(value: &mut Value) -> &mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    value
}
