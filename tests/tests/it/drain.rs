//! The end of the program: running downloads finish, new ones are still served for a while, then it goes.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use tests::client::Open;
use tests::fixture::{LARGE, NPM, SMALL};
use tests::rig::Setup;
use tests::wait::until;
use tests::{Ask, Fixture, Gate, Manifest, Resource, Rig, Upstream};
use tokio::time::Instant;

struct Downloads {
    fixture: Fixture,
    rig: Rig,
    gate: Gate,
    running: Vec<Open>,
    _upstream: Upstream,
}

/// Longer than any busy machine takes for what has to be done at once.
const PATIENT: [&str; 4] = ["--leave-delay", "60s", "--drain-timeout", "60s"];
const AT_ONCE: Duration = Duration::from_secs(30);

fn patient(upstream: &Upstream) -> Setup {
    let setup = Setup::default().manifest(Manifest::of(&NPM, upstream).with("upstream.idleTimeout", "5m"));
    PATIENT.iter().fold(setup, |setup, argument| setup.argument(argument))
}

/// Twenty clients inside a download that the upstream holds back.
async fn downloads(setup: impl FnOnce(&Upstream) -> Setup) -> Downloads {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let gate = Gate::shut();
    let resource = Resource::file(fixture.bytes(LARGE).clone());
    let body = resource.body();
    let reply = resource.head().bytes(body.slice(..300_000)).hold(&gate).bytes(body.slice(300_000..));
    upstream.then(&fixture.upstream_artifact(LARGE), reply);
    let rig = setup(&upstream).start().await;
    let running = join_all((0..20).map(|_| async {
        let mut open = rig.client().open(Ask::get(&fixture.artifact(LARGE))).await.unwrap();
        assert!(open.read(100_000).await);
        open
    }))
    .await;
    Downloads { fixture, rig, gate, running, _upstream: upstream }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_downloads_finish() {
    let idle = |upstream: &Upstream| Manifest::of(&NPM, upstream).with("upstream.idleTimeout", "60s");
    let mut state = downloads(|upstream| Setup::default().manifest(idle(upstream))).await;
    state.rig.signal(Signal::TERM);
    until("readiness to fail", || async {
        let answer = state.rig.admin().open(Ask::get("/readyz")).await;
        answer.is_ok_and(|answer| answer.status == 503).then_some(())
    })
    .await;
    // The cluster still sends clients here for a moment.
    let late = state.rig.get(&state.fixture.artifact(SMALL)).await.expect_status(200);
    assert!(late.bytes() == state.fixture.bytes(SMALL));
    state.gate.open();
    let expected = state.fixture.bytes(LARGE);
    let running = std::mem::take(&mut state.running);
    assert!(join_all(running.into_iter().map(|open| open.equals(expected))).await.iter().all(|equal| *equal));
    assert_eq!(state.rig.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_now() {
    let mut state = downloads(patient).await;
    state.rig.signal(Signal::TERM);
    until("readiness to fail", || async {
        let answer = state.rig.admin().open(Ask::get("/readyz")).await;
        answer.is_ok_and(|answer| answer.status == 503).then_some(())
    })
    .await;
    let before = Instant::now();
    state.rig.signal(Signal::TERM);
    state.rig.ended().await;
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    for open in std::mem::take(&mut state.running) {
        assert!(open.finish().await.body.is_err(), "a cut download looks complete");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_does_not_wait_for_a_cluster() {
    let upstream = Upstream::start().await;
    let mut rig = patient(&upstream).start().await;
    let before = Instant::now();
    rig.signal(Signal::INT);
    assert_eq!(rig.ended().await, Some(0));
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
}
