//! One operator writes at a time, and the next one is there when it goes.

use std::time::Duration;

use rustix::process::Signal;
use tests::cluster::{Row, SHORT_LEASE, Scene, report};
use tests::relay::{Fault, Rule};
use tests::wait::until;
use tokio::time::Instant;

/// The leader is frozen in the middle of its work for longer than its Lease: once it is thawed, it writes nothing
/// but, perhaps, to the Lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_frozen_leader_writes_nothing_after_its_thaw() {
    let scene = Scene::new("frozen").await;
    let other = scene.other_relay().await;
    let mut first = scene.setup("first").short_lease().start();
    scene.leads(&first).await;
    let second = scene.setup_through("second", &other).short_lease().start();
    second.ready().await;
    // Slow, so that there is work in every stage at any time.
    scene.relay.add(Rule::when(Fault::Delay(Duration::from_millis(100)), |call| !call.is_lease()));
    let proxies: Vec<_> = (0..40).map(|number| scene.proxy(&format!("p{number}"))).collect();
    for proxy in &proxies {
        scene.apply(proxy).await;
    }
    until("the work to begin", || async { (scene.relay.writes().len() > 30).then_some(()) }).await;
    assert!(other.writes().is_empty(), "the standby writes nothing: {:?}", other.writes());

    let frozen = Instant::now();
    first.signal(Signal::STOP);
    scene.leads(&second).await;
    let taken = frozen.elapsed();
    for proxy in &proxies {
        scene.converged(proxy).await;
    }
    let mark = scene.relay.mark();
    first.signal(Signal::CONT);
    let code = first.ended().await;
    let late = scene.relay.writes_since(mark);
    assert!(late.is_empty(), "writes of a leader that was replaced: {late:?}");
    assert_ne!(code, Some(0), "losing the Lease is not a success");
    assert_eq!(scene.leader().await.as_deref(), Some("second"));
    let rows = [
        Row::new(
            format!("a standby took a Lease of {} s after", SHORT_LEASE.as_secs()),
            format!("{:.1} s", taken.as_secs_f64()),
        ),
        Row::new("writes of the old leader after its thaw", late.len().to_string()),
    ];
    report("leader frozen", &rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_leader_that_is_told_to_go_hands_over_at_once() {
    let scene = Scene::new("handover").await;
    let mut first = scene.operator().await;
    let second = scene.setup("second").start();
    second.ready().await;
    let started = Instant::now();
    assert_eq!(first.terminate().await, Some(0));
    // It was given up, not left to expire.
    let holder = scene.leader().await.unwrap_or_default();
    assert!(holder.is_empty() || holder == "second", "the Lease is still held by {holder}");
    scene.leads(&second).await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    let took = format!("{:.1} s", started.elapsed().as_secs_f64());
    report("hand-over", &[Row::new("SIGTERM of the leader until the standby has applied a new proxy", took)]);
}

/// A Lease that somebody else took: the leader goes, and never writes beside the new holder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_leader_whose_lease_is_stolen_stops() {
    let scene = Scene::new("stolen").await;
    let mut first = scene.setup("first").short_lease().start();
    scene.leads(&first).await;
    let lease = tests::cluster::at("Lease", &scene.system(), &scene.release_name());
    scene
        .api
        .patch(&lease, &serde_json::json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}}))
        .await;
    let code = first.ended().await;
    assert_ne!(code, Some(0));
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let mark = scene.relay.mark();
    let standby = scene.setup("standby").short_lease().start();
    standby.ready().await;
    until("the standby to look at the Lease", || async {
        scene.relay.calls().split_off(mark).iter().any(tests::relay::Call::is_lease).then_some(())
    })
    .await;
    assert_eq!(scene.leader().await.as_deref(), Some("thief"));
    assert!(scene.relay.writes_since(mark).is_empty());
}

/// Writes of the Lease fail, everything else works: the leader stops before somebody else could begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_leader_that_cannot_renew_goes_before_its_lease_ends() {
    let scene = Scene::new("norenew").await;
    let mut first = scene.setup("first").short_lease().start();
    scene.leads(&first).await;
    scene.relay.add(Rule::when(Fault::status(503, "ServiceUnavailable"), tests::relay::Call::is_lease));
    let code = first.ended().await;
    let ended = Instant::now();
    assert_ne!(code, Some(0));
    let calls = scene.relay.calls();
    let renewed = calls.iter().rfind(|call| call.is_lease() && call.is_write() && !call.faulted).expect("a renewal").at;
    let took = ended - renewed;
    assert!(took < SHORT_LEASE, "it went {took:?} after its last renewal");
}
