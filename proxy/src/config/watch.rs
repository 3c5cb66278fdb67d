//! Notices changed files and Secrets by comparing their content once a second: notifications of the file system miss
//! the exchange of a mounted volume's `..data` and whole network file systems.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Fingerprint, Loaded, Refused, UnknownFields, read, snapshot};

/// Time between two comparisons.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Calls `on_change` with each content that differs from the one before, the first being that of `since`: the new
/// configuration, or the problems of one that cannot be used. A half-written file is such a problem, and the rest of
/// it a later success; whoever calls keeps what was last in force. Never returns; dropping the future ends it.
pub async fn watch(
    sources: Vec<PathBuf>,
    secrets_dir: Option<PathBuf>,
    unknown: UnknownFields,
    since: Fingerprint,
    mut on_change: impl FnMut(Result<Loaded, Refused>),
) {
    let mut last = since;
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (sources, secrets_dir) = (sources.clone(), secrets_dir.clone());
        let compare = move || {
            let snapshot = snapshot::take(&sources, secrets_dir.as_deref());
            let fingerprint = snapshot.fingerprint;
            (fingerprint != last).then(|| (fingerprint, read::interpret(snapshot, unknown)))
        };
        // A file system that hangs must not hold a thread that serves requests.
        if let Ok(Some((fingerprint, change))) = tokio::task::spawn_blocking(compare).await {
            last = fingerprint;
            on_change(change);
        }
    }
}
