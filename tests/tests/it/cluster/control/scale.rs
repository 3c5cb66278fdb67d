//! A thousand proxies: how long, how much memory, how many requests.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tests::cluster::{Cluster, Operator, Row, Scene, at, condition, is_optimised, report};
use tests::relay::Call;
use tests::wait::until_time;
use tokio::time::Instant;

const PROXIES: usize = 1000;
/// How long a busy machine may take for all of them with a program that is not optimised. What is expected of the
/// operator is counted in requests and processor time, which do not depend on what else the machine does.
const PATIENCE: Duration = Duration::from_mins(8);
/// How long the optimised one may take: several times what it takes on a machine of two cores that does nothing else.
const APPLIED: Duration = Duration::from_mins(4);
/// Requests until all are applied. Their limit makes most of the time.
const REQUESTS: usize = 25 * PROXIES;
/// Processor time that the optimised operator may take until all are applied, of what the API server takes meanwhile
/// for the same requests: on any machine the one is a small part of the other.
const PROCESSOR: f64 = 0.1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_thousand_proxies_are_applied_in_time_and_a_restart_writes_nothing() {
    let scene = Scene::plan("scale").value("/rateLimit", 400).value("/logging/level", "info").start().await;
    let proxies: Vec<_> = (0..PROXIES).map(|number| scene.proxy(&format!("p{number}"))).collect();
    let mut created = stream::iter(&proxies).map(|proxy| scene.apply(proxy)).buffer_unordered(16);
    while created.next().await.is_some() {}
    drop(created);

    let started = Instant::now();
    let served = Cluster::get().await.processor_of_server();
    let mut operator = scene.setup("first").fast().start();
    scene.leads(&operator).await;
    all(&scene, PATIENCE, "ResourcesApplied").await;
    let applied = started.elapsed();
    let (work, requests) = (measured(&scene, &operator, 0), scene.relay.mark());
    let (processor_of_work, served) = (operator.processor(), Cluster::get().await.processor_of_server() - served);
    all(&scene, PATIENCE, "Ready").await;
    let ready = started.elapsed();
    rest(&scene).await;
    let settled = measured(&scene, &operator, 0);
    let (mark, processor) = (scene.relay.mark(), operator.processor());
    // One proxy changed among all: its own writes and no others.
    let changed = proxies[500].clone().spec("/cache/metadataTTL", "7m");
    let touched = Instant::now();
    scene.apply(&changed).await;
    scene.converged(&changed).await;
    let effect = touched.elapsed();
    scene.quiet(Duration::from_secs(2)).await;
    let own = scene.relay.writes_since(mark);
    assert!(own.iter().all(|call| call.is_about("p500")), "{own:#?}");
    let idle = operator.processor() - processor;
    assert_eq!(operator.terminate().await, Some(0));

    let mark = scene.relay.mark();
    let begun = Instant::now();
    let operator = scene.setup("again").fast().start();
    scene.leads(&operator).await;
    operator.ready().await;
    let back = begun.elapsed();
    scene.quiet(Duration::from_secs(5)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let written = scene.relay.writes_since(mark);
    let again = measured(&scene, &operator, mark);
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let rows = [
        Row::new("from empty to applied", seconds(applied)),
        Row::new("to Ready (the controller-manager's Deployments too)", seconds(ready)),
        Row::new("until applied", work),
        Row::new("processor of the API server meanwhile", format!("{served:.1} s")),
        Row::new("until at rest", settled),
        Row::new("one of them changed, ready after", format!("{} ({} writes)", seconds(effect), own.len())),
        Row::new("processor meanwhile", format!("{idle:.2} s")),
        Row::new("restart: ready after", seconds(back)),
        Row::new("restart: writes", written.len().to_string()),
        Row::new("restart", again),
    ];
    report("1,000 proxies", &rows);
    assert!(written.is_empty(), "{} writes after a restart: {:#?}", written.len(), &written[..written.len().min(5)]);
    assert!(requests <= REQUESTS, "{requests} requests");
    // Without optimisation it takes several times as much, which says nothing.
    if is_optimised() {
        let share = processor_of_work / served;
        assert!(share <= PROCESSOR, "{processor_of_work:.1} s of processor time, {share:.3} of the API server's");
        assert!(applied <= APPLIED, "applied after {applied:?}");
    }
}

/// Memory, processor and requests since a mark.
fn measured(scene: &Scene, operator: &Operator, mark: usize) -> String {
    let calls = scene.relay.calls().split_off(mark);
    let count = |which: fn(&Call) -> bool| calls.iter().filter(|call| which(call)).count();
    format!(
        "{} MiB peak, {:.1} s processor, {} writes, {} reads of single objects, {} lists, {} watches",
        operator.peak_memory() >> 20,
        operator.processor(),
        count(|call| call.is_write() && !call.is_lease()),
        count(|call| !call.is_write() && !call.is_list() && !call.is_lease()),
        count(|call| call.is_list() && !call.is_watch()),
        count(Call::is_watch),
    )
}

async fn all(scene: &Scene, limit: Duration, kind: &str) {
    until_time(limit, &format!("{kind} of {PROXIES} proxies"), || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let objects = scene.api.list(&at("PackageProxy", scene.namespace(), ""), "").await;
        let holds = |object: &&Value| condition(object, kind).is_some_and(|found| found.status == "True");
        (objects.iter().filter(holds).count() == PROXIES).then_some(())
    })
    .await;
}

/// Until nothing has been written for a while, and every status is of the last generation.
async fn rest(scene: &Scene) {
    until_time(PATIENCE, "the operator to come to rest", || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let writes = scene.relay.writes();
        writes.last().is_none_or(|last| last.at.elapsed() >= Duration::from_secs(4)).then_some(())
    })
    .await;
}
