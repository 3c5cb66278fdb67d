//! A few threads for work on whole documents: reading, rendering, encoding. So much of it as there are processors
//! runs at once, and what one job frees the next one uses: spread over a pool of hundreds of threads each of them
//! would keep some of the largest document that it ever saw.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

type Job = Box<dyn FnOnce() + Send>;

/// The most threads; each may hold a document.
const THREADS: usize = 4;
/// Jobs that wait for a thread; whoever has a further one waits to hand it over.
const QUEUE: usize = 64;

/// The threads.
#[derive(Clone, Debug)]
pub struct Workshop {
    jobs: mpsc::Sender<Job>,
}

impl Default for Workshop {
    fn default() -> Self {
        // Jobs on whole documents took their memory from the budget before; those that encode a stream take none, and
        // are bounded by this alone.
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            let work = move || {
                loop {
                    // The lock is held while waiting: the others wait for the lock instead.
                    let job = queue.lock().blocking_recv();
                    let Some(job) = job else { return };
                    // A panic ends the job, whose caller sees that its result never comes, and not the thread.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            if let Err(error) = thread::Builder::new().name(format!("document-{number}")).spawn(work) {
                tracing::error!(error = %error, "a thread for documents cannot be started");
            }
        }
        Self { jobs }
    }
}

impl Workshop {
    /// Runs `job` there and waits for its result. Dropped before there is a place for the job, it never runs.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            // Whoever asked may have gone.
            let _ = done.send(job());
        });
        self.jobs.send(job).await.map_err(|_| Error::Abandoned)?;
        result.await.map_err(|_| Error::Abandoned)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_makes_those_wait_who_come() {
        let workshop = Workshop::default();
        let (go, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let mut held = Vec::new();
        for _ in 0..THREADS + QUEUE {
            let wait = Arc::clone(&wait);
            let mut job = Box::pin(workshop.run(move || wait.lock().recv()));
            assert!(job.as_mut().now_or_never().is_none());
            held.push(job);
        }
        assert_eq!(workshop.jobs.capacity(), 0);
        let (ran, has_run) = channel::<()>();
        assert!(workshop.run(move || ran.send(())).now_or_never().is_none());
        drop(go);
        futures_util::future::join_all(held).await;
        assert!(has_run.try_recv().is_err(), "given up before it had a place, it never ran");
    }

    #[tokio::test]
    async fn results_come_back_and_a_panic_ends_one_job_only() {
        let workshop = Workshop::default();
        for _ in 0..10 {
            assert!(workshop.run(|| -> u8 { panic!("on purpose") }).await.is_err());
        }
        let all = futures_util::future::join_all((0..50).map(|n| workshop.run(move || n * 2))).await;
        assert_eq!(all.into_iter().map(Result::unwrap).sum::<i32>(), 49 * 50);
    }
}
