//! Whether the disk takes what is written and gives what was stored; said once when that changes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Fault;
use super::evict::Evictor;

/// A fault of reading is said again after this long: it may concern one file only.
const REMINDER: Duration = Duration::from_mins(1);

/// The state of the disk below one store.
#[derive(Debug)]
pub(super) struct Health {
    evictor: Arc<Evictor>,
    writing: Mutex<Option<Writing>>,
    reading: Mutex<Reading>,
    /// Whether `reading` holds a fault, so that a hit takes no lock.
    unreadable: AtomicBool,
}

/// A fault of writing.
#[derive(Debug)]
struct Writing {
    text: String,
    kind: io::ErrorKind,
    /// Whether a small file that can be written says that it is over.
    heals: bool,
}

/// Where a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Where every file begins, which a trial writes, too.
    Staging,
    /// At its final place, which no trial reaches.
    Commit,
}

#[derive(Debug, Default)]
struct Reading {
    fault: Fault,
    said: Option<Instant>,
}

impl Health {
    pub(super) fn new(evictor: Arc<Evictor>) -> Self {
        Self { evictor, writing: Mutex::default(), reading: Mutex::default(), unreadable: AtomicBool::new(false) }
    }

    /// Why writing fails, if it does.
    pub(super) fn fault(&self) -> Fault {
        self.writing.lock().as_ref().map(|writing| writing.text.clone())
    }

    /// What kind of error writing fails with, if it does.
    pub(super) fn fault_kind(&self) -> Option<io::ErrorKind> {
        self.writing.lock().as_ref().map(|writing| writing.kind)
    }

    /// Why reading fails, if it does.
    pub(super) fn read_fault(&self) -> Fault {
        self.reading.lock().fault.clone()
    }

    /// Notes that a write failed. Makes room if that is what it lacked.
    pub(super) fn report(&self, error: &io::Error, step: Step) {
        let kind = error.kind();
        let is_full = matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full {
            self.evictor.start_emergency();
        }
        // A full disk may have room for one small file; a read-only one takes nothing anywhere.
        let heals = !is_full && (step == Step::Staging || kind == io::ErrorKind::ReadOnlyFilesystem);
        let before = self.writing.lock().replace(Writing { text: error.to_string(), kind, heals });
        if before.is_none() {
            tracing::warn!(error = %error, storage = %self.evictor.root.display(),
                "the cache cannot be written: requests are served without being kept");
        }
    }

    /// Notes that a write succeeded.
    pub(super) fn written(&self) {
        if self.writing.lock().take().is_some() {
            tracing::info!(storage = %self.evictor.root.display(), "the cache can be written again");
        }
    }

    /// Notes that a small file could be written where every file begins.
    pub(super) fn tried(&self) {
        if self.writing.lock().as_ref().is_some_and(|writing| writing.heals) {
            self.written();
        }
    }

    /// Notes that something stored could not be opened or read, though it may be there.
    pub(super) fn report_unreadable(&self, error: &io::Error) {
        let mut reading = self.reading.lock();
        reading.fault = Some(error.to_string());
        self.unreadable.store(true, Ordering::Relaxed);
        if reading.said.is_none_or(|said| said.elapsed() >= REMINDER) {
            reading.said = Some(Instant::now());
            tracing::warn!(error = %error, storage = %self.evictor.root.display(),
                "the cache cannot be read: what is stored is fetched again");
        }
    }

    /// Notes that something stored was opened.
    pub(super) fn read(&self) {
        if self.unreadable.load(Ordering::Relaxed) {
            self.reading.lock().fault = None;
            self.unreadable.store(false, Ordering::Relaxed);
        }
    }
}
