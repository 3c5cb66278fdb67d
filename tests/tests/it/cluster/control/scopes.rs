//! Several releases in one cluster: each namespace has one operator, and nobody fights.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::cluster::{Operator, Proxy, Row, Scene, Setup, at, report};
use tests::wait::{until, until_time};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long an operator is believed that is not heard of.
const BELIEVED: Duration = Duration::from_secs(30);

/// Who holds a namespace.
async fn holder(scene: &Scene, namespace: &str) -> Option<String> {
    let lease = scene.api.find(&at("Lease", namespace, "packageproxy-operator-scope")).await?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

/// An operator of all namespaces, in a scene that has the cluster for itself.
fn of_all(setup: Setup) -> Operator {
    setup.short_lease().flag("--namespaces", "").start()
}

async fn says(operator: &Operator, words: &[&str]) {
    until(&format!("{words:?} in the log of {}", operator.identity()), || async {
        operator.logs().iter().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

/// Two operators of the same namespace: the later one leaves it alone until the first is silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_namespace_has_one_operator() {
    let scene = Scene::new("scope").await;
    let mut first = scene.operator().await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    let ours = format!("{}/{}", scene.system(), scene.release_name());
    assert_eq!(holder(&scene, scene.namespace()).await, Some(ours.clone()));
    // The same rights and namespaces, and an election of its own: another release.
    let other = scene.other_relay().await;
    let second = scene.setup_through("second", &other).flag("--lease-namespace", scene.namespace());
    let second = second.flag("--leader-election", "false").flag("--lease-name", "other").start();
    says(&second, &["left to another operator", &ours]).await;
    let changed = proxy.clone().spec("/cache/metadataTTL", "7m");
    scene.apply(&changed).await;
    scene.converged(&changed).await;
    scene.quiet(Duration::from_secs(2)).await;
    assert!(other.writes().is_empty(), "{:#?}", other.writes());
    second.ready().await;

    first.kill().await;
    let gone = Instant::now();
    let changed = proxy.spec("/cache/metadataTTL", "8m");
    scene.apply(&changed).await;
    until_time(BELIEVED * 4, "the second to take the namespace", || async {
        (holder(&scene, scene.namespace()).await? != ours).then_some(())
    })
    .await;
    let took = gone.elapsed();
    scene.converged(&changed).await;
    assert!(!other.writes().is_empty());
    report("scopes", &[Row::new("a namespace taken over from a dead release after", format!("{} s", took.as_secs()))]);
}

/// An operator of all namespaces serves those that no other one holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_operator_of_all_namespaces_leaves_those_of_others_alone() {
    let scene = Scene::plan("scopes").namespaces(2).everywhere().alone().start().await;
    let [taken, free] = scene.namespaces() else { panic!("two namespaces") };
    let lease = |holder: &str, renewed: usize| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "packageproxy-operator-scope", "namespace": taken,
                         "labels": {"packageproxy.dev/scope": "namespace"}},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 30, "leaseTransitions": renewed}})
    };
    // It is renewed as long as the other one lives.
    let (renewals, over) = (watch::Sender::new(0), watch::Sender::new(false));
    let renewing = async {
        let mut over = over.subscribe();
        while !*over.borrow() {
            let number = *renewals.borrow();
            scene.api.apply(&lease("team/other", number)).await;
            renewals.send_replace(number + 1);
            let _ = tokio::time::timeout(Duration::from_secs(2), over.wait_for(|over| *over)).await;
        }
    };
    let looking = async {
        renewals.subscribe().wait_for(|number| *number > 0).await.expect("a renewal");
        let operator = of_all(scene.setup("all"));
        scene.leads(&operator).await;
        let proxies = [Proxy::new(taken, "npm"), Proxy::new(free, "npm")];
        for proxy in &proxies {
            scene.apply(proxy).await;
        }
        scene.converged(&proxies[1]).await;
        let seen = *renewals.borrow();
        renewals.subscribe().wait_for(|number| *number > seen + 4).await.expect("renewals");
        let theirs = scene.relay.writes().into_iter().filter(|call| call.namespace == *taken).count();
        assert_eq!(theirs, 0, "nothing is written where another operator serves");
        assert!(scene.children(&proxies[0]).await.is_empty());
        over.send_replace(true);
        (operator, proxies)
    };
    let ((), (_operator, proxies)) = tokio::join!(renewing, looking);
    // Given back: nobody has to be waited for.
    scene.api.apply(&lease("", 0)).await;
    scene.converged(&proxies[0]).await;
}

/// Two operators of all namespaces: the later one says whom it waits for, and leads once that has gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn of_two_operators_of_all_namespaces_one_leads() {
    let scene = Scene::plan("rivals").namespaces(2).everywhere().alone().start().await;
    let mut first = of_all(scene.setup("first"));
    scene.leads(&first).await;
    let other = scene.other_relay().await;
    let elsewhere = scene.setup_through("second", &other);
    // Its election is in another namespace, where the release's ServiceAccount gets the right to that.
    let namespace = &scene.namespaces()[1];
    grant(&scene, namespace).await;
    let second = of_all(elsewhere.flag("--lease-namespace", namespace));
    says(&second, &["serves all namespaces, too", &scene.release_name()]).await;
    assert_eq!(second.probe("/readyz").await, Some(503));
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    assert!(other.writes().is_empty(), "{:#?}", other.writes());
    assert_eq!(first.terminate().await, Some(0));
    second.ready().await;
    let changed = proxy.spec("/cache/metadataTTL", "7m");
    scene.apply(&changed).await;
    scene.converged(&changed).await;
    assert!(!other.writes().is_empty());
}

/// Lets the release elect in another namespace.
async fn grant(scene: &Scene, namespace: &str) {
    let api = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "election"},
        "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "election"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "election"},
        "subjects": [{"kind": "ServiceAccount", "name": scene.release_name(), "namespace": scene.system()}]});
    let create = |plural: &str, object: Value| {
        let path = format!("{api}/namespaces/{namespace}/{plural}");
        async move { scene.api.send(Method::POST, &path, "application/json", &object).await.expect("a right") }
    };
    create("roles", role).await;
    create("rolebindings", binding).await;
}
