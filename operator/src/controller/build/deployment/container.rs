//! The one container of a pod: its command line, its probes, what it may do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::volumes;
use crate::controller::build::{ADMIN_PORT, DATA_PORT, canonical, manifest, secrets};
use crate::controller::plan::Plan;

/// Its name.
const NAME: &str = "packageproxy";

pub(super) fn build(plan: &Plan) -> Value {
    let workload = &plan.workload;
    let policy = workload.image_pull_policy.map_or(plan.site.image_pull_policy.as_str(), |policy| policy.name());
    json!({
        "name": NAME,
        "image": plan.image(),
        "imagePullPolicy": policy,
        "args": arguments(plan),
        // The protocol is part of the key by which the API server merges ports.
        "ports": [
            {"name": "data", "containerPort": DATA_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": resources(plan),
        // A process that is late to start is not killed; one that is alive but not ready waits and says why.
        "startupProbe": probe("/healthz", 2, 2, 90),
        "readinessProbe": probe("/readyz", 5, 2, 2),
        "livenessProbe": probe("/healthz", 10, 5, 6),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": volumes::mounts(plan),
    })
}

fn probe(path: &str, period: u32, timeout: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    })
}

fn resources(plan: &Plan) -> Value {
    let resources = plan.workload.pod.resources.clone().unwrap_or_default();
    let list = |list: BTreeMap<String, String>| -> BTreeMap<String, String> {
        list.into_iter().map(|(name, amount)| (name, canonical(&amount))).collect()
    };
    let mut value = json!({});
    for (name, amounts) in [("requests", list(resources.requests)), ("limits", list(resources.limits))] {
        if !amounts.is_empty() {
            value[name] = json!(amounts);
        }
    }
    value
}

fn arguments(plan: &Plan) -> Vec<String> {
    let manifest = format!("{}/{}", volumes::MANIFEST_DIRECTORY, manifest::KEY);
    let mut arguments = vec!["serve".to_owned(), "-f".to_owned(), manifest];
    let mut pair = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    if !secrets::mounts(plan).is_empty() {
        pair("--secrets", secrets::DIRECTORY.to_owned());
    }
    pair("--listen", format!("[::]:{DATA_PORT}"));
    pair("--admin", format!("[::]:{ADMIN_PORT}"));
    pair("--storage", volumes::CACHE_DIRECTORY.to_owned());
    for base in plan.bases() {
        pair("--base", base);
    }
    if let Some(tls) = &plan.workload.tls {
        pair("--tls-secret", tls.secret.clone());
    }
    pair("--unknown-fields", "warn".to_owned());
    pair("--log-format", "json".to_owned());
    pair("--leave-delay", "5s".to_owned());
    pair("--drain-timeout", "100s".to_owned());
    arguments.push("--root".to_owned());
    if volumes::is_ephemeral(plan) {
        arguments.push("--ephemeral".to_owned());
    }
    if plan.workload.require_secret_hosts {
        arguments.push("--require-secret-hosts".to_owned());
    }
    arguments
}
