//! Looks after the store while others serve from it, on a thread of its own: a disk that hangs holds up no request, and
//! one wake in a while costs less than a timer among those of the connections.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// How often the files that are kept open are closed.
const CLOSE_FILES: Duration = Duration::from_mins(1);
/// How often it is written down what was used.
const NOTE_USES: Duration = Duration::from_mins(10);

/// When something was done last.
struct Done {
    files_closed: Instant,
    uses_noted: Instant,
}

/// Begins the thread, which ends with `app`.
///
/// # Errors
/// There is no thread to be had.
pub fn begin(app: &Arc<App>) -> io::Result<()> {
    let app = Arc::downgrade(app);
    thread::Builder::new().name("housekeeping".to_owned()).spawn(move || keep(&app))?;
    Ok(())
}

fn keep(app: &Weak<App>) {
    let mut done = Done { files_closed: Instant::now(), uses_noted: Instant::now() };
    while let Some(app) = app.upgrade() {
        // What failed once is tried again when it is due.
        if catch_unwind(AssertUnwindSafe(|| done.round(&app))).is_err() {
            tracing::error!("looking after the store failed");
        }
        drop(app);
        thread::sleep(ROUND);
    }
}

impl Done {
    /// Evicts in time, looks whether a disk that failed has come back, and takes charge of the volume when the process
    /// that had it is gone.
    fn round(&mut self, app: &App) {
        let store = &app.engine.store;
        if is_due(&mut self.files_closed, CLOSE_FILES) {
            store.close_files();
        }
        if store.fault().is_some() {
            store.try_write();
        }
        if !store.is_keeper() && store.try_keep() {
            store.survey(|| app.spaces());
        }
        if store.inventory().is_full() {
            let evicted = store.evict();
            tracing::debug!(evicted, "evicted");
        }
        if is_due(&mut self.uses_noted, NOTE_USES) {
            store.note_uses();
        }
    }
}

/// Whether something is to be done again, which is taken as done.
fn is_due(last: &mut Instant, interval: Duration) -> bool {
    let is_due = last.elapsed() >= interval;
    if is_due {
        *last = Instant::now();
    }
    is_due
}
