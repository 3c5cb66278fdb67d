//! Asks the admin port of each ready pod what its proxy knows: of the upstream, the credentials, the cache.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use crate::backoff::jittered;
use crate::facts::Report;
use crate::metrics::Metrics;
use crate::store::{Key, Store};

/// The admin port of a pod.
const ADMIN_PORT: u16 = 8081;
/// For the whole answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer.
const BODY_LIMIT: usize = 64 << 10;
/// Pods that are asked at once.
const AT_ONCE: usize = 32;
/// How often a pod is asked whose proxy waits for what it will say.
const HURRY: Duration = Duration::from_secs(2);
/// Failures in a row after which a pod is said not to answer: one lost answer means nothing.
const PATIENCE: u32 = 3;
/// How often it is looked whom to ask.
const TICK: Duration = Duration::from_millis(500);

/// What the pods said.
#[derive(Debug)]
pub struct Poll {
    interval: Duration,
    pods: Arc<Store>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the pod's uid.
    known: HashMap<String, Known>,
    /// Proxies that wait for what their pods will say.
    hurried: HashSet<Key>,
}

#[derive(Debug)]
struct Known {
    /// The last answer, until too many failed.
    report: Option<Report>,
    /// Questions without an answer since then.
    failures: u32,
    asked: Instant,
    due: Instant,
}

impl Known {
    fn is_awaited(&self) -> bool {
        self.report.is_none() && self.failures < PATIENCE
    }
}

/// A pod to ask.
#[derive(Debug)]
struct Target {
    uid: String,
    proxy: Key,
    address: String,
}

impl Poll {
    /// Of these pods, each once in `interval`.
    pub fn new(interval: Duration, pods: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        Self { interval, pods, metrics, state: Mutex::default() }
    }

    /// Whether a ready pod may still give its first answer: it was not asked yet, or not often enough.
    pub fn is_awaited(&self, pod: &Value) -> bool {
        target(pod).is_some_and(|target| self.state.lock().known.get(&target.uid).is_none_or(Known::is_awaited))
    }

    /// What a pod said last; `None` if it did not answer yet or does not answer any more.
    pub fn report(&self, pod: &Value) -> Option<Report> {
        let uid = pod["metadata"]["uid"].as_str()?;
        self.state.lock().known.get(uid)?.report.clone()
    }

    /// Whether the pods of a proxy are asked more often.
    pub fn hurry(&self, proxy: &Key, wanted: bool) {
        let mut state = self.state.lock();
        if wanted {
            state.hurried.insert(proxy.clone());
        } else {
            state.hurried.remove(proxy);
        }
    }

    /// Asks until the future is dropped. `changed` is called with each proxy of which something new is known.
    pub async fn run(&self, changed: impl Fn(Key)) {
        let connector = {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(TIMEOUT));
            connector
        };
        // A connection each time: pods are many and answers rare.
        let client: Client<_, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let targets = self.due();
            let mut answers = stream::iter(targets)
                .map(|target| {
                    let client = &client;
                    async move {
                        let answer = tokio::time::timeout(TIMEOUT, ask(client, &target.address)).await;
                        (target, answer.ok().flatten())
                    }
                })
                .buffer_unordered(AT_ONCE);
            while let Some((target, report)) = answers.next().await {
                self.metrics.polled(if report.is_some() { "answered" } else { "failed" });
                if self.learn(&target, report) {
                    changed(target.proxy);
                }
            }
        }
    }

    /// The pods whose turn it is. Forgets those that are gone.
    fn due(&self) -> Vec<Target> {
        let now = Instant::now();
        let targets: Vec<Target> = self.pods.all().iter().filter_map(|pod| target(pod)).collect();
        let mut state = self.state.lock();
        let alive: HashSet<&str> = targets.iter().map(|target| target.uid.as_str()).collect();
        state.known.retain(|uid, _| alive.contains(uid.as_str()));
        let is_due = |target: &Target| match state.known.get(&target.uid) {
            None => true,
            Some(known) => known.due <= now || (state.hurried.contains(&target.proxy) && known.asked + HURRY <= now),
        };
        targets.into_iter().filter(is_due).collect()
    }

    /// Keeps an answer; whether it says anything new that conditions are made of.
    fn learn(&self, target: &Target, report: Option<Report>) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        let before = state.known.remove(&target.uid);
        let told = |known: &Known| (known.is_awaited(), known.report.as_ref().map(meaning));
        let told_before = before.as_ref().map_or((true, None), told);
        let (last, failed) = before.map_or((None, 0), |known| (known.report, known.failures));
        let failures = if report.is_some() { 0 } else { failed.saturating_add(1) };
        let report = report.or_else(|| last.filter(|_| failures < PATIENCE));
        let known = Known { report, failures, asked: now, due: now + jittered(jittered(self.interval)) };
        let news = told(&known) != told_before;
        state.known.insert(target.uid.clone(), known);
        news
    }
}

/// A report without the numbers that move all the time.
fn meaning(report: &Report) -> Report {
    let mut report = report.clone();
    // The first byte, and then each doubling, is worth a look; smaller steps wait for the usual time.
    report.storage.bytes = report.storage.bytes.checked_ilog2().map_or(0, |power| u64::from(power) + 1);
    report.storage.objects = 0;
    for proxy in &mut report.proxies {
        proxy.cache = crate::facts::CacheReport::default();
    }
    report
}

fn target(pod: &Value) -> Option<Target> {
    let ready = pod["status"]["conditions"]
        .as_array()?
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let metadata = &pod["metadata"];
    if !ready || metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return None;
    }
    let ip: std::net::IpAddr = pod["status"]["podIP"].as_str()?.parse().ok()?;
    Some(Target {
        uid: metadata["uid"].as_str()?.to_owned(),
        proxy: Key::new(metadata["namespace"].as_str()?, metadata["labels"]["app.kubernetes.io/instance"].as_str()?),
        address: std::net::SocketAddr::new(ip, ADMIN_PORT).to_string(),
    })
}

/// One question.
async fn ask(client: &Client<HttpConnector, Empty<Bytes>>, address: &str) -> Option<Report> {
    let uri = format!("http://{address}/status").parse().ok()?;
    let response = client.get(uri).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Kind;

    fn pod(uid: &str, ready: &str) -> Value {
        json!({
            "metadata": {"namespace": "team", "name": uid, "uid": uid,
                         "labels": {"app.kubernetes.io/instance": "npm"}},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    #[tokio::test(start_paused = true)]
    async fn each_ready_pod_in_its_turn() {
        let pods = Arc::new(Store::new(Kind::Pod));
        let poll = Poll::new(Duration::from_secs(15), Arc::clone(&pods), Metrics::new());
        pods.apply(pod("a", "True"));
        pods.apply(pod("b", "False"));
        let due = poll.due();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].address, "10.0.0.1:8081");
        assert!(!poll.learn(&due[0], None), "it may still answer");
        assert!(poll.due().is_empty());
        tokio::time::advance(HURRY).await;
        assert!(poll.due().is_empty());
        poll.hurry(&Key::new("team", "npm"), true);
        assert_eq!(poll.due().len(), 1);
        let mut report = Report::default();
        report.storage.max_size = 100;
        assert!(poll.learn(&due[0], Some(report.clone())));
        report.storage.bytes = 30;
        assert!(poll.learn(&due[0], Some(report.clone())), "the first bytes");
        report.storage.bytes = 31;
        assert!(!poll.learn(&due[0], Some(report.clone())), "hardly more");
        report.storage.bytes = 32;
        assert!(poll.learn(&due[0], Some(report.clone())));
        poll.hurry(&Key::new("team", "npm"), false);
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_eq!(poll.due().len(), 1);
        pods.delete(&Key::new("team", "a"));
        poll.due();
        assert_eq!(poll.report(&pod("a", "True")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_silent_after_the_third_question_without_an_answer() {
        let pods = Arc::new(Store::new(Kind::Pod));
        let poll = Poll::new(Duration::from_secs(15), Arc::clone(&pods), Metrics::new());
        let pod = pod("a", "True");
        pods.apply(pod.clone());
        let due = poll.due();
        assert!(poll.is_awaited(&pod), "never asked");
        for (failure, news, awaited) in [(1, false, true), (2, false, true), (3, true, false), (4, false, false)] {
            assert_eq!(poll.learn(&due[0], None), news, "{failure}");
            assert_eq!(poll.is_awaited(&pod), awaited, "{failure}");
        }
        assert!(poll.learn(&due[0], Some(Report::default())));
        for (failure, news, kept) in [(1, false, true), (2, false, true), (3, true, false), (4, false, false)] {
            assert_eq!(poll.learn(&due[0], None), news, "{failure}");
            assert_eq!(poll.report(&pod).is_some(), kept, "{failure}");
            assert!(!poll.is_awaited(&pod), "it has answered before");
        }
        assert!(poll.learn(&due[0], Some(Report::default())));
        assert!(
            !poll.learn(&due[0], None) && !poll.learn(&due[0], Some(Report::default())) && !poll.learn(&due[0], None)
        );
        assert!(poll.report(&pod).is_some(), "failures are counted in a row");
    }

    #[test]
    fn only_ready_pods_are_awaited() {
        let poll = Poll::new(Duration::from_secs(15), Arc::new(Store::new(Kind::Pod)), Metrics::new());
        assert!(poll.is_awaited(&pod("a", "True")) && !poll.is_awaited(&pod("a", "False")));
    }
}
