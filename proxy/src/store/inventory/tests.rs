//! The inventory: order of eviction, promises, pins, owners.

use std::sync::Arc;
use std::time::Duration;

use super::{Id, Inventory, Kind, Usage};
use crate::intent::Key;
use crate::store::{BlobId, RecordId, Space};

fn id(number: u8) -> BlobId {
    BlobId::of(&[number])
}

/// What goes, in this order.
fn victims(inventory: &Inventory, least: u64) -> Vec<(Arc<str>, Id)> {
    let candidates = inventory.surplus_documents().into_iter().chain(inventory.candidates(least));
    let gone = candidates.filter(|candidate| inventory.take_out(candidate));
    gone.map(|candidate| (inventory.place_of(&candidate), candidate.id())).collect()
}

fn evicted(inventory: &Inventory) -> Vec<BlobId> {
    victims(inventory, 0).into_iter().filter_map(|(_, id)| blob(id)).collect()
}

fn blob(id: Id) -> Option<BlobId> {
    match id {
        Id::Blob(id) => Some(id),
        Id::Record(_) => None,
    }
}

fn record(number: u64) -> RecordId {
    let upstream = url::Url::parse("https://registry.example/").unwrap();
    let key = Key::document(&number.to_string(), "full");
    Space::new("team", "npm", "npm", &upstream).record_id(&key)
}

async fn pass() {
    tokio::time::advance(Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_goes_first_and_the_newest_unread_stays() {
    let inventory = Arc::new(Inventory::new(100));
    inventory.adopt("team", id(0), Kind::Blob, 30, -500);
    for number in 1..=2 {
        pass().await;
        inventory.insert("team", id(number), 30);
    }
    assert!(evicted(&inventory).is_empty());
    pass().await;
    inventory.touch("team", id(0));
    inventory.insert("other", id(3), 9);
    // 99 of 100: down to 90, so one blob of 30 goes, and it is the one that was used longest ago.
    assert_eq!(evicted(&inventory), [id(1)]);
    assert_eq!(inventory.usage(), Usage { bytes: 69, objects: 3, records: 0, reserved: 0, evictions: 1 });
}

#[tokio::test(start_paused = true)]
async fn many_go_in_the_order_of_their_use() {
    let inventory = Arc::new(Inventory::new(1000));
    for number in 0..100 {
        pass().await;
        inventory.insert("team", id(number), 10);
    }
    pass().await;
    inventory.touch("team", id(0));
    let expected: Vec<BlobId> = (1..=10).map(id).collect();
    assert_eq!(evicted(&inventory), expected);
    assert!(!inventory.is_full());
}

#[tokio::test(start_paused = true)]
async fn pinned_blobs_stay() {
    let inventory = Arc::new(Inventory::new(100));
    inventory.insert("team", id(1), 40);
    inventory.insert("team", id(2), 40);
    let pins = [inventory.pin("team", id(1)), inventory.pin("team", id(1))];
    pass().await;
    inventory.insert("team", id(3), 18);
    assert_eq!(evicted(&inventory), [id(2)]);
    // Replaced meanwhile, it is as pinned as before.
    inventory.forget("team", id(1));
    inventory.adopt("team", id(1), Kind::Blob, 40, -1);
    let [one, other] = pins;
    drop(one);
    inventory.insert("team", id(4), 40);
    assert_eq!(evicted(&inventory), [id(3)]);
    drop(other);
    pass().await;
    inventory.insert("team", id(5), 20);
    assert_eq!(evicted(&inventory), [id(1)]);
}

#[tokio::test(start_paused = true)]
async fn promises_are_bounded_together() {
    let inventory = Arc::new(Inventory::new(100));
    assert!(inventory.reserve(101).is_none());
    let mut first = inventory.reserve(60).unwrap();
    assert!(inventory.reserve(41).is_none());
    assert!(inventory.reserve(u64::MAX).is_none());
    assert!(first.grow(40));
    assert!(!first.grow(1));
    assert_eq!(inventory.usage().reserved, 100);
    drop(first);
    assert_eq!(inventory.usage().reserved, 0);
    assert!(inventory.reserve(100).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_promise_runs_ahead_of_what_has_arrived_and_no_further_than_the_end() {
    let inventory = Arc::new(Inventory::new(100));
    assert!(inventory.has_room(100) && !inventory.has_room(101) && !inventory.has_room(u64::MAX));
    let mut promise = inventory.reserve(0).unwrap();
    for (arrived, announced, promised) in
        [(16, Some(60), 18), (17, Some(60), 19), (56, Some(60), 60), (60, Some(60), 60), (64, None, 72), (96, None, 96)]
    {
        assert!(promise.cover(arrived, announced));
        assert_eq!(promise.bytes(), promised, "{arrived}");
    }
    assert!(inventory.has_room(4) && !inventory.has_room(5));
    assert!(!promise.cover(101, None));
    assert_eq!(inventory.usage().reserved, 96);
}

#[tokio::test(start_paused = true)]
async fn a_promise_evicts_no_more_than_it_needs() {
    let inventory = Arc::new(Inventory::new(100));
    for number in 0..8 {
        pass().await;
        inventory.insert("team", id(number), 10);
    }
    let fits = inventory.reserve(20).unwrap();
    assert!(!inventory.is_full());
    let more = inventory.reserve(5).unwrap();
    // 105 of 100: one blob of ten is enough.
    assert_eq!(evicted(&inventory), [id(0)]);
    drop((fits, more));
}

#[tokio::test(start_paused = true)]
async fn a_large_blob_counts_once_and_does_not_evict_itself() {
    let inventory = Arc::new(Inventory::new(100));
    for number in 0..9 {
        pass().await;
        inventory.insert("team", id(number), 10);
    }
    let promised = inventory.reserve(60).unwrap();
    assert_eq!(evicted(&inventory).len(), 5);
    pass().await;
    inventory.insert_reserved("team", id(100), 60, promised);
    assert_eq!(inventory.usage(), Usage { bytes: 100, objects: 5, records: 0, reserved: 0, evictions: 5 });
    // Now the marks hold: down from 100 to 90, one of ten.
    assert_eq!(evicted(&inventory), [id(5)]);

    let promised = inventory.reserve(97).unwrap();
    pass().await;
    inventory.insert_reserved("team", id(101), 97, promised);
    assert!(!evicted(&inventory).contains(&id(101)));
    assert_eq!(inventory.usage().bytes, 97);
    assert!(evicted(&inventory).is_empty(), "the newest stays though it is above the mark");
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_of_two_owners_are_two_blobs() {
    let inventory = Arc::new(Inventory::new(100));
    inventory.insert("one", id(1), 30);
    inventory.insert("two", id(1), 30);
    assert_eq!(inventory.usage().bytes, 60);
    pass().await;
    inventory.touch("one", id(1));
    inventory.insert("one", id(2), 39);
    let victims: Vec<_> = victims(&inventory, 0).into_iter().map(|(owner, id)| (owner.to_string(), id)).collect();
    assert_eq!(victims, [("two".to_owned(), id(1).into())]);
    inventory.forget("two", id(1));
    assert_eq!(inventory.usage().bytes, 69);
}

#[tokio::test(start_paused = true)]
async fn what_is_retired_goes_first_unless_it_is_used_again() {
    let inventory = Arc::new(Inventory::new(100));
    inventory.adopt("team", id(0), Kind::Blob, 10, -5000);
    pass().await;
    for number in 1..=3 {
        inventory.insert("team", id(number), 20);
    }
    pass().await;
    let before = inventory.now();
    inventory.touch("team", id(3));
    for number in [2, 3] {
        inventory.retire("team", id(number), before);
    }
    inventory.insert("team", id(4), 26);
    assert_eq!(evicted(&inventory), [id(2)]);
    let used: Vec<BlobId> = inventory.used_since(before - 1).into_iter().filter_map(|(_, id, _)| blob(id)).collect();
    assert!(used.contains(&id(3)) && used.contains(&id(4)) && used.len() == 2, "{used:?}");
}

#[tokio::test(start_paused = true)]
async fn an_emergency_takes_what_is_asked_for() {
    let inventory = Arc::new(Inventory::new(1000));
    for number in 0..3 {
        pass().await;
        inventory.insert("team", id(number), 10);
    }
    let gone: Vec<Id> = victims(&inventory, 11).into_iter().map(|(_, id)| id).collect();
    assert_eq!(gone, [id(0).into(), id(1).into()]);
}

#[tokio::test(start_paused = true)]
async fn documents_without_end_take_the_place_of_documents_only() {
    let inventory = Arc::new(Inventory::new(1 << 30));
    inventory.insert("team", id(0), 4096);
    inventory.insert_record("records", record(u64::MAX), Kind::Artifact, 4096);
    inventory.insert_record("records", record(u64::MAX - 1), Kind::Lasting, 4096);
    let most = (1 << 30) / 4 / 4096;
    pass().await;
    for number in 0..most {
        inventory.insert_record("records", record(number), Kind::Document, 4096);
    }
    pass().await;
    inventory.touch("records", record(0));
    assert!(!inventory.is_full());
    inventory.insert_record("records", record(most), Kind::Document, 4096);
    assert!(inventory.is_full());
    let gone = victims(&inventory, 0);
    assert_eq!(gone.len() as u64, most / 16 + 1);
    let stay = [record(0), record(most), record(u64::MAX), record(u64::MAX - 1)].map(Id::Record);
    assert!(gone.iter().all(|(_, id)| !stay.contains(id) && blob(*id).is_none()));
    assert!(!inventory.is_full());
    let usage = inventory.usage();
    assert_eq!((usage.objects, usage.records), (1, most - most / 16 + 2));
    assert_eq!(usage.bytes, 4096 * (usage.records + 1));
}

#[tokio::test(start_paused = true)]
async fn records_are_counted_and_go_in_their_turn_but_for_what_nobody_could_say_again() {
    let inventory = Arc::new(Inventory::new(100));
    for (number, kind) in [Kind::Lasting, Kind::Artifact, Kind::Document].into_iter().enumerate() {
        inventory.insert_record("records", record(number as u64), kind, 10);
        pass().await;
    }
    inventory.insert("team", id(0), 40);
    pass().await;
    inventory.insert("team", id(1), 28);
    // A record of what was stored last is written after it.
    pass().await;
    inventory.insert_record("records", record(3), Kind::Artifact, 10);
    assert_eq!(inventory.usage().bytes, 108);
    let gone: Vec<Id> = victims(&inventory, 0).into_iter().map(|(_, id)| id).collect();
    assert_eq!(gone, [record(1).into(), record(2).into()]);
    let gone: Vec<Id> = victims(&inventory, u64::MAX).into_iter().map(|(_, id)| id).collect();
    assert_eq!(gone, [id(0).into()], "neither the pin nor what was stored last");
    // Another kind by now.
    inventory.insert_record("records", record(0), Kind::Document, 12);
    inventory.forget_all("records");
    assert_eq!(inventory.usage(), Usage { bytes: 28, objects: 1, records: 0, reserved: 0, evictions: 3 });
}
