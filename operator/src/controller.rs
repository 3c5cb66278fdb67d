//! From a `PackageProxy` to its objects and its status, step by step: `class` chooses, `resolve` plans, `build` makes
//! the objects (pure), `children` with `apply` write what differs, `conditions` says what came of it (pure), `report`
//! writes that down.

pub mod apply;
pub mod build;
mod children;
pub mod class;
pub mod conditions;
mod contest;
mod context;
mod difference;
pub mod plan;
mod reconcile;
mod release;
mod report;
pub mod resolve;
mod syncs;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use context::Context;
pub use syncs::Syncs;

use crate::backoff::jittered;
use crate::queue::Queue;
use crate::store::{Key, Kind, Store};
use crate::watches::{Sink, chain};

/// Changes of children come in groups, the operator's own writes above all: one look will do for those of this time.
const GATHERING: Duration = Duration::from_millis(100);
/// For one look at a proxy, whatever it has to wait for.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How often it is looked whether the namespace of a proxy was read.
const UNREAD: Duration = Duration::from_secs(2);

/// Looks at proxies whenever something about them changes.
#[derive(Debug)]
pub struct Controller {
    context: Context,
    queue: Queue,
    workers: TaskTracker,
    syncs: Arc<Syncs>,
}

impl Controller {
    /// Idle yet.
    pub fn new(context: Context, syncs: Arc<Syncs>) -> Self {
        Self { context, queue: Queue::default(), workers: TaskTracker::new(), syncs }
    }

    /// The kinds that must be watched.
    pub fn kinds(&self) -> Vec<Kind> {
        self.context.kinds()
    }

    /// Where the watch of a kind puts what it sees.
    pub fn store(&self, kind: Kind) -> Arc<Store> {
        self.context.store(kind)
    }

    /// Tells when everything has to be read again.
    pub fn epochs(&self) -> tokio::sync::watch::Receiver<u64> {
        self.context.definitions.epochs()
    }

    /// Asks the pods until the future is dropped.
    pub async fn poll(&self) {
        self.context.poll.run(|proxy| self.queue.add(proxy)).await;
    }

    /// Works with so many workers until [`Self::close`], or until one of them ends by a fault of this program.
    pub async fn work(self: Arc<Self>, concurrency: usize) {
        let worker = |_| {
            let controller = Arc::clone(&self);
            self.workers.spawn(async move {
                while let Some(key) = controller.queue.next().await {
                    controller.look(&key).await;
                }
            })
        };
        let workers: Vec<_> = (0..concurrency).map(worker).collect();
        self.workers.close();
        if let Err(error) = try_join_all(workers).await {
            tracing::error!(error = %error, "a worker ended by a fault of this program: please report it");
        }
    }

    /// Begins nothing new.
    pub fn close(&self) {
        self.queue.close();
        self.workers.close();
    }

    /// Waits until the work under way is done.
    pub async fn idle(&self) {
        self.workers.wait().await;
    }

    /// One look, and the plan for the next.
    async fn look(&self, key: &Key) {
        if self.context.is_reread_otherwise(key) {
            tracing::warn!(proxy = %key, "a spec has changed that nobody wrote: the definitions are looked at");
            self.context.definitions.suspect();
        }
        // What was not read does not exist for a look, which would make it anew.
        let is_ours = key.namespace.is_empty() || self.context.scopes.serves(&key.namespace);
        if !self.syncs.has(key) || self.context.definitions.holds_back() || !is_ours {
            self.queue.done(key);
            self.queue.add_after(key.clone(), UNREAD);
            return;
        }
        let metrics = &self.context.metrics;
        metrics.queue_depth.set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
        let began = Instant::now();
        // A fault in this program that one proxy brings to light must not cost the others their worker.
        let looking = AssertUnwindSafe(self.context.reconcile(key)).catch_unwind();
        let outcome = tokio::time::timeout(TIMEOUT, looking).await;
        let next = match outcome {
            Ok(Err(_panic)) => {
                metrics.reconciled("panic", began.elapsed());
                metrics.failed("panic");
                tracing::error!(proxy = %key, "looking after a proxy ended in a fault of this program: please report it");
                Some(self.context.failed(key))
            }
            Ok(Ok(Ok(next))) => {
                metrics.reconciled("ok", began.elapsed());
                self.context.succeeded(key);
                next.map(|after| after.unwrap_or_else(|| jittered(self.context.resync)))
            }
            Ok(Ok(Err(error))) => {
                metrics.reconciled("error", began.elapsed());
                metrics.failed(error.class());
                let wait = self.context.failed(key);
                tracing::warn!(proxy = %key, error = %chain(&error), retry_in = ?wait, "a proxy could not be looked after");
                Some(wait)
            }
            Err(_) => {
                metrics.reconciled("timeout", began.elapsed());
                metrics.failed("timeout");
                let wait = self.context.failed(key);
                tracing::warn!(proxy = %key, limit = ?TIMEOUT, retry_in = ?wait, "looking after a proxy took too long");
                Some(wait)
            }
        };
        self.queue.done(key);
        match next {
            Some(after) => self.queue.add_after(key.clone(), after),
            None => self.queue.forget(key),
        }
    }
}

impl Sink for Controller {
    fn changed(&self, kind: Kind, key: Key) {
        match kind {
            Kind::Proxy => self.queue.add(key),
            Kind::Class => {
                for proxy in self.context.users_of(&key.name) {
                    self.queue.add(proxy);
                }
                self.queue.add(key);
            }
            Kind::Child(_) | Kind::Pod => {
                if self.context.exists(&key) {
                    self.queue.add_after(key, GATHERING);
                }
            }
        }
    }

    fn recovered(&self, _: Kind) {
        for key in self.context.take_failing() {
            self.queue.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use clap::Parser as _;
    use kube::Client;
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::metrics::Metrics;
    use crate::scopes::Scopes;
    use crate::watches::Scope;

    #[tokio::test(start_paused = true)]
    async fn a_proxy_of_a_namespace_that_was_not_read_waits_without_counting() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let server = tower::service_fn(move |request: http::Request<Body>| {
            noted.lock().push(request.uri().path().to_owned());
            async { http::Response::builder().status(500).body(Body::empty()) }
        });
        let Command::Run(arguments) = Cli::parse_from(["operator", "run"]).command else { unreachable!() };
        let metrics = Metrics::new();
        let scopes = Arc::new(Scopes::new(Key::new("system", "operator"), Scope::Cluster, Duration::ZERO));
        scopes.learn(std::collections::BTreeMap::new());
        let context = Context::new(
            Client::new(server, "team"),
            &arguments,
            crds::class::PackageProxyClassSpec::default(),
            (Arc::new(crate::definitions::Definitions::new(true)), Arc::clone(&scopes)),
            Arc::clone(&metrics),
        );
        let (syncs, read) = (Arc::new(Syncs::default()), Arc::new(AtomicBool::new(false)));
        syncs.expect(Kind::Proxy, Some("team".to_owned()), Arc::clone(&read));
        let controller = Controller::new(context, syncs);
        let proxy = json!({"metadata": {"namespace": "team", "name": "npm", "uid": "1"}, "spec": {}});
        controller.changed(Kind::Proxy, controller.store(Kind::Proxy).apply(proxy).remove(0));

        let began = Instant::now();
        let key = controller.queue.next().await.unwrap();
        controller.look(&key).await;
        assert!(asked.lock().is_empty() && !metrics.encode().contains("packageproxy_reconcile_total{"));
        read.store(true, Ordering::Release);
        assert_eq!(controller.queue.next().await.as_ref(), Some(&key));
        assert_eq!(began.elapsed(), UNREAD);
        controller.look(&key).await;
        assert!(!asked.lock().is_empty() && metrics.encode().contains("packageproxy_reconcile_total{"));
    }
}
