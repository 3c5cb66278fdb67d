//! Documents that are known but not yet on disk: clients never wait for a commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::document::StoredDocument;
use crate::store::{Record, RecordId};

/// The documents whose files are being committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwritten(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    documents: Mutex<HashMap<RecordId, (u64, StoredDocument)>>,
    turns: AtomicU64,
    written: Notify,
}

impl Unwritten {
    /// Serves `document` from its open files until the turn is dropped. A newer document of the same key takes over.
    pub(super) fn enter(&self, id: RecordId, document: StoredDocument) -> Turn {
        let number = self.0.turns.fetch_add(1, Ordering::Relaxed);
        self.0.documents.lock().insert(id, (number, document));
        Turn { unwritten: self.clone(), id, number }
    }

    /// The document, if it is being committed.
    pub(super) fn get(&self, id: RecordId) -> Option<StoredDocument> {
        self.0.documents.lock().get(&id).map(|(_, document)| document.clone())
    }

    /// Takes the newer record of a document whose files are still being committed.
    pub(super) fn renew(&self, id: RecordId, record: &Arc<Record>) {
        if let Some((_, document)) = self.0.documents.lock().get_mut(&id) {
            document.record = Arc::clone(record);
        }
    }

    /// Serves documents like these no more.
    pub(super) fn forget_where(&self, concerned: impl Fn(&Record) -> bool) {
        let mut documents = self.0.documents.lock();
        // Dropped after the lock.
        let _gone: Vec<_> = documents.extract_if(|_, (_, document)| concerned(&document.record)).collect();
        drop(documents);
        self.0.written.notify_waiters();
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.documents.lock().len()
    }

    /// Waits until nothing of this key is being committed.
    pub(super) async fn settled(&self, id: RecordId) {
        loop {
            let written = self.0.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            if !self.0.documents.lock().contains_key(&id) {
                return;
            }
            written.await;
        }
    }
}

/// One commit that is under way.
pub(super) struct Turn {
    unwritten: Unwritten,
    id: RecordId,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut documents = self.unwritten.0.documents.lock();
        if documents.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
            documents.remove(&self.id);
        }
        drop(documents);
        self.unwritten.0.written.notify_waiters();
    }
}
