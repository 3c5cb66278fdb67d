//! From a `PackageProxy` to its objects and its status, step by step: `class` chooses, `resolve` plans, `build` makes
//! the objects (pure), `apply` writes what differs, `conditions` says what came of it (pure), `report` writes that down.

pub mod apply;
pub mod build;
pub mod class;
pub mod conditions;
mod contest;
mod context;
mod difference;
pub mod plan;
mod reconcile;
mod report;
pub mod resolve;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use context::Context;

use crate::backoff::jittered;
use crate::queue::Queue;
use crate::store::{Key, Kind, Store};
use crate::watches::{Sink, chain};

/// For one look at a proxy, whatever it has to wait for.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Looks at proxies whenever something about them changes.
#[derive(Debug)]
pub struct Controller {
    context: Context,
    queue: Queue,
    workers: TaskTracker,
    /// One flag for each watch.
    syncs: Mutex<Vec<Arc<AtomicBool>>>,
}

impl Controller {
    /// Idle yet.
    pub fn new(context: Context) -> Self {
        Self { context, queue: Queue::default(), workers: TaskTracker::new(), syncs: Mutex::default() }
    }

    /// The kinds that must be watched.
    pub fn kinds(&self) -> Vec<Kind> {
        self.context.kinds()
    }

    /// Where the watch of a kind puts what it sees.
    pub fn store(&self, kind: Kind) -> Arc<Store> {
        self.context.store(kind)
    }

    /// Adds a watch to those whose first list is waited for.
    pub fn await_sync(&self, flag: Arc<AtomicBool>) {
        self.syncs.lock().push(flag);
    }

    /// Waits until every watch has read what exists.
    pub fn synced(&self) -> impl Future<Output = ()> + Send + use<> {
        let flags = self.syncs.lock().clone();
        async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !flags.iter().all(|flag| flag.load(Ordering::Acquire)) {
                ticks.tick().await;
            }
        }
    }

    /// Asks the pods until the future is dropped.
    pub async fn poll(&self) {
        self.context.poll.run(|proxy| self.queue.add(proxy)).await;
    }

    /// Works with so many workers until [`Self::close`].
    pub async fn work(self: Arc<Self>, concurrency: usize) {
        for _ in 0..concurrency {
            let controller = Arc::clone(&self);
            self.workers.spawn(async move {
                while let Some(key) = controller.queue.next().await {
                    controller.look(&key).await;
                }
            });
        }
        self.workers.close();
        self.workers.wait().await;
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
                    self.queue.add(key);
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
