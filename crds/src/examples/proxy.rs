//! Examples of a `PackageProxy` besides its upstream and its cache.

use serde_json::{Value, json};

use super::{Example, Verdict, admitted, proxy, rule, schema};

pub(super) fn examples() -> Vec<Example> {
    [good(), document(), service(), pod()].concat()
}

fn good() -> Vec<Example> {
    vec![
        admitted("the least manifest", proxy(json!({}))),
        admitted(
            "every field",
            proxy(json!({
                "owner": "team-a", "className": "standard", "suspend": true, "logLevel": "Debug",
                "externalURL": "https://npm.corp.example", "replicas": 0, "networkPolicy": "Strict",
                "cache": {
                    "metadataTTL": "0s", "negativeTTL": "1m", "staleWhileRevalidate": "1m", "staleIfError": "24h",
                    "revalidationWait": "10s", "maxSize": "8Gi", "maxMetadataSize": "256Mi",
                    "storage": {"type": "Ephemeral", "ephemeral": {"sizeLimit": "10Gi"}},
                },
                "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a.example/b": "c"},
                            "ipFamilyPolicy": "PreferDualStack"},
                "tls": {"secretRef": {"name": "npm-tls"}, "caConfigMapRef": {"name": "ca", "key": "ca.crt"}},
                "consumers": {"namespaceSelector": {
                    "matchLabels": {"a.example/team": "a"},
                    "matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]},
                                         {"key": "old", "operator": "DoesNotExist"}],
                }, "cidrs": ["10.1.0.0/16", "fd00::/64"]},
                "clientConfig": {"configMap": "Disabled"},
                "pod": {
                    "labels": {"team": "a"}, "annotations": {"note": "a b"}, "nodeSelector": {"kubernetes.io/os": "linux"},
                    "resources": {"requests": {"cpu": "0.5", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
                    "tolerations": [{"operator": "Exists"},
                                    {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
                    "affinity": {"nodeAffinity": {}}, "topologySpreadConstraints": [{"maxSkew": 1}],
                    "priorityClassName": "high", "runtimeClassName": "gvisor", "serviceAccountName": "npm",
                    "imagePullSecrets": [{"name": "pull"}],
                },
            })),
        ),
        admitted("several replicas", proxy(json!({"replicas": 3}))),
        admitted("null where nothing is said", {
            let mut document = proxy(json!({}));
            for field in ["cache", "externalURL", "logLevel", "owner", "replicas", "suspend", "pod"] {
                document["spec"][field] = Value::Null;
            }
            document
        }),
        Example {
            name: "no registry",
            before: None,
            document: proxy(json!({"upstream": null})),
            verdict: Verdict::NotAccepted { field: "spec.upstream.url", message: "no registry is named" },
        },
        admitted("a build cache without a registry", proxy(json!({"ecosystem": "gradle", "upstream": null}))),
        admitted(
            "a repository that adds to another one",
            proxy(json!({"ecosystem": "maven", "upstream": {
                "url": "https://registry.example/maven/",
                "fallbacks": [{"url": "https://other.example/maven/", "when": "NotFound"}],
            }})),
        ),
        Example {
            name: "an upstream without address",
            before: None,
            document: proxy(json!({"upstream": {"readTimeout": "1s"}})),
            verdict: Verdict::NotAccepted { field: "spec.upstream.url", message: "no registry is named" },
        },
    ]
}

fn document() -> Vec<Example> {
    let named = |name: &str| {
        let mut document = proxy(json!({}));
        document["metadata"]["name"] = json!(name);
        document
    };
    let letters = "`metadata.name` must be lower-case letters, digits and '-', with a letter first";
    vec![
        admitted("the longest name", named("a-name-of-forty-characters-which-is-most")),
        rule("a digit first", named("1npm"), "metadata.name", letters),
        rule("a dot in the name", named("my.npm"), "metadata.name", letters),
        rule(
            "a long name",
            named("a-name-of-forty-one-characters-is-too-lng"),
            "metadata.name",
            "`metadata.name` must have at most 40 characters",
        ),
        rule(
            "the name of a path of container clients",
            named("v2"),
            "metadata.name",
            "`metadata.name` must not be 'v2', which container clients ask for at the root",
        ),
        admitted("null for a list, a map and a value of a map", {
            let mut document = proxy(json!({"pod": {"labels": {"a": null, "/": null}, "tolerations": null}}));
            document["spec"]["pod"]["annotations"] = Value::Null;
            document["spec"]["upstream"]["fallbacks"] = Value::Null;
            document
        }),
        schema(
            "null for the ecosystem",
            {
                let mut document = proxy(json!({}));
                document["spec"]["ecosystem"] = Value::Null;
                document
            },
            "spec.ecosystem",
            "is required",
        ),
        schema(
            "null in a list",
            proxy(json!({"pod": {"tolerations": [null]}})),
            "spec.pod.tolerations[0]",
            "must be an object, not empty",
        ),
        schema("no ecosystem", proxy(json!({"ecosystem": null})), "spec.ecosystem", "is required"),
        schema(
            "an unknown ecosystem",
            proxy(json!({"ecosystem": "nmp"})),
            "spec.ecosystem",
            "'nmp' is not a known value",
        ),
        schema("an illegal owner", proxy(json!({"owner": "Team A"})), "spec.owner", "has a form"),
        schema("too many replicas", proxy(json!({"replicas": 101})), "spec.replicas", "between 0 and 100"),
        schema("replicas as text", proxy(json!({"replicas": "1"})), "spec.replicas", "whole number, not a string"),
        schema("a field that is unknown", proxy(json!({"colour": "red"})), "spec.colour", "unknown field"),
        schema(
            "an unknown level",
            proxy(json!({"logLevel": "debug"})),
            "spec.logLevel",
            "'debug' is not a known value",
        ),
        rule(
            "an external address with a slash",
            proxy(json!({"externalURL": "https://npm.corp.example/"})),
            "spec.externalURL",
            "`externalURL` must not end in '/'",
        ),
        rule(
            "an external address of another scheme",
            proxy(json!({"externalURL": "npm.corp.example"})),
            "spec.externalURL",
            "`externalURL` must be an http(s) address without user info, query and fragment",
        ),
    ]
}

fn service() -> Vec<Example> {
    let selector = |members: Value| proxy(json!({"consumers": {"namespaceSelector": members}}));
    let requirement = |members: Value| selector(json!({"matchExpressions": [members]}));
    let annotations = |members: Value| proxy(json!({"service": {"annotations": members}}));
    let at = "spec.service.annotations";
    vec![
        admitted("every namespace", selector(json!({}))),
        schema("port 0", proxy(json!({"service": {"port": 0}})), "spec.service.port", "between 1 and 65535"),
        schema(
            "an unknown type",
            proxy(json!({"service": {"type": "ExternalName"}})),
            "spec.service.type",
            "is not a known",
        ),
        schema("tls without a Secret", proxy(json!({"tls": {}})), "spec.tls.secretRef", "is required"),
        schema(
            "an unknown comparison",
            requirement(json!({"key": "a", "operator": "Is"})),
            "spec.consumers.namespaceSelector.matchExpressions[0].operator",
            "is not a known value",
        ),
        rule(
            "a network of consumers that is too long",
            proxy(json!({"consumers": {"cidrs": ["10.1.0.0/16", "10.1.0.0/33"]}})),
            "spec.consumers.cidrs[1]",
            "`cidrs` must be networks such as '10.0.0.0/8' or 'fd00::/8'",
        ),
        rule(
            "an illegal annotation",
            annotations(json!({"a b": "c"})),
            at,
            "`annotations` must have keys such as 'name' or 'prefix.example/name'",
        ),
        rule(
            "an annotation of the operator",
            annotations(json!({"packageproxy.dev/owner": "c"})),
            at,
            "`annotations` must not have keys with the prefix 'app.kubernetes.io/' or 'packageproxy.dev/'",
        ),
        rule(
            "an illegal label",
            selector(json!({"matchLabels": {"/a": "b"}})),
            "spec.consumers.namespaceSelector.matchLabels",
            "`matchLabels` must have keys such as 'name' or 'prefix.example/name'",
        ),
        rule(
            "an illegal label of a requirement",
            requirement(json!({"key": "a b", "operator": "Exists"})),
            "spec.consumers.namespaceSelector.matchExpressions[0].key",
            "`key` must be a label such as 'name' or 'prefix.example/name'",
        ),
        rule(
            "a requirement of no values",
            requirement(json!({"key": "a", "operator": "In"})),
            "spec.consumers.namespaceSelector.matchExpressions[0].values",
            "`values` must not be empty if `operator` is 'In' or 'NotIn'",
        ),
        rule(
            "a requirement of values that mean nothing",
            requirement(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            "spec.consumers.namespaceSelector.matchExpressions[0].values",
            "`values` must be empty if `operator` is 'Exists' or 'DoesNotExist'",
        ),
    ]
}

fn pod() -> Vec<Example> {
    let pod = |members: Value| proxy(json!({ "pod": members }));
    let toleration = |members: Value| pod(json!({"tolerations": [members]}));
    vec![
        schema("an illegal value of a label", pod(json!({"labels": {"a": "b c"}})), "spec.pod.labels.a", "has a form"),
        schema(
            "an amount of another form",
            pod(json!({"resources": {"limits": {"cpu": "one"}}})),
            "spec.pod.resources.limits.cpu",
            "is not a quantity",
        ),
        rule(
            "an illegal pod label",
            pod(json!({"labels": {"a/b/c": "d"}})),
            "spec.pod.labels",
            "`labels` must have keys such as 'name' or 'prefix.example/name'",
        ),
        rule(
            "a label of the operator",
            pod(json!({"labels": {"app.kubernetes.io/name": "d"}})),
            "spec.pod.labels",
            "`labels` must not have keys with the prefix 'app.kubernetes.io/' or 'packageproxy.dev/'",
        ),
        rule(
            "an illegal pod annotation",
            pod(json!({"annotations": {"-a": "d"}})),
            "spec.pod.annotations",
            "`annotations` must have keys such as 'name' or 'prefix.example/name'",
        ),
        rule(
            "a pod annotation of the operator",
            pod(json!({"annotations": {"packageproxy.dev/x": "d"}})),
            "spec.pod.annotations",
            "`annotations` must not have keys with the prefix 'app.kubernetes.io/' or 'packageproxy.dev/'",
        ),
        rule(
            "an illegal label of nodes",
            pod(json!({"nodeSelector": {"a.": "d"}})),
            "spec.pod.nodeSelector",
            "`nodeSelector` must have keys such as 'name' or 'prefix.example/name'",
        ),
        rule(
            "a request of something else",
            pod(json!({"resources": {"requests": {"gpu": "1"}}})),
            "spec.pod.resources.requests",
            "`requests` must have no keys but 'cpu', 'memory', 'ephemeral-storage'",
        ),
        rule(
            "a limit of something else",
            pod(json!({"resources": {"limits": {"gpu": "1"}}})),
            "spec.pod.resources.limits",
            "`limits` must have no keys but 'cpu', 'memory', 'ephemeral-storage'",
        ),
        rule(
            "a request above the limit",
            pod(json!({"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1"}}})),
            "spec.pod.resources.requests",
            "`requests` must not be larger than `limits`",
        ),
        rule(
            "a toleration of nothing",
            toleration(json!({"value": "a"})),
            "spec.pod.tolerations[0].operator",
            "`operator` must be 'Exists' if `key` is absent",
        ),
        rule(
            "a toleration of any value and of one",
            toleration(json!({"key": "a", "operator": "Exists", "value": "b"})),
            "spec.pod.tolerations[0].value",
            "`value` must be absent if `operator` is 'Exists'",
        ),
        rule(
            "a toleration for some time of what does not evict",
            toleration(json!({"key": "a", "tolerationSeconds": 5})),
            "spec.pod.tolerations[0].tolerationSeconds",
            "`tolerationSeconds` must be absent unless `effect` is 'NoExecute'",
        ),
    ]
}
