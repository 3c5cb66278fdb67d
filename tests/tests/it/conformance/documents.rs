//! Metadata: lifetimes, validators, links, codings, and what is not there.

use std::io::Read as _;

use flate2::read::GzDecoder;
use tests::wait::until;
use tests::{Answer, Ask, Protocol, Reply};
use tokio::time::Instant;

use super::Case;

pub(super) async fn not_modified_extends_the_lifetime(protocol: &'static dyn Protocol) {
    let tune =
        |manifest: tests::Manifest| manifest.with("cache.metadataTTL", "1s").with("cache.staleWhileRevalidate", "0s");
    let case = Case::with(protocol, tune).await;
    let first = case.metadata().await.expect_status(200);
    let revalidated = until("a revalidation", || async {
        let answer = case.metadata().await;
        answer.cache_status().contains("fwd-status=304").then_some(answer)
    })
    .await;
    assert!(revalidated.cache_status().contains("fwd=stale"), "{}", revalidated.cache_status());
    assert_eq!((first.bytes(), first.header("etag")), (revalidated.bytes(), revalidated.header("etag")));
    // It is fresh again for a second, in which nobody is asked.
    until("a hit", || async {
        let asked = case.upstream.total();
        (case.metadata().await.is_hit() && case.upstream.total() == asked).then_some(())
    })
    .await;
}

pub(super) async fn validators_go_out_verbatim(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, tests::Manifest::always_revalidating).await;
    let path = case.fixture.upstream_metadata();
    let reply = |name: &str, value: &str| {
        let resource = case.fixture.document(&case.upstream).without_validators();
        let head = protocol_form(&case, &resource).header(name, value);
        case.upstream.set(&path, head);
    };
    for (name, value, condition) in [
        ("ETag", "W/\"weak one\"", "if-none-match"),
        ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT", "if-modified-since"),
    ] {
        reply(name, value);
        until("the new validator to be stored", || async {
            case.metadata().await.cache_status().contains("fwd-status=200").then_some(())
        })
        .await;
        case.upstream.then(&path, Reply::new(304).header(name, value));
        until("a revalidation", || async {
            case.metadata().await.cache_status().contains("fwd-status=304").then_some(())
        })
        .await;
        let requests = case.upstream.requests_of(&path);
        let last = requests.last().unwrap();
        assert_eq!(last.header(condition), Some(value), "{last:?}");
    }
}

/// A plain 200 of a document, for replies with headers of their own.
fn protocol_form(case: &Case, resource: &tests::Resource) -> Reply {
    let body = resource.body().clone();
    let content_type = case.fixture.protocol.metadata_type();
    Reply::ok(body).header("Content-Type", content_type)
}

pub(super) async fn no_link_leads_to_the_upstream(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for (path, accept) in case.fixture.forms() {
        let answer = case.get_with(&path, "Accept", accept).await.expect_status(200);
        let text = answer.text();
        assert!(!text.contains(&case.upstream.address().to_string()), "{path} ({accept}): {text}");
        let wanted = accept.split([';', ',']).next().unwrap_or_default();
        if accept != "*/*" {
            assert!(answer.header("content-type").starts_with(wanted), "{accept}: {:?}", answer.headers);
        }
    }
}

pub(super) async fn links_work(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let package = &case.fixture.package;
    let at = format!("http://{}{}", case.rig.data(), case.fixture.linking());
    let document = case.rig.get(&case.fixture.linking()).await.expect_status(200).text();
    for (index, release) in package.releases.iter().enumerate() {
        let link = protocol.link(&document, &at, &package.name, &release.version).expect("a link");
        let base = format!("http://{}", case.rig.data());
        let path = link.strip_prefix(&base).unwrap_or_else(|| panic!("{link} is not below {base}"));
        case.assert_true_bytes(&case.rig.get(path).await, index);
    }
}

pub(super) async fn every_base_gets_its_own_links(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let package = &case.fixture.package;
    let path = case.fixture.linking();
    let mut etags = Vec::new();
    for host in [case.rig.data().to_string(), format!("localhost:{}", case.rig.data().port()), "127.0.0.1:9".to_owned()]
    {
        let answer = case.get_with(&path, "Host", &host).await.expect_status(200);
        let at = format!("http://{host}{path}");
        let link = protocol.link(&answer.text(), &at, &package.name, "1.0.0").expect("a link");
        assert!(link.starts_with(&format!("http://{host}/{}/", protocol.name())), "{host}: {link}");
        etags.push((answer.bytes().clone(), answer.header("etag").to_owned()));
    }
    for (bytes, etag) in &etags {
        assert!(etags.iter().all(|(other, tag)| bytes == other || etag != tag), "one ETag for two documents");
    }
    assert!(case.upstream.count(&format!("{}config.json", tests::fixture::BASE)) <= 1);
}

pub(super) async fn absent_packages_are_remembered_shortly(protocol: &'static dyn Protocol) {
    absent(protocol, 404).await;
}

pub(super) async fn gone_packages_too(protocol: &'static dyn Protocol) {
    absent(protocol, 410).await;
}

/// Seconds.
const NEGATIVE_TTL: u64 = 2;

async fn absent(protocol: &'static dyn Protocol, status: u16) {
    let case = Case::with(protocol, |manifest| manifest.with("cache.negativeTTL", format!("{NEGATIVE_TTL}s"))).await;
    let (path, upstream_path) = case.absent("missing-lab");
    case.upstream.set(&upstream_path, Reply::new(status).text("no"));
    let began = Instant::now();
    for _ in 0..3 {
        case.rig.get(&path).await.expect_status(status);
    }
    // On a busy machine a further lifetime may have begun.
    let lifetimes = usize::try_from(began.elapsed().as_secs() / NEGATIVE_TTL).expect("a small number");
    let asked = case.upstream.count(&upstream_path);
    assert!(asked <= 1 + lifetimes, "an absent package was asked for {asked} times");
    let mut published = tests::Fixture::new(protocol);
    "missing-lab".clone_into(&mut published.package.name);
    published.install(&case.upstream);
    let answer = until("the package to be found", || async {
        let answer = case.rig.get(&path).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(protocol.versions(answer.bytes()), ["1.0.0", "1.1.0"]);
}

pub(super) async fn client_codings(protocol: &'static dyn Protocol) {
    let mut case = Case::new(protocol).await;
    for number in 0..200 {
        case.fixture.publish(&format!("2.{number}.0"), 10);
    }
    case.fixture.install(&case.upstream);
    let path = case.fixture.metadata();
    let plain = case.get_with(&path, "Accept-Encoding", "identity").await.expect_status(200);
    assert_eq!(plain.header("content-encoding"), "");
    for (accepted, coded) in [("gzip", true), ("br;q=1, gzip;q=0.5", true), ("gzip;q=0", false), ("identity", false)] {
        let answer = case.get_with(&path, "Accept-Encoding", accepted).await.expect_status(200);
        assert_eq!(answer.header("content-encoding") == "gzip", coded, "{accepted}");
        assert!(decoded(&answer) == plain.bytes().as_ref(), "{accepted}");
        assert_eq!(answer.header("etag") != plain.header("etag"), coded, "one ETag for two codings");
        assert!(answer.header("vary").to_lowercase().contains("accept-encoding"), "{:?}", answer.headers);
    }
    let file = case.get_with(&case.fixture.artifact(0), "Accept-Encoding", "gzip").await;
    assert_eq!(file.header("content-encoding"), "", "files are never coded");
    case.assert_true_bytes(&file, 0);
    assert_eq!(case.asked_for_metadata(), 1);
}

pub(super) async fn upstream_codings(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let document = case.fixture.document(&case.upstream);
    case.upstream.set(&case.fixture.upstream_metadata(), document.gzipped());
    for accepted in ["identity", "gzip", "deflate"] {
        let answer = case.get_with(&case.fixture.metadata(), "Accept-Encoding", accepted).await.expect_status(200);
        assert_eq!(protocol.versions(&decoded(&answer)), ["1.0.0", "1.1.0"], "{accepted}");
    }
    case.artifact(1).await.expect_status(200);
    for request in case.upstream.requests_of(&case.fixture.upstream_artifact(1)) {
        assert!(matches!(request.header("accept-encoding"), None | Some("identity")), "{:?}", request.headers);
    }
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut text = Vec::new();
    match answer.header("content-encoding") {
        "" => text.extend_from_slice(answer.bytes()),
        "gzip" => drop(GzDecoder::new(answer.bytes().as_ref()).read_to_end(&mut text).expect("gzip")),
        other => panic!("unasked coding {other}"),
    }
    text
}

pub(super) async fn a_new_release_is_found(protocol: &'static dyn Protocol) {
    let mut case = Case::with(protocol, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    case.metadata().await.expect_status(200);
    let new = case.fixture.publish("3.0.0", 2_000);
    case.fixture.install(&case.upstream);
    // The cached document lacks it: it is asked again, at the latest when it is ten seconds old.
    let path = case.fixture.artifact(new);
    let found = until("the new release", || async {
        let answer = case.rig.get(&path).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    case.assert_true_bytes(&found, new);
}

pub(super) async fn unknown_releases_ask_once(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    case.metadata().await.expect_status(200);
    let asked = case.asked_for_metadata();
    for version in ["7.0.0", "7.0.1", "7.0.2", "7.0.0"] {
        let path = protocol.artifact(&case.fixture.package.name, version);
        case.rig.get(&format!("/{}/{path}", protocol.name())).await.expect_status(404);
    }
    let requests = case.upstream.requests_of(&case.fixture.upstream_metadata());
    // At most one forced revalidation of each document in ten seconds; another form may have to be fetched first.
    assert!(requests.len() <= asked + 2, "{requests:#?}");
}

pub(super) async fn queries_do_not_split_keys(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for query in ["", "?cache=no", "?a=1&b=2"] {
        case.rig.get(&format!("{}{query}", case.fixture.metadata())).await.expect_status(200);
        case.assert_true_bytes(&case.rig.get(&format!("{}{query}", case.fixture.artifact(0))).await, 0);
    }
    let asks = Ask::get(&case.fixture.metadata()).header("Cache-Control", "no-cache").header("Pragma", "no-cache");
    case.rig.send(asks).await.expect_status(200);
    assert_eq!((case.asked_for_metadata(), case.asked_for(0)), (1, 1));
    assert!(case.upstream.requests().iter().all(|request| !request.target.contains('?')));
}
