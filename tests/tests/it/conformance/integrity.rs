//! Wrong and broken bytes: never completed to a client, never kept, and what happens next.

use bytes::Bytes;
use tests::bytes_of::corrupted;
use tests::fixture::{LARGE, SMALL};
use tests::wait::within;
use tests::{Protocol, Reply, Resource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Case;

pub(super) async fn wrong_large_file(protocol: &'static dyn Protocol) {
    wrong_file(&Case::new(protocol).await, LARGE).await;
}

pub(super) async fn wrong_small_file(protocol: &'static dyn Protocol) {
    wrong_file(&Case::new(protocol).await, SMALL).await;
}

pub(super) async fn wrong_file_with_known_metadata(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    case.metadata().await.expect_status(200);
    wrong_file(&case, LARGE).await;
}

async fn wrong_file(case: &Case, release: usize) {
    let evil = corrupted(case.fixture.bytes(release));
    case.upstream.set(&case.fixture.upstream_artifact(release), Resource::file(evil.clone()));
    let answer = case.artifact(release).await;
    assert!(!answer.is_complete_success(), "wrong bytes were completed: {:?}", answer.headers);
    if release == LARGE {
        assert_eq!(answer.header("etag"), "", "no validator that resumes a bad half");
    }
    // Nobody waits for a commit, so that wrong bytes could still be on their way to the disk.
    case.rig.until_written().await;
    assert!(case.rig.stored_copies(&evil).is_empty(), "wrong bytes were kept");
    let mismatches = case.rig.metrics().await.sum("packageproxy_digest_mismatches_total", &[]);
    let tries = 1 + u64::from(case.fixture.protocol.tries_again() && release == SMALL);
    assert_eq!(mismatches, tries);
    case.fixture.install(&case.upstream);
    case.assert_true_bytes(&case.artifact(release).await, release);
}

pub(super) async fn a_repeated_mismatch_is_remembered(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let evil = corrupted(case.fixture.bytes(SMALL));
    case.upstream.set(&case.fixture.upstream_artifact(SMALL), Resource::file(evil));
    for _ in 0..4 {
        let answer = case.artifact(SMALL).await;
        assert_eq!(answer.status, 502, "{:?}", answer.headers);
    }
    let tries = 1 + usize::from(case.fixture.protocol.tries_again());
    assert_eq!(case.asked_for(SMALL), tries + 1, "refetched once, then left alone for a while");
}

pub(super) async fn a_cache_on_the_way_that_holds_wrong_bytes_is_passed_by(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for release in [SMALL, LARGE] {
        let path = case.fixture.upstream_artifact(release);
        let true_bytes = case.fixture.bytes(release).clone();
        let wrong = Resource::file(corrupted(&true_bytes));
        case.upstream.set(&path, Resource::file(true_bytes).behind_a_cache_of(wrong));
        let is_mended = case.fixture.protocol.tries_again() && release == SMALL;
        assert_eq!(case.arrives_whole(release).await, is_mended, "wrong bytes were completed");
        case.rig.until_written().await;
        case.assert_true_bytes(&case.artifact(release).await, release);
        let asked = case.upstream.requests_of(&path);
        let told: Vec<_> = asked.iter().map(|request| request.header("cache-control")).collect();
        assert_eq!(told, [None, Some("no-cache")], "caches are used until they are wrong");
    }
}

pub(super) async fn broken_bodies(protocol: &'static dyn Protocol) {
    const LENGTH: usize = 200_000;
    let mut case = Case::new(protocol).await;
    let first = case.fixture.package.releases.len();
    case.fixture.publish("4.0.0", LENGTH);
    // At both ends, where bodies begin to flow, and in the middle of what flows.
    let length = case.fixture.bytes(first).len();
    let ways = ["cut", "reset", "no last chunk", "close-delimited and short"];
    let breaks = [1, 65_536, 90_000, length - 1].into_iter().flat_map(|at| ways.map(|way| (way, at)));
    let breaks: Vec<_> = breaks.chain([("cut", 0)]).collect();
    for number in 1..breaks.len() {
        case.fixture.publish(&format!("4.{number}.0"), LENGTH);
    }
    case.fixture.install(&case.upstream);
    let mut parts = Vec::new();
    for (release, (way, at)) in (first..).zip(breaks) {
        let bytes = case.fixture.bytes(release).clone();
        assert!(at < bytes.len());
        let part = bytes.slice(..at);
        let resource = Resource::file(bytes);
        // Whatever is asked, ranges included, breaks in this way.
        let reply = match way {
            "cut" => resource.cut_after(at),
            "reset" => resource.reset_after(at),
            "no last chunk" => Reply::ok(part.clone()).unfinished_chunks(),
            _ => Reply::ok(part.clone()).until_close(),
        };
        let path = case.fixture.upstream_artifact(release);
        case.upstream.set(&path, reply);
        assert!(!case.arrives_whole(release).await, "{way} after {at}: a part was taken for the whole");
        case.upstream.set(&path, Resource::file(case.fixture.bytes(release).clone()));
        case.assert_true_bytes(&case.artifact(release).await, release);
        parts.push(part);
    }
    // What was staged leaves the disk a moment after the answer.
    case.rig.until_written().await;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        assert!(case.rig.stored_copies(part).is_empty(), "{} bytes: a part was kept", part.len());
    }
}

pub(super) async fn broken_bodies_are_resumed(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    case.metadata().await.expect_status(200);
    let path = case.fixture.upstream_artifact(LARGE);
    let resource = Resource::file(case.fixture.bytes(LARGE).clone());
    case.upstream.then(&path, resource.cut_after(400_000));
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
    let requests = case.upstream.requests_of(&path);
    assert_eq!(requests.len(), 2);
    let range = requests[1].header("range").expect("the rest is asked for");
    assert!(range.starts_with("bytes=") && range.ends_with('-') && range != "bytes=0-", "{range}");
}

pub(super) async fn odd_but_honest_framings(protocol: &'static dyn Protocol) {
    let mut case = Case::new(protocol).await;
    let first = case.fixture.package.releases.len();
    for number in 0..3 {
        case.fixture.publish(&format!("5.{number}.0"), 200_000);
    }
    case.fixture.install(&case.upstream);
    for number in 0..3 {
        let release = first + number;
        let bytes = case.fixture.bytes(release).clone();
        let longer = Bytes::from([bytes.as_ref(), b"too much".as_slice()].concat());
        let reply = match number {
            0 => Reply::ok(bytes).chunked(),
            1 => Reply::ok(bytes).until_close(),
            _ => Reply::ok(longer).claims(bytes.len()),
        };
        case.upstream.set(&case.fixture.upstream_artifact(release), reply);
        case.assert_true_bytes(&case.artifact(release).await, release);
        case.assert_true_bytes(&case.rig.until_hit(&case.fixture.artifact(release)).await, release);
    }
}

/// The answer to a request of HTTP/1.0, whose body may end with the connection: status, body, and whether the client
/// has any sign that it is not whole.
async fn asked_by_an_old_client(case: &Case, path: &str) -> (u16, Vec<u8>, bool) {
    let mut socket = TcpStream::connect(case.rig.data()).await.expect("the server accepts");
    socket.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.expect("a request that is taken");
    let mut received = Vec::new();
    let reset = within("the end of the connection", socket.read_to_end(&mut received)).await.is_err();
    let end = received.windows(4).position(|four| four == b"\r\n\r\n").map_or(received.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    assert!(!head.contains("transfer-encoding"), "HTTP/1.0 knows no chunks: {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let body = received.split_off(end);
    let short = length.is_some_and(|length| length > body.len());
    (status, body, reset || short)
}

pub(super) async fn old_clients_see_a_break(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("upstream.retry.attempts", 0)).await;
    case.metadata().await.expect_status(200);
    let path = case.fixture.artifact(LARGE);
    let bytes = case.fixture.bytes(LARGE).clone();
    let broken = Reply::ok(bytes.slice(..300_000)).unfinished_chunks();
    case.upstream.set(&case.fixture.upstream_artifact(LARGE), broken);
    let (status, body, broken) = asked_by_an_old_client(&case, &path).await;
    assert!(status != 200 || broken, "{} bytes of {} look like all of it", body.len(), bytes.len());
    // Of a body that is whole it gets all.
    case.upstream.set(&case.fixture.upstream_artifact(LARGE), Reply::ok(bytes.clone()).chunked());
    let (status, body, broken) = asked_by_an_old_client(&case, &path).await;
    assert!(status == 200 && !broken && body == bytes, "{status}, {} bytes, broken {broken}", body.len());
    let (status, document, _) = asked_by_an_old_client(&case, &case.fixture.metadata()).await;
    assert_eq!((status, protocol.versions(&document).len()), (200, 2));
}
