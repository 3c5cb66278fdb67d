//! Each limit: what it lets pass, and field, kind and message of what it does not.

#![allow(clippy::needless_pass_by_value, clippy::too_many_lines, reason = "tables")]

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// What the limits say of a proxy in the namespace `team-a`.
fn problems(limits: &Value, spec: Value, label: Option<&str>) -> Vec<Problem> {
    let mut document = json!({
        "apiVersion": crate::API_VERSION, "kind": crate::KIND,
        "metadata": {"name": "npm", "namespace": "team-a"},
        "spec": {"ecosystem": "npm", "upstream": {"url": "https://registry.example/npm/"}},
    });
    let Value::Object(spec) = spec else { panic!("{spec} is no object") };
    document["spec"].as_object_mut().unwrap().extend(spec);
    let spec = if limits.is_null() { json!({}) } else { json!({ "limits": limits }) };
    let class = PackageProxyClassSpec::deserialize(spec).unwrap();
    check(&PackageProxy::deserialize(document).unwrap(), &class, label)
}

#[test]
fn what_exceeds_a_limit() {
    use ProblemKind::{ClassViolation, UpstreamNotAllowed};
    let claim =
        |claim: Value| json!({"cache": {"storage": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": claim}}});
    let fallback = json!({"upstream": {"url": "https://a.example", "fallbacks": [{"url": "https://b.example"}]}});
    for (limits, spec, path, kind, message) in [
        (json!({"ecosystems": ["cargo"]}), json!({}), "ecosystem", ClassViolation, "`limits.ecosystems`: 'cargo'"),
        (json!({"ecosystems": []}), json!({}), "ecosystem", ClassViolation, "`limits.ecosystems`: nothing"),
        (json!({"upstreamHosts": ["a.example"]}), json!({}), "upstream.url", UpstreamNotAllowed, "'registry.example'"),
        (
            json!({"upstreamHosts": ["a.example"]}),
            fallback,
            "upstream.fallbacks[0].url",
            UpstreamNotAllowed,
            "'b.example'",
        ),
        (json!({"maxReplicas": 2}), json!({"replicas": 3}), "replicas", ClassViolation, "`limits.maxReplicas` 2"),
        (
            json!({"maxStorage": "5Gi"}),
            json!({}),
            "cache.storage.ephemeral.sizeLimit",
            ClassViolation,
            "'10Gi' is above",
        ),
        (
            json!({"maxStorage": "5Gi"}),
            claim(json!({"size": "6Gi"})),
            "cache.storage.persistentVolumeClaim.size",
            ClassViolation,
            "'6Gi' is above the class's `limits.maxStorage` '5Gi'",
        ),
        (
            json!({"storageClassNames": ["fast"]}),
            claim(json!({"size": "6Gi"})),
            "cache.storage.persistentVolumeClaim.storageClassName",
            ClassViolation,
            "is not set",
        ),
        (
            json!({"storageClassNames": ["fast"]}),
            claim(json!({"size": "6Gi", "storageClassName": "slow"})),
            "cache.storage.persistentVolumeClaim.storageClassName",
            ClassViolation,
            "'slow' must be one of the class's `limits.storageClassNames`: 'fast'",
        ),
        (
            json!({"allowPlaintextAuth": false}),
            json!({"upstream": {"allowPlaintextAuth": true}}),
            "upstream.allowPlaintextAuth",
            ClassViolation,
            "`limits.allowPlaintextAuth`",
        ),
        (
            json!({"allowCIDRs": false}),
            json!({"upstream": {"allowedCIDRs": ["10.0.0.0/8"]}}),
            "upstream.allowedCIDRs",
            ClassViolation,
            "`limits.allowCIDRs`",
        ),
        (
            json!({"serviceTypes": ["ClusterIP"]}),
            json!({"service": {"type": "LoadBalancer"}}),
            "service.type",
            ClassViolation,
            "`limits.serviceTypes`: 'ClusterIP'",
        ),
        (json!({"serviceTypes": ["NodePort"]}), json!({}), "service.type", ClassViolation, "'ClusterIP' is not in"),
        (
            json!(null),
            json!({"consumers": {"namespaceSelector": {}}}),
            "consumers.namespaceSelector",
            ClassViolation,
            "must not be empty",
        ),
        (
            json!({"consumers": "Same"}),
            json!({"consumers": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}),
            "consumers.namespaceSelector",
            ClassViolation,
            "must be absent",
        ),
        (
            json!({"consumers": "Same"}),
            json!({"consumers": {"cidrs": ["10.1.0.0/16"]}}),
            "consumers.cidrs",
            ClassViolation,
            "`cidrs` must be absent",
        ),
        (
            json!(null),
            json!({"consumers": {"cidrs": ["10.1.0.0/16", "::/0"]}}),
            "consumers.cidrs",
            ClassViolation,
            "`cidrs` must not hold every address",
        ),
        (json!(null), json!({"owner": "team-b"}), "owner", ClassViolation, "'team-b' is not granted"),
        (
            json!({"owners": [{"owner": "team-b", "namespaces": ["team-c"]}, {"owner": "x", "namespaces": ["team-a"]}]}),
            json!({"owner": "team-b"}),
            "owner",
            ClassViolation,
            "the namespace 'team-a'",
        ),
    ] {
        let problems = problems(&limits, spec, Some("other"));
        let [problem] = problems.as_slice() else { panic!("{limits}: {problems:?}") };
        assert_eq!((problem.path.as_str(), problem.kind), (format!("spec.{path}").as_str(), kind), "{limits}");
        assert!(problem.message.contains(message), "{limits}: {}", problem.message);
        assert!(problem.is_fatal() && !problem.remedy.is_empty(), "{limits}");
    }
}

#[test]
fn what_is_within() {
    let existing = json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"existingClaimName": "a"}});
    for (limits, spec) in [
        (
            json!(null),
            json!({"replicas": 100, "upstream": {"allowPlaintextAuth": true, "allowedCIDRs": ["10.0.0.0/8"]}}),
        ),
        (json!({"ecosystems": ["cargo", "npm"]}), json!({})),
        (json!({"maxReplicas": 3}), json!({"replicas": 3})),
        (json!({"maxStorage": "10Gi"}), json!({})),
        (json!({"maxStorage": "1Gi"}), json!({"cache": {"storage": existing}})),
        (json!({"storageClassNames": ["fast"]}), json!({})),
        (json!({"serviceTypes": ["ClusterIP"]}), json!({})),
        (json!({"consumers": "All"}), json!({"consumers": {"namespaceSelector": {}}})),
        (json!({"consumers": "All"}), json!({"consumers": {"cidrs": ["0.0.0.0/0"]}})),
        (json!(null), json!({"consumers": {"cidrs": ["10.1.0.0/16", "fd00::/64"]}})),
        (json!({"consumers": "Same"}), json!({"consumers": {}})),
        (json!(null), json!({"consumers": {"namespaceSelector": {"matchLabels": {"a": "b"}}}})),
        (json!(null), json!({"owner": "team-a"})),
        (json!(null), json!({"owner": "label"})),
        (json!({"owners": [{"owner": "team-b", "namespaces": ["x", "team-a"]}]}), json!({"owner": "team-b"})),
    ] {
        assert_eq!(problems(&limits, spec, Some("label")), [], "{limits}");
    }
}

#[test]
fn hosts_are_covered() {
    for (entry, url, covered) in [
        ("registry.example", "https://registry.example/npm/", true),
        ("registry.example", "http://registry.example:8080/", true),
        ("registry.example", "https://a.registry.example/", false),
        ("registry.example:8443", "https://registry.example:8443/", true),
        ("registry.example:443", "https://registry.example/", true),
        ("registry.example:443", "http://registry.example/", false),
        ("*.registry.example", "https://a.b.registry.example/", true),
        ("*.registry.example", "https://registry.example/", false),
        ("*.registry.example", "https://evilregistry.example/", false),
        ("registry.example", "https://REGISTRY.example./", true),
    ] {
        assert_eq!(covers(entry, &url.parse().unwrap()), covered, "{entry} {url}");
    }
}
