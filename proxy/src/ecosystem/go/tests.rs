//! Requests and documents of Go, in tables.

use http::Method;
use proptest::prelude::*;

use super::name::{escape, unescape};
use super::{Go, is_canonical};
use crate::digest::{Algorithm, Digest};
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{Lifetime, Shape, Source};

const H1: &str = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=";
const HEAD: &str = "go.sum database tree\n5\nAAAA=\n\n— sum.registry.example AAAA\n";

#[test]
fn what_requests_mean() {
    for (target, expected) in [
        ("registry.example/!lab/tiny/@v/list", "metadata list|registry.example/Lab/tiny|| < registry.example/!lab/tiny/@v/list"),
        ("registry.example/%21lab/tiny/%40v/list", "metadata list|registry.example/Lab/tiny|| < registry.example/!lab/tiny/@v/list"),
        ("registry.example/@latest", "metadata latest|registry.example|| < registry.example/@latest"),
        ("a.example/b/@v/v1.0.0.info", "artifact file|a.example/b|v1.0.0|v1.0.0.info in "),
        ("a.example/b/@v/v1.0.0.mod", "artifact file|a.example/b|v1.0.0|v1.0.0.mod in record"),
        ("a.example/b/@v/v1.0.0.zip", "artifact file|a.example/b|v1.0.0|v1.0.0.zip in record"),
        ("a.example/b/@v/v2.0.0+incompatible.zip", "artifact file|a.example/b|v2.0.0+incompatible|v2.0.0+incompatible.zip in record"),
        ("a.example/b/@v/v2.0.0%2Bincompatible.zip", "artifact file|a.example/b|v2.0.0+incompatible|v2.0.0+incompatible.zip in record"),
        ("a.example/b/@v/v1.0.0-!r!c.1.zip", "artifact file|a.example/b|v1.0.0-RC.1|v1.0.0-RC.1.zip in record"),
        ("a.example/b/@v/v0.0.0-20200102030405-abcdef123456.mod", "artifact file|a.example/b|v0.0.0-20200102030405-abcdef123456|v0.0.0-20200102030405-abcdef123456.mod in record"),
        ("a.example/b/@v/v0.0.1-go1.99.0.linux-amd64.zip", "artifact file|a.example/b|v0.0.1-go1.99.0.linux-amd64|v0.0.1-go1.99.0.linux-amd64.zip in record"),
        ("a.example/b/@v/main.info", "metadata query|a.example/b|main| < a.example/b/@v/main.info"),
        ("a.example/b/@v/v1.info", "metadata query|a.example/b|v1| < a.example/b/@v/v1.info"),
        ("a.example/b/@v/!main.info", "metadata query|a.example/b|Main| < a.example/b/@v/!main.info"),
        ("a.example/b/@v/v1.0.0+meta.info", "metadata query|a.example/b|v1.0.0+meta| < a.example/b/@v/v1.0.0%2Bmeta.info"),
        ("sumdb/sum.registry.example/supported", "metadata supported|sum.registry.example|| < sumdb/sum.registry.example/supported"),
        ("sumdb/sum.registry.example/latest", "metadata tree|sum.registry.example|| < sumdb/sum.registry.example/latest"),
        ("sumdb/sum.registry.example/lookup/a.example/!b@v1.0.0", "metadata record|a.example/B|v1.0.0|sum.registry.example < sumdb/sum.registry.example/lookup/a.example/!b@v1.0.0"),
        ("sumdb/sum.registry.example/tile/8/0/001", "artifact tile|sum.registry.example||8/0/001 in "),
        ("sumdb/sum.registry.example/tile/8/data/x001/234.p/17", "artifact tile|sum.registry.example||8/data/x001/234.p/17 in "),
        ("a.example/b/@v/main.zip", "not found"),
        ("a.example/b/@v/main.mod", "not found"),
        ("a.example/b/@v/v1.0.0.ziphash", "not found"),
        ("a.example/b/@v/v1.0.0", "not found"),
        ("a.example/b/@v/", "not found"),
        ("a.example/B/@v/list", "not found"),
        ("a.example/!B/@v/list", "not found"),
        ("a.example/b!/@v/list", "not found"),
        ("a.example/!!b/@v/list", "not found"),
        ("a.example/!1/@v/list", "not found"),
        ("a.example/b/@v/V1.0.0.info", "not found"),
        ("a.example/b/@v/v1.0.0-!.info", "not found"),
        ("a.example/.git/@v/list", "not found"),
        ("a.example/b./@v/list", "not found"),
        ("a.example/b@c/@v/list", "not found"),
        ("-a.example/@v/list", "not found"),
        ("@v/list", "not found"),
        ("@latest", "not found"),
        ("", "not found"),
        ("sumdb/sum.registry.example/lookup/a.example/b", "not found"),
        ("sumdb/sum.registry.example/lookup/a.example/b@main", "not found"),
        ("sumdb/sum.registry.example/lookup/a.example/B@v1.0.0", "not found"),
        ("sumdb/sum.registry.example/lookup", "not found"),
        ("sumdb/sum.registry.example/tile/8/0/1", "not found"),
        ("sumdb/sum.registry.example/tile/8/0/x001", "not found"),
        ("sumdb/sum.registry.example/tile/8/0/001.p", "not found"),
        ("sumdb/sum.registry.example/tile/8/x/001", "not found"),
        ("sumdb/sum.registry.example/tile/../../x", "bad"),
        ("sumdb/sum@registry.example/latest", "not found"),
        ("sumdb/sum.registry.example/evil", "not found"),
        ("a.example/%2e%2e/@v/list", "bad"),
        ("a.example/..%2fb/@v/list", "bad"),
        ("a.example/b/@v/%2e%2e.info", "bad"),
        ("a.example/b/@v/v1.0.0%252f.info", "bad"),
    ] {
        let expected = if target.contains("%2e%2e.info") { "not found" } else { expected };
        assert_eq!(meaning(&Go, target), expected, "{target}");
    }
    for method in [Method::PUT, Method::POST, Method::DELETE] {
        assert_eq!(described(&ask(&Go, &method, "a.example/b/@v/list", None)), "method");
    }
}

#[test]
fn canonical_versions() {
    for (version, expected) in [
        ("v1.0.0", true),
        ("v1.2.3-rc.1", true),
        ("v1.2.3-0.20200102030405-abcdef123456", true),
        ("v2.0.0+incompatible", true),
        ("v2.0.0-rc.1+incompatible", true),
        ("v0.0.1-go1.99.0.linux-amd64", true),
        ("v1.0.0+meta", false),
        ("v1.0", false),
        ("v1", false),
        ("1.0.0", false),
        ("v01.0.0", false),
        ("v1.0.0-", false),
        ("v1.0.0-01", false),
        ("v1.0.0-a..b", false),
        ("v1.0.0.0", false),
        ("main", false),
        ("", false),
    ] {
        assert_eq!(is_canonical(version), expected, "{version}");
    }
}

fn fetched(target: &str, body: &str) -> Fetched {
    Fetched::new(metadata(&Go, target, None), "text/plain", body)
}

#[test]
fn documents_pass_byte_for_byte_or_not_at_all() {
    let (list, latest) = ("a.example/b/@v/list", "a.example/b/@latest");
    let tree = "sumdb/sum.registry.example/latest";
    for (target, body) in [
        (list, ""),
        (list, "\n"),
        (list, "v1.0.0\nv1.1.0-rc.1\n"),
        (list, "v1.0.0 2020-01-01T00:00:00Z\nsomething else\n"),
        (latest, r#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z","Origin":{"x":1}}"#),
        ("a.example/b/@v/main.info", r#" {"Time":"x","Version":"v0.0.0-20200102030405-abcdef123456"}"#),
        (tree, HEAD),
        ("sumdb/sum.registry.example/supported", ""),
    ] {
        assert_eq!(fetched(target, body).served("http://base/"), body, "{target}");
    }
    let supported = "sumdb/sum.registry.example/supported";
    assert!(fetched(supported, "<html>login</html>").read().unwrap().absent);
    assert!(!fetched(supported, "").read().unwrap().absent);
    for (target, body) in [
        (list, "<html>login</html>"),
        (list, "nothing\n"),
        (latest, ""),
        (latest, "<html>"),
        (latest, "{}"),
        (latest, r#"{"Version":"main"}"#),
        (latest, r#"{"Version":1}"#),
        (latest, r#"["v1.0.0"]"#),
        (latest, r#"{"Version":"v1.0.0""#),
        (tree, "<html>"),
        (tree, ""),
    ] {
        assert!(fetched(target, body).read().is_err(), "{target} {body}");
    }
}

#[test]
fn records_give_the_hashes_of_zip_and_go_mod() {
    let target = "sumdb/sum.registry.example/lookup/a.example/!b@v1.0.0";
    let record = |lines: &str| fetched(target, &format!("7\n{lines}\n{HEAD}"));
    let whole = format!("a.example/B v1.0.0 {H1}\na.example/B v1.0.0/go.mod {H1}\n");
    let document = record(&whole);
    assert!(matches!(document.metadata.lifetime, Lifetime::AtLeast(_)));
    for kind in ["zip", "mod"] {
        let file = artifact(&Go, &format!("a.example/!b/@v/v1.0.0.{kind}"));
        let listed = document.read().unwrap().files.into_iter().find(|listed| listed.name == file.listed_as).unwrap();
        let algorithm = if kind == "zip" { Algorithm::H1Zip } else { Algorithm::H1Mod };
        assert_eq!(listed.digests, [Digest::from_h1(algorithm, H1).unwrap()]);
    }
    assert_eq!(record(&format!("{whole}a.example/B v1.0.0 h2:later\n")).read().unwrap().files.len(), 2);
    for lines in [
        "",
        &whole.replace("example/B", "example/b"),
        &whole.replace("v1.0.0", "v1.0.1"),
        whole.lines().next().unwrap(),
        &whole.replace("G7", ""),
        &whole.replace("G7", "!!"),
        &format!("{whole}a.example/other v1.0.0 {H1}\n"),
        &format!("{whole}one two\n"),
    ] {
        assert!(record(lines).read().is_err(), "{lines}");
    }
    for body in ["", "<html>", &whole, &format!("7\n{whole}"), &format!("7\n{whole}\nnothing"), &format!("x\n{whole}\n{HEAD}")] {
        assert!(fetched(target, body).read().is_err(), "{body}");
    }
}

#[test]
fn what_files_of_a_version_are_like() {
    let zip = artifact(&Go, "a.example/!b/@v/v2.0.0+incompatible.zip");
    let Shape::ZipOf(folder) = zip.shape else { panic!("no zip") };
    assert_eq!(folder(&zip.key), "a.example/B@v2.0.0+incompatible/");
    let Source::Layout(path) = &zip.source else { panic!("no place") };
    assert_eq!(path.as_str(), "a.example/!b/@v/v2.0.0%2Bincompatible.zip");
    let names = zip.siblings().into_iter().map(|key| key.file).collect::<Vec<_>>();
    assert_eq!(names, ["v2.0.0+incompatible.info", "v2.0.0+incompatible.mod", "v2.0.0+incompatible.zip"]);

    let info = artifact(&Go, "a.example/b/@v/v1.0.0.info");
    let Shape::Text(understand) = info.shape else { panic!("no text") };
    assert!(understand(&info.key, r#"{"Version":"v1.0.0"}"#).is_ok());
    for text in [r#"{"Version":"v1.0.1"}"#, "{}", "", "<html>", r#"{"Version":"v1.0.1+incompatible"}"#] {
        assert!(understand(&info.key, text).is_err(), "{text}");
    }
    let info = artifact(&Go, "a.example/b/@v/v2.0.0.info");
    assert!(understand(&info.key, r#"{"Version":"v2.0.0+incompatible"}"#).is_ok());
}

proptest! {
    #[test]
    fn the_escaped_form_is_one_to_one(text in "[a-cA-C!.]{0,8}") {
        if let Some(plain) = unescape(&text) {
            prop_assert_eq!(escape(&plain), text);
        }
    }

    #[test]
    fn equal_keys_mean_equal_upstream_addresses(one in "[aA!]{1,4}", other in "[aA!]{1,4}", encoded: bool) {
        let read = |name: &str, bang: &str| {
            let target = format!("x.example/{}/@v/v1.0.0.mod", name.replace('!', bang));
            match ask(&Go, &Method::GET, &target, None) {
                Ok(crate::intent::Intent::Artifact(artifact)) => match artifact.source {
                    Source::Layout(path) => Some((artifact.key, path)),
                    _ => None,
                },
                _ => None,
            }
        };
        if let (Some((key, from)), Some((other_key, other_from))) = (read(&one, "!"), read(&other, if encoded { "%21" } else { "!" })) {
            prop_assert_eq!(key == other_key, one == other);
            prop_assert_eq!(key == other_key, from == other_from);
        }
    }
}
