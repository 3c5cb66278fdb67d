//! The Deployment, the last of the children: what its pods mount must exist before them.

mod container;
mod placement;
mod volumes;

use crds::class::PodSecurity;
use crds::spec::AccessMode;
use crds::workload::Storage;
use serde_json::{Value, json};

use super::{Child, Component, TEMPLATE_HASH, child, labels, selector, template_hash};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// User and group of the image.
const USER: u32 = 65532;
/// Longer than the data plane's own delay and drain (`--leave-delay`, `--drain-timeout`) together.
const GRACE_SECONDS: u32 = 120;

pub(super) fn build(plan: &Plan) -> Child {
    let mut deployment = child(plan, ChildKind::Deployment, plan.name().to_owned(), Component::Proxy);
    deployment.object["spec"] = json!({
        "replicas": plan.workload.replicas,
        "selector": {"matchLabels": selector(plan)},
        "strategy": strategy(plan),
        "progressDeadlineSeconds": 300,
        "revisionHistoryLimit": 3,
        "template": template(plan),
    });
    let hash = template_hash(&deployment);
    deployment.object["metadata"]["annotations"] = json!({TEMPLATE_HASH: hash});
    deployment
}

/// A new pod serves before an old one goes, unless the volume admits one pod only.
fn strategy(plan: &Plan) -> Value {
    match &plan.workload.storage {
        Storage::Claim { access_mode: AccessMode::ReadWriteOncePod, .. } => {
            // The null removes what the API server filled in while the strategy was another one.
            json!({"type": "Recreate", "rollingUpdate": null})
        }
        _ => json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
    }
}

/// Nothing that the data plane takes over while it runs may change the template: every change of it replaces the pods.
fn template(plan: &Plan) -> Value {
    let pod = &plan.workload.pod;
    let mut labels_of_pod = pod.labels.clone();
    labels_of_pod.extend(labels(plan, Component::Proxy));
    let mut template = json!({"metadata": {"labels": labels_of_pod}, "spec": pod_spec(plan)});
    if !pod.annotations.is_empty() {
        template["metadata"]["annotations"] = json!(pod.annotations);
    }
    template
}

fn pod_spec(plan: &Plan) -> Value {
    let pod = &plan.workload.pod;
    let mut spec = json!({
        "serviceAccountName": pod.service_account_name.as_deref().unwrap_or_else(|| plan.name()),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": security_context(plan),
        "containers": [container::build(plan)],
        "volumes": volumes::volumes(plan),
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            spec[name] = value;
        }
    };
    set("imagePullSecrets", pull_secrets(plan));
    set("nodeSelector", (!pod.node_selector.is_empty()).then(|| json!(pod.node_selector)));
    set("tolerations", (!pod.tolerations.is_empty()).then(|| json!(pod.tolerations)));
    set("affinity", placement::affinity(plan));
    set("topologySpreadConstraints", Some(placement::spread(plan)));
    set("priorityClassName", pod.priority_class_name.as_ref().map(|name| json!(name)));
    set("runtimeClassName", pod.runtime_class_name.as_ref().map(|name| json!(name)));
    spec
}

/// What the level `restricted` of Pod Security asks for, and the owner of the volume where there is one.
fn security_context(plan: &Plan) -> Value {
    let mut context = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    if plan.workload.pod_security == PodSecurity::Fixed {
        context["runAsUser"] = json!(USER);
        context["runAsGroup"] = json!(USER);
        if !matches!(plan.workload.storage, Storage::Ephemeral { .. }) {
            context["fsGroup"] = json!(USER);
            // Without it each start would walk through the whole cache.
            context["fsGroupChangePolicy"] = json!("OnRootMismatch");
        }
    }
    context
}

fn pull_secrets(plan: &Plan) -> Option<Value> {
    let mut names: Vec<&str> = Vec::new();
    for name in plan.site.image_pull_secrets.iter().chain(&plan.workload.image_pull_secrets) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.into_iter().map(|name| json!({"name": name})).collect())
}
