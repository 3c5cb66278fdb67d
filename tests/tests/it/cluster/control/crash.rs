//! The end at every possible moment: of a connection at each request, of the operator after each write.

use std::sync::Arc;
use std::time::Duration;

use tests::cluster::{Proxy, Row, Scene, report};
use tests::relay::{Call, Fault, Rule};
use tests::wait::until;
use tokio::time::Instant;

/// Each proxy loses the connection at another request of its first reconcile, once before the request takes effect
/// and once after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_first_reconcile_converges_whichever_request_is_cut() {
    let scene = Scene::new("cut").await;
    let _operator = scene.operator().await;
    // How many there are is a matter of what comes in between: the fewest are those that every one needs.
    let mut counts = Vec::new();
    for name in ["calm", "calmer", "calmest"] {
        let calm = scene.proxy(name);
        scene.apply(&calm).await;
        scene.converged(&calm).await;
        let about = |calls: Vec<Call>| calls.iter().filter(|call| call.is_about(name)).count();
        counts.push((about(scene.relay.calls()), about(scene.relay.writes())));
    }
    let (requests, writes) = counts.into_iter().min().expect("three counts");
    assert!(requests >= 10, "{requests} requests for a first reconcile");

    let started = Instant::now();
    let mut proxies = Vec::new();
    for number in 1..=requests {
        for (fault, when) in [(Fault::CutBefore, "before"), (Fault::CutAfter, "after")] {
            let name = format!("{when}{number}");
            let proxy = scene.proxy(&name);
            scene.relay.add(Rule::when(fault, move |call| call.is_about(&name)).nth(number));
            scene.apply(&proxy).await;
            proxies.push(proxy);
        }
    }
    for proxy in &proxies {
        scene.converged(proxy).await;
    }
    let cut = scene.relay.calls().iter().filter(|call| call.faulted).count();
    // The last requests of a reconcile may be about things that are known by then.
    assert!(cut + 6 >= proxies.len(), "only {cut} of {} connections were cut", proxies.len());
    let rows = [
        Row::new("requests of a first reconcile (writes)", format!("{requests} ({writes})")),
        Row::new("proxies with one of them cut", format!("{cut} of {}", proxies.len())),
        Row::new("all converged after", format!("{:.1} s", started.elapsed().as_secs_f64())),
    ];
    report("cut at every request", &rows);
}

/// The same for the requests of a start: lists, watches, the Lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_start_succeeds_whichever_request_is_cut() {
    let scene = Scene::new("start").await;
    let proxy = scene.proxy("npm");
    let mut operator = scene.operator().await;
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    operator.terminate().await;

    let mark = scene.relay.mark();
    let mut operator = scene.operator().await;
    let started =
        || scene.relay.calls().split_off(mark).into_iter().filter(|call| !call.is_lease()).collect::<Vec<_>>();
    until("the last of its watches", || async {
        let calls = started();
        let rests = calls.last().is_some_and(|last| last.at.elapsed() >= Duration::from_secs(1));
        (rests && calls.iter().filter(|call| call.is_watch()).count() >= 8).then_some(())
    })
    .await;
    let requests = scene.relay.mark() - mark;
    operator.terminate().await;
    assert!(requests >= 10, "{requests} requests of a start");
    for number in 1..=requests {
        let fault = if number % 2 == 0 { Fault::CutBefore } else { Fault::CutAfter };
        let rule = scene.relay.add(Rule::all(fault).nth(number));
        let mut operator = scene.setup("first").short_lease().start();
        operator.ready().await;
        scene.leads(&operator).await;
        let proxy = proxy.clone().spec("/cache/metadataTTL", format!("{number}m"));
        scene.apply(&proxy).await;
        scene.converged(&proxy).await;
        assert!(operator.runs(), "it ended at a cut of request {number}");
        scene.relay.remove(rule);
        operator.terminate().await;
    }
    report("cut at every request", &[Row::new("requests of a start, each of them cut", requests.to_string())]);
}

/// One namespace and one operator for each write of a first reconcile; each operator dies after another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_operator_killed_between_any_two_writes_is_completed_by_the_next() {
    const WRITES: usize = 12;
    let scene = Arc::new(Scene::plan("kill").namespaces(WRITES).start().await);
    let started = Instant::now();
    let deaths = (0..WRITES).map(|passed| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { dies_after(&scene, passed).await })
    });
    let mut died = 0;
    for death in deaths.collect::<Vec<_>>() {
        died += usize::from(death.await.expect("converged"));
    }
    assert!(died >= 8, "only {died} operators were killed between writes");
    let rows = [
        Row::new("operators killed after 0, 1, 2 ... writes", died.to_string()),
        Row::new("all completed by the next one after", format!("{:.1} s", started.elapsed().as_secs_f64())),
    ];
    report("kill -9 between writes", &rows);
}

/// Whether there was a write to die before.
async fn dies_after(scene: &Scene, passed: usize) -> bool {
    let namespace = &scene.namespaces()[passed];
    let name = format!("p{passed}");
    let proxy = Proxy::new(namespace, &name);
    let about = name.clone();
    let matches = move |call: &Call| call.is_write() && call.is_about(&about);
    let rule = scene.relay.add(Rule::when(Fault::Hang, matches).from(passed + 1));
    let setup = |identity: &str| {
        scene.setup(identity).flag("--namespaces", namespace).flag("--leader-election", "false").start()
    };
    let mut first = setup(&format!("first-{passed}"));
    scene.apply(&proxy).await;
    let stuck = until("the write that hangs, or the end of the work", || async {
        let calls = scene.relay.calls();
        if calls.iter().any(|call| call.faulted && call.is_about(&name)) {
            return Some(true);
        }
        let object = scene.api.get(&tests::cluster::of(&proxy.0)).await;
        tests::cluster::condition(&object, "Ready").filter(|ready| ready.status == "True").map(|_| false)
    })
    .await;
    first.kill().await;
    scene.relay.remove(rule);
    let _second = setup(&format!("second-{passed}"));
    scene.converged(&proxy).await;
    stuck
}
