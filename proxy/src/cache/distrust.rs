//! Things that are not tried again at once: files whose last body had a wrong digest, documents that were asked for
//! out of turn.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Error;
use crate::store::RecordId;

/// How long a second failure is remembered.
const PAUSE: Duration = Duration::from_mins(1);
/// Names remembered at most: a flood of them must not fill the memory.
const LIMIT: usize = 4096;

/// The files that are distrusted.
#[derive(Debug, Default)]
pub(super) struct Distrust(Mutex<HashMap<RecordId, Suspect>>);

#[derive(Debug)]
struct Suspect {
    failures: u32,
    since: Instant,
    error: Error,
}

impl Distrust {
    /// The error to repeat, while a second failure is recent.
    pub(super) fn verdict(&self, id: RecordId) -> Option<Error> {
        let suspects = self.0.lock();
        let suspect = suspects.get(&id)?;
        (suspect.failures > 1 && suspect.since.elapsed() < PAUSE).then(|| suspect.error.clone())
    }

    /// Whether the last body was wrong, so that the metadata is worth asking for again.
    pub(super) fn is_suspect(&self, id: RecordId) -> bool {
        self.0.lock().contains_key(&id)
    }

    /// Notes a wrong body.
    pub(super) fn accuse(&self, id: RecordId, error: Error) {
        let mut suspects = self.0.lock();
        suspects.retain(|_, suspect| suspect.since.elapsed() < PAUSE);
        if suspects.len() < LIMIT || suspects.contains_key(&id) {
            let failures = suspects.get(&id).map_or(0, |suspect| suspect.failures) + 1;
            suspects.insert(id, Suspect { failures, since: Instant::now(), error });
        }
    }

    /// Notes a right body.
    pub(super) fn acquit(&self, id: RecordId) {
        self.0.lock().remove(&id);
    }
}

/// Keys for which something was done lately.
#[derive(Debug, Default)]
pub(super) struct Recently(Mutex<HashMap<RecordId, Instant>>);

impl Recently {
    /// Whether this is the first call for the key within `pause`. A flood of keys counts as not being the first.
    pub(super) fn first(&self, id: RecordId, pause: Duration) -> bool {
        let mut done = self.0.lock();
        done.retain(|_, at| at.elapsed() < pause);
        if done.contains_key(&id) || done.len() >= LIMIT {
            return false;
        }
        done.insert(id, Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Key;
    use crate::store::Space;

    fn id(package: &str) -> RecordId {
        let upstream = url::Url::parse("https://registry.example/").unwrap();
        let key = Key { package: package.into(), version: String::new(), file: String::new(), representation: "full" };
        Space::new("team", "npm", "npm", &upstream).record_id(&key)
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_try_and_then_a_pause() {
        let distrust = Distrust::default();
        let wrong = || Error::Mismatch { upstream: String::new(), expected: String::new(), found: String::new() };
        assert!(!distrust.is_suspect(id("a")));
        distrust.accuse(id("a"), wrong());
        assert!(distrust.is_suspect(id("a")) && distrust.verdict(id("a")).is_none());
        distrust.accuse(id("a"), wrong());
        assert!(distrust.verdict(id("a")).is_some() && distrust.verdict(id("b")).is_none());
        tokio::time::advance(PAUSE).await;
        assert!(distrust.verdict(id("a")).is_none());
        distrust.acquit(id("a"));
        assert!(!distrust.is_suspect(id("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_turn_once_a_pause() {
        let recently = Recently::default();
        let pause = Duration::from_secs(10);
        assert!(recently.first(id("a"), pause) && recently.first(id("b"), pause));
        assert!(!recently.first(id("a"), pause));
        tokio::time::advance(pause).await;
        assert!(recently.first(id("a"), pause));
    }
}
