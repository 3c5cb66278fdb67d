//! What a class adds to a manifest, and what it leaves alone.

#![allow(clippy::needless_pass_by_value, clippy::too_many_lines, reason = "tables")]

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// The merged `spec` of a manifest for npm with these members.
fn merged(spec: Value, class: Value) -> Value {
    let class = PackageProxyClassSpec::deserialize(class).unwrap();
    let document = json!({"metadata": {"name": "npm"}, "spec": spec});
    let mut merged = merge(&document, &class);
    assert_eq!(merge(&merged, &class), merged, "a second merge changes nothing");
    let spec = merged["spec"].take();
    assert_eq!(merged, json!({"metadata": {"name": "npm"}, "spec": null}), "only `spec` is touched");
    spec
}

#[test]
fn objects_merge_field_by_field() {
    for (given, defaults, expected) in [
        (json!({}), json!({"logLevel": "Debug"}), json!({"logLevel": "Debug"})),
        (json!({"logLevel": "Warn"}), json!({"logLevel": "Debug"}), json!({"logLevel": "Warn"})),
        (json!({"logLevel": null}), json!({"logLevel": "Debug"}), json!({"logLevel": "Debug"})),
        (
            json!({"cache": {"metadataTTL": "1m"}}),
            json!({"cache": {"metadataTTL": "2m", "maxSize": "1Gi"}}),
            json!({"cache": {"metadataTTL": "1m", "maxSize": "1Gi"}}),
        ),
        (
            json!({"upstream": {"retry": {"attempts": 1}}}),
            json!({"upstream": {"retry": {"attempts": 2, "maxDelay": "3s"}, "readTimeout": "5s"}}),
            json!({"upstream": {"retry": {"attempts": 1, "maxDelay": "3s"}, "readTimeout": "5s"}}),
        ),
        (
            json!({"pod": {"labels": {"a": "own"}}}),
            json!({"pod": {"labels": {"a": "class", "b": "class"}, "priorityClassName": "high"}}),
            json!({"pod": {"labels": {"a": "own", "b": "class"}, "priorityClassName": "high"}}),
        ),
        (
            json!({"pod": {"resources": {"limits": {"memory": "2Gi"}}}}),
            json!({"pod": {"resources": {"limits": {"memory": "1Gi", "cpu": "1"}}}}),
            json!({"pod": {"resources": {"limits": {"memory": "2Gi", "cpu": "1"}}}}),
        ),
        (json!({"later": 1}), json!({"networkPolicy": "Strict"}), json!({"later": 1, "networkPolicy": "Strict"})),
    ] {
        assert_eq!(merged(given, json!({ "defaults": defaults })), expected);
    }
}

#[test]
fn unions_and_lists_are_taken_whole() {
    let ephemeral = json!({"cache": {"storage": {"type": "Ephemeral"}}});
    let claim = json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"size": "5Gi"}});
    let auth = |name: &str| json!({"upstream": {"auth": {"type": "Bearer", "secretRef": {"name": name}}}});
    let header = json!({"type": "Header", "headerName": "X-Key", "secretRef": {"name": "class"}});
    let trust = json!({"upstream": {"trust": {"secretRef": {"name": "own", "key": "ca.crt"}}}});
    let list = |key: &str| json!({"pod": {"tolerations": [{"key": key, "operator": "Exists"}]}});
    for (given, defaults) in [
        (ephemeral, json!({"cache": {"storage": claim}})),
        (auth("own"), json!({"upstream": {"auth": header}})),
        (trust, json!({"upstream": {"trust": {"configMapRef": {"name": "class", "key": "a"}}}})),
        (list("own"), list("class")),
        (
            json!({"consumers": {"namespaceSelector": {}}}),
            json!({"consumers": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}),
        ),
        (json!({"upstream": {"allowedCIDRs": []}}), json!({"upstream": {"allowedCIDRs": ["10.0.0.0/8"]}})),
    ] {
        assert_eq!(merged(given.clone(), json!({ "defaults": defaults })), given);
        assert_eq!(merged(json!({}), json!({ "defaults": defaults })), defaults, "taken whole where absent");
    }
}

#[test]
fn what_one_ecosystem_has_reaches_its_proxies_alone() {
    let upstream = json!({"namespace": "images.example", "checksumDatabase": "sums.example", "readTimeout": "5s"});
    let class = json!({"defaults": {"upstream": upstream}});
    for (ecosystem, expected) in [
        ("npm", json!({"readTimeout": "5s"})),
        ("container", json!({"namespace": "images.example", "readTimeout": "5s"})),
        ("go", json!({"checksumDatabase": "sums.example", "readTimeout": "5s"})),
    ] {
        assert_eq!(merged(json!({"ecosystem": ecosystem}), class.clone())["upstream"], expected, "{ecosystem}");
    }
    // What a manifest itself says stays, and is told of.
    let given = json!({"ecosystem": "npm", "upstream": {"namespace": "own.example"}});
    assert_eq!(merged(given, class)["upstream"]["namespace"], "own.example");
}

#[test]
fn the_registry_of_the_ecosystem() {
    let class = json!({"upstreams": {"npm": "https://class.example/npm/", "pypi": "https://class.example/pypi/"}});
    for (given, url) in [
        (json!({"ecosystem": "npm"}), json!("https://class.example/npm/")),
        (json!({"ecosystem": "npm", "upstream": null}), json!("https://class.example/npm/")),
        (json!({"ecosystem": "npm", "upstream": {"url": null}}), json!("https://class.example/npm/")),
        (json!({"ecosystem": "npm", "upstream": {"url": "https://own.example/"}}), json!("https://own.example/")),
        (json!({"ecosystem": "pypi", "upstream": {"readTimeout": "1s"}}), json!("https://class.example/pypi/")),
        (json!({"ecosystem": "cargo"}), json!(null)),
    ] {
        assert_eq!(merged(given.clone(), class.clone())["upstream"]["url"], url, "{given}");
    }
}

#[test]
fn what_is_no_manifest_stays_as_it_is() {
    let class = PackageProxyClassSpec::deserialize(json!({"defaults": {"logLevel": "Debug"}})).unwrap();
    for document in [json!(null), json!([]), json!({"spec": 1}), json!({})] {
        assert_eq!(merge(&document, &class), document);
    }
}

/// Anything that JSON can say, with the names of the API among the keys so that the inner parts are reached.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "npm",
            "5m",
            "1Gi",
            "99999999999999999999h",
            "https://registry.example/",
            "https://[::",
            "10.0.0.0/99",
            "PersistentVolumeClaim",
            "Header",
            "In",
        ])
        .prop_map(Value::from),
    ];
    let names = vec![
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "spec",
        "ecosystem",
        "upstream",
        "url",
        "auth",
        "trust",
        "type",
        "secretRef",
        "headerName",
        "fallbacks",
        "allowedCIDRs",
        "retry",
        "baseDelay",
        "maxDelay",
        "cache",
        "storage",
        "maxSize",
        "ephemeral",
        "sizeLimit",
        "persistentVolumeClaim",
        "size",
        "replicas",
        "pod",
        "labels",
        "resources",
        "requests",
        "limits",
        "tolerations",
        "consumers",
        "namespaceSelector",
        "matchExpressions",
        "defaults",
        "upstreams",
    ];
    let key = prop_oneof![9 => prop::sample::select(names).prop_map(str::to_owned), 1 => ".{0,6}"];
    leaf.prop_recursive(6, 96, 12, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::btree_map(key.clone(), inner, 0..12)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reading_anything_gives_problems_and_never_panics(spec in json(), whole in json()) {
        let proxy = json!({"apiVersion": crate::API_VERSION, "kind": crate::KIND, "metadata": {"name": "npm"}, "spec": spec});
        for document in [&proxy, &whole] {
            let reading = crate::read(document);
            prop_assert_eq!(reading.settings.is_none(), reading.problems.iter().any(crate::Problem::is_fatal));
            let reading = crate::class::read(document);
            prop_assert_eq!(reading.class.is_none(), reading.problems.iter().any(crate::Problem::is_fatal));
        }
    }

    #[test]
    fn merging_twice_is_merging_once(spec in json()) {
        let class = PackageProxyClassSpec::deserialize(json!({
            "upstreams": {"npm": "https://class.example/npm/"},
            "defaults": {
                "logLevel": "Debug",
                "cache": {"metadataTTL": "1m", "storage": {"type": "Ephemeral", "ephemeral": {"sizeLimit": "1Gi"}}},
                "upstream": {"retry": {"attempts": 1}, "auth": {"type": "Bearer", "secretRef": {"name": "a"}}},
                "pod": {"labels": {"a": "b"}},
            },
        })).unwrap();
        let once = merge(&json!({ "spec": spec }), &class);
        prop_assert_eq!(merge(&once, &class), once);
    }
}
