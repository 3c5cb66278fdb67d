//! The store as a whole, on a real directory: what is opened, what is damaged, what is evicted and in which order.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use tempfile::TempDir;

use super::inventory::Id;
use super::{Artifact, BlobId, Document, Options, Record, RecordId, Space, State, Store, body};
use crate::intent::{Key, ServedAs};

const LARGE: usize = 400 << 10;

pub(super) fn open(root: &TempDir, max_size: u64) -> Arc<Store> {
    Arc::new(Store::open(Options { root: root.path().into(), durable: false, max_size, memory: 1 << 20 }))
}

fn space_of(upstream: &str) -> Space {
    Space::new("team", "npm", "npm", &url::Url::parse(upstream).unwrap())
}

pub(super) fn space() -> Space {
    space_of("https://registry.example/")
}

pub(super) fn put(store: &Store, bytes: &[u8]) -> BlobId {
    let id = BlobId::of(bytes);
    let staging = store.stage().unwrap();
    staging.write_at(0, bytes).unwrap();
    store.commit(&space(), staging, id).unwrap();
    id
}

pub(super) fn path(store: &Store, id: BlobId) -> PathBuf {
    store.blob_path(&space(), id)
}

pub(super) fn large(fill: u8) -> Vec<u8> {
    vec![fill; LARGE]
}

#[tokio::test]
async fn a_blob_that_cannot_be_opened_is_a_miss_and_stays_counted() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 10 << 20);
    let id = put(&store, b"small");
    let aside = root.path().join("aside");
    fs::rename(path(&store, id), &aside).unwrap();
    // Any error but the absence of the file; permissions do not stop the superuser.
    symlink(&aside, path(&store, id)).unwrap();
    assert!(store.blob(&space(), id, 5).await.is_none());
    assert!(store.read_fault().is_some());
    assert_eq!(store.inventory().usage().objects, 1);

    fs::rename(&aside, path(&store, id)).unwrap();
    assert!(store.blob(&space(), id, 5).await.is_some());
    assert!(store.read_fault().is_none());
}

#[tokio::test]
async fn a_blob_that_shrinks_while_it_is_sent_is_gone_for_the_next_request() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 10 << 20);
    let id = put(&store, &large(1));
    let blob = store.blob(&space(), id, LARGE as u64).await.unwrap();
    File::options().write(true).open(path(&store, id)).unwrap().set_len(10).unwrap();
    let pieces: Vec<_> = body::send(&blob, 0..LARGE as u64).collect().await;
    assert!(pieces.last().unwrap().is_err());
    assert!(!path(&store, id).exists());
    assert_eq!(store.inventory().usage().bytes, 0);

    // What was fetched in its place is not removed by a slow reader of the bad one.
    put(&store, &large(1));
    let second = store.blob(&space(), id, LARGE as u64).await.unwrap();
    let third = store.blob(&space(), id, LARGE as u64).await.unwrap();
    File::options().write(true).open(path(&store, id)).unwrap().set_len(10).unwrap();
    assert!(second.read_all().is_err());
    put(&store, &large(1));
    assert!(third.read_all().is_err());
    assert!(store.blob(&space(), id, LARGE as u64).await.unwrap().read_all().is_ok());
}

#[tokio::test]
async fn an_open_blob_is_not_evicted() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, LARGE as u64 * 2);
    let id = put(&store, &large(1));
    let blob = store.blob(&space(), id, LARGE as u64).await.unwrap();
    store.inventory().retire("team", id, i64::MAX);
    put(&store, &large(2));
    assert_eq!(store.evict(), 0);
    drop(blob);
    assert_eq!(store.evict(), 1);
    assert!(!path(&store, id).exists());
}

#[tokio::test]
async fn a_promise_ends_with_the_commit() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, LARGE as u64);
    let promise = store.inventory().reserve(LARGE as u64);
    assert!(promise.is_some());
    let staging = store.stage().unwrap();
    staging.write_at(0, &large(1)).unwrap();
    store.commit_reserved(&space(), staging, BlobId::of(&large(1)), promise).unwrap();
    let usage = store.inventory().usage();
    assert_eq!((usage.bytes, usage.reserved), (LARGE as u64, 0));
}

#[tokio::test]
async fn a_full_disk_makes_the_cache_give_way() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 1 << 30);
    for fill in 0..10 {
        put(&store, &large(fill));
    }
    store.report(&io::ErrorKind::PermissionDenied.into());
    store.report(&io::ErrorKind::StorageFull.into());
    while store.inventory().usage().evictions == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.inventory().usage().evictions, 1);
    assert!(store.fault().is_some());
    put(&store, b"again");
    assert!(store.fault().is_none());
}

#[tokio::test]
async fn uses_outlive_the_process_and_what_is_retired_goes_first() {
    let root = tempfile::tempdir().unwrap();
    let upstreams = ["https://registry.example/", "https://other.example/"];
    let ids: Vec<BlobId> = {
        let store = open(&root, 10 << 20);
        let ids: Vec<BlobId> = (0..3).map(|fill| put(&store, &large(fill))).collect();
        for id in &ids {
            let age = Duration::from_hours(1);
            File::open(path(&store, *id)).unwrap().set_modified(SystemTime::now() - age).unwrap();
        }
        // The second belongs to an upstream that will be gone.
        let key = Key { package: "a".into(), version: String::new(), file: String::new(), representation: "full" };
        let artifact = Artifact::of(ids[1], LARGE as u64);
        let record = Record::new(&key, 1, State::Artifact(artifact));
        store.persist(&space(), space().record_id(&key), &record).unwrap();
        store.uses_noted.store(store.inventory().now(), std::sync::atomic::Ordering::Relaxed);
        while store.inventory().now() <= store.uses_noted.load(std::sync::atomic::Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        assert!(store.blob(&space(), ids[0], LARGE as u64).await.is_some());
        assert_eq!(store.note_uses(), 1);
        assert_eq!(store.note_uses(), 0);
        ids
    };
    let store = open(&root, 10 << 20);
    let found = store.survey(|| vec![space_of(upstreams[1])]).unwrap();
    assert_eq!((found.blobs, found.retired), (3, 1));
    assert!(store.records_directory(&space()).exists(), "its blobs are still there");
    let order: Vec<Id> = (0..3)
        .flat_map(|_| store.inventory().candidates(1))
        .filter(|candidate| store.inventory().take_out(candidate))
        .map(|candidate| candidate.id())
        .collect();
    // The newest is never evicted by force.
    assert_eq!(order, [ids[1].into(), ids[2].into()]);
    std::fs::remove_file(path(&store, ids[1])).unwrap();
    store.survey(|| vec![space_of(upstreams[1])]).unwrap();
    assert!(!store.records_directory(&space()).exists(), "nothing of it is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_survey_at_a_time_and_the_last_word_counts() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 10 << 20);
    let key = Key { package: "a".into(), version: String::new(), file: String::new(), representation: "full" };
    let record = Record::new(&key, 1, State::Artifact(super::Artifact::of(BlobId::of(b"a"), 1)));
    store.persist(&space(), space().record_id(&key), &record).unwrap();
    let asked = std::cell::Cell::new(0);
    let found = store.survey(|| {
        asked.set(asked.get() + 1);
        // Another configuration while the first survey is under way.
        if asked.get() == 1 {
            assert!(store.survey(Vec::new).is_none());
            return vec![space()];
        }
        vec![space_of("https://other.example/")]
    });
    assert_eq!((asked.get(), found.unwrap().retired), (2, 1));
    assert!(store.survey(Vec::new).is_some());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_known_from_the_start_and_heals() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("volume");
    // Permissions do not stop the superuser; a file in place of a directory does.
    fs::write(&file, b"").unwrap();
    let root = file.join("cache");
    let store = Arc::new(Store::open(Options { root, durable: false, max_size: 10 << 20, memory: 1 << 20 }));
    assert!(store.fault().is_some());
    store.try_write();
    assert!(store.fault().is_some(), "nothing has changed");
    fs::remove_file(&file).unwrap();
    store.try_write();
    assert_eq!(store.fault(), None);
    let spools = fs::read_dir(file.join("cache/spool")).unwrap().map(|spool| spool.unwrap().path());
    let left: Vec<_> =
        spools.flat_map(|spool| fs::read_dir(spool).unwrap()).map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "the trial leaves nothing");
    put(&store, b"kept");
}

#[tokio::test]
async fn a_trial_heals_only_what_it_can_judge() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 10 << 20);
    for (kind, read_only, full, heals) in [
        (io::ErrorKind::PermissionDenied, true, false, true),
        (io::ErrorKind::ReadOnlyFilesystem, true, false, true),
        (io::ErrorKind::NotADirectory, false, false, true),
        (io::ErrorKind::StorageFull, false, true, false),
    ] {
        store.report(&kind.into());
        assert_eq!((store.is_read_only(), store.is_full()), (read_only, full), "{kind:?}");
        store.try_write();
        assert_eq!(store.fault().is_none(), heals, "{kind:?}");
        put(&store, b"healed");
        assert_eq!(store.fault(), None);
    }
    // Files begin where they can, and end where they cannot.
    let owners = root.path().join("owners");
    fs::remove_dir_all(&owners).unwrap();
    fs::write(&owners, b"").unwrap();
    let staging = store.stage().unwrap();
    assert!(store.commit(&space(), staging, BlobId::of(b"")).is_err());
    store.try_write();
    assert!(store.fault().is_some());
}

/// A document of these bytes, kept under a name.
fn put_document(store: &Arc<Store>, name: &str, bytes: &[u8]) -> RecordId {
    let raw = put(store, bytes);
    let document = Document {
        received: raw,
        raw,
        length: bytes.len() as u64,
        reading: None,
        content_type: String::new(),
        url: url::Url::parse("https://registry.example/").unwrap(),
        etag: None,
        last_modified: None,
        served: ServedAs::default(),
        changed: 1,
        variants: Vec::new(),
        digests: Vec::new(),
        revision: None,
        older_since: None,
        valid_until: None,
        by_digest: false,
        signature: None,
    };
    keep(store, name, State::Document(document))
}

fn put_artifact(store: &Arc<Store>, name: &str, verified: bool, referenced: bool) -> RecordId {
    let verified = verified.then(|| "sha256:00".to_owned());
    let artifact = Artifact { verified, referenced, ..Artifact::of(BlobId::of(name.as_bytes()), 1) };
    keep(store, name, State::Artifact(artifact))
}

fn keep(store: &Arc<Store>, name: &str, state: State) -> RecordId {
    let key = Key::document(name, "list");
    let id = space().record_id(&key);
    let record = Arc::new(Record::new(&key, 1, state));
    store.remember(&space(), id, Arc::clone(&record));
    store.persist(&space(), id, &record).unwrap();
    id
}

async fn pass() {
    tokio::time::advance(Duration::from_mins(1)).await;
}

fn files(directory: PathBuf) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(entry.path()) } else { 1 }).sum()
}

#[tokio::test(start_paused = true)]
async fn documents_without_end_are_bounded_and_take_nothing_else_along() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 1 << 20);
    let kept = [("pin", false, false), ("verified", true, false), ("reference", true, true)];
    let kept = kept.map(|(name, verified, referenced)| put_artifact(&store, name, verified, referenced));
    let shared = put_document(&store, "first", b"nothing refers to it");
    let blobs = || store.inventory().usage().objects;
    for number in 0..500 {
        pass().await;
        put_document(&store, &format!("list-{number}"), format!("list {number}").as_bytes());
        // The same bytes again and again, in use under another name.
        let also = put_document(&store, &format!("empty-{number}"), b"nothing refers to it");
        assert!(store.record(&space(), also).await.is_some());
        store.evict();
        assert!(store.inventory().usage().records <= 64 + 3, "after {number}");
    }
    let records = files(store.records_directory(&space()));
    assert!(records <= 67, "{records} records on disk");
    assert_eq!(store.inventory().usage().records, records as u64);
    let shared_blob = BlobId::of(b"nothing refers to it");
    assert!(store.owned_blob(&space(), shared_blob, 20).await.is_some());
    assert!(store.owned_blob(&space(), shared_blob, 19).await.is_none());
    assert!(store.owned_blob(&space(), shared_blob, 20).await.is_some(), "nothing is removed on somebody's word");
    assert!(blobs() <= 64 + 1, "{} blobs", blobs());
    assert!(store.record(&space(), shared).await.is_none());
    for id in kept {
        assert!(store.record(&space(), id).await.is_some());
        assert!(store.record_path(&space(), id).exists());
    }
}

#[tokio::test]
async fn a_process_knows_what_the_one_before_it_recorded() {
    let root = tempfile::tempdir().unwrap();
    let before = {
        let store = open(&root, 1 << 20);
        put_artifact(&store, "pin", false, false);
        for number in 0..100 {
            put_document(&store, &number.to_string(), number.to_string().as_bytes());
        }
        store.inventory().usage()
    };
    assert_eq!((before.records, before.objects, before.bytes), (101, 100, 201 * 4096));
    let store = open(&root, 1 << 20);
    let found = store.survey(|| vec![space()]).unwrap();
    assert_eq!((found.records, found.blobs), (101, 100));
    assert_eq!(store.inventory().usage(), before);
    assert!(store.evict() > 0);
    assert!(store.record_path(&space(), space().record_id(&Key::document("pin", "list"))).exists());
    assert_eq!(store.purge(&space(), "pin", None, |_| {}), 1);
    assert_eq!(store.inventory().usage().records as usize, files(store.records_directory(&space())));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_while_its_record_is_chosen_stays() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root, 1 << 20);
    let id = put_artifact(&store, "verified", true, false);
    pass().await;
    put(&store, b"newer");
    let candidates = store.inventory().candidates(u64::MAX);
    let candidate = candidates.iter().find(|candidate| candidate.id() == Id::Record(id)).unwrap();
    let known = store.record_in_memory(id).unwrap();
    pass().await;
    store.remember(&space(), id, known);
    assert!(!store.inventory().take_out(candidate));
    assert!(store.record_path(&space(), id).exists() && store.record_in_memory(id).is_some());
}
