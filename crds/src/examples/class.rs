//! Examples of a `PackageProxyClass`.

use serde_json::{Value, json};

use super::{Example, admitted, class, rule, schema};

pub(super) fn examples() -> Vec<Example> {
    let defaults = |members: Value| class(json!({ "defaults": members }));
    vec![
        admitted("an empty class", class(json!({}))),
        admitted(
            "every field of a class",
            class(json!({
                "image": "registry.example:5000/packageproxy@sha256:0000", "imagePullPolicy": "IfNotPresent",
                "imagePullSecrets": [{"name": "pull"}], "podSecurity": "Platform",
                "upstreams": {"npm": "https://registry.example/npm/", "pypi": "https://registry.example/pypi/"},
                "defaults": {
                    "upstream": {"readTimeout": "30s", "auth": {"type": "Bearer", "secretRef": {"name": "token"}}},
                    "cache": {"metadataTTL": "5m", "storage": {"type": "Ephemeral"}},
                    "service": {"type": "NodePort"}, "consumers": {"namespaceSelector": {"matchLabels": {"a": "b"}}},
                    "networkPolicy": "Ingress", "clientConfig": {"configMap": "Enabled"},
                    "pod": {"priorityClassName": "high"}, "logLevel": "Warn",
                },
                "limits": {
                    "ecosystems": ["npm", "pypi"], "upstreamHosts": ["*.registry.example", "registry.example:8443"],
                    "maxReplicas": 3, "maxStorage": "100Gi", "storageClassNames": ["fast"], "allowPlaintextAuth": false,
                    "allowCIDRs": false, "serviceTypes": ["ClusterIP", "NodePort"], "consumers": "All",
                    "owners": [{"owner": "shared", "namespaces": ["team-a"]}], "requireSecretHosts": true,
                },
                "monitoringNamespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
            })),
        ),
        schema(
            "a default of the ecosystem",
            defaults(json!({"ecosystem": "npm"})),
            "spec.defaults.ecosystem",
            "unknown",
        ),
        schema("a default of replicas", defaults(json!({"replicas": 2})), "spec.defaults.replicas", "unknown field"),
        schema(
            "an unknown limit of consumers",
            class(json!({"limits": {"consumers": "None"}})),
            "spec.limits.consumers",
            "is not a known",
        ),
        schema(
            "a host with a scheme",
            class(json!({"limits": {"upstreamHosts": ["https://a"]}})),
            "spec.limits.upstreamHosts[0]",
            "has a form",
        ),
        rule(
            "a registry of the defaults",
            defaults(json!({"upstream": {"url": "https://registry.example/"}})),
            "spec.defaults.upstream.url",
            "`url` must be absent in `defaults.upstream`: registries belong into `upstreams`",
        ),
        rule(
            "fallbacks of the defaults",
            defaults(json!({"upstream": {"fallbacks": [{"url": "https://registry.example/"}]}})),
            "spec.defaults.upstream.fallbacks",
            "`fallbacks` must be absent in `defaults.upstream`: registries belong into `upstreams`",
        ),
        rule(
            "a registry of an unknown ecosystem",
            class(json!({"upstreams": {"nmp": "https://registry.example/"}})),
            "spec.upstreams",
            "`upstreams` must have no keys but 'cargo', 'container', 'debian', 'go', 'gradle', 'maven', 'npm', 'pypi'",
        ),
        rule(
            "a registry of another scheme",
            class(json!({"upstreams": {"npm": "ftp://registry.example/"}})),
            "spec.upstreams",
            "`upstreams` must be http(s) addresses without user info, query and fragment",
        ),
        rule(
            "a tiny maxStorage",
            class(json!({"limits": {"maxStorage": "1Ki"}})),
            "spec.limits.maxStorage",
            "`maxStorage` must be between '1Mi' and '4Pi'",
        ),
        rule(
            "a default beyond its bounds",
            defaults(json!({"cache": {"metadataTTL": "721h"}})),
            "spec.defaults.cache.metadataTTL",
            "`metadataTTL` must be between '0s' and '720h'",
        ),
        rule(
            "a default of half a union",
            defaults(json!({"cache": {"storage": {"type": "PersistentVolumeClaim"}}})),
            "spec.defaults.cache.storage.persistentVolumeClaim",
            "`persistentVolumeClaim` must be set if `type` is 'PersistentVolumeClaim'",
        ),
        rule(
            "a default label of the operator",
            defaults(json!({"pod": {"labels": {"packageproxy.dev/owner": "a"}}})),
            "spec.defaults.pod.labels",
            "`labels` must not have keys with the prefix 'app.kubernetes.io/' or 'packageproxy.dev/'",
        ),
        rule(
            "a selector of monitoring without values",
            class(json!({"monitoringNamespaceSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn"}]}})),
            "spec.monitoringNamespaceSelector.matchExpressions[0].values",
            "`values` must not be empty if `operator` is 'In' or 'NotIn'",
        ),
    ]
}
