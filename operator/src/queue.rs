//! The work queue: which proxies are to be looked at, now or later, each by one worker at a time.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::store::Key;

/// A queue without duplicates. What is added while it is worked on is worked on once more afterwards.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Key>,
    /// The members of `ready`.
    waiting: HashSet<Key>,
    running: HashSet<Key>,
    /// Added again while running.
    again: HashSet<Key>,
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    closed: bool,
}

impl State {
    fn push(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn unschedule(&mut self, key: &Key) {
        if let Some(at) = self.due.remove(key) {
            self.later.remove(&(at, key.clone()));
        }
    }

    /// Moves what is due to the ready ones; when the next one is due.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, key)) = self.later.first().cloned() {
            if at > now {
                return Some(at);
            }
            self.unschedule(&key);
            self.push(key);
        }
        None
    }
}

impl Queue {
    /// To be looked at now.
    pub fn add(&self, key: Key) {
        {
            let mut state = self.state.lock();
            state.unschedule(&key);
            state.push(key);
        }
        self.changed.notify_one();
    }

    /// To be looked at after `delay`, or earlier if that was planned already.
    pub fn add_after(&self, key: Key, delay: Duration) {
        {
            let mut state = self.state.lock();
            let at = Instant::now() + delay;
            if state.waiting.contains(&key) || state.due.get(&key).is_some_and(|planned| *planned <= at) {
                return;
            }
            state.unschedule(&key);
            state.later.insert((at, key.clone()));
            state.due.insert(key, at);
        }
        self.changed.notify_one();
    }

    /// Plans nothing more for this key.
    pub fn forget(&self, key: &Key) {
        self.state.lock().unschedule(key);
    }

    /// The next key; `None` once the queue is closed. Whoever gets one calls [`Self::done`] with it.
    pub async fn next(&self) -> Option<Key> {
        loop {
            let next_due = {
                let mut state = self.state.lock();
                if state.closed {
                    drop(state);
                    self.changed.notify_one();
                    return None;
                }
                let next_due = state.promote(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.waiting.remove(&key);
                    state.running.insert(key.clone());
                    let more = !state.ready.is_empty();
                    drop(state);
                    if more {
                        self.changed.notify_one();
                    }
                    return Some(key);
                }
                next_due
            };
            match next_due {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Ends the work on a key.
    pub fn done(&self, key: &Key) {
        {
            let mut state = self.state.lock();
            state.running.remove(key);
            if state.again.remove(key) {
                state.push(key.clone());
            }
        }
        self.changed.notify_one();
    }

    /// Gives out nothing more.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// Keys that could be worked on now.
    pub fn depth(&self) -> usize {
        self.state.lock().ready.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("team", name)
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_once_and_never_twice_at_once() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("b"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("b")));
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.next()).await.is_err(), "a is still worked on");
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        queue.done(&key("b"));
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn later_means_later_and_the_earlier_time_counts() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_mins(1));
        queue.add_after(key("a"), Duration::from_secs(10));
        queue.add_after(key("a"), Duration::from_secs(30));
        queue.add_after(key("b"), Duration::from_secs(5));
        assert_eq!(queue.next().await, Some(key("b")));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(start.elapsed().as_secs(), 10);
        queue.done(&key("a"));
        queue.add_after(key("a"), Duration::from_mins(1));
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        // Adding it took the plan away.
        assert!(tokio::time::timeout(Duration::from_secs(100), queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_wakes_every_worker() {
        let queue = std::sync::Arc::new(Queue::default());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = std::sync::Arc::clone(&queue);
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.close();
        for worker in workers {
            assert_eq!(worker.await.unwrap(), None);
        }
    }
}
