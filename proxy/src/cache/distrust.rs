//! Files whose last body had a wrong digest: the next request fetches once more, then there is a pause.

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
