//! An API server that is away, slow, overloaded or answers nonsense: the operator stays, waits and converges.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::cluster::{Operator, Proxy, Row, Scene, condition, of, report};
use tests::relay::{Fault, Rule};
use tests::wait::{until, until_time};
use tokio::time::Instant;

/// Within this time after a fault is over everything is as it should be, however busy the machine is.
const CONVERGED: Duration = Duration::from_mins(1);

async fn heals(scene: &Scene, proxies: &[Proxy], what: &str) {
    scene.relay.heal();
    let healed = Instant::now();
    for proxy in proxies {
        scene.converged(proxy).await;
    }
    let took = healed.elapsed();
    assert!(took <= CONVERGED, "{what}: converged {took:?} after the end of the fault");
    report("faults of the API server", &[Row::new(what, format!("converged {:.1} s after", took.as_secs_f64()))]);
}

/// A scene with an operator that leads, and proxies that are not yet applied.
async fn scene(name: &str) -> (Scene, Operator, Vec<Proxy>) {
    let scene = Scene::new(name).await;
    let operator = scene.operator().await;
    let proxies = (0..5).map(|number| scene.proxy(&format!("p{number}"))).collect();
    (scene, operator, proxies)
}

async fn apply(scene: &Scene, proxies: &[Proxy]) {
    for proxy in proxies {
        scene.apply(proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_api_server_that_refuses_at_start_is_waited_for() {
    let scene = Scene::new("refused").await;
    scene.relay.refuse();
    let mut operator = scene.setup("first").start();
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    until("a word on the connection", || async { (!operator.logs().is_empty()).then_some(()) }).await;
    until("/healthz", || async { operator.probe("/healthz").await.filter(|status| *status == 200) }).await;
    // Twice the first steps of any backoff, in which an impatient program would have gone.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(operator.runs(), "it waits instead of ending");
    heals(&scene, &[proxy], "refused at start").await;
    assert!(operator.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_api_server_that_flaps_costs_neither_the_lease_nor_an_object() {
    let (scene, mut operator, proxies) = scene("flaps").await;
    for proxy in &proxies {
        scene.relay.refuse();
        scene.apply(proxy).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.relay.heal();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    heals(&scene, &proxies, "flapping").await;
    assert!(operator.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_api_server_that_answers_503_is_asked_again_with_care() {
    let (scene, mut operator, proxies) = scene("unavailable").await;
    let mark = scene.relay.mark();
    scene.relay.add(Rule::when(Fault::status(503, "ServiceUnavailable"), |call| !call.is_lease()));
    apply(&scene, &proxies).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let asked = scene.relay.calls().split_off(mark).iter().filter(|call| call.faulted).count();
    assert!(asked < 400, "{asked} requests in 8 s at a server that is away");
    heals(&scene, &proxies, &format!("503 for 8 s ({asked} requests meanwhile)")).await;
    assert!(operator.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn requests_that_hang_are_given_up() {
    let (scene, mut operator, proxies) = scene("hangs").await;
    scene.relay.add(Rule::when(Fault::Hang, |call| !call.is_lease()));
    apply(&scene, &proxies).await;
    until("a request that hangs", || async { scene.relay.calls().iter().any(|call| call.faulted).then_some(()) }).await;
    heals(&scene, &proxies, "requests that hang").await;
    assert!(operator.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn retry_after_is_obeyed() {
    let (scene, mut operator, proxies) = scene("busy").await;
    let mark = scene.relay.mark();
    scene.relay.add(Rule::when(Fault::retry_after(429, 3), |call| !call.is_lease()));
    apply(&scene, &proxies).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let calls = scene.relay.calls().split_off(mark);
    let mut last = BTreeMap::new();
    let mut refused = 0;
    for call in calls.iter().filter(|call| call.faulted) {
        refused += 1;
        let key = (call.method.to_string(), call.path.clone(), call.is_watch());
        if let Some(before) = last.insert(key, call.at) {
            let gap = call.at - before;
            assert!(gap >= Duration::from_millis(2900), "asked again after {gap:?}: {call}");
        }
    }
    assert!(refused > 0);
    heals(&scene, &proxies, &format!("429 with Retry-After: 3 for 12 s ({refused} requests meanwhile)")).await;
    assert!(operator.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn writes_that_succeed_with_an_error_and_conflicts_converge() {
    let (scene, _operator, proxies) = scene("conflict").await;
    let write = |call: &tests::relay::Call| call.is_write() && !call.is_lease();
    scene.relay.add(Rule::when(Fault::AfterCommit(500), write).every(5));
    scene.relay.add(Rule::when(Fault::status(409, "Conflict"), write).every(3));
    scene.relay.add(Rule::when(Fault::status(409, "AlreadyExists"), write).every(7));
    apply(&scene, &proxies).await;
    for proxy in &proxies {
        scene.converged(proxy).await;
    }
    let injected = scene.relay.writes().iter().filter(|call| call.faulted).count();
    assert!(injected >= 10, "only {injected} faults");
    heals(&scene, &proxies, &format!("{injected} writes answered 500 after their effect, or 409")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_slow_api_server_is_only_slow() {
    let (scene, mut operator, proxies) = scene("slow").await;
    scene.relay.add(Rule::all(Fault::Delay(Duration::from_millis(500))));
    let started = Instant::now();
    apply(&scene, &proxies).await;
    for proxy in &proxies {
        scene.converged(proxy).await;
    }
    let took = format!("{:.1} s", started.elapsed().as_secs_f64());
    report("faults of the API server", &[Row::new("5 proxies with 0.5 s added to each request", took)]);
    assert!(operator.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn absent_definitions_are_waited_for() {
    let scene = Scene::new("nocrd").await;
    let absent = |call: &tests::relay::Call| {
        call.resource.starts_with("packageproxies") || call.path.contains("packageproxy.dev")
    };
    scene.relay.add(Rule::when(Fault::status(404, "NotFound"), absent));
    let mut operator = scene.setup("first").start();
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    until("a question for the definitions", || async {
        scene.relay.calls().iter().any(|call| call.faulted).then_some(())
    })
    .await;
    until("a word on it", || async { operator.logs().iter().any(|line| line.contains("packageprox")).then_some(()) })
        .await;
    assert!(operator.runs());
    assert_ne!(operator.probe("/readyz").await, Some(200), "not ready without its definitions");
    heals(&scene, &[proxy], "CRDs that come later").await;
    assert!(operator.runs());
}

/// One kind denied for one proxy: its condition says so in the API server's words, the others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_kind_that_is_denied_is_a_condition_of_that_proxy_alone() {
    let (scene, _operator, proxies) = scene("denied").await;
    let kinds = ["serviceaccounts", "configmaps", "services", "networkpolicies", "deployments"];
    for (proxy, kind) in proxies.iter().zip(kinds) {
        let name = proxy.0["metadata"]["name"].as_str().expect("a name").to_owned();
        let sentence = format!("{kind} are forbidden: admission says no");
        scene.relay.add(Rule::when(Fault::forbidden(&sentence), move |call| {
            call.is_write() && call.resource == kind && call.is_about(&name)
        }));
    }
    let other = scene.proxy("other");
    apply(&scene, &proxies).await;
    scene.apply(&other).await;
    scene.converged(&other).await;
    for (proxy, kind) in proxies.iter().zip(kinds) {
        let object = scene.until(proxy, "ResourcesApplied", "False", "Forbidden").await;
        let message = condition(&object, "ResourcesApplied").unwrap().message;
        assert!(message.contains("admission says no"), "{kind}: {message}");
        assert_eq!(condition(&object, "Ready").unwrap().status, "False");
    }
    scene.relay.heal();
    for proxy in &proxies {
        // What only a person can repair is asked for rarely; a touch of the proxy asks at once.
        scene.api.patch(&of(&proxy.0), &serde_json::json!({"spec": {"logLevel": "Debug"}})).await;
        scene.converged(proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_quota_is_a_condition_that_quotes_it_and_heals_by_itself() {
    let scene = Scene::new("quota").await;
    let _operator = scene.operator().await;
    let quota = serde_json::json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": scene.namespace()}, "spec": {"hard": {"services": "0"}}});
    scene.api.apply(&quota).await;
    until("the quota to count", || async {
        scene.api.get(&of(&quota)).await["status"]["hard"]["services"].as_str().map(str::to_owned)
    })
    .await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let object = scene.until(&proxy, "ResourcesApplied", "False", "QuotaExceeded").await;
    let message = condition(&object, "ResourcesApplied").unwrap().message;
    assert!(message.contains("exceeded quota: none"), "{message}");
    scene.api.delete(&of(&quota)).await;
    until_time(Duration::from_mins(3), "the proxy to be applied", || async {
        let object = scene.api.get(&of(&proxy.0)).await;
        condition(&object, "Ready").filter(|ready| ready.status == "True")
    })
    .await;
    scene.converged(&proxy).await;
}
