//! When each list was last asked for: what liveness depends on.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The time of the last list or watch request of each path: each kind in each namespace has its own. A watch ends by
/// itself every few minutes, so a path that was not asked for in a long time has a task that hangs.
#[derive(Debug, Default)]
pub struct Activity(Mutex<BTreeMap<String, Instant>>);

impl Activity {
    /// Notes a task that will ask for this path.
    pub fn expect(&self, path: &str) {
        self.0.lock().insert(path.to_owned(), Instant::now());
    }

    /// Notes a request, by its path: those of single objects are longer, and nobody waits for them.
    pub fn note(&self, path: &str) {
        if let Some(time) = self.0.lock().get_mut(path) {
            *time = Instant::now();
        }
    }

    /// How long ago each was.
    pub fn ages(&self) -> Vec<(String, Duration)> {
        self.0.lock().iter().map(|(path, time)| (path.clone(), time.elapsed())).collect()
    }

    /// How long ago it was for each kind, by its plural: the oldest of its namespaces.
    pub fn ages_of_kinds(&self) -> BTreeMap<String, Duration> {
        let mut oldest = BTreeMap::new();
        for (path, age) in self.ages() {
            // The last segment of a list's path is the plural.
            let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
            let known = oldest.entry(plural).or_insert(age);
            *known = age.max(*known);
        }
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_hangs_does_not_hide_behind_that_of_another_namespace() {
        let activity = Activity::default();
        let (first, second) = ("/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods");
        activity.expect(first);
        activity.expect(second);
        tokio::time::advance(Duration::from_secs(9)).await;
        for path in [first, "/api/v1/namespaces/b/pods/x", "/api/v1/pods"] {
            activity.note(path);
        }
        let (none, long) = (Duration::ZERO, Duration::from_secs(9));
        assert_eq!(activity.ages(), [(first.to_owned(), none), (second.to_owned(), long)]);
        assert_eq!(activity.ages_of_kinds(), BTreeMap::from([("pods".to_owned(), long)]));
    }
}
