//! The children besides the Deployment.

use super::*;

#[test]
fn which_children_there_are() {
    for (spec, kind, name, is_there) in [
        (json!({}), ChildKind::ServiceAccount, "left", true),
        (json!({"pod": {"serviceAccountName": "someone"}}), ChildKind::ServiceAccount, "left", false),
        (json!({}), ChildKind::ConfigMap, "left-manifest", true),
        (json!({}), ChildKind::ConfigMap, "left-client", true),
        (json!({}), ChildKind::ConfigMap, "left-client-env", true),
        (json!({"clientConfig": {"configMap": "Disabled"}}), ChildKind::ConfigMap, "left-client", false),
        (json!({"clientConfig": {"configMap": "Disabled"}}), ChildKind::ConfigMap, "left-client-env", false),
        (json!({}), ChildKind::PersistentVolumeClaim, "left", false),
        (json!({}), ChildKind::NetworkPolicy, "left", true),
        (json!({"networkPolicy": "Disabled"}), ChildKind::NetworkPolicy, "left", false),
        (json!({}), ChildKind::PodDisruptionBudget, "left", false),
        (json!({"replicas": 0}), ChildKind::PodDisruptionBudget, "left", false),
        (json!({"replicas": 2}), ChildKind::PodDisruptionBudget, "left", true),
    ] {
        assert_eq!(!object(&build(&plan(spec.clone())), kind, name).is_null(), is_there, "{kind:?} {name} {spec}");
    }
}

#[test]
fn the_service_owns_only_what_it_must() {
    let service = |spec| object(&build(&plan(spec)), ChildKind::Service, "left");
    let plain = service(json!({}));
    assert_eq!(
        plain["spec"],
        json!({
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": "packageproxy", "app.kubernetes.io/instance": "left"},
            "ports": [{"name": "http", "appProtocol": "http", "port": 80, "protocol": "TCP", "targetPort": "data"}],
        })
    );
    assert_eq!(plain["metadata"].get("annotations"), None);
    let full = service(json!({
        "replicas": 2,
        "tls": {"secretRef": {"name": "certificate"}},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack"},
    }));
    assert_eq!(full["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(full["spec"]["type"], "LoadBalancer");
    assert_eq!(full["spec"]["ipFamilyPolicy"], "PreferDualStack");
    assert_eq!(full["spec"]["sessionAffinity"], "ClientIP");
    assert_eq!(full["spec"]["ports"][0]["name"], "https");
    assert_eq!(full["spec"]["ports"][0]["port"], 443);
}

#[test]
fn a_claim_never_shrinks() {
    for (wanted, live, applied) in [
        ("20Gi", None, "20Gi"),
        ("20Gi", Some(10 << 30), "20Gi"),
        ("20Gi", Some(40 << 30), "40Gi"),
        ("1.5Gi", None, "1536Mi"),
    ] {
        let spec = json!({"cache": {"storage": {"type": "PersistentVolumeClaim",
            "persistentVolumeClaim": {"size": wanted, "storageClassName": "fast"}}}});
        let plan = Plan { claim_size: live, ..plan(spec) };
        let claim = object(&build(&plan), ChildKind::PersistentVolumeClaim, "left");
        assert_eq!(
            claim["spec"],
            json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
                "resources": {"requests": {"storage": applied}}})
        );
    }
}

#[test]
fn the_policy_lets_in_who_is_named() {
    let class = json!({"monitoringNamespaceSelector": {"matchLabels": {"monitoring": "yes"}}});
    let spec = json!({"consumers": {
        "namespaceSelector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]},
        "cidrs": ["10.1.0.7/16", "fd00::/64"],
    }});
    let plan = plan_in(&serde_json::from_value(class).unwrap(), spec);
    let policy = object(&build(&plan), ChildKind::NetworkPolicy, "left");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(policy["spec"].get("egress"), None);
    assert_eq!(
        policy["spec"]["ingress"],
        json!([
            {
                "from": [
                    {"podSelector": {}},
                    {"namespaceSelector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}},
                    {"ipBlock": {"cidr": "10.1.0.0/16"}},
                    {"ipBlock": {"cidr": "fd00::/64"}},
                ],
                "ports": [{"protocol": "TCP", "port": 8080}],
            },
            {
                "from": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "operators"}},
                        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "packageproxy-operator"}},
                    },
                    {"namespaceSelector": {"matchLabels": {"monitoring": "yes"}}},
                ],
                "ports": [{"protocol": "TCP", "port": 8081}],
            },
        ])
    );
}

#[test]
fn a_strict_policy_lets_out_names_and_the_ports_of_registries() {
    let spec = json!({"networkPolicy": "Strict", "upstream": {
        "url": "https://registry.example/",
        "fallbacks": [{"url": "http://mirror.example:8443/"}, {"url": "https://other.example/"}],
        "proxyURL": "http://proxy.example:3128",
    }});
    let policy = object(&build(&plan(spec)), ChildKind::NetworkPolicy, "left");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let tcp = |port| json!({"protocol": "TCP", "port": port});
    assert_eq!(
        policy["spec"]["egress"],
        json!([
            {"ports": [{"protocol": "UDP", "port": 53}, tcp(53)]},
            {"ports": [tcp(443), tcp(3128), tcp(8443)]},
        ])
    );
}

#[test]
fn a_strict_policy_of_a_proxy_without_a_registry_lets_out_names_only() {
    let spec = json!({"networkPolicy": "Strict", "ecosystem": "gradle", "upstream": null});
    let policy = object(&build(&plan(spec)), ChildKind::NetworkPolicy, "left");
    let names = json!({"protocol": "TCP", "port": 53});
    assert_eq!(policy["spec"]["egress"], json!([{"ports": [{"protocol": "UDP", "port": 53}, names]}]));
}

#[test]
fn clients_are_told_the_service_or_the_external_address_and_the_authority() {
    let data = |plan: &Plan, name: &str| object(&build(plan), ChildKind::ConfigMap, name)["data"].clone();
    let inside = plan(json!({}));
    let url = "http://left.team-a.svc.cluster.test/";
    assert_eq!(data(&inside, "left-client")[".npmrc"], format!("registry={url}\n"));
    assert_eq!(data(&inside, "left-client-env")["npm_config_registry"], url);
    assert_eq!(data(&inside, "left-client").get("ca.crt"), None);

    let outside = plan(json!({"externalURL": "https://packages.example/npm"}));
    assert_eq!(data(&outside, "left-client-env")["npm_config_registry"], "https://packages.example/npm/");

    let tls = plan(json!({"tls": {"secretRef": {"name": "certificate"}}, "service": {"port": 8443}}));
    let tls = Plan { ca: Some("PEM\n".to_owned()), ..tls };
    assert_eq!(data(&tls, "left-client")["ca.crt"], "PEM\n");
    let variables = data(&tls, "left-client-env");
    assert_eq!(variables["npm_config_registry"], "https://left.team-a.svc.cluster.test:8443/");
    assert_eq!(variables["NODE_EXTRA_CA_CERTS"], "/etc/packageproxy/ca.crt");
}

#[test]
fn keys_of_client_configuration_are_legal_for_every_ecosystem() {
    for ecosystem in crds::Ecosystem::ALL {
        let plan = Plan { ca: Some("PEM\n".to_owned()), ..plan(json!({"ecosystem": ecosystem.name()})) };
        let children = build(&plan);
        let keys = |name: &str| -> Vec<String> {
            let data = object(&children, ChildKind::ConfigMap, name)["data"].clone();
            data.as_object().unwrap().keys().cloned().collect()
        };
        let files = keys("left-client");
        assert!(files.len() > 1, "{ecosystem}");
        let legal = |key: &String| {
            key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !key.starts_with("..")
        };
        assert!(files.iter().all(legal), "{files:?}");
        let variables = keys("left-client-env");
        let variable = |key: &String| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        // Some clients read files only.
        assert!(variables.iter().all(variable), "{variables:?}");
    }
}

#[test]
fn the_data_plane_reads_its_manifest_without_what_concerns_the_operator() {
    let spec = json!({
        "className": "fast", "suspend": true, "replicas": 1, "service": {"port": 81}, "consumers": {},
        "networkPolicy": "Strict", "clientConfig": {}, "pod": {}, "tls": {"secretRef": {"name": "certificate"}},
        "cache": {"metadataTTL": "1m", "storage": {"type": "Ephemeral"}}, "logLevel": "Debug",
        "externalURL": "https://packages.example/npm",
    });
    let map = object(&build(&plan(spec)), ChildKind::ConfigMap, "left-manifest");
    let text = map["data"]["manifest.json"].as_str().unwrap();
    let manifest: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        manifest,
        json!({
            "apiVersion": "packageproxy.dev/v1alpha1",
            "kind": "PackageProxy",
            "metadata": {"name": "left", "namespace": "team-a", "generation": 7},
            "spec": {
                "ecosystem": "npm", "upstream": {"url": "https://registry.example/"},
                "cache": {"metadataTTL": "1m", "maxSize": (9_u64 << 30).to_string()},
                "logLevel": "Debug", "externalURL": "https://packages.example/npm",
            },
        })
    );
    assert!(crds::read(&manifest).problems.is_empty());
}
