//! Notices changed files and Secrets by comparing their content once a second: notifications of the file system miss
//! the exchange of a mounted volume's `..data` and whole network file systems.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

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
    loop {
        let (sender, mut changes) = mpsc::channel(1);
        let (sources, secrets_dir) = (sources.clone(), secrets_dir.clone());
        let compare = move || {
            let mut last = last;
            while !sender.is_closed() {
                let snapshot = snapshot::take(&sources, secrets_dir.as_deref());
                let fingerprint = snapshot.fingerprint;
                if fingerprint != last {
                    last = fingerprint;
                    let _ = sender.blocking_send((fingerprint, read::interpret(snapshot, unknown)));
                }
                thread::sleep(POLL_INTERVAL);
            }
        };
        // A thread of its own: a file system that hangs must hold none that serves requests, and one that others wake
        // costs more than the comparison.
        let begun = thread::Builder::new().name("configuration".to_owned()).spawn(compare);
        while let Some((fingerprint, change)) = changes.recv().await {
            last = fingerprint;
            on_change(change);
        }
        tracing::error!(begun = begun.is_ok(), "whoever compares the configuration has ended and is begun anew");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
