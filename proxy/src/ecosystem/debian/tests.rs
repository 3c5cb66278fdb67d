//! Requests and documents of archives, in tables.

use http::Method;

use super::{Debian, head, index, stanza};
use crate::digest::{Algorithm, Digest};
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{NamedFile, Source};

const DEB: &str = "pool/main/h/hello/hello_2.10-3_amd64.deb";

#[test]
fn what_requests_mean() {
    let hex = "ab".repeat(32);
    let by_digest = format!("dists/stable/main/binary-amd64/by-hash/SHA256/{hex}");
    let is_artifact = format!("artifact index|dists/stable/main/binary-amd64||sha256:{hex} in ");
    let flat_by_digest = format!("./by-hash/SHA256/{hex}");
    let flat_artifact = format!("artifact index|||sha256:{hex} in ");
    let weak = format!("dists/stable/main/i18n/by-hash/MD5Sum/{}", "ab".repeat(16));
    let weak_meaning = format!(
        "indexed main/i18n/by-hash/MD5Sum/{0} of dists/stable/InRelease, i18n/by-hash/MD5Sum/{0} of \
         dists/stable/main/InRelease, by-hash/MD5Sum/{0} of dists/stable/main/i18n/InRelease",
        "ab".repeat(16)
    );
    for (target, expected) in [
        ("dists/stable/InRelease", "metadata head|dists/stable||InRelease < dists/stable/InRelease"),
        ("dists/a/updates/InRelease", "metadata head|dists/a/updates||InRelease < dists/a/updates/InRelease"),
        ("dists/stable/Release", "metadata head|dists/stable||Release < dists/stable/Release"),
        ("dists/stable/Release.gpg", "signature of dists/stable/Release"),
        ("./InRelease", "metadata head|||InRelease < InRelease"),
        ("InRelease", "metadata head|||InRelease < InRelease"),
        ("sub/./Release.gpg", "signature of sub/Release"),
        ("dists/stable/Contents-amd64.gz", "indexed Contents-amd64.gz of dists/stable/InRelease"),
        (
            "dists/stable/main/Contents-amd64.gz",
            "indexed main/Contents-amd64.gz of dists/stable/InRelease, \
             Contents-amd64.gz of dists/stable/main/InRelease",
        ),
        (
            "dists/stable/main/binary-amd64/Release",
            "indexed main/binary-amd64/Release of dists/stable/InRelease, binary-amd64/Release of \
             dists/stable/main/InRelease, Release of dists/stable/main/binary-amd64/InRelease",
        ),
        (&by_digest, &is_artifact),
        (&by_digest.to_uppercase().replace("DISTS/STABLE/MAIN/BINARY-AMD64/BY-HASH", "dists/s/m/by-hash"), "not found"),
        ("dists/stable/main/by-hash/SHA256/abc", "not found"),
        ("dists/stable/main/by-hash/CRC/abc", "not found"),
        (&flat_by_digest, &flat_artifact),
        (&weak, &weak_meaning),
        ("./Packages.gz", "indexed Packages.gz of InRelease"),
        ("sub/Packages.diff/Index", "indexed Packages.diff/Index of sub/InRelease"),
        (DEB, "artifact file|hello|2.10-3|pool/main/h/hello/hello_2.10-3_amd64.deb in "),
        ("./x_1_all.deb", "artifact file|x|1|x_1_all.deb in "),
        (
            "pool/main/libf/f/f_2.0%2bdfsg%7erc1-1_amd64.deb",
            "artifact file|f|2.0+dfsg~rc1-1|pool/main/libf/f/f_2.0+dfsg~rc1-1_amd64.deb in ",
        ),
        ("pool/main/h/hello/hello_2.10-3.dsc", "artifact file|hello|2.10-3|pool/main/h/hello/hello_2.10-3.dsc in "),
        (
            "pool/h/hello_2.10.orig.tar.gz.asc",
            "artifact file|hello|2.10|pool/h/hello_2.10.orig.tar.gz.asc in ",
        ),
        (
            "dists/stable/main/binary-amd64/Packages.diff/T-2024.gz",
            "artifact file|T-2024.gz||dists/stable/main/binary-amd64/Packages.diff/T-2024.gz in ",
        ),
        (
            "dists/stable/main/installer-amd64/current/images/netboot/mini.iso",
            "artifact file|mini.iso||dists/stable/main/installer-amd64/current/images/netboot/mini.iso in ",
        ),
        (
            "dists/stable/main/installer-amd64/current/legacy-images/netboot/mini.iso",
            "artifact file|mini.iso||dists/stable/main/installer-amd64/current/legacy-images/netboot/mini.iso in ",
        ),
        ("pool/h/hello_2.10-3.diff.gz", "artifact file|hello|2.10-3|pool/h/hello_2.10-3.diff.gz in "),
        ("pool/h/hello_2.10.orig.tar.gz", "artifact file|hello|2.10|pool/h/hello_2.10.orig.tar.gz in "),
        ("pool/h/hello_2.10.orig.tar.bz2.asc", "artifact file|hello|2.10|pool/h/hello_2.10.orig.tar.bz2.asc in "),
        ("tools/x_1_all.deb", "artifact file|x|1|tools/x_1_all.deb in "),
        ("tools/rawrite.exe", "forward GET tools/rawrite.exe"),
        ("ls-lR.gz", "metadata changing|||ls-lR.gz < ls-lR.gz"),
        (
            "indices/override.stable.main.gz",
            "metadata changing|||indices/override.stable.main.gz < indices/override.stable.main.gz",
        ),
        ("doc/FAQ/faq.html.tar.gz", "metadata changing|||doc/FAQ/faq.html.tar.gz < doc/FAQ/faq.html.tar.gz"),
        ("doc/manual/index.html", "forward GET doc/manual/index.html"),
        ("doc/x_1_all.deb", "artifact file|x|1|doc/x_1_all.deb in "),
        ("pool/h/lists.gz", "not found"),
        ("dists/stable/ChangeLog", "forward GET dists/stable/ChangeLog"),
        ("project/trace/master", "metadata trace|||project/trace/master < project/trace/master"),
        ("key.gpg", "forward GET key.gpg"),
        ("", "not found"),
        ("pool/", "not found"),
        ("dists/", "not found"),
        ("dists/stable", "not found"),
        ("pool/main/h/hello/README", "not found"),
        ("pool/../x.deb", "bad"),
        ("dists/%2e%2e/InRelease", "bad"),
        ("dists/a%2fb/InRelease", "bad"),
        ("pool//x.deb", "bad"),
    ] {
        assert_eq!(meaning(&Debian, target), expected, "{target}");
    }
    assert_eq!(described(&ask(&Debian, &Method::PUT, DEB, None)), "method");
    assert!(artifact(&Debian, DEB).magic.starts_with(b"!<arch>"));
    let patch = artifact(&Debian, "dists/stable/main/binary-amd64/Packages.diff/T-2024.gz");
    assert_eq!((patch.content_type, patch.magic), ("application/gzip", &b"\x1f\x8b"[..]));
}

fn release(body: &str) -> Fetched {
    Fetched::new(metadata(&Debian, "dists/stable/InRelease", None), "text/plain", body)
}

fn signed(body: &str) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{body}-----BEGIN PGP SIGNATURE-----\n\nabc\n\
         -----END PGP SIGNATURE-----\n"
    )
}

#[test]
fn heads_are_read_within_their_signature() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let (long, weak) = ("ef".repeat(64), "12".repeat(16));
    let body = format!(
        "Origin: x\nSuite: stable\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nValid-Until: Sat, 09 Nov 2024 20:35:43 UTC\nAcquire-By-Hash: yes\n\
         - Dashed: 1\nMD5Sum:\n {weak} 7 main/binary-amd64/Packages\nSHA256:\n {one} 7 main/binary-amd64/Packages\n \
         {two}  8 Contents-amd64\nSHA512:\n {long} 7 main/binary-amd64/Packages\n"
    );
    let text = format!("{}SHA256:\n {} 9 outside\n", signed(&body), "99".repeat(32));
    let reading = release(&text).read().unwrap();
    assert!(reading.by_digest);
    assert_eq!((reading.valid_until, reading.revision), (Some(1_731_184_543_000), Some(1_640_995_200_000)));
    let names: Vec<&str> = reading.files.iter().map(|file| file.name.as_str()).collect();
    let by_hash = format!("main/binary-amd64/by-hash/MD5Sum/{weak}");
    assert_eq!(names, ["Contents-amd64", &by_hash, "main/binary-amd64/Packages"]);
    assert_eq!(reading.files[2].digests.len(), 2);
    assert_eq!(reading.files[0].size, Some(8));
    assert_eq!(release(&text).served("http://127.0.0.1/"), text);
    // Of a moment of the past, it stands as it is.
    for (suite, valid_until) in [
        ("20240131T120000Z/dists/stable", None),
        ("20240131T12000Z/dists/stable", reading.valid_until),
        ("20240131-120000Z/dists/stable", reading.valid_until),
    ] {
        let snapshot = metadata(&Debian, &format!("{suite}/InRelease"), None);
        assert_eq!(Fetched::new(snapshot, "text/plain", &text).read().unwrap().valid_until, valid_until, "{suite}");
    }
    let plain = release(&body.replace("- Dashed: 1\n", "")).read().unwrap();
    assert_eq!(plain.files.len(), 3);
    // Whitespace and case as deb822 allows them, and a text for people in an encoding of old.
    let loose = format!("\u{fffd}\nsha256:\n\t{one}\t7\tmain/x/Packages\nACQUIRE-by-hash: yes\n").into_bytes();
    let loose = [&b"Origin: \xe9"[..], &loose["\u{fffd}".len()..]].concat();
    let asked = metadata(&Debian, "dists/stable/InRelease", None);
    let reading = Fetched::new(asked, "text/plain", &loose).read().unwrap();
    assert_eq!((reading.files.len(), reading.files[0].name.as_str()), (1, "main/x/Packages"));
    assert!(reading.by_digest);
    for broken in [
        "",
        "<html>login</html>",
        "<html>\n<p>a: b</p>\n",
        "Origin: x\n",
        "SHA256:\nno field\n",
        &text[..text.find("-----BEGIN PGP SIGNATURE").unwrap()],
        &text[..text.find("-----END").unwrap()],
    ] {
        assert!(release(broken).read().is_err(), "{broken}");
    }
    let lines: Vec<String> = (0..250_001).map(|number| format!(" {one} 1 f{number}")).collect();
    let huge = signed(&format!("SHA256:\n{}\n", lines.join("\n")));
    assert!(release(&huge).read().unwrap_err().0.contains("more than 250000 files"));
}

#[test]
fn index_files_are_asked_for_where_they_outlast_a_change() {
    let digest = Digest::from_hex(Algorithm::Sha256, &"ab".repeat(32)).unwrap();
    let file = |name: &str| crate::intent::ListedFile {
        name: name.to_owned(),
        url: String::new(),
        digests: vec![digest.clone()],
        size: None,
    };
    let key = head(&["dists", "stable"], "InRelease").key;
    let places = |name: &str, by_digest: bool| {
        let artifact = index(&key, &file(name), by_digest)?;
        assert_eq!(artifact.expect.as_ref(), Some(&digest));
        assert_eq!(artifact.key.package, "dists/stable/main/source");
        let Source::Layout(path) = &artifact.source else { panic!("no layout") };
        Some((path.as_str().to_owned(), artifact.spare.map(|spare| spare.as_str().to_owned())))
    };
    let named = "dists/stable/main/source/Sources.xz".to_owned();
    let by_hash = format!("dists/stable/main/source/by-hash/SHA256/{}", "ab".repeat(32));
    assert_eq!(places("main/source/Sources.xz", true), Some((by_hash.clone(), Some(named.clone()))));
    assert_eq!(places("main/source/Sources.xz", false), Some((named, None)));
    assert_eq!(places("main/source/by-hash/SHA1/00", true), Some((by_hash, None)));
    assert_eq!(places("../x/Sources", true), None);
    assert_eq!(places("main//Sources", true), None);
}

fn scanned(folder: &str, text: &str) -> Vec<NamedFile> {
    let mut scan = stanza::scan(folder);
    let mut found = Vec::new();
    for line in text.lines() {
        scan.line(line.as_bytes(), &mut |file| found.push(file));
    }
    scan.end(&mut |file| found.push(file));
    found
}

#[test]
fn stanzas_name_files() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let packages = format!(
        "Package: a\nDescription: x\n Filename: pool/no\nFilename: ./pool/a/a_1_all.deb\nSize: 5\nSHA256: {one}\n\n\
         Package: b\nFilename: pool/../../b.deb\nSHA256: {two}\n\nPackage: c\nFilename: c.deb\nSize: 1\n\n\n\
         Package: d\nSHA256: {two}\nFilename: d.deb\nSize: 6\n"
    );
    let found = scanned("dists/stable/main/binary-amd64", &packages);
    let short: Vec<(&str, u64)> = found.iter().map(|file| (file.path.as_str(), file.size)).collect();
    assert_eq!(short, [("pool/a/a_1_all.deb", 5), ("d.deb", 6)]);
    assert_eq!(found[1].digest.hex(), two);
    let sources = format!(
        "Package: a\nFiles:\n 00 1 a.dsc\nChecksums-Sha256:\n {one} 3 a_1.dsc\n {two} 4 a_1.tar.xz\nDirectory: pool/a\n\n"
    );
    let found = scanned("dists/stable/main/source", &sources);
    let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["pool/a/a_1.dsc", "pool/a/a_1.tar.xz"]);
    assert_eq!(found.iter().map(|file| file.digest.hex()).collect::<Vec<_>>(), [one.clone(), two.clone()]);
    let index = format!("SHA256-Current: {one} 3\nSHA256-Patches:\n {one} 3 T-1\nSHA256-Download:\n {two} 4 T-1.gz\n");
    let found = scanned("dists/stable/main/binary-amd64/Packages.diff", &index);
    assert_eq!(found.len(), 1);
    let sums = format!("{one}  ./netboot/mini.iso\n{two} *x\nshort  y\n{one}  ../../z\n");
    for folder in ["dists/s/main/installer-amd64/1/images", "dists/s/main/installer-amd64/1/legacy-images"] {
        let images = scanned(folder, &sums);
        let paths: Vec<&str> = images.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["netboot/mini.iso", "x"].map(|name| format!("{folder}/{name}")));
    }
    assert_eq!(scanned("my-images", &packages)[0].path, "my-images/pool/a/a_1_all.deb", "a flat repository");
    assert_eq!(found[0].path, "dists/stable/main/binary-amd64/Packages.diff/T-1.gz");
}

#[test]
fn a_flat_repository_may_begin_at_any_folder_that_leads_to_it() {
    let digest = "ab".repeat(32);
    for (folder, path, likely, possible) in [
        ("", "./x.deb", &["x.deb"][..], &[][..]),
        ("sub", "./x.deb", &["sub/x.deb"], &["x.deb"]),
        ("sub", "sub/x.deb", &["sub/sub/x.deb", "sub/x.deb"], &[]),
        ("a/b", "b/x.deb", &["a/b/b/x.deb", "a/b/x.deb"], &["b/x.deb"]),
        ("a/b", "a/b/x.deb", &["a/b/a/b/x.deb", "a/b/x.deb"], &["a/a/b/x.deb"]),
        ("a/b", "bb/x.deb", &["a/b/bb/x.deb"], &["a/bb/x.deb", "bb/x.deb"]),
        ("a/b", "../x.deb", &[], &[]),
    ] {
        for text in [
            format!("Package: x\nFilename: {path}\nSHA256: {digest}\n"),
            format!(
                "Package: x\nDirectory: {}\nChecksums-Sha256:\n {digest} 3 x.deb\n",
                path.strip_suffix("/x.deb").unwrap()
            ),
        ] {
            let of = |is_likely| {
                let found = scanned(folder, &text).into_iter().filter(move |file| file.is_likely == is_likely);
                found.map(|file| file.path).collect::<Vec<_>>()
            };
            assert_eq!((of(true), of(false)), (strings(likely), strings(possible)), "{folder} {text}");
        }
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
