//! Packages: what the indexes say of a path decides.

use std::time::Duration;

use tests::bytes_of::{corrupted, seeded};
use tests::fixture::LARGE_LENGTH;

use super::*;

const DEB: &str = "pool/main/l/lab/lab_1_all.deb";

fn deb_at(upstream: &Upstream, content: &Bytes) {
    upstream.set(&format!("{BASE}{DEB}"), Resource::file(content.clone()));
}

async fn get_deb(rig: &Rig) -> Answer {
    rig.get(&format!("/debian/{DEB}")).await
}

/// A proxy whose client has read head and index.
async fn updated(upstream: &Upstream, state: &State) -> Rig {
    state.publish(upstream);
    let rig = start(upstream, Manifest::always_revalidating).await;
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    rig
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_verified_by_the_index_that_names_it() {
    let upstream = Upstream::start().await;
    let (good, evil) = (deb("good"), deb("evil"));
    let mut rig = updated(&upstream, &State::naming(&[(DEB, &good)])).await;
    deb_at(&upstream, &evil);
    get_deb(&rig).await.expect_status(502);
    rig.until_written().await;
    assert!(rig.stored_copies(&evil).is_empty());
    deb_at(&upstream, &good);
    let answer = get_deb(&rig).await.expect_status(200);
    assert_eq!(answer.bytes(), &good);
    assert_eq!(answer.header("content-type"), "application/vnd.debian.binary-package");
    rig.until_written().await;

    // After a restart nobody has asked for an index yet.
    rig.restart().await;
    assert!(get_deb(&rig).await.expect_status(200).is_hit());
}

/// What is longer than the part that is read ahead flows before its digest is known: the end is held back until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_flows_does_not_reach_its_end_with_a_wrong_byte() {
    let good = seeded(b"!<arch>\n", 1, LARGE_LENGTH);
    let mut of_the_middle = good.to_vec();
    of_the_middle[LARGE_LENGTH / 2] ^= 1;
    for evil in [of_the_middle.into(), corrupted(&good)] {
        assert!(evil != good && evil.len() == good.len());
        let upstream = Upstream::start().await;
        let rig = updated(&upstream, &State::naming(&[(DEB, &good)])).await;
        deb_at(&upstream, &evil);
        let open = rig.client().open(Ask::get(&format!("/debian/{DEB}"))).await.expect("a head");
        assert_eq!(open.status, 200, "it is long enough to flow");
        let broken = open.finish().await.body.expect_err("wrong bytes were completed");
        assert!(broken.received.len() < good.len(), "all of them arrived");
        rig.until_written().await;
        assert!(rig.stored_copies(&evil).is_empty(), "wrong bytes were kept");
        assert_eq!(rig.metrics().await.sum("packageproxy_digest_mismatches_total", &[]), 1);
        deb_at(&upstream, &good);
        assert!(get_deb(&rig).await.expect_status(200).bytes() == &good);
        assert!(rig.until_hit(&format!("/debian/{DEB}")).await.bytes() == &good);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_not_compressed_verifies_as_well() {
    let upstream = Upstream::start().await;
    let (good, evil) = (deb("good"), deb("evil"));
    let name = "main/binary-amd64/Packages";
    let state = State { indexes: vec![(name, stanzas(&[(DEB, &good)]).into())], fields: "" };
    state.publish(&upstream);
    let rig = start(&upstream, |manifest| manifest).await;
    get(&rig, "InRelease").await;
    get(&rig, name).await;
    deb_at(&upstream, &evil);
    get_deb(&rig).await.expect_status(502);
    deb_at(&upstream, &good);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &good);
}

/// Programs that pack on several processors write several streams, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_several_streams_is_read_to_its_end() {
    let (good, evil) = (deb("good"), deb("evil"));
    let (first, last) = (stanzas(&[("pool/a.deb", &good)]), stanzas(&[(DEB, &good)]));
    for (name, packed) in [
        (PACKAGES, [gzip(first.as_bytes()), gzip(last.as_bytes())].concat()),
        ("main/binary-amd64/Packages.xz", [xz(first.as_bytes()), xz(last.as_bytes())].concat()),
    ] {
        let upstream = Upstream::start().await;
        let state = State { indexes: vec![(name, packed.into())], fields: "" };
        state.publish(&upstream);
        let rig = start(&upstream, |manifest| manifest).await;
        get(&rig, "InRelease").await;
        assert_eq!(get(&rig, name).await.bytes(), state.index(name));
        deb_at(&upstream, &evil);
        get_deb(&rig).await.expect_status(502);
        deb_at(&upstream, &good);
        assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &good, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_asked_for_by_either_digest_verifies() {
    let (good, evil) = (deb("good"), deb("evil"));
    let index = gzip(stanzas(&[(DEB, &good)]).as_bytes());
    let (short, long) = (HEXLOWER.encode(&Sha256::digest(&index)), HEXLOWER.encode(&Sha512::digest(&index)));
    let length = index.len();
    let head =
        format!("Acquire-By-Hash: yes\nSHA256:\n {short} {length} {PACKAGES}\nSHA512:\n {long} {length} {PACKAGES}\n");
    let folder = "main/binary-amd64/by-hash";
    for asked in [format!("{folder}/SHA256/{short}"), format!("{folder}/SHA512/{long}"), PACKAGES.to_owned()] {
        let upstream = Upstream::start().await;
        upstream.set(&at("InRelease"), Resource::new(head.clone(), "text/plain"));
        for name in [&format!("{folder}/SHA256/{short}"), &format!("{folder}/SHA512/{long}")] {
            upstream.set(&at(name), Resource::file(index.clone()));
        }
        deb_at(&upstream, &evil);
        let rig = start(&upstream, |manifest| manifest).await;
        for name in ["InRelease", &asked] {
            get(&rig, name).await;
        }
        get_deb(&rig).await.expect_status(502);
        rig.until_written().await;
        assert!(rig.stored_copies(&evil).is_empty(), "{asked}");
        deb_at(&upstream, &good);
        assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &good);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flat_repository_verifies_wherever_it_begins() {
    let (good, evil) = (deb("good"), deb("evil"));
    // As `dpkg-scanpackages` is run in the folder, or above it, or with files that lie elsewhere.
    for (filename, path) in [
        ("./lab_1_all.deb", "sub/lab_1_all.deb"),
        ("sub/lab_1_all.deb", "sub/lab_1_all.deb"),
        ("pool/lab_1_all.deb", "pool/lab_1_all.deb"),
        ("lab_1%3a2_all.deb", "sub/lab_1%3a2_all.deb"),
    ] {
        let upstream = Upstream::start().await;
        let state = State { indexes: vec![("Packages", stanzas(&[(filename, &good)]).into())], fields: "" };
        upstream.set(&format!("{BASE}sub/InRelease"), Resource::new(state.head(), "text/plain"));
        upstream.set(&format!("{BASE}sub/Packages"), Resource::file(state.index("Packages").clone()));
        // As apt spells a name with a percent sign.
        let encoded = path.replace('%', "%25");
        upstream.set(&format!("{BASE}{encoded}"), Resource::file(evil.clone()));
        let rig = start(&upstream, |manifest| manifest).await;
        for name in ["InRelease", "Packages"] {
            rig.get(&format!("/debian/sub/./{name}")).await.expect_status(200);
        }
        rig.get(&format!("/debian/{encoded}")).await.expect_status(502);
        rig.until_written().await;
        assert!(rig.stored_copies(&evil).is_empty(), "{filename}");
        upstream.set(&format!("{BASE}{encoded}"), Resource::file(good.clone()));
        assert_eq!(rig.get(&format!("/debian/{encoded}")).await.expect_status(200).bytes(), &good, "{filename}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_means_a_path_in_earnest_decides() {
    let upstream = Upstream::start().await;
    let (of_root, of_folder) = (deb("root"), deb("folder"));
    for (folder, content) in [("", &of_root), ("sub/", &of_folder)] {
        let state = State { indexes: vec![("Packages", stanzas(&[("./lab_1_all.deb", content)]).into())], fields: "" };
        upstream.set(&format!("{BASE}{folder}InRelease"), Resource::new(state.head(), "text/plain"));
        upstream.set(&format!("{BASE}{folder}Packages"), Resource::file(state.index("Packages").clone()));
        upstream.set(&format!("{BASE}{folder}lab_1_all.deb"), Resource::file(content.clone()));
    }
    let mut rig = start(&upstream, |manifest| manifest).await;
    for name in ["InRelease", "Packages", "sub/InRelease", "sub/Packages"] {
        rig.get(&format!("/debian/{name}")).await.expect_status(200);
    }
    rig.until_written().await;
    rig.kill().await;
    rig.start().await;
    // The index of the folder, which is open then, might mean the root's file as well.
    for (path, content) in [("sub/lab_1_all.deb", &of_folder), ("lab_1_all.deb", &of_root)] {
        assert_eq!(rig.get(&format!("/debian/{path}")).await.expect_status(200).bytes(), content);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_indexes_are_known_after_a_restart() {
    let upstream = Upstream::start().await;
    let (good, evil) = (deb("good"), deb("evil"));
    let mut rig = updated(&upstream, &State::naming(&[(DEB, &good)])).await;
    rig.until_written().await;
    rig.kill().await;
    rig.start().await;
    deb_at(&upstream, &evil);
    get_deb(&rig).await.expect_status(502);
    deb_at(&upstream, &good);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &good);
}

/// Bytes of what is kept of an index that names one file.
const ENTRY: u64 = 56;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_lost_of_an_index_is_made_again() {
    let upstream = Upstream::start().await;
    let (good, evil) = (deb("good"), deb("evil"));
    let state = State::naming(&[(DEB, &good)]);
    let mut rig = updated(&upstream, &state).await;
    rig.until_written().await;
    deb_at(&upstream, &evil);
    for (index_is_lost, asked) in [(false, 1), (true, 2)] {
        rig.kill().await;
        let mut lost = rig.stored_files();
        lost.retain(|path| path.metadata().unwrap().len() == ENTRY);
        assert_eq!(lost.len(), 1, "{lost:?}");
        if index_is_lost {
            lost.extend(rig.stored_copies(state.index(PACKAGES)));
            assert_eq!(lost.len(), 2);
        }
        for path in &lost {
            std::fs::remove_file(path).unwrap();
        }
        rig.start().await;
        get_deb(&rig).await.expect_status(502);
        rig.until_written().await;
        assert!(lost.iter().all(|path| path.exists()), "made again and kept");
        assert_eq!(upstream.count(&at(PACKAGES)), asked);
    }
    deb_at(&upstream, &good);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_push_out_no_index_that_verifies_them() {
    let upstream = Upstream::start().await;
    let (good, evil) = (deb("good"), deb("evil"));
    let state = State::naming(&[(DEB, &good)]);
    state.publish(&upstream);
    let rig = start(&upstream, |manifest| manifest.with("cache.maxSize", "4Mi")).await;
    for name in ["InRelease", PACKAGES] {
        get(&rig, name).await;
    }
    rig.until_written().await;
    for number in 0..60 {
        let path = format!("pool/main/o/other/other_{number}_all.deb");
        upstream.set(&format!("{BASE}{path}"), Resource::file(deb(&format!("{number} {}", "x".repeat(200_000)))));
        rig.get(&format!("/debian/{path}")).await.expect_status(200);
        if number % 10 == 0 {
            rig.until_written().await;
        }
    }
    assert!(rig.metrics().await.sum("packageproxy_evictions_total", &[]) > 30);
    // Something new makes what is known be gathered again.
    upstream.set(&format!("{BASE}dists/other/InRelease"), Resource::new(state.head(), "text/plain"));
    rig.get("/debian/dists/other/InRelease").await.expect_status(200);
    deb_at(&upstream, &evil);
    get_deb(&rig).await.expect_status(502);
    assert_eq!(upstream.count(&at(PACKAGES)), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_was_replaced_in_place_follows_the_index() {
    let upstream = Upstream::start().await;
    let (one, two) = (deb("one"), deb("two"));
    let rig = updated(&upstream, &State::naming(&[(DEB, &one)])).await;
    deb_at(&upstream, &one);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &one);
    rig.until_written().await;
    let new = State::naming(&[(DEB, &two)]);
    new.publish(&upstream);
    deb_at(&upstream, &two);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &one, "nobody knows of the new one yet");
    until_head(&rig, &new).await;
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &two);
    assert_eq!(upstream.count(&format!("{BASE}{DEB}")), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_index_named_is_checked_once_one_does() {
    let upstream = Upstream::start().await;
    let (early, right) = (deb("early"), deb("right"));
    let rig = start(&upstream, Manifest::always_revalidating).await;
    deb_at(&upstream, &early);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &early);
    rig.until_written().await;
    let state = State::naming(&[(DEB, &right)]);
    state.publish(&upstream);
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    deb_at(&upstream, &right);
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_are_verified_by_their_index() {
    let upstream = Upstream::start().await;
    let patch = gzip(b"1d\n");
    let digest = HEXLOWER.encode(&Sha256::digest(&patch));
    let index = format!("SHA256-Current: {digest} 3\nSHA256-Download:\n {digest} {} T-1.gz\n", patch.len());
    let folder = "main/binary-amd64/Packages.diff";
    let state = State::naming(&[]).with("main/binary-amd64/Packages.diff/Index", index.as_bytes());
    state.publish(&upstream);
    upstream.set(&at(&format!("{folder}/T-1.gz")), Resource::file(gzip(b"2d\n")));
    let rig = start(&upstream, |manifest| manifest).await;
    // Their index is asked for where nobody has.
    rig.get(&here(&format!("{folder}/T-1.gz"))).await.expect_status(502);
    upstream.set(&at(&format!("{folder}/T-1.gz")), Resource::file(patch.clone()));
    assert_eq!(get(&rig, &format!("{folder}/T-1.gz")).await.bytes(), &patch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installers_are_verified_by_the_list_beside_them() {
    let image = Bytes::from("image");
    let list = format!("{}  ./netboot/mini.iso\n", HEXLOWER.encode(&Sha256::digest(&image)));
    for sums in
        ["main/installer-amd64/current/images/SHA256SUMS", "main/installer-amd64/current/legacy-images/SHA256SUMS"]
    {
        let upstream = Upstream::start().await;
        State::naming(&[]).with(sums, list.as_bytes()).publish(&upstream);
        let path = sums.replace("SHA256SUMS", "netboot/mini.iso");
        upstream.set(&at(&path), Resource::file("another"));
        let rig = start(&upstream, |manifest| manifest).await;
        // Nobody has asked for the list or the head.
        rig.get(&here(&path)).await.expect_status(502);
        upstream.set(&at(&path), Resource::file(image.clone()));
        assert_eq!(get(&rig, &path).await.bytes(), &image);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_leads_nobody_out_of_the_archive() {
    let (upstream, sentinel) = (Upstream::start().await, Upstream::start().await);
    let (good, outside) = (deb("good"), deb("outside"));
    let elsewhere = sentinel.url("/x.deb");
    let state = State::naming(&[(&elsewhere, &outside), ("../../x.deb", &outside), (DEB, &good)]);
    state.publish(&upstream);
    deb_at(&upstream, &good);
    for server in [&upstream, &sentinel] {
        server.set("/x.deb", Resource::file(outside.clone()));
    }
    // The filter of addresses would let it pass.
    let rig = start(&upstream, Manifest::allowing_loopback).await;
    for name in ["InRelease", PACKAGES] {
        get(&rig, name).await;
    }
    // As clients put the name behind the address of the archive, or make less of it.
    let escaped = elsewhere.replace(':', "%3a").replace('/', "%2f");
    let bare = elsewhere.replace("//", "/");
    for name in [&elsewhere, &bare, &escaped, "../../x.deb", "..%2f..%2fx.deb", "%2e%2e/%2e%2e/x.deb"] {
        let answer = rig.get(&format!("/debian/{name}")).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.status);
    }
    assert_eq!(sentinel.connections(), 0, "an index led to another server");
    let strayed = upstream.requests().into_iter().find(|request| !request.target.starts_with(BASE));
    assert!(strayed.is_none(), "an index led out of the archive: {strayed:?}");
    // What else the index names is as good as ever.
    assert_eq!(get_deb(&rig).await.expect_status(200).bytes(), &good);
}

/// Requests that come together, as apt sends them, for files of the store: one answer after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_asked_for_together_come_in_their_order() {
    let upstream = Upstream::start().await;
    let rig = start(&upstream, |manifest| manifest).await;
    let files: Vec<_> = [10, LARGE_LENGTH, 0, 70_000, LARGE_LENGTH * 3, 1].into_iter().zip(0..).collect();
    let files: Vec<(String, Bytes)> = files
        .into_iter()
        .map(|(length, seed)| (format!("pool/f_{seed}_all.deb"), seeded(b"!<arch>\n", seed, length + 8)))
        .collect();
    for (path, content) in &files {
        upstream.set(&format!("{BASE}{path}"), Resource::file(content.clone()));
        rig.get(&format!("/debian/{path}")).await.expect_status(200);
        rig.until_hit(&format!("/debian/{path}")).await;
    }
    let requests: Vec<_> = files.iter().chain(files.iter().rev()).collect();
    let mut sent = String::new();
    for (number, (path, _)) in requests.iter().enumerate() {
        let connection = if number + 1 == requests.len() { "close" } else { "keep-alive" };
        let _ = write!(sent, "GET /debian/{path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n");
    }
    let received = rig.client().raw(sent.as_bytes(), Duration::from_secs(10)).await;
    let mut rest = &received[..];
    for (path, content) in requests {
        let end = rest.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains("packageproxy; hit"), "{path}: {head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", content.len())), "{path}: {head}");
        assert!(rest[end..].starts_with(content), "{path}");
        rest = &rest[end + content.len()..];
    }
    assert!(rest.is_empty());
}
