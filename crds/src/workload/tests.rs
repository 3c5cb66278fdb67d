//! The defaults of the cluster's side, and what each field does to them.

#![allow(clippy::needless_pass_by_value, clippy::too_many_lines, reason = "tables")]

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn workload(spec: Value, class: Value) -> Workload {
    let mut document = json!({
        "apiVersion": crate::API_VERSION, "kind": crate::KIND, "metadata": {"name": "npm", "namespace": "team-a"},
        "spec": {"ecosystem": "npm"},
    });
    let Value::Object(spec) = spec else { panic!("{spec} is no object") };
    document["spec"].as_object_mut().unwrap().extend(spec);
    let manifest = PackageProxy::deserialize(document).unwrap();
    Workload::from_manifest(&manifest, &PackageProxyClassSpec::deserialize(class).unwrap())
}

#[test]
fn the_least_manifest() {
    let Workload {
        replicas,
        suspend,
        image,
        image_pull_policy,
        image_pull_secrets,
        pod_security,
        storage,
        service,
        tls,
        consumers,
        monitoring,
        network_policy,
        client_config,
        require_secret_hosts,
        pod,
    } = workload(json!({}), json!({}));
    assert_eq!((replicas, suspend, client_config, require_secret_hosts), (1, false, true, false));
    assert_eq!((image, image_pull_policy, image_pull_secrets.len()), (None, None, 0));
    assert_eq!((pod_security, network_policy), (PodSecurity::Fixed, NetworkPolicyMode::Ingress));
    assert_eq!(storage, Storage::Ephemeral { size_limit: 10 << 30 });
    let expected =
        Service { kind: ServiceType::ClusterIp, port: 80, annotations: BTreeMap::new(), ip_family_policy: None };
    assert_eq!((service, tls, consumers, monitoring), (expected, None, ConsumersSpec::default(), None));
    let resources = json!({"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}});
    assert_eq!(pod, PodSpec { resources: serde_json::from_value(resources).unwrap(), ..PodSpec::default() });
}

#[test]
fn storage_of_each_kind() {
    let claim = |claim: Value| json!({"storage": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": claim}});
    for (cache, expected) in [
        (json!({"storage": {"type": "Ephemeral"}}), Storage::Ephemeral { size_limit: 10 << 30 }),
        (json!({"maxSize": "20Gi"}), Storage::Ephemeral { size_limit: 25 << 30 }),
        (json!({"maxSize": "1Gi"}), Storage::Ephemeral { size_limit: 10 << 30 }),
        (
            json!({"maxSize": "1Gi", "storage": {"type": "Ephemeral", "ephemeral": {"sizeLimit": "2Gi"}}}),
            Storage::Ephemeral { size_limit: 2 << 30 },
        ),
        (claim(json!({"existingClaimName": "mine"})), Storage::ExistingClaim { name: "mine".to_owned() }),
        (
            claim(json!({"size": "5Gi"})),
            Storage::Claim {
                size: 5 << 30,
                storage_class: None,
                access_mode: AccessMode::ReadWriteOnce,
                retention: RetentionPolicy::Retain,
            },
        ),
        (
            claim(json!({"size": "5Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany",
                         "retentionPolicy": "Delete"})),
            Storage::Claim {
                size: 5 << 30,
                storage_class: Some("fast".to_owned()),
                access_mode: AccessMode::ReadWriteMany,
                retention: RetentionPolicy::Delete,
            },
        ),
    ] {
        assert_eq!(workload(json!({ "cache": cache }), json!({})).storage, expected, "{cache}");
    }
}

#[test]
fn defaults_of_resources_give_way() {
    for (given, expected) in [
        (
            json!({"requests": {"memory": "2Gi"}}),
            json!({"requests": {"cpu": "50m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}}),
        ),
        (
            json!({"limits": {"memory": "64Mi", "cpu": "20m"}}),
            json!({"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "64Mi", "cpu": "20m"}}),
        ),
        (
            json!({"requests": {"memory": "256Mi"}, "limits": {"cpu": "2"}}),
            json!({"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi", "cpu": "2"}}),
        ),
    ] {
        let resources = workload(json!({"pod": {"resources": given}}), json!({})).pod.resources;
        assert_eq!(serde_json::to_value(resources).unwrap(), expected);
    }
}

#[test]
fn what_the_class_and_the_manifest_say() {
    let class = json!({
        "image": "registry.example/packageproxy:1", "imagePullPolicy": "Always", "podSecurity": "Platform",
        "imagePullSecrets": [{"name": "a"}, {"name": "b"}], "limits": {"requireSecretHosts": true},
        "monitoringNamespaceSelector": {"matchLabels": {"name": "monitoring"}},
    });
    let spec = json!({
        "replicas": 0, "suspend": true, "networkPolicy": "Strict", "clientConfig": {"configMap": "Disabled"},
        "tls": {"secretRef": {"name": "npm-tls"}, "caConfigMapRef": {"name": "ca", "key": "ca.crt"}},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack"},
        "consumers": {"namespaceSelector": {}, "cidrs": ["10.1.0.0/16"]}, "pod": {"imagePullSecrets": [{"name": "b"}, {"name": "c"}]},
    });
    let found = workload(spec, class);
    assert_eq!(
        (found.replicas, found.suspend, found.client_config, found.require_secret_hosts),
        (0, true, false, true)
    );
    assert_eq!(found.image.as_deref(), Some("registry.example/packageproxy:1"));
    assert_eq!(found.image_pull_policy, Some(ImagePullPolicy::Always));
    assert_eq!(found.image_pull_secrets, ["a", "b", "c"]);
    assert_eq!((found.pod_security, found.network_policy), (PodSecurity::Platform, NetworkPolicyMode::Strict));
    assert_eq!((found.scheme(), found.service.port, found.service.kind), ("https", 443, ServiceType::LoadBalancer));
    assert_eq!(found.service.ip_family_policy, Some(IpFamilyPolicy::PreferDualStack));
    let ca = Some(KeyReference { name: "ca".to_owned(), key: "ca.crt".to_owned() });
    assert_eq!(found.tls, Some(Tls { secret: "npm-tls".to_owned(), ca }));
    let ConsumersSpec { namespace_selector, cidrs } = found.consumers;
    assert_eq!((namespace_selector, cidrs), (Some(LabelSelector::default()), vec!["10.1.0.0/16".parse().unwrap()]));
    assert_eq!(found.monitoring.map(|all| all.is_empty()), Some(false));
    assert_eq!(workload(json!({"service": {"port": 8443}}), json!({})).service.port, 8443);
}
