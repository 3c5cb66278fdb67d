//! Watches that end, expire or fall silent, and the quiet of a cluster in which nothing happens.

use std::time::Duration;

use serde_json::json;
use tests::cluster::{Operator, Row, Scene, at, of, report};
use tests::relay::{Fault, Rule, WatchFault};
use tests::wait::until;
use tokio::time::Instant;

/// Waits until the operator watches each of these.
async fn watched(scene: &Scene) {
    until("the watches", || async { (scene.relay.open_watches() >= 6).then_some(()) }).await;
}

/// What changes while a watch is broken is found by the next list, exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn expired_watches_are_listed_again_and_nothing_is_missed() {
    let scene = Scene::new("expired").await;
    let mut operator = scene.operator().await;
    let old = scene.proxy("old");
    scene.apply(&old).await;
    scene.converged(&old).await;
    for fault in [WatchFault::Gone, WatchFault::Cut] {
        watched(&scene).await;
        scene.quiet(Duration::from_millis(500)).await;
        let mark = scene.relay.mark();
        // Each new watch is told once that its version is too old, too.
        for kind in ["packageproxies", "deployments", "services", "configmaps"] {
            let gone = Fault::status(410, "Expired");
            scene.relay.add(Rule::when(gone, move |call| call.is_watch() && call.resource == kind).nth(1));
        }
        scene.relay.break_watches(fault);
        let service = at("Service", scene.namespace(), "old");
        let before = scene.api.get(&service).await["metadata"]["uid"].clone();
        scene.api.delete(&service).await;
        let new = scene.proxy(&format!("new-{}", format!("{fault:?}").to_lowercase()));
        scene.apply(&new).await;
        scene.converged(&new).await;
        until("the Service to come back", || async {
            let found = scene.api.find(&service).await?;
            (found["metadata"]["uid"] != before).then_some(())
        })
        .await;
        scene.converged(&old).await;
        scene.quiet(Duration::from_secs(1)).await;
        let writes = scene.relay.writes_since(mark);
        let about = writes.iter().filter(|call| call.is_about("old") && call.resource == "services").count();
        assert!(about <= 2, "one Service was lost and applied {about} times: {writes:#?}");
        scene.relay.heal();
    }
    assert!(operator.runs());
}

/// A connection over which nothing comes any more is given up when its time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn silent_watches_are_given_up() {
    let scene = Scene::new("silent").await;
    let operator = scene.setup("first").flag("--watch-timeout", "5s").start();
    scene.leads(&operator).await;
    let old = scene.proxy("old");
    scene.apply(&old).await;
    scene.converged(&old).await;
    watched(&scene).await;
    scene.relay.break_watches(WatchFault::Silent);
    let started = Instant::now();
    let new = scene.proxy("new");
    scene.apply(&new).await;
    scene.api.delete(&at("ConfigMap", scene.namespace(), "old-manifest")).await;
    scene.converged(&new).await;
    scene.converged(&old).await;
    let took = started.elapsed();
    // By default a watch is given up after almost five minutes, and every proxy looked at after ten.
    assert!(took < Duration::from_mins(2), "noticed after {took:?}");
    let row = Row::new("silent watches with --watch-timeout 5s, noticed after", format!("{:.1} s", took.as_secs_f64()));
    report("watches", &[row]);
}

/// With everything in place nothing is written: in a minute as the chart sets it up, nor however often it is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_hundred_proxies_at_rest_cost_no_write() {
    let scene = Scene::new("rest").await;
    let mut operator = scene.operator().await;
    let proxies: Vec<_> = (0..100).map(|number| scene.proxy(&format!("p{number}"))).collect();
    for proxy in &proxies {
        scene.apply(proxy).await;
    }
    for proxy in &proxies {
        scene.until(proxy, "Ready", "True", "").await;
    }
    rests(&scene, &operator, Duration::from_mins(1), "as the chart sets it up").await;
    operator.terminate().await;
    let mut operator = scene.setup("second").flag("--resync", "5s").flag("--poll-interval", "1s").start();
    operator.ready().await;
    scene.leads(&operator).await;
    let mark = rests(&scene, &operator, Duration::from_secs(20), "at --resync 5s").await;
    // Labels and annotations of others are no reason to write either.
    let foreign = json!({"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}});
    scene.api.patch(&at("Service", scene.namespace(), "p1"), &foreign).await;
    scene.api.patch(&of(&proxies[2].0), &foreign).await;
    scene.quiet(Duration::from_secs(2)).await;
    assert!(scene.relay.writes_since(mark).is_empty(), "{:#?}", scene.relay.writes_since(mark));
    assert!(operator.runs());
}

/// Sees that nothing is written for so long; where in the calls of the relay that began.
async fn rests(scene: &Scene, operator: &Operator, window: Duration, how: &str) -> usize {
    scene.quiet(Duration::from_secs(3)).await;
    let (mark, processor) = (scene.relay.mark(), operator.processor());
    tokio::time::sleep(window).await;
    let writes = scene.relay.writes_since(mark);
    assert!(writes.is_empty(), "{} writes at rest: {writes:#?}", writes.len());
    let reads = scene.relay.calls().split_off(mark).iter().filter(|call| !call.is_write() && !call.is_watch()).count();
    let used = operator.processor() - processor;
    let seconds = window.as_secs();
    let rows = [
        Row::new(format!("writes in {seconds} s {how} (Lease aside)"), writes.len().to_string()),
        Row::new(format!("reads in {seconds} s"), reads.to_string()),
        Row::new(format!("processor in {seconds} s"), format!("{used:.2} s")),
    ];
    report("100 proxies at rest", &rows);
    mark
}
