//! What the operator's ServiceAccount may do, and above all what it may not, as the API server sees it.

use http::Method;
use serde_json::{Value, json};
use tests::cluster::{Row, Scene, report};
use tests::{Ask, Client};

/// Group, resource and subresource of what no operator of proxies needs.
const NEVER: [(&str, &str, &str); 22] = [
    ("", "secrets", ""),
    ("", "pods", "exec"),
    ("", "pods", "log"),
    ("", "pods", "attach"),
    ("", "pods", "portforward"),
    ("", "pods", "ephemeralcontainers"),
    ("", "nodes", ""),
    ("", "nodes", "proxy"),
    ("", "persistentvolumes", ""),
    ("", "serviceaccounts", "token"),
    ("apps", "daemonsets", ""),
    ("apps", "statefulsets", ""),
    ("batch", "jobs", ""),
    ("rbac.authorization.k8s.io", "roles", ""),
    ("rbac.authorization.k8s.io", "clusterroles", ""),
    ("rbac.authorization.k8s.io", "rolebindings", ""),
    ("rbac.authorization.k8s.io", "clusterrolebindings", ""),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
    ("apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("certificates.k8s.io", "certificatesigningrequests", ""),
    ("storage.k8s.io", "storageclasses", ""),
    ("other.example", "things", ""),
];

const VERBS: [&str; 9] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"];

/// Asks the API server, as the operator, whether it may.
async fn may(scene: &Scene, verb: &str, (group, resource, subresource): (&str, &str, &str), namespace: &str) -> bool {
    let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
        "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": subresource,
            "namespace": namespace}}});
    let ask = Ask::new(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("authorization", &format!("Bearer {}", scene.token()))
        .header("content-type", "application/json")
        .body(body.to_string());
    let address = scene.relay.url().trim_start_matches("http://").parse().expect("an address");
    let answer = Client::new(address).send(ask).await.expect_status(201);
    let answer: Value = serde_json::from_slice(answer.bytes()).expect("JSON");
    answer["status"]["allowed"].as_bool().expect("a verdict")
}

/// What it needs where it serves.
const NEEDS: [(&str, (&str, &str, &str)); 14] = [
    ("watch", ("packageproxy.dev", "packageproxies", "")),
    ("patch", ("packageproxy.dev", "packageproxies", "status")),
    ("update", ("packageproxy.dev", "packageproxies", "finalizers")),
    ("patch", ("", "services", "")),
    ("create", ("", "configmaps", "")),
    ("delete", ("", "persistentvolumeclaims", "")),
    ("patch", ("", "serviceaccounts", "")),
    ("patch", ("apps", "deployments", "")),
    ("watch", ("apps", "deployments", "")),
    ("delete", ("networking.k8s.io", "networkpolicies", "")),
    ("patch", ("policy", "poddisruptionbudgets", "")),
    ("list", ("", "pods", "")),
    ("create", ("events.k8s.io", "events", "")),
    ("get", ("", "namespaces", "")),
];

/// What it must not even where it serves: the proxies belong to their users.
const NOT_EVEN_HERE: [(&str, (&str, &str, &str)); 8] = [
    ("create", ("packageproxy.dev", "packageproxies", "")),
    ("update", ("packageproxy.dev", "packageproxies", "")),
    ("patch", ("packageproxy.dev", "packageproxies", "")),
    ("delete", ("packageproxy.dev", "packageproxies", "")),
    ("delete", ("", "pods", "")),
    ("create", ("", "pods", "")),
    ("deletecollection", ("", "configmaps", "")),
    ("delete", ("", "namespaces", "")),
];

async fn never(scene: &Scene, namespaces: &[&str]) -> usize {
    let mut asked = 0;
    for what in NEVER {
        for verb in VERBS {
            for namespace in namespaces {
                assert!(!may(scene, verb, what, namespace).await, "may {verb} {what:?} in '{namespace}'");
                asked += 1;
            }
        }
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_operator_of_all_namespaces_may_do_nothing_beyond_its_work() {
    let scene = Scene::plan("rights").everywhere().start().await;
    let here = scene.namespace();
    for (verb, what) in NEEDS {
        assert!(may(&scene, verb, what, here).await, "may not {verb} {what:?}");
    }
    for (verb, what) in NOT_EVEN_HERE {
        assert!(!may(&scene, verb, what, here).await, "may {verb} {what:?}");
    }
    let asked = never(&scene, &[here, "kube-system", ""]).await;
    report("rights", &[Row::new("refusals asked for, cluster-wide installation", asked.to_string())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_operator_of_some_namespaces_may_do_nothing_in_others() {
    let scene = Scene::plan("scoped").namespaces(2).start().await;
    for namespace in scene.namespaces() {
        for (verb, what) in NEEDS {
            assert!(may(&scene, verb, what, namespace).await, "may not {verb} {what:?} in {namespace}");
        }
    }
    let system = scene.system();
    for namespace in ["default", "kube-system", &system, ""] {
        for (verb, what) in NEEDS {
            assert!(!may(&scene, verb, what, namespace).await, "may {verb} {what:?} in '{namespace}'");
        }
    }
    let asked = never(&scene, &[scene.namespace(), ""]).await;
    // The only Lease is its own.
    let lease = ("coordination.k8s.io", "leases", "");
    for verb in ["get", "list", "watch", "update", "patch", "delete"] {
        assert!(!may(&scene, verb, lease, scene.namespace()).await, "may {verb} Leases of proxies' namespaces");
        assert!(!may(&scene, verb, lease, &system).await, "may {verb} any Lease");
    }
    report("rights", &[Row::new("refusals asked for, namespaced installation", asked.to_string())]);

    // What it serves and what not: a proxy elsewhere is none of its business.
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    let elsewhere = tests::cluster::Proxy::new(&system, "npm");
    scene.apply(&elsewhere).await;
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    assert!(scene.children(&elsewhere).await.is_empty());
    let denied: Vec<_> = scene.relay.calls().into_iter().filter(|call| call.status == Some(403)).collect();
    assert!(denied.is_empty(), "it asks for nothing that it may not: {denied:#?}");
}
