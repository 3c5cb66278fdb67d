//! When each kind was last asked for: what liveness depends on.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The time of the last list or watch request of each plural. A watch ends by itself every few minutes, so a kind that
/// was not asked for in a long time has a task that hangs.
#[derive(Debug, Default)]
pub struct Activity(Mutex<BTreeMap<String, Instant>>);

impl Activity {
    /// Notes a task that will ask for this plural.
    pub fn expect(&self, plural: &str) {
        self.0.lock().insert(plural.to_owned(), Instant::now());
    }

    /// Notes a request, by its path: the last segment of a list's or watch's path is the plural.
    pub fn note(&self, path: &str) {
        if let Some(time) = self.0.lock().get_mut(path.rsplit('/').next().unwrap_or_default()) {
            *time = Instant::now();
        }
    }

    /// How long ago each was.
    pub fn ages(&self) -> Vec<(String, Duration)> {
        self.0.lock().iter().map(|(plural, time)| (plural.clone(), time.elapsed())).collect()
    }
}
