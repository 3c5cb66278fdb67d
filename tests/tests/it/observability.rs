//! What operators see: labels from closed lists only, and nothing of what clients or upstreams keep secret.

use std::collections::BTreeSet;

use serde_json::json;
use tests::bytes_of::corrupted;
use tests::fixture::{BASE, CARGO, LARGE, NPM, PYPI, SMALL};
use tests::rig::{Metrics, Setup};
use tests::{Ask, Fixture, Manifest, Protocol, Reply, Resource, Rig, Upstream};

const SECRET: &str = "CANARY-7d20e4";

/// Every kind of thing that happens to a registry, for all of them.
async fn busy(rig: &Rig, upstream: &Upstream, fixtures: &[Fixture], round: usize) {
    for fixture in fixtures {
        let name = fixture.protocol.name();
        for path in [fixture.linking(), fixture.metadata(), fixture.artifact(SMALL), fixture.artifact(LARGE)] {
            rig.get(&path).await.expect_status(200);
            rig.until_hit(&path).await;
        }
        rig.send(Ask::head(&fixture.artifact(SMALL))).await.expect_status(200);
        rig.send(Ask::get(&fixture.artifact(LARGE)).header("Range", "bytes=1-2")).await.expect_status(206);
        rig.send(Ask::get(&fixture.metadata()).header("Host", &format!("made-up-{round}.example"))).await;
        rig.send(Ask::new(http::Method::PUT, &fixture.metadata())).await;
        for (kind, reply) in [
            ("absent", Reply::new(404)),
            ("failing", Reply::new(500)),
            ("private", Reply::new(403)),
            ("teapot", Reply::new(418)),
            ("odd", Reply::new(299)),
            ("broken", Reply::new(200).reset_head()),
        ] {
            let package = format!("{kind}-lab-{round}");
            upstream.set(&format!("{BASE}{}", fixture.protocol.upstream_metadata(&package)), reply);
            let answer = rig.get(&format!("/{name}/{}", fixture.protocol.metadata(&package))).await;
            assert!(!answer.status.is_success(), "{kind}: {}", answer.status);
        }
        rig.get(&format!("/{name}/{}", fixture.protocol.artifact("tiny-lab", &format!("99.{round}.0")))).await;
    }
    rig.get(&format!("/made-up-{round}/x")).await.expect_status(404);
}

fn label_values<'a>(labels: &'a [(String, String)], name: &str) -> BTreeSet<&'a str> {
    labels.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_come_from_closed_lists() {
    let upstream = Upstream::start().await;
    let fixtures = [&CARGO as &dyn Protocol, &NPM, &PYPI].map(Fixture::new);
    for fixture in &fixtures {
        fixture.install(&upstream);
    }
    let manifests = fixtures.iter().map(|fixture| Manifest::of(fixture.protocol, &upstream));
    let rig = Rig::serve(manifests.map(|manifest| manifest.with("upstream.retry.attempts", 0))).await;
    busy(&rig, &upstream, &fixtures, 0).await;
    busy(&rig, &upstream, &fixtures, 1).await;
    let before = rig.metrics().await;
    assert_bounded(&before, &upstream);
    for round in 2..5 {
        busy(&rig, &upstream, &fixtures, round).await;
    }
    let after = rig.metrics().await;
    assert_bounded(&after, &upstream);
    let (names, later) = (before.labels(), after.labels());
    // How the cache came to an answer is a matter of moments, and of a closed list.
    let of_names = |labels: &[(String, String)]| {
        labels.iter().filter(|(name, _)| name != "cache").cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(of_names(&names), of_names(&later), "new names made new labels");
    // The counters count: five rounds, three registries, and of each at least a PUT and six failures.
    assert!(after.sum("packageproxy_requests_total", &[]) >= 5 * 3 * 12);
    assert!(after.sum("packageproxy_requests_total", &[("ecosystem", "npm"), ("outcome", "5xx")]) >= 5 * 2);
    assert!(after.sum("packageproxy_requests_total", &[("cache", "hit")]) >= 5 * 3 * 4);
    assert!(after.sum("packageproxy_bytes_from_cache_total", &[("ecosystem", "pypi")]) >= 700_000);
    assert!(after.sum("packageproxy_bytes_from_upstream_total", &[("ecosystem", "cargo")]) >= 703_000);
}

fn assert_bounded(metrics: &Metrics, upstream: &Upstream) {
    let text = metrics.text();
    for word in ["-lab", "made-up", "1.0.0", "\"99.", ".example", ".tgz", ".whl", "simple/", "config.json"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(metrics.len() < 250, "{} series", metrics.len());
    let labels = metrics.labels();
    let names: BTreeSet<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["cache", "ecosystem", "le", "origin", "outcome"]));
    let ecosystems = label_values(&labels, "ecosystem");
    let all = crds::Ecosystem::ALL.iter().map(|ecosystem| ecosystem.name()).chain(["none"]).collect();
    assert!(ecosystems.is_subset(&all), "{ecosystems:?}");
    assert!(ecosystems.len() >= 3, "{ecosystems:?}");
    let outcomes = label_values(&labels, "outcome");
    let known = BTreeSet::from(["1xx", "2xx", "3xx", "4xx", "5xx", "error"]);
    assert!(outcomes.is_subset(&known), "{outcomes:?}");
    assert!(outcomes.contains("2xx") && outcomes.contains("4xx") && outcomes.contains("5xx"), "{outcomes:?}");
    let origin = format!("http://{}", upstream.address());
    assert_eq!(label_values(&labels, "origin"), BTreeSet::from([origin.as_str()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_and_no_secret_is_shown() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    // Signed links, to an origin that refuses connections.
    fixture.files = None;
    fixture.install(&upstream);
    let dead = Upstream::start().await;
    let signed = dead.url(&format!("/cdn/file?X-Signature={SECRET}"));
    dead.stop().await;
    let manifest = Manifest::of(&NPM, &upstream)
        .allowing_loopback()
        .bearer("account")
        .with("upstream.retry.attempts", 0)
        .with("upstream.breaker.failures", 3);
    let rig = Setup::default()
        .manifest(manifest)
        .secret("account", "token", SECRET)
        .environment("PACKAGEPROXY_LOG_LEVEL", "trace")
        .start()
        .await;
    let mut seen = Vec::new();
    let document = String::from_utf8_lossy(fixture.document(&upstream).body()).into_owned();
    let link = upstream.url(&fixture.upstream_artifact(LARGE));
    upstream.set(&fixture.upstream_metadata(), Resource::new(document.replace(&link, &signed), "application/json"));
    rig.get(&fixture.metadata()).await.expect_status(200);
    upstream.unset(&fixture.upstream_artifact(LARGE));
    upstream.set(&fixture.upstream_artifact(SMALL), Reply::redirect(&signed));
    for path in [fixture.artifact(LARGE), fixture.artifact(SMALL)] {
        let answer = rig.get(&path).await;
        assert!(answer.status.is_server_error(), "{path}: {}", answer.status);
        seen.push(format!("{:?} {}", answer.headers, answer.text()));
        seen.push(rig.status().await.to_string());
    }
    upstream.set(&fixture.upstream_artifact(SMALL), Resource::file(corrupted(fixture.bytes(SMALL))));
    seen.push(rig.get(&fixture.artifact(SMALL)).await.text());
    // The registry itself fails, by every path that an address with a query can take.
    upstream.set(&format!("{BASE}-/v1/search"), Reply::new(500));
    rig.get(&format!("/npm/-/v1/search?text={SECRET}")).await;
    for number in 0..5 {
        let at = upstream.url(&format!("{BASE}next-{number}?token={SECRET}"));
        upstream.set(&format!("{BASE}moved-{number}"), Reply::redirect(&at));
        upstream.set(&format!("{BASE}next-{number}"), Reply::new(500));
        let answer = rig.get(&format!("/npm/moved-{number}?token={SECRET}")).await;
        seen.push(format!("{:?} {}", answer.headers, answer.text()));
    }
    upstream.stop().await;
    seen.push(rig.get(&format!("/npm/gone?token={SECRET}")).await.text());
    let status = rig.status().await;
    let refusals = &status["proxies"][0]["upstream"];
    assert_ne!(refusals["lastError"], json!(null), "the failures left no trace at all: {status}");
    seen.push(status.to_string());
    seen.push(rig.metrics().await.text().to_owned());
    for text in &seen {
        assert!(!text.contains(SECRET) && !text.contains("X-Signature") && !text.contains("token="), "{text}");
    }
    for line in rig.logs() {
        assert!(!line.contains(SECRET) && !line.contains("X-Signature"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_reach_a_proxy_under_an_unknown_name_are_shown() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    assert_eq!(rig.status().await["proxies"][0]["unlistedHosts"], json!(null));
    for (number, (host, last)) in [
        ("packages.corp.example:8443", json!("packages.corp.example:8443")),
        (&format!("user:{SECRET}@corp.example"), json!(null)),
        (&"x".repeat(300), json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        rig.send(Ask::get(&fixture.metadata()).header("Host", host)).await.expect_status(200);
        let status = rig.status().await;
        let shown = &status["proxies"][0]["unlistedHosts"];
        assert_eq!((&shown["requests"], &shown["last"]), (&json!(number + 1), &last), "{host}");
        assert!(shown["message"].as_str().unwrap().contains("set externalURL"), "{shown}");
        assert_eq!(
            rig.metrics().await.sum("packageproxy_unlisted_hosts_total", &[("ecosystem", "npm")]),
            number as u64 + 1
        );
    }
    // The remedy is one: what was before it does not count.
    rig.write_manifest(&Manifest::of(&NPM, &upstream).with("externalURL", "https://packages.corp.example:8443"));
    tests::wait::until("the new address", || async {
        let status = rig.status().await;
        (status["proxies"][0]["unlistedHosts"] == json!(null)).then_some(())
    })
    .await;
    let known = Ask::get(&fixture.metadata()).header("Host", "packages.corp.example:8443");
    rig.send(known).await.expect_status(200);
    assert_eq!(rig.status().await["proxies"][0]["unlistedHosts"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_behind_an_open_port_is_warned_of() {
    let upstream = Upstream::start().await;
    let open = Manifest::of(&NPM, &upstream);
    let setup = Setup::default().manifest(open.clone().bearer("account")).secret("account", "token", SECRET);
    let rig = setup.start().await;
    let warnings = async || rig.status().await["configuration"]["warnings"].clone();
    let told = warnings().await;
    let lines = told.as_array().unwrap();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].as_str().unwrap().contains("everyone who reaches it reads what this account may read"), "{told}");
    rig.write_manifest(&open);
    tests::wait::until("no account", || async { (warnings().await == json!([])).then_some(()) }).await;
}
