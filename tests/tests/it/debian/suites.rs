//! Archives of very many suites: few are open at once, and all of them count.

use std::time::Duration;

use tests::wait::until_time;

use super::*;

/// More than are open at once.
const SUITES: usize = 90;
/// So many entries make a head's table a file that is kept open.
const ENTRIES: usize = 4000;

fn path(suite: usize) -> String {
    format!("pool/main/l/lab/lab_{suite}_all.deb")
}

/// A suite whose one index names the package of its number.
fn publish(upstream: &Upstream, suite: usize, content: &Bytes) {
    let index = gzip(stanzas(&[(&path(suite), content)]).as_bytes());
    let others: Vec<String> = (0..ENTRIES).map(|number| format!("main/i18n/Translation-{number}-{suite}")).collect();
    let mut files: Vec<(&str, &[u8])> = others.iter().map(|name| (name.as_str(), &b"none"[..])).collect();
    files.push((PACKAGES, &index[..]));
    let folder = format!("{BASE}dists/suite-{suite}");
    let head = in_release(&format!("suite-{suite}"), "", &files);
    upstream.set(&format!("{folder}/InRelease"), Resource::new(head, "text/plain"));
    upstream.set(&format!("{folder}/{PACKAGES}"), Resource::file(index));
}

/// Files of the store that the program holds open.
fn held_open(rig: &Rig) -> usize {
    let storage = rig.storage();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", rig.pid())).unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(storage.join("owners"))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_of_very_many_suites_are_open_and_none_is_forgotten() {
    let upstream = Upstream::start().await;
    let mut rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    let (good, evil) = (deb("good"), deb("evil"));
    for suite in 0..SUITES {
        publish(&upstream, suite, &good);
        upstream.set(&format!("{BASE}{}", path(suite)), Resource::file(evil.clone()));
        for name in ["InRelease", PACKAGES] {
            rig.get(&format!("/debian/dists/suite-{suite}/{name}")).await.expect_status(200);
        }
    }
    rig.until_written().await;
    // What was just written may still be open as the file that it was before.
    for restarted in [false, true] {
        if restarted {
            rig.restart().await;
        }
        for suite in 0..SUITES {
            rig.get(&format!("/debian/dists/suite-{suite}/InRelease")).await.expect_status(200);
        }
        // Files that were served lately are closed once a minute.
        let closed = || async { (held_open(&rig) <= 70).then_some(()) };
        until_time(Duration::from_mins(2), "the first suites to be closed", closed).await;
        // The indexes of closed suites say what a package is as those of open ones do.
        for suite in [0, 1, SUITES / 2, SUITES - 1] {
            rig.get(&format!("/debian/{}", path(suite))).await.expect_status(502);
        }
        rig.until_written().await;
        assert!(rig.stored_copies(&evil).is_empty());
    }
    for suite in [0, SUITES - 1] {
        upstream.set(&format!("{BASE}{}", path(suite)), Resource::file(good.clone()));
        assert_eq!(rig.get(&format!("/debian/{}", path(suite))).await.expect_status(200).bytes(), &good);
        let index = format!("/debian/dists/suite-{suite}/{PACKAGES}");
        assert!(rig.get(&index).await.expect_status(200).is_hit());
        assert_eq!(upstream.count(&format!("{BASE}dists/suite-{suite}/InRelease")), 1, "opened from disk");
    }
}
