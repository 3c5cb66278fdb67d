//! Registries of several servers, one of which lags behind: who has seen the newer document does not get the older one.

use tests::fixture::{BASE, DEBIAN, MAVEN, NPM, PYPI};
use tests::wait::until;
use tests::{Manifest, Protocol, Resource, Rig, Upstream};

/// A document that says which revision it is.
struct Case {
    protocol: &'static dyn Protocol,
    package: &'static str,
    path: &'static str,
    of_day: fn(u8) -> Resource,
    /// How often it is asked for until it is taken: a head whose signature lies beside it once more after that.
    reads: usize,
}

const CASES: [Case; 5] = [
    Case { protocol: &DEBIAN, package: "dists/stable", path: "dists/stable/InRelease", of_day: head, reads: 1 },
    Case { protocol: &DEBIAN, package: "dists/stable", path: "dists/stable/Release", of_day: head, reads: 2 },
    Case {
        protocol: &MAVEN,
        package: "org.lab:tiny",
        path: "org/lab/tiny/maven-metadata.xml",
        of_day: versions,
        reads: 1,
    },
    Case { protocol: &NPM, package: "tiny", path: "tiny", of_day: packument, reads: 1 },
    Case { protocol: &PYPI, package: "tiny", path: "simple/tiny/", of_day: page, reads: 1 },
];

/// Of whatever `Release` there is.
const SIGNATURE: &str = "dists/stable/Release.gpg";

fn head(day: u8) -> Resource {
    let digest = "ab".repeat(32);
    Resource::new(format!("Date: 0{day} Jan 2022 00:00:00 UTC\nSHA256:\n {digest} 1 main/a\n"), "text/plain")
}

fn versions(day: u8) -> Resource {
    let updated = format!("<versioning><lastUpdated>2022010{day}000000</lastUpdated></versioning>");
    Resource::new(format!("<metadata>{updated}</metadata>"), "text/xml")
}

fn packument(day: u8) -> Resource {
    let time = format!(r#""time":{{"modified":"2022-01-0{day}T00:00:00.000Z"}}"#);
    Resource::new(format!(r#"{{"name":"tiny","versions":{{}},{time}}}"#), "application/json")
}

fn page(day: u8) -> Resource {
    let page = format!("<!DOCTYPE html><html><body><a href=\"tiny-{day}.tar.gz\">tiny-{day}.tar.gz</a></body></html>");
    Resource::new(page, "text/html").header("X-PyPI-Last-Serial", &day.to_string())
}

impl Case {
    fn upstream_path(&self) -> String {
        format!("{BASE}{}", self.path)
    }

    async fn start(&self, upstream: &Upstream, ttl: &str) -> Rig {
        upstream.set(&format!("{BASE}{SIGNATURE}"), Resource::file("signature"));
        let manifest = Manifest::of(self.protocol, upstream).with("cache.metadataTTL", ttl);
        Rig::serve([manifest.with("cache.staleWhileRevalidate", "0s")]).await
    }

    async fn get(&self, rig: &Rig) -> Vec<u8> {
        let answer = rig.get(&format!("/{}/{}", self.protocol.name(), self.path)).await.expect_status(200);
        answer.bytes().to_vec()
    }

    /// What a client is served that has never seen another one.
    async fn served(&self, day: u8) -> Vec<u8> {
        let upstream = Upstream::start().await;
        upstream.set(&self.upstream_path(), (self.of_day)(day));
        self.get(&self.start(&upstream, "1h").await).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_take_turns_show_one_document() {
    for case in CASES {
        let new = case.served(2).await;
        let upstream = Upstream::start().await;
        let path = case.upstream_path();
        // Once the new one is here, every other answer is of the server that lags behind; a further one is never asked
        // for here.
        let days = [&vec![2; case.reads][..], &[1, 2, 1]].concat();
        for day in &days {
            upstream.then(&path, (case.of_day)(*day));
        }
        upstream.set(&path, (case.of_day)(3));
        let rig = case.start(&upstream, "1s").await;
        until("all answers", || async {
            let is_new = case.get(&rig).await == new;
            let asked = upstream.count(&path);
            assert!(is_new || asked > days.len(), "{} after {asked} answers", case.path);
            (asked >= days.len()).then_some(())
        })
        .await;
        // The signature was asked for with the head that was taken, and once more as the same came again, since it may be
        // another one by then; and not with one that was held off.
        let signed = if case.reads > 1 { 2 } else { 0 };
        assert_eq!(upstream.count(&format!("{BASE}{SIGNATURE}")), signed, "{}", case.path);
        // And what is newer than both comes in at once.
        let newest = case.served(3).await;
        until("the newest", || async { (case.get(&rig).await == newest).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_document_comes_in_once_it_stays_or_is_forced() {
    for (case, is_forced) in CASES.into_iter().flat_map(|case| [(case, false)]).chain(CASES.map(|case| (case, true))) {
        let (old, new) = (case.served(1).await, case.served(2).await);
        assert_ne!(old, new);
        let upstream = Upstream::start().await;
        let path = case.upstream_path();
        upstream.set(&path, (case.of_day)(2));
        let rig = case.start(&upstream, if is_forced { "1h" } else { "1s" }).await;
        assert_eq!(case.get(&rig).await, new);
        rig.until_written().await;
        upstream.set(&path, (case.of_day)(1));
        if is_forced {
            assert_eq!(case.get(&rig).await, new);
            let arguments = ["purge", "--proxy", case.protocol.name(), "--package", case.package, "--admin", "{admin}"];
            let (code, printed) = rig.command(&arguments).await;
            assert_eq!(code, Some(0), "{printed}");
            assert_eq!(case.get(&rig).await, old);
            continue;
        }
        // Held off once at least.
        until("the older document", || async { (case.get(&rig).await == old).then_some(()) }).await;
        assert!(upstream.count(&path) >= case.reads + 2, "{}", case.path);
    }
}
