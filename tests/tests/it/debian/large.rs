//! Indexes that are large, or that pretend to be: they pass, and memory stays bounded.

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
