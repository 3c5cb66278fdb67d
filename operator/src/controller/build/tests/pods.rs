//! The Deployment: what its pods are given, and above all what replaces them.

use clap::Parser as _;
use crds::values::ByteSize;
use proxy::cli::{Cli, Command};

use super::*;

fn claim(claim: Value) -> Value {
    let mut spec = json!({"cache": {"storage": {"type": "PersistentVolumeClaim"}}});
    spec["cache"]["storage"]["persistentVolumeClaim"] = claim;
    spec
}

fn pod(spec: Value) -> Value {
    deployment(spec)["spec"]["template"]["spec"].clone()
}

/// The value behind a flag of the container.
fn flag(pod: &Value, flag: &str) -> Option<String> {
    let arguments: Vec<&str> =
        pod["containers"][0]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let position = arguments.iter().position(|argument| *argument == flag)?;
    Some(arguments.get(position + 1).unwrap_or(&"").to_string())
}

#[test]
fn only_what_needs_new_pods_makes_new_pods() {
    let auth = |name: &str| json!({"upstream": {"auth": {"type": "Bearer", "secretRef": {"name": name}}}});
    for (spec, replaces) in [
        (json!({"cache": {"metadataTTL": "1m", "staleIfError": "1h"}}), false),
        (json!({"cache": {"maxSize": "2Gi"}}), false),
        (json!({"logLevel": "Debug"}), false),
        (json!({"upstream": {"url": "https://other.example/"}}), false),
        (json!({"upstream": {"fallbacks": [{"url": "https://other.example/"}]}}), false),
        (json!({"upstream": {"proxyURL": "http://proxy.example:3128"}}), false),
        (json!({"upstream": {"readTimeout": "5s", "maxConcurrentRequests": 2}}), false),
        (json!({"externalURL": "https://packages.example"}), false),
        (json!({"replicas": 0}), false),
        (json!({"suspend": true}), false),
        (json!({"consumers": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}), false),
        (json!({"consumers": {"cidrs": ["10.1.0.0/16"]}}), false),
        (json!({"networkPolicy": "Strict"}), false),
        (json!({"clientConfig": {"configMap": "Disabled"}}), false),
        (json!({"service": {"type": "NodePort", "annotations": {"a": "b"}}}), false),
        (json!({"service": {"port": 8080}}), true),
        (json!({"pod": {"resources": {"limits": {"memory": "2Gi"}}}}), true),
        (json!({"pod": {"annotations": {"a": "b"}}}), true),
        (json!({"pod": {"nodeSelector": {"a": "b"}}}), true),
        (json!({"cache": {"storage": {"type": "Ephemeral", "ephemeral": {"sizeLimit": "20Gi"}}}}), true),
        (json!({"tls": {"secretRef": {"name": "certificate"}}}), true),
        (auth("account"), true),
    ] {
        let hash = |spec| template_hash(build(&plan(spec)).last().unwrap());
        assert_eq!(hash(json!({})) != hash(spec.clone()), replaces, "{spec}");
    }
}

#[test]
fn a_new_generation_or_another_spelling_of_a_quantity_makes_no_new_pods() {
    let hash = |manifest: &Value| {
        let plan = resolve::plan(manifest, &crds::PackageProxyClassSpec::default(), None, &site()).unwrap();
        template_hash(build(&plan).last().unwrap())
    };
    let spelled = |memory: &str| document(json!({"pod": {"resources": {"limits": {"memory": memory}}}}));
    let mut newer = spelled("2Gi");
    newer["metadata"]["generation"] = json!(8);
    newer["metadata"]["uid"] = json!("uid-2");
    assert_eq!(hash(&newer), hash(&spelled("2048Mi")));
    assert_ne!(hash(&newer), hash(&spelled("2G")));
}

#[test]
fn the_annotation_of_the_deployment_is_the_hash_of_its_template() {
    let children = build(&plan(json!({})));
    let deployment = children.last().unwrap();
    let hash = template_hash(deployment);
    assert_eq!(deployment.object["metadata"]["annotations"], json!({"packageproxy.dev/template-hash": hash}));
    assert_eq!(deployment.object["spec"]["template"]["metadata"].get("annotations"), None);
}

#[test]
fn how_pods_are_replaced_follows_from_the_volume() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let recreate = json!({"type": "Recreate", "rollingUpdate": null});
    for (spec, strategy, beside) in [
        (json!({}), &rolling, false),
        (claim(json!({"size": "1Gi"})), &rolling, true),
        (claim(json!({"existingClaimName": "warm"})), &rolling, true),
        (claim(json!({"size": "1Gi", "accessMode": "ReadWriteMany"})), &rolling, false),
        (claim(json!({"size": "1Gi", "accessMode": "ReadWriteOncePod"})), &recreate, false),
    ] {
        let deployment = deployment(spec.clone());
        assert_eq!(&deployment["spec"]["strategy"], strategy, "{spec}");
        let selector = &deployment["spec"]["selector"];
        let term = json!({"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"});
        let affinity = &deployment["spec"]["template"]["spec"]["affinity"];
        let expected = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        assert_eq!(affinity, if beside { &expected } else { &Value::Null }, "{spec}");
    }
}

#[test]
fn the_affinity_of_the_manifest_stays() {
    let own = json!({"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"});
    let mut spec = claim(json!({"size": "1Gi"}));
    spec["pod"] = json!({"affinity": {"nodeAffinity": {"n": 1},
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own], "preferred": []}}});
    let affinity = &pod(spec)["affinity"];
    assert_eq!(affinity["nodeAffinity"], json!({"n": 1}));
    assert_eq!(affinity["podAffinity"]["preferred"], json!([]));
    let terms = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"].as_array().unwrap();
    assert_eq!((terms.len(), &terms[0]), (2, &own));
}

#[test]
fn the_cache_ends_below_the_end_of_its_volume() {
    const GIB: u64 = 1 << 30;
    for (spec, live, volume, max_size) in [
        (json!({}), None, json!({"emptyDir": {"sizeLimit": "10Gi"}}), Some(9 * GIB)),
        (json!({"cache": {"maxSize": "5Gi"}}), None, json!({"emptyDir": {"sizeLimit": "10Gi"}}), Some(5 * GIB)),
        (json!({"cache": {"maxSize": "16Gi"}}), None, json!({"emptyDir": {"sizeLimit": "20Gi"}}), Some(16 * GIB)),
        (claim(json!({"size": "20Gi"})), None, json!({"persistentVolumeClaim": {"claimName": "left"}}), Some(18 * GIB)),
        (
            claim(json!({"size": "20Gi"})),
            Some(40 * GIB),
            json!({"persistentVolumeClaim": {"claimName": "left"}}),
            Some(36 * GIB),
        ),
        (
            claim(json!({"existingClaimName": "warm"})),
            None,
            json!({"persistentVolumeClaim": {"claimName": "warm"}}),
            None,
        ),
    ] {
        let plan = Plan { claim_size: live, ..plan(spec.clone()) };
        let pod = object(&build(&plan), ChildKind::Deployment, "left")["spec"]["template"]["spec"].clone();
        let mut cache = pod["volumes"][1].clone();
        let name = cache.as_object_mut().unwrap().remove("name").unwrap();
        assert_eq!(cache, volume, "{spec}");
        let is_ephemeral = volume.get("emptyDir").is_some();
        assert_eq!(name, if is_ephemeral { "cache-ephemeral" } else { "cache-claim" });
        let map = object(&build(&plan), ChildKind::ConfigMap, "left-manifest");
        let manifest: Value = serde_json::from_str(map["data"]["manifest.json"].as_str().unwrap()).unwrap();
        let said = manifest["spec"]["cache"]["maxSize"].as_str().map(|text| text.parse::<ByteSize>().unwrap().0);
        assert_eq!(said, max_size, "{spec}");
        assert_eq!(flag(&pod, "--max-size"), None, "a claim that grows must not replace its pod");
        assert_eq!(flag(&pod, "--ephemeral").is_some(), is_ephemeral);
        let mount = pod["containers"][0]["volumeMounts"].as_array().unwrap().iter().find(|mount| mount["name"] == name);
        assert_eq!(mount.unwrap()["mountPath"], flag(&pod, "--storage").unwrap());
    }
}

#[test]
fn secrets_are_directories_that_may_be_missing() {
    let trust = |kind: &str, name: &str| json!({kind: {"name": name, "key": "ca.pem"}});
    let pod = pod(json!({
        "upstream": {
            "auth": {"type": "Basic", "secretRef": {"name": "account"}},
            "trust": trust("configMapRef", "roots"),
            "fallbacks": [{"url": "https://mirror.example/", "trust": trust("secretRef", "mirror.roots"),
                "auth": {"type": "Bearer", "secretRef": {"name": "account"}}}],
        },
        "tls": {"secretRef": {"name": "certificate"}},
    }));
    let items = json!([{"key": "ca.pem", "path": "ca.pem"}]);
    let secret = |name: &str| json!([{"secret": {"name": name, "optional": true}}]);
    let expected = [
        ("account", secret("account")),
        ("certificate", secret("certificate")),
        ("mirror.roots", json!([{"secret": {"name": "mirror.roots", "optional": true, "items": items}}])),
        ("roots", json!([{"configMap": {"name": "roots", "optional": true, "items": items}}])),
    ];
    let volumes = &pod["volumes"].as_array().unwrap()[2..];
    let mounts = &pod["containers"][0]["volumeMounts"].as_array().unwrap()[2..];
    assert_eq!((volumes.len(), mounts.len()), (4, 4));
    for (index, (name, sources)) in expected.into_iter().enumerate() {
        assert_eq!(volumes[index]["projected"]["sources"], sources);
        assert_eq!(mounts[index]["mountPath"], format!("/etc/packageproxy/secrets/{name}"));
        assert_eq!(mounts[index]["readOnly"], true);
        assert_eq!(mounts[index]["name"], volumes[index]["name"]);
    }
    assert_eq!(flag(&pod, "--secrets").as_deref(), Some("/etc/packageproxy/secrets"));
    assert_eq!(flag(&pod, "--tls-secret").as_deref(), Some("certificate"));
}

#[test]
fn the_program_is_told_where_it_is() {
    let class = serde_json::from_value(json!({"limits": {"requireSecretHosts": true}})).unwrap();
    let plan = plan_in(&class, json!({"service": {"port": 8000}}));
    let deployment = object(&build(&plan), ChildKind::Deployment, "left");
    let pod = &deployment["spec"]["template"]["spec"];
    let arguments: Vec<&str> =
        pod["containers"][0]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let bases: Vec<&str> = arguments.windows(2).filter(|pair| pair[0] == "--base").map(|pair| pair[1]).collect();
    assert_eq!(
        bases,
        [
            "http://left.team-a.svc.cluster.test:8000",
            "http://left.team-a.svc:8000",
            "http://left.team-a:8000",
            "http://left:8000",
        ]
    );
    assert_eq!(arguments[..3], ["serve", "-f", "/etc/packageproxy/manifest/manifest.json"]);
    assert!(arguments.contains(&"--root") && arguments.contains(&"--require-secret-hosts"));
    for (name, value) in [("--listen", "[::]:8080"), ("--admin", "[::]:8081"), ("--unknown-fields", "warn")] {
        assert_eq!(flag(pod, name).as_deref(), Some(value));
    }
    assert_eq!(flag(pod, "--secrets"), None);
    assert_eq!(flag(pod, "--tls-secret"), None);
    assert_eq!(pod["terminationGracePeriodSeconds"], 120);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(pod["containers"][0][probe]["httpGet"]["port"], "admin");
    }
}

#[test]
fn the_program_understands_its_command_line() {
    let class = serde_json::from_value(json!({"limits": {"requireSecretHosts": true}})).unwrap();
    for spec in specs() {
        let deployment = object(&build(&plan_in(&class, spec)), ChildKind::Deployment, "left");
        let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap().clone();
        let words = std::iter::once("packageproxy").chain(arguments.iter().filter_map(Value::as_str));
        match Cli::try_parse_from(words).map(Cli::into_command) {
            Ok(Command::Serve(serve)) => assert_eq!(serve.base.len(), 4),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn pods_spread_unless_the_manifest_says_how() {
    let spread = |spec| pod(spec)["topologySpreadConstraints"].clone();
    assert_eq!(spread(json!({})), spread(json!({"replicas": 2})), "a second pod must not replace the first");
    assert_eq!(spread(json!({"replicas": 2}))[0]["whenUnsatisfiable"], "ScheduleAnyway");
    let own = json!([{"maxSkew": 2}]);
    assert_eq!(spread(json!({"replicas": 2, "pod": {"topologySpreadConstraints": own}})), own);
    assert_eq!(spread(json!({"replicas": 2, "pod": {"topologySpreadConstraints": []}})), json!([]));
}

#[test]
fn labels_of_the_manifest_do_not_replace_the_operators_own() {
    let mut plan = plan(json!({"pod": {"labels": {"team": "a"}}}));
    plan.workload.pod.labels.insert("app.kubernetes.io/name".to_owned(), "other".to_owned());
    let deployment = object(&build(&plan), ChildKind::Deployment, "left");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["app.kubernetes.io/name"], &labels["team"]), (&json!("packageproxy"), &json!("a")));
}
