//! Many clients, one cold key: one request, streaming, and nobody's fate tied to anybody else's.

use futures_util::future::join_all;
use tests::client::Open;
use tests::fixture::{LARGE, NPM};
use tests::{Ask, Fixture, Gate, Manifest, Resource, Rig, Upstream};

const MEBIBYTE: usize = 1 << 20;

/// A registry with one big file that the upstream holds back after some bytes.
struct Big {
    fixture: Fixture,
    upstream: Upstream,
    rig: Rig,
    release: usize,
    gate: Gate,
}

impl Big {
    async fn new(length: usize, held_after: usize) -> Self {
        let upstream = Upstream::start().await;
        let mut fixture = Fixture::new(&NPM);
        let release = fixture.publish("9.0.0", length);
        fixture.install(&upstream);
        let gate = Gate::shut();
        let resource = Resource::file(fixture.bytes(release).clone());
        let body = resource.body();
        let reply = resource.head().bytes(body.slice(..held_after)).hold(&gate).bytes(body.slice(held_after..));
        upstream.then(&fixture.upstream_artifact(release), reply);
        let manifest =
            Manifest::of(&NPM, &upstream).with("upstream.idleTimeout", "60s").with("upstream.retry.attempts", 1);
        let rig = Rig::serve([manifest]).await;
        Self { fixture, upstream, rig, release, gate }
    }

    async fn open(&self) -> Open {
        self.rig.client().open(Ask::get(&self.fixture.artifact(self.release))).await.unwrap()
    }

    fn asked(&self) -> usize {
        self.upstream.count(&self.fixture.upstream_artifact(self.release))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_share_one_request_from_the_first_byte() {
    let big = Big::new(8 * MEBIBYTE, MEBIBYTE).await;
    let clients = join_all((0..200).map(|_| async {
        let mut open = big.open().await;
        // While the upstream has sent an eighth, every client has its beginning.
        assert!(open.read(64 << 10).await, "{:?}", open.headers);
        open
    }))
    .await;
    let joined = clients.iter().filter(|open| open.headers["cache-status"].to_str().unwrap().contains("collapsed"));
    assert_eq!(joined.count(), 199);
    big.gate.open();
    let expected = big.fixture.bytes(big.release);
    let whole = join_all(clients.into_iter().map(|open| open.equals(expected))).await;
    assert!(whole.iter().all(|equal| *equal), "{} of 200 bodies differ", whole.iter().filter(|equal| !**equal).count());
    assert_eq!(big.asked(), 1);
    let peak = big.rig.peak_memory();
    assert!(peak < 250 * MEBIBYTE as u64, "{} MiB resident", peak / MEBIBYTE as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_client_slows_nobody() {
    // Larger than all socket buffers together, so that the stalled client really stops its own stream.
    let big = Big::new(24 * MEBIBYTE, MEBIBYTE).await;
    let mut stalled = big.open().await;
    assert!(stalled.read(1).await);
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut open = big.open().await;
        assert!(open.read(1).await);
        others.push(open);
    }
    big.gate.open();
    let expected = big.fixture.bytes(big.release);
    for equal in join_all(others.into_iter().map(|open| open.equals(expected))).await {
        assert!(equal);
    }
    assert!(stalled.equals(expected).await);
    assert_eq!(big.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_fill_fails_for_everyone_without_a_second_stampede() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let release = fixture.publish("9.0.0", 2 * MEBIBYTE);
    fixture.install(&upstream);
    let path = fixture.upstream_artifact(release);
    let resource = Resource::file(fixture.bytes(release).clone());
    // At 60 % the leader breaks off, and so does whatever is asked afterwards, the rest by range included.
    let gate = Gate::shut();
    upstream.then(&path, resource.head().bytes(resource.body().slice(..1_200_000)).hold(&gate).cut());
    upstream.set(&path, resource.cut_after(0));
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    let clients = join_all((0..100).map(|_| async {
        let mut open = rig.client().open(Ask::get(&fixture.artifact(release))).await.unwrap();
        assert!(open.read(1_000_000).await);
        open
    }))
    .await;
    gate.open();
    for answer in join_all(clients.into_iter().map(Open::finish)).await {
        assert!(answer.body.is_err(), "a client was told that it has everything");
    }
    let asked = upstream.count(&path);
    assert!(asked <= 5, "{asked} requests: one, and at most a few for the rest");
    fixture.install(&upstream);
    let healed = rig.get(&fixture.artifact(release)).await.expect_status(200);
    assert!(healed.bytes() == fixture.bytes(release), "the key is wedged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_and_condition_on_a_filling_key() {
    let big = Big::new(2 * MEBIBYTE, MEBIBYTE).await;
    let path = big.fixture.artifact(big.release);
    let expected = big.fixture.bytes(big.release).clone();
    let mut leader = big.open().await;
    assert!(leader.read(1).await);
    let head = big.rig.send(Ask::head(&path)).await.expect_status(200);
    assert_eq!(head.header("content-length"), expected.len().to_string());
    let ranges = [("bytes=100-199", 100..200), ("bytes=-100", expected.len() - 100..expected.len())];
    let clients = join_all(ranges.map(|(range, wanted)| {
        let (path, expected) = (&path, &expected);
        let client = big.rig.client();
        async move {
            // A part of what is not verified yet may have to wait: it would be completed before the digest is known.
            let open = client.open(Ask::get(path).header("Range", range)).await.unwrap();
            match open.status.as_u16() {
                206 => assert!(open.finish().await.bytes() == &expected.slice(wanted), "{range}"),
                200 => assert!(open.equals(expected).await, "{range}"),
                status => panic!("{range}: {status}"),
            }
        }
    }));
    let conditional = async {
        let open = big.rig.client().open(Ask::get(&path).header("If-None-Match", "\"other\"")).await.unwrap();
        assert!(open.equals(&expected).await);
    };
    let release = async { big.gate.open() };
    tokio::join!(clients, conditional, release);
    assert!(leader.equals(&expected).await);
    let gets = big.upstream.requests_of(&big.fixture.upstream_artifact(big.release));
    assert_eq!(gets.iter().filter(|request| request.method == "GET").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_that_stalls_does_not_hold_up_another() {
    let big = Big::new(2 * MEBIBYTE, MEBIBYTE).await;
    let mut held = big.open().await;
    assert!(held.read(1).await);
    let other = big.rig.get(&big.fixture.artifact(LARGE)).await.expect_status(200);
    assert!(other.bytes() == big.fixture.bytes(LARGE));
    big.gate.open();
    assert!(held.equals(big.fixture.bytes(big.release)).await);
}
