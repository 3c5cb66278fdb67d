//! From one state of a suite to the next.

use super::*;
use tests::Reply;
use tests::upstream::Gate;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_use_is_here_before_the_new_head() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]).with("main/i18n/Translation-en", b"old");
    old.publish(&upstream);
    let rig = start(&upstream, Manifest::always_revalidating).await;
    get(&rig, "InRelease").await;
    assert_eq!(get(&rig, PACKAGES).await.bytes(), old.index(PACKAGES));
    rig.until_written().await;

    let new = State::naming(&[("pool/a.deb", b"2")]).with("main/i18n/Translation-en", b"new");
    new.publish(&upstream);
    until_head(&rig, &new).await;
    // Nobody has asked for it yet, and the upstream is gone.
    let asked = upstream.requests().len();
    assert_eq!(upstream.count(&at(PACKAGES)), 2);
    assert_eq!(upstream.count(&at("main/i18n/Translation-en")), 0, "nobody uses it");
    upstream.stop().await;
    assert_eq!(update(&rig, PACKAGES).await.bytes(), new.index(PACKAGES));
    // The old one stays where its digest is the address.
    assert_eq!(get(&rig, &by_digest(PACKAGES, old.index(PACKAGES))).await.bytes(), old.index(PACKAGES));
    assert_eq!(upstream.requests().len(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_files_where_the_old_head_may_not_stand_in() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]);
    old.publish(&upstream);
    let rig = start(&upstream, |manifest| manifest.always_revalidating().with("cache.staleIfError", "0s")).await;
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    rig.until_written().await;

    let (new, gate) = (State::naming(&[("pool/a.deb", b"2")]), Gate::shut());
    new.publish(&upstream);
    upstream.set(&at(PACKAGES), Reply::ok(new.index(PACKAGES).to_vec()).hold_head(&gate));
    assert_eq!(get(&rig, "InRelease").await.text(), new.head());
    until("the request for its index", || async { (gate.arrived() == 1).then_some(()) }).await;
    gate.open();
    assert_eq!(update(&rig, PACKAGES).await.bytes(), new.index(PACKAGES));
    assert_eq!(upstream.count(&at(PACKAGES)), 2, "what was under way is what the client gets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_change_of_the_upstream_is_not_taken_over() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]);
    old.publish(&upstream);
    let rig = start(&upstream, Manifest::always_revalidating).await;
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    rig.until_written().await;

    let new = State::naming(&[("pool/a.deb", b"2")]);
    new.publish_head(&upstream);
    for _ in 0..3 {
        assert_eq!(get(&rig, "InRelease").await.text(), old.head(), "its index is not there yet");
        assert_eq!(get(&rig, PACKAGES).await.bytes(), old.index(PACKAGES));
    }
    assert_eq!(upstream.count(&at(PACKAGES)), 2, "tried once, then left alone for a while");
    new.publish_indexes(&upstream);
    until_head(&rig, &new).await;
    assert_eq!(update(&rig, PACKAGES).await.bytes(), new.index(PACKAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_the_files_of_the_head_that_it_was_given() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]);
    old.publish(&upstream);
    let rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    rig.until_written().await;
    let new = State::naming(&[("pool/a.deb", b"2")]).with("main/new.gz", &gzip(b"new"));
    new.publish(&upstream);
    // A name that the head lacks has the head asked for again: the new one is current now.
    assert_eq!(get(&rig, "main/new.gz").await.bytes(), new.index("main/new.gz"));
    assert_eq!(get(&rig, PACKAGES).await.bytes(), old.index(PACKAGES), "the client holds the old head");
    assert_eq!(update(&rig, PACKAGES).await.bytes(), new.index(PACKAGES), "and now the new one");
    // Of a client behind the same address nothing tells which it was given.
    rig.get(&here(PACKAGES)).await.expect_status(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_readers_behind_an_address_make_nobody_begin_anew() {
    let upstream = Upstream::start().await;
    let rig = start(&upstream, Manifest::always_revalidating).await;
    let states = [State::naming(&[("pool/a.deb", b"1")]), State::naming(&[("pool/a.deb", b"2")])];
    for state in &states {
        state.publish(&upstream);
        // Tools that read the unsigned head, of one moment and of the next.
        let release = flat_head(state);
        upstream.set(&at("Release"), Resource::new(release.clone(), "text/plain"));
        until("the new head", || async { (get(&rig, "Release").await.text() == release).then_some(()) }).await;
    }
    // Whoever comes without a head may hold either.
    rig.get(&here(PACKAGES)).await.expect_status(503);
    assert_eq!(update(&rig, PACKAGES).await.bytes(), states[1].index(PACKAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_has_gone_on_is_noticed_and_no_wrong_byte_is_served() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]);
    old.publish(&upstream);
    let rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    get(&rig, "InRelease").await;
    let new = State::naming(&[("pool/a.deb", b"2")]);
    new.publish(&upstream);
    let answer = rig.get(&here(PACKAGES)).await.expect_status(503);
    assert_ne!(answer.header("retry-after"), "");
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert_eq!(get(&rig, "InRelease").await.text(), new.head());
    assert_eq!(update(&rig, PACKAGES).await.bytes(), new.index(PACKAGES));
    assert!(rig.stored_copies(old.index(PACKAGES)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_digests_as_addresses_an_old_head_is_still_served() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]).fields("Acquire-By-Hash: yes\n");
    old.publish(&upstream);
    old.publish_by_digest(&upstream);
    let rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    get(&rig, "InRelease").await;
    let new = State::naming(&[("pool/a.deb", b"2")]).fields("Acquire-By-Hash: yes\n");
    new.publish(&upstream);
    new.publish_by_digest(&upstream);
    // By its name and by its digest, one and the same.
    assert_eq!(get(&rig, PACKAGES).await.bytes(), old.index(PACKAGES));
    assert_eq!(get(&rig, &by_digest(PACKAGES, old.index(PACKAGES))).await.bytes(), old.index(PACKAGES));
    assert_eq!(get(&rig, &by_digest(PACKAGES, new.index(PACKAGES))).await.bytes(), new.index(PACKAGES));
    assert_eq!(upstream.count(&at(PACKAGES)), 0, "names are only asked for where digests are not served");
    assert_eq!(upstream.count(&at(&by_digest(PACKAGES, old.index(PACKAGES)))), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_of_digests_that_is_not_kept_costs_nothing() {
    let upstream = Upstream::start().await;
    let state = State::naming(&[("pool/a.deb", b"1")]).fields("Acquire-By-Hash: yes\n");
    state.publish(&upstream);
    let rig = start(&upstream, |manifest| manifest).await;
    rig.get(&here(&by_digest(PACKAGES, state.index(PACKAGES)))).await.expect_status(404);
    get(&rig, "InRelease").await;
    // The address with the digest is remembered as absent; the name leads to where the bytes are.
    assert_eq!(get(&rig, PACKAGES).await.bytes(), state.index(PACKAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_at_a_digest_are_refused() {
    let upstream = Upstream::start().await;
    let state = State::naming(&[("pool/a.deb", b"1")]).fields("Acquire-By-Hash: yes\n");
    state.publish_head(&upstream);
    let address = by_digest(PACKAGES, state.index(PACKAGES));
    upstream.set(&at(&address), Resource::file("something else"));
    let rig = start(&upstream, |manifest| manifest).await;
    rig.get(&here(&address)).await.expect_status(502);
    state.publish_by_digest(&upstream);
    let answer = get(&rig, &address).await;
    assert_eq!(answer.bytes(), state.index(PACKAGES));
    let kept = rig.until_hit(&here(&address)).await;
    assert!(kept.header("cache-control").contains("immutable"));
    let named = rig.until_hit(&here(PACKAGES)).await;
    assert_eq!(named.header("cache-control"), "public, max-age=0");
    assert_eq!(named.header("last-modified"), "", "a date would not tell one state from the next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_head_of_the_same_indexes_is_current_at_once() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]);
    old.publish(&upstream);
    let rig = start(&upstream, Manifest::always_revalidating).await;
    update(&rig, PACKAGES).await;
    rig.until_written().await;
    let new = old.clone().fields("Label: lab\n");
    new.publish_head(&upstream);
    assert_eq!(get(&rig, "InRelease").await.text(), new.head());
    assert!(update(&rig, PACKAGES).await.is_hit());
    assert_eq!(upstream.count(&at(PACKAGES)), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_absent_is_asked_for_after_a_change() {
    let upstream = Upstream::start().await;
    let content = deb("new");
    let (path, extra) = ("/debian/pool/new_1_all.deb", "main/i18n/Translation-en");
    let old = State::naming(&[]).with(extra, b"listed and not there");
    old.publish_head(&upstream);
    upstream.set(&at(PACKAGES), Resource::file(old.index(PACKAGES).clone()));
    let rig = start(&upstream, |manifest| manifest.always_revalidating().with("cache.negativeTTL", "1h")).await;
    update(&rig, PACKAGES).await;
    rig.until_written().await;
    for absent in [path, &here(extra)] {
        rig.get(absent).await.expect_status(404);
    }
    // It is remembered that they were not there.
    upstream.set(&format!("{BASE}pool/new_1_all.deb"), Resource::file(content.clone()));
    upstream.set(&at(extra), Resource::file("listed and not there"));
    for absent in [path, &here(extra)] {
        rig.get(absent).await.expect_status(404);
    }
    let new = State::naming(&[("pool/new_1_all.deb", &content)]).with(extra, b"listed and not there");
    new.publish(&upstream);
    until_head(&rig, &new).await;
    assert_eq!(rig.get(path).await.expect_status(200).bytes(), &content);
    assert_eq!(update(&rig, extra).await.bytes(), new.index(extra));
}
