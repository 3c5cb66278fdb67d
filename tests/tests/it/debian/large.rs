//! Indexes that are large, or that pretend to be: they pass, and memory stays bounded.

use data_encoding::BASE64;
use tests::bytes_of::seeded;

use super::*;

const MEBIBYTE: u64 = 1 << 20;

/// A proxy that has served one small index, and its peak of memory.
async fn idle(upstream: &Upstream) -> (Rig, u64) {
    State::naming(&[]).publish(upstream);
    let rig = start(upstream, Manifest::always_revalidating).await;
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    let peak = rig.peak_memory();
    (rig, peak)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_index_is_never_in_memory_whole() {
    const STANZAS: usize = 60_000;
    let upstream = Upstream::start().await;
    let (rig, before) = idle(&upstream).await;
    let content = deb("content");
    let path = |number: usize| format!("pool/main/p/p{number}/p{number}_1_all.deb");
    let digest = HEXLOWER.encode(&Sha256::digest(&content));
    let filler = "0123456789abcdef".repeat(44);
    let mut text = String::new();
    for number in 0..STANZAS {
        let file = path(number);
        let _ =
            write!(text, "Package: p{number}\nDescription: {filler}\nFilename: {file}\nSize: 15\nSHA256: {digest}\n\n");
    }
    assert!(text.len() > 48 << 20);
    let state = State { indexes: vec![(PACKAGES, gzip(text.as_bytes()))], fields: "" };
    state.publish(&upstream);
    until_head(&rig, &state).await;
    assert_eq!(update(&rig, PACKAGES).await.bytes(), state.index(PACKAGES));
    for number in [0, STANZAS / 2, STANZAS - 1] {
        upstream.set(&format!("{BASE}{}", path(number)), Resource::file(deb("wrong")));
        rig.get(&format!("/debian/{}", path(number))).await.expect_status(502);
    }
    let used = rig.peak_memory().saturating_sub(before);
    assert!(used < 40 * MEBIBYTE, "{} MiB above idle for 50 MB of text", used / MEBIBYTE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_other_indexes_of_one_head_come_as_one_state_in_little_memory() {
    const STANZAS: usize = 20_000;
    const INDEXES: [&str; 3] =
        ["main/binary-amd64/Packages.xz", "main/source/Sources.xz", "main/i18n/Translation-en.xz"];
    let upstream = Upstream::start().await;
    let (rig, before) = idle(&upstream).await;
    let path = |number: usize| format!("pool/main/p/p{number}/p{number}_1_all.deb");
    let source = "pool/main/l/lab/lab_1.dsc";
    // Each state names other contents, so that no index of one fits the head of the other.
    let state = |seed: u64| {
        let digest = |bytes: &[u8]| HEXLOWER.encode(&Sha256::digest(bytes));
        let (content, signed) = (deb(&format!("content {seed}")), format!("source {seed}"));
        let packed = digest(&content);
        let mut text = String::new();
        for number in 0..STANZAS {
            // Random bytes: three quarters of this text are left of it when it is packed.
            let filler = BASE64.encode(&seeded(b"", seed * 1_000_000 + number as u64, 500));
            let _ = write!(
                text,
                "Package: p{number}\nDescription: {filler}\nFilename: {}\nSize: {}\nSHA256: {packed}\n\n",
                path(number),
                content.len(),
            );
        }
        let sources = format!(
            "Package: lab\nDirectory: pool/main/l/lab\nChecksums-Sha256:\n {} {} lab_1.dsc\n\n",
            digest(signed.as_bytes()),
            signed.len(),
        );
        let translation = format!("Package: lab\nDescription-en: state {seed}\n\n");
        let packed = [text, sources, translation].map(|text| xz(text.as_bytes()));
        State { indexes: INDEXES.into_iter().zip(packed).collect(), fields: "" }
    };
    let (old, new) = (state(1), state(2));
    assert!(old.index(INDEXES[0]).len() >= 8 << 20, "{} bytes packed", old.index(INDEXES[0]).len());
    old.publish(&upstream);
    until_head(&rig, &old).await;
    // Head and indexes on one connection, as apt does it: all are of the state of the head that was given, and the next
    // head brings all of the next one.
    for (given, following, fetched) in [(&old, &new, 0), (&new, &old, 2)] {
        for name in INDEXES {
            assert_eq!(upstream.count(&at(name)), fetched, "{name}: what is in use comes with the head");
        }
        let asks = ["InRelease"].iter().chain(&INDEXES).map(|name| Ask::get(&here(name))).collect();
        let answers = rig.client().keep_alive(asks).await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("an answer").expect_status(200)).collect();
        assert_eq!(answers[0].text(), given.head());
        for (name, answer) in INDEXES.iter().zip(&answers[1..]) {
            assert!(answer.bytes() == given.index(name), "{name} is of another state");
        }
        for wrong in [&path(0), &path(STANZAS - 1), source] {
            upstream.set(&format!("{BASE}{wrong}"), Resource::file(deb("wrong")));
            rig.get(&format!("/debian/{wrong}")).await.expect_status(502);
        }
        following.publish(&upstream);
        until_head(&rig, following).await;
    }
    let used = rig.peak_memory().saturating_sub(before);
    assert!(used < 40 * MEBIBYTE, "{} MiB above idle", used / MEBIBYTE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_grows_without_end_is_given_up() {
    let upstream = Upstream::start().await;
    let (rig, before) = idle(&upstream).await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    // One line of more than a gibibyte.
    for _ in 0..1100 {
        bomb.write_all(&vec![b'x'; MEBIBYTE as usize]).expect("writing to memory");
    }
    let state = State { indexes: vec![(PACKAGES, bomb.finish().expect("writing to memory").into())], fields: "" };
    state.publish(&upstream);
    until_head(&rig, &state).await;
    assert_eq!(update(&rig, PACKAGES).await.bytes(), state.index(PACKAGES), "it is what the archive signed");
    rig.logged(&["an index cannot be read", "grows without end"]).await;
    let used = rig.peak_memory().saturating_sub(before);
    assert!(used < 40 * MEBIBYTE, "{} MiB above idle", used / MEBIBYTE);
}
