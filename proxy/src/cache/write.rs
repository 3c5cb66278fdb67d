//! Puts finished files and records on disk, behind the clients' backs and in the order that a crash survives.

use std::io;
use std::sync::Arc;

use super::purges::{Purges, Since};
use crate::store::{BlobId, Document, Record, RecordId, Reservation, Space, Staging, State, Store, Turns, Variant};

/// Bases for which variants of one document are kept.
const BASES: usize = 4;

/// Writes for one proxy.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<Store>,
    space: Space,
    purges: Arc<Purges>,
    /// Taken while a record is read, changed and remembered, so that no change is lost.
    changing: Arc<Turns>,
    /// Taken while a record is written, so that the newest is the last on disk.
    persisting: Arc<Turns>,
}

/// A finished file on its way to become a blob.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) staging: Staging,
    pub(super) blob: BlobId,
    /// The promise of its bytes, which ends when they count themselves.
    pub(super) reservation: Option<Reservation>,
}

impl Finished {
    /// Without a promise: documents are small against the store.
    pub(super) fn new(staging: Staging, blob: BlobId) -> Self {
        Self { staging, blob, reservation: None }
    }
}

impl Writer {
    pub(super) fn new(store: Arc<Store>, space: Space, purges: Arc<Purges>) -> Self {
        Self { store, space, purges, changing: Arc::default(), persisting: Arc::default() }
    }

    /// Commits the blobs and then the record, which this process knows from then on, unless there was a purge since
    /// this began. A failure is reported by the store; what could not be kept is fetched again some day.
    pub(super) async fn store(&self, id: RecordId, record: Arc<Record>, files: Vec<Finished>, since: Since) {
        let (store, space, persisting) = (Arc::clone(&self.store), self.space.clone(), Arc::clone(&self.persisting));
        let (changing, purges) = (Arc::clone(&self.changing), Arc::clone(&self.purges));
        let write = move || {
            let committed = files
                .into_iter()
                .try_for_each(|file| store.commit_reserved(&space, file.staging, file.blob, file.reservation));
            if committed.is_ok() {
                let _kept = store.keep(id);
                purges.write_unless_since(since, || {
                    if remember(&store, &space, &changing, id, record) {
                        // Without its file the record still serves for as long as this process lives.
                        let _ = persist_newest(&store, &space, id, &persisting);
                    }
                });
            }
            if store.inventory().is_full() {
                store.evict();
            }
        };
        if tokio::task::spawn_blocking(write).await.is_err() {
            tracing::error!("a write to the store was abandoned");
        }
    }

    /// Dates the record of an unchanged document anew and takes over the validators of `document`, keeping variants
    /// that were added meanwhile. It is not remembered if there was a purge since this began.
    pub(super) fn confirm(
        &self,
        id: RecordId,
        validated: u64,
        record: &Record,
        document: &Document,
        since: Since,
    ) -> Arc<Record> {
        let confirmed = |newest: Option<Arc<Record>>| {
            let mut newest = match newest {
                Some(newest) if is_same_document(&newest, record) => (*newest).clone(),
                _ => record.clone(),
            };
            newest.validated = validated;
            if let State::Document(confirmed) = &mut newest.state {
                confirmed.etag.clone_from(&document.etag);
                confirmed.last_modified.clone_from(&document.last_modified);
                confirmed.older_since = document.older_since;
            }
            Arc::new(newest)
        };
        let remembered = self.purges.unless_since(since, || {
            let _changing = self.changing.wait(id);
            let newest = confirmed(self.store.record_in_memory(id));
            self.store.remember(&self.space, id, Arc::clone(&newest));
            newest
        });
        remembered.unwrap_or_else(|| confirmed(None))
    }

    /// Adds a variant to the record of its document, if that is still the one it was made from.
    pub(super) async fn add_variant(&self, id: RecordId, of: BlobId, variant: Variant, blob: Staging) {
        let blob_id = variant.blob;
        let _kept = self.store.keep(id);
        {
            let _no_purge = self.store.no_purge_yet();
            let _changing = self.changing.wait(id);
            let Some(newest) = self.store.record_in_memory(id) else { return };
            let mut newest = (*newest).clone();
            let State::Document(document) = &mut newest.state else { return };
            if document.raw != of {
                return;
            }
            document.variants.retain(|kept| kept.fingerprint != variant.fingerprint);
            document.variants.push(variant);
            limit_bases(&mut document.variants);
            self.store.remember(&self.space, id, Arc::new(newest));
        }
        let (store, space) = (Arc::clone(&self.store), self.space.clone());
        let commit = move || store.commit(&space, blob, blob_id);
        if matches!(tokio::task::spawn_blocking(commit).await, Ok(Ok(()))) {
            self.persist(id).await;
        }
    }

    /// Writes the newest record.
    pub(super) async fn persist(&self, id: RecordId) {
        let (store, space, persisting) = (Arc::clone(&self.store), self.space.clone(), Arc::clone(&self.persisting));
        let write = move || {
            let _no_purge = store.no_purge();
            persist_newest(&store, &space, id, &persisting)
        };
        // The store has reported a failure; the record in memory serves until the process ends.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

/// Makes a record the one that this process knows, unless it knows a newer one by now.
fn remember(store: &Store, space: &Space, changing: &Turns, id: RecordId, record: Arc<Record>) -> bool {
    let _changing = changing.wait(id);
    if store.record_in_memory(id).is_some_and(|known| known.validated > record.validated) {
        return false;
    }
    store.remember(space, id, record);
    true
}

fn persist_newest(store: &Arc<Store>, space: &Space, id: RecordId, persisting: &Turns) -> io::Result<()> {
    let _persisting = persisting.wait(id);
    match store.record_in_memory(id) {
        Some(newest) => store.persist(space, id, &newest),
        None => Ok(()),
    }
}

fn is_same_document(a: &Record, b: &Record) -> bool {
    matches!((a.document(), b.document()), (Some(a), Some(b)) if a.raw == b.raw)
}

/// Drops the variants of the bases that were added longest ago.
fn limit_bases(variants: &mut Vec<Variant>) {
    let mut bases: Vec<String> = Vec::new();
    for variant in variants.iter().rev() {
        if !variant.base.is_empty() && !bases.contains(&variant.base) {
            bases.push(variant.base.clone());
        }
    }
    bases.truncate(BASES);
    variants.retain(|variant| variant.base.is_empty() || bases.contains(&variant.base));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Key;
    use crate::store::{Artifact, Options};

    #[tokio::test]
    async fn a_record_that_memory_has_no_room_for_is_written() {
        let root = tempfile::tempdir().unwrap();
        let open = || {
            let options = Options { root: root.path().into(), durable: false, max_size: 1 << 30, memory: 1 << 20 };
            Arc::new(Store::open(options))
        };
        let space = Space::new("team", "npm", "npm", &url::Url::parse("https://registry.example/").unwrap());
        let key = Key::document(&"a".repeat(17 << 20), "full");
        let id = space.record_id(&key);
        let record = Arc::new(Record::new(&key, 1, State::Artifact(Artifact::of(BlobId::of(b"a"), 1))));
        let store = open();
        let purges = Arc::new(Purges::new(Arc::clone(&store), space.clone()));
        let writer = Writer::new(Arc::clone(&store), space.clone(), Arc::clone(&purges));
        let before = purges.since();
        writer.store(id, Arc::clone(&record), Vec::new(), before).await;
        assert!(open().record(&space, id).await.is_some());
        purges.purge(&key.package, None, |_| {});
        writer.store(id, record, Vec::new(), before).await;
        assert!(store.record_in_memory(id).is_none() && open().record(&space, id).await.is_none());
    }

    #[test]
    fn the_newest_four_bases_stay() {
        let variant = |base: &str| Variant {
            base: base.into(),
            fingerprint: String::new(),
            blob: BlobId::of(base.as_bytes()),
            length: 0,
        };
        let mut variants: Vec<Variant> = ["a", "b", "", "c", "d", "a", "e"].into_iter().map(variant).collect();
        limit_bases(&mut variants);
        let bases: Vec<&str> = variants.iter().map(|variant| variant.base.as_str()).collect();
        assert_eq!(bases, ["a", "", "c", "d", "a", "e"]);
    }
}
