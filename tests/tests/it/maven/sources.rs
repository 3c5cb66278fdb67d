//! Two repositories behind one proxy: what one version consists of comes from one of them.

use tests::wait::until;

use super::*;

async fn two() -> (Repository, Upstream) {
    let other = Upstream::start().await;
    let repository = Repository::with(|manifest| adding(manifest, &other).allowing_loopback()).await;
    (repository, other)
}

fn put(upstream: &Upstream, path: &str, bytes: &Bytes) {
    upstream.set(&format!("{BASE}{path}"), Resource::file(bytes.clone()));
    upstream.set(&format!("{BASE}{path}.sha1"), Resource::new(hex::<Sha1>(bytes), "text/plain"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repository_that_gave_the_pom_gives_the_rest() {
    let (repository, other) = two().await;
    let (first, second) = (file(1, 3_000), file(2, 3_000));
    // Of plug-ins of sbt the folder says more than the names of the files.
    for stem in ["org/lab/tiny/1.0/tiny-1.0", "org/lab/sbt-tiny_2.12_1.0/1.0/sbt-tiny-1.0"] {
        let [pom, jar, sources] = [".pom", ".jar", "-sources.jar"].map(|end| format!("{stem}{end}"));
        put(&other, &pom, &second);
        put(&other, &jar, &second);
        assert!(repository.get(&pom).await.expect_status(200).bytes() == &second);
        repository.until_hit(&pom).await;
        // The first one has a file of this name by now: of another build, perhaps.
        repository.put(&jar, &first);
        repository.put(&pom, &first);
        assert!(repository.get(&jar).await.expect_status(200).bytes() == &second, "{stem}");
        assert_eq!(repository.get(&format!("{jar}.sha1")).await.expect_status(200).text(), hex::<Sha1>(&second));
        assert_eq!(repository.asked(&format!("{jar}.sha1")), 0, "a digest is asked of whoever gave the file");
        // What that one lacks is not taken from elsewhere.
        repository.put(&sources, &first);
        repository.get(&sources).await.expect_status(404);
        assert_eq!(repository.asked(&sources), 0, "{stem}");
    }
}

/// A mirror lags behind what it mirrors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mirror_does_not_have_yet_is_asked_of_what_it_mirrors() {
    let mirror = Upstream::start().await;
    let fallbacks = json!([{"url": mirror.url(BASE), "when": "Unavailable"}]);
    let tune = |manifest: Manifest| manifest.with("upstream.fallbacks", fallbacks).allowing_loopback();
    let repository = Repository::with(tune).await;
    put(&mirror, POM, &file(1, 3_000));
    repository.set(POM, Reply::new(503));
    assert!(repository.get(POM).await.expect_status(200).bytes() == &file(1, 3_000));
    repository.until_hit(POM).await;

    let sources = JAR.replace(".jar", "-sources.jar");
    repository.set(JAR, Reply::new(503));
    let answer = repository.get(JAR).await;
    assert!(matches!(answer.status.as_u16(), 502 | 503), "no word that there is none: {}", answer.status);
    assert_eq!((repository.asked(JAR), mirror.count(&format!("{BASE}{JAR}"))), (1, 1));
    repository.put(JAR, &file(2, 3_000));
    assert!(repository.get(JAR).await.expect_status(200).bytes() == &file(2, 3_000));
    repository.get(&sources).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_has_is_its_own() {
    let (repository, other) = two().await;
    repository.put(POM, &file(1, 3_000));
    put(&other, POM, &file(2, 3_000));
    put(&other, JAR, &file(2, 3_000));
    assert!(repository.get(POM).await.expect_status(200).bytes() == &file(1, 3_000));
    repository.until_hit(POM).await;
    repository.get(JAR).await.expect_status(404);
    assert_eq!(other.total(), 0, "the pom is from the first, and so is everything else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_repository_that_does_not_answer_has_is_not_taken_from_another() {
    let (repository, other) = two().await;
    put(&other, POM, &file(2, 3_000));
    for status in [500, 503] {
        repository.set(POM, Reply::new(status));
        let answer = repository.get(POM).await;
        assert!(matches!(answer.status.as_u16(), 502 | 503), "{status}: {}", answer.status);
    }
    assert_eq!(other.total(), 0);
    repository.put(POM, &file(1, 3_000));
    assert!(repository.get(POM).await.expect_status(200).bytes() == &file(1, 3_000));
}

/// Each repository is left alone by itself: here the other one may have it any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_said_no_is_left_alone() {
    let (repository, other) = two().await;
    let jar = |number: u64| format!("org/lab/tiny/1.0/tiny-1.0-{number}.jar");
    let asked = |path: &str| (repository.asked(path), other.count(&format!("{BASE}{path}")));
    other.set(&format!("{BASE}{}", jar(0)), Reply::new(503));
    for _ in 0..3 {
        repository.get(&jar(0)).await.expect_status(502);
    }
    assert_eq!(asked(&jar(0)), (1, 3));
    put(&other, &jar(0), &file(0, 3_000));
    assert!(repository.get(&jar(0)).await.expect_status(200).bytes() == &file(0, 3_000));
    assert_eq!(asked(&jar(0)), (1, 4));
    let absent = "org/lab/none/1.0/none-1.0.pom";
    for _ in 0..3 {
        repository.get(absent).await.expect_status(404);
    }
    assert_eq!(asked(absent), (1, 1));
}

const CHANGING: &str = "org/lab/tiny/1.0-SNAPSHOT/tiny-1.0-SNAPSHOT.jar";

/// Of a snapshot without a time in its name no list says whose it is: the file and its digest are of one repository.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untimed_snapshot_is_compared_with_the_digest_of_whoever_gave_it() {
    for when in ["NotFound", "Unavailable"] {
        let other = Upstream::start().await;
        let fallbacks = json!([{"url": other.url(BASE), "when": when}]);
        let repository =
            Repository::with(|manifest| manifest.with("upstream.fallbacks", fallbacks).allowing_loopback()).await;
        let (first, second) = (file(1, LONG), file(2, LONG));
        put(&other, CHANGING, &second);
        // What is left of a file that the first one had, or has again by the time the digest is asked for.
        repository.put_digest(CHANGING, &hex::<Sha1>(&first));
        if when == "Unavailable" {
            repository.set(CHANGING, Reply::new(503));
        }
        let answer = repository.get(CHANGING).await.expect_status(200);
        assert!(answer.bytes() == &second, "{when}");
        assert_eq!(answer.header("x-checksum-sha1"), hex::<Sha1>(&second), "{when}");
        for (extension, digest) in digests(&second) {
            let beside = repository.get(&format!("{CHANGING}.{extension}")).await.expect_status(200);
            assert_eq!(beside.text(), digest, "{when}");
        }
        let asked = |upstream: &Upstream| upstream.count(&format!("{BASE}{CHANGING}.sha1"));
        assert_eq!((asked(&repository.upstream), asked(&other)), (0, 1), "{when}");
        assert_eq!(repository.unverified().await, 0, "{when}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untimed_snapshot_is_the_first_repository_s_while_it_has_one() {
    let other = Upstream::start().await;
    let tune = |manifest: Manifest| adding(manifest, &other).allowing_loopback().always_revalidating();
    let repository = Repository::with(|manifest| tune(manifest).with("cache.negativeTTL", "0s")).await;
    let [old, new, of_other] = [1, 2, 3].map(|seed| file(seed, LONG));
    put(&other, CHANGING, &of_other);
    // Whatever is served, its digest is that of the same bytes.
    let until_served = async |expected: &Bytes| {
        until("the file", || async {
            let answer = repository.get(CHANGING).await.expect_status(200);
            assert_eq!(answer.header("x-checksum-sha1"), hex::<Sha1>(answer.bytes()));
            (answer.bytes() == expected).then_some(())
        })
        .await;
    };
    repository.put(CHANGING, &old);
    assert!(repository.get(CHANGING).await.expect_status(200).bytes() == &old);
    repository.put(CHANGING, &new);
    until_served(&new).await;
    assert_eq!(other.total(), 0, "nobody asks elsewhere for what the first one has");
    // While it does not answer, what is held stands in: what another one has is another file.
    repository.rig.until_written().await;
    repository.upstream.fail_with(Reply::new(503));
    assert!(repository.get(CHANGING).await.expect_status(200).bytes() == &new);
    assert_eq!(other.total(), 0);
    repository.upstream.recover();
    // It has gone: now the other one's.
    for path in [CHANGING.to_owned(), format!("{CHANGING}.sha1")] {
        repository.upstream.unset(&format!("{BASE}{path}"));
    }
    until_served(&of_other).await;
    assert_eq!(repository.unverified().await, 0);
}
