//! One task for a cold key, however many clients ask for it. Whoever joins, the first one included, only watches: a
//! client that leaves never ends the task, and every one of them gets the task's real outcome.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// The tasks that are under way, by key.
#[derive(Debug)]
pub struct Flights<K, F> {
    under_way: Arc<Mutex<HashMap<K, Arc<F>>>>,
}

impl<K, F> Default for Flights<K, F> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<K: Copy + Eq + Hash + Send + 'static, F: Send + Sync + 'static> Flights<K, F> {
    /// The flight of this key and whether it was under way already. One that `is_open` refuses is left to those
    /// who are on it, and a new one starts.
    ///
    /// `start` makes the flight and `run` the task that works on it. The task is detached. The key is freed when it
    /// ends, by panic too.
    pub fn join<T: Future<Output = ()> + Send + 'static>(
        &self,
        key: K,
        is_open: impl FnOnce(&F) -> bool,
        start: impl FnOnce() -> F,
        run: impl FnOnce(Arc<F>) -> T,
    ) -> (Arc<F>, bool) {
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(&key)
            && is_open(flight)
        {
            return (Arc::clone(flight), true);
        }
        let flight = Arc::new(start());
        under_way.insert(key, Arc::clone(&flight));
        let landing = Landing { under_way: Arc::clone(&self.under_way), key, flight: Arc::clone(&flight) };
        let task = run(Arc::clone(&flight));
        drop(under_way);
        tokio::spawn(async move {
            let _landing = landing;
            task.await;
        });
        (flight, false)
    }

    /// The flight of this key, if one is under way.
    pub fn find(&self, key: K) -> Option<Arc<F>> {
        self.under_way.lock().get(&key).cloned()
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.under_way.lock().len()
    }
}

/// Frees the key at the end of the task, whatever end that is.
struct Landing<K: Eq + Hash, F> {
    under_way: Arc<Mutex<HashMap<K, Arc<F>>>>,
    key: K,
    flight: Arc<F>,
}

impl<K: Eq + Hash, F> Drop for Landing<K, F> {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        // A newer flight of the same key stays.
        if under_way.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;

    type Outcome = watch::Sender<Option<u32>>;

    #[tokio::test]
    async fn everyone_joins_one_task_and_the_key_is_free_afterwards() {
        let flights: Flights<u8, Outcome> = Flights::default();
        let (release, gate) = watch::channel(false);
        let mut watchers = Vec::new();
        for index in 0..50 {
            let mut gate = gate.clone();
            let (flight, joined) = flights.join(
                1,
                |_| true,
                || watch::Sender::new(None),
                |flight| async move {
                    let _ = gate.wait_for(|open| *open).await;
                    flight.send_replace(Some(7));
                },
            );
            assert_eq!(joined, index > 0);
            watchers.push(flight.subscribe());
        }
        assert_eq!(flights.count(), 1);
        release.send_replace(true);
        for mut watcher in watchers {
            assert_eq!(*watcher.wait_for(Option::is_some).await.unwrap(), Some(7));
        }
        while flights.count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_frees_the_key() {
        let flights: Flights<u8, Outcome> = Flights::default();
        let (flight, _) = flights.join(1, |_| true, || watch::Sender::new(None), |_| async { panic!("on purpose") });
        let mut watcher = flight.subscribe();
        drop(flight);
        assert!(watcher.wait_for(Option::is_some).await.is_err());
        assert_eq!(flights.count(), 0);
    }
}
