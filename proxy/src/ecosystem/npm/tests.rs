//! Requests and documents of npm, in tables.

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Npm;
use super::document::ABBREVIATED;
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{Intent, ListedFile, Source};

const BASE: &str = "http://127.0.0.1:8080/npm/";
const CI: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";

#[test]
fn what_requests_mean() {
    for (target, expected) in [
        ("is-number", "metadata full|is-number|| < is-number"),
        ("JSONStream", "metadata full|JSONStream|| < JSONStream"),
        ("constructor", "metadata full|constructor|| < constructor"),
        ("-", "metadata full|-|| < -"),
        ("@types/node", "metadata full|@types/node|| < @types%2Fnode"),
        ("@types%2fnode", "metadata full|@types/node|| < @types%2Fnode"),
        ("@types%2Fnode", "metadata full|@types/node|| < @types%2Fnode"),
        ("is-number/7.0.0", "metadata manifest|is-number|7.0.0| < is-number/7.0.0"),
        ("is-number/latest", "metadata manifest|is-number|latest| < is-number/latest"),
        ("@types%2fnode/1.0.0%2Bb", "metadata manifest|@types/node|1.0.0+b| < @types%2Fnode/1.0.0%2Bb"),
        ("-/package/is-number/dist-tags", "metadata dist-tags|is-number|| < -/package/is-number/dist-tags"),
        ("-/package/@a%2fb/dist-tags", "metadata dist-tags|@a/b|| < -/package/@a%2Fb/dist-tags"),
        ("-/npm/v1/keys", "metadata keys|||keys < -/npm/v1/keys"),
        ("-/npm/v1/attestations/a@1.0.0", "metadata attestations|a|1.0.0| < -/npm/v1/attestations/a@1.0.0"),
        ("-/npm/v1/attestations/@a%2fb@1.0.0", "metadata attestations|@a/b|1.0.0| < -/npm/v1/attestations/@a%2Fb@1.0.0"),
        ("-/npm/v1/attestations/@a/b@1.0.0", "metadata attestations|@a/b|1.0.0| < -/npm/v1/attestations/@a%2Fb@1.0.0"),
        ("is-number/-/is-number-7.0.0.tgz", "artifact tarball|is-number|7.0.0|is-number-7.0.0.tgz in abbreviated full manifest"),
        ("@a/b/-/b-1.0.0.tgz", "artifact tarball|@a/b|1.0.0|b-1.0.0.tgz in abbreviated full manifest"),
        ("@a%2fb/-/b-1.0.0.tgz", "artifact tarball|@a/b|1.0.0|b-1.0.0.tgz in abbreviated full manifest"),
        ("a/-/other-1.0.tgz", "artifact tarball|a||other-1.0.tgz in abbreviated full"),
        ("-/-/--0.0.1.tgz", "artifact tarball|-|0.0.1|--0.0.1.tgz in abbreviated full manifest"),
        ("-/v1/search?text=a%20b&size=20&evil=1&text=c", "forward GET -/v1/search?text=a+b&size=20"),
        ("-/ping?write=true", "answer 200 "),
        ("-/whoami", "answer 401 "),
        ("is-number?write=true", "method"),
        ("", "not found"),
        ("is-number/", "not found"),
        ("@types", "not found"),
        ("-/all", "not found"),
        ("-/npm/v1/attestations/a", "not found"),
        ("-/npm/v1/attestations", "not found"),
        ("-/npm/v1/tokens", "not found"),
        ("a/-/a-1.0.0.zip", "not found"),
        ("a/-/.tgz", "not found"),
        ("a/1.0.0/x", "not found"),
        ("a/^1.0", "not found"),
        (".bin", "not found"),
        ("a/-/..%2fb.tgz", "bad"),
        ("a%2fb", "bad"),
        ("@a%2f..%2fb", "bad"),
        ("@a%252fb", "bad"),
        ("a%00", "bad"),
    ] {
        assert_eq!(meaning(&Npm, target), expected, "{target}");
    }
}

#[test]
fn methods() {
    for (method, target, expected) in [
        (Method::HEAD, "a", "metadata full|a|| < a"),
        (Method::PUT, "a", "method"),
        (Method::DELETE, "-/package/a/dist-tags/b", "method"),
        (Method::POST, "-/v1/login", "method"),
        (Method::GET, "-/npm/v1/security/audits", "method"),
        (Method::POST, "-/npm/v1/security/advisories/bulk", "forward POST -/npm/v1/security/advisories/bulk"),
        (Method::POST, "-/npm/v1/security/audits/quick", "forward POST -/npm/v1/security/audits/quick"),
    ] {
        assert_eq!(described(&ask(&Npm, &method, target, None)), expected, "{method} {target}");
    }
}

#[test]
fn the_form_is_the_clients_choice() {
    for (accept, expected) in [
        (None, "full"),
        (Some("*/*"), "full"),
        (Some("application/json"), "full"),
        (Some(CI), "abbreviated"),
        (Some("application/vnd.npm.install-v1+json"), "abbreviated"),
        (Some("application/json; q=1.0, */*"), "full"),
        (Some("application/json, application/vnd.npm.install-v1+json;q=0.5"), "full"),
        (Some("application/vnd.npm.install-v1+json;q=0, */*"), "full"),
    ] {
        let metadata = metadata(&Npm, "a", accept);
        assert_eq!(metadata.key.representation, expected, "{accept:?}");
        assert!(metadata.varies_by_accept);
        assert_eq!(metadata.content_type == ABBREVIATED, expected == "abbreviated");
    }
}

#[test]
fn a_tarball_is_where_the_layout_says() {
    let Source::Layout(path) = artifact(&Npm, "@a%2fb/-/b-1.0.0.tgz").source else { panic!("not a layout") };
    assert_eq!(path.as_str(), "@a/b/-/b-1.0.0.tgz");
}

fn full(name: &str, body: &str) -> Fetched {
    Fetched::new(metadata(&Npm, name, None), "application/json", body)
}

fn rows(files: &[ListedFile]) -> Vec<(&str, &str, Vec<String>)> {
    let digests = |file: &ListedFile| file.digests.iter().map(ToString::to_string).collect();
    files.iter().map(|file| (file.name.as_str(), file.url.as_str(), digests(file))).collect()
}

#[test]
fn links_are_replaced_and_nothing_else() {
    let document = full(
        "@a/b",
        r#"{ "_id":"@a/b", "name":"@a/b","dist-tags":{"latest":"1.0.0"}, "versions" : {
            "1.0.0": {"version":"1.0.0","homepage":"https://registry.example/@a/b/-/b-1.0.0.tgz","dist":
                {"tarball" : "https:\/\/registry.example\/@a\/b\/-\/b-1.0.0.tgz#x","shasum":"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
                "attestations":{"url":"https://registry.example/-/npm/v1/attestations/@a%2fb@1.0.0","provenance":{}},
                "signatures":[{"keyid":"k","sig":"s"}], "size": 1.0e2}},
            "2.0.0":{"dist":{"tarball":"https://cdn.example/blob/7/b-two.tgz","integrity":"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="}},
            "3.0.0":{"dist":{"tarball":"file:///etc/passwd"}}, "4.0.0":{"dist":{"tarball":7}}, "5.0.0":null },
            "time":{"1.0.0":"2020-01-01T00:00:00.000Z"}, "tarball":"https://registry.example/x" }"#,
    );
    let served = document.served(BASE);
    let expected = String::from_utf8(document.bytes.clone())
        .unwrap()
        .replace(r"https:\/\/registry.example\/@a\/b\/-\/b-1.0.0.tgz#x", "http://127.0.0.1:8080/npm/@a/b/-/b-1.0.0.tgz")
        .replace("https://registry.example/-/npm/v1/attestations/@a%2fb@1.0.0", "http://127.0.0.1:8080/npm/-/npm/v1/attestations/@a%2Fb@1.0.0")
        .replace("https://cdn.example/blob/7/b-two.tgz", "http://127.0.0.1:8080/npm/@a/b/-/b-2.0.0.tgz")
        .replace("file:///etc/passwd", "http://127.0.0.1:8080/npm/@a/b/-/b-3.0.0.tgz");
    assert_eq!(served, expected);
    let sha1 = "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned();
    assert_eq!(
        rows(&document.read().unwrap().files),
        [
            ("b-two.tgz", "https://cdn.example/blob/7/b-two.tgz", vec![sha1.clone()]),
            ("b-1.0.0.tgz", "https://registry.example/@a/b/-/b-1.0.0.tgz", vec![sha1.clone()]),
            ("b-2.0.0.tgz", "https://cdn.example/blob/7/b-two.tgz", vec![sha1]),
        ]
    );
}

#[test]
fn of_duplicate_members_all_are_replaced_and_the_last_counts() {
    let document = full(
        "a",
        r#"{"name":"a","versions":{"1.0.0":{"dist":{"tarball":"https://evil.example/1"},
            "dist":{"tarball":"https://evil.example/2","tarball":"https://good.example/a-1.0.0.tgz"}}}}"#,
    );
    let served = document.served(BASE);
    assert!(!served.contains("example"), "{served}");
    assert_eq!(served.matches("http://127.0.0.1:8080/npm/a/-/a-1.0.0.tgz").count(), 3);
    assert_eq!(rows(&document.read().unwrap().files), [("a-1.0.0.tgz", "https://good.example/a-1.0.0.tgz", vec![])]);
}

#[test]
fn hostile_packuments_are_refused() {
    let packument = |version: &str, dist: &str| {
        full("a", &format!(r#"{{"name":"a","versions":{{"{version}":{{"dist":{{{dist}"x":1}}}}}}}}"#)).read()
    };
    let many = r#""tarball":"","#.repeat(500_001);
    assert!(packument("1.0.0", &many).unwrap_err().0.contains("more than 500000 links"));
    // A long name that is asked for again and again.
    let (long, many) = ("1".repeat(70_000), r#""tarball":"","#.repeat(1000));
    assert!(packument(&long, &many).unwrap_err().0.contains("bytes of addresses"));
    assert_eq!(packument("1.0.0", &many).unwrap().edits.len(), 1000);
}

#[test]
fn what_is_no_packument_is_refused() {
    let refused = [
        "",
        "<html><form>",
        "[]",
        "{}",
        r#"{"error":"not found"}"#,
        r#"{"name":"a","error":"not found"}"#,
        r#"{"name":"a","versions":[]}"#,
        r#"{"name":"a","versions":{"1.0.0":{}}"#,
    ];
    for body in refused {
        assert!(full("a", body).read().is_err(), "{body}");
        let abbreviated = Fetched::new(metadata(&Npm, "a", Some(CI)), "application/json", body);
        assert!(abbreviated.read().is_err(), "{body}");
    }
    assert!(full("a", r#"{"_id":"a","name":"a","time":{"unpublished":{}}}"#).read().is_ok());
}

const FULL: &str = r#"{"_id":"a","name":"a","dist-tags":{ "latest":"2.0.0"},"readme":"long","time":{"modified":"2021-01-01T00:00:00.000Z"},
    "versions":{"2.0.0":{"name":"a","_npmUser":{},"scripts":{"postinstall":"node x"},"dist":{"tarball":"https://registry.example/a/-/a-2.0.0.tgz", "x":1},"version":"2.0.0"},
    "1.0.0":{"scripts":{"test":"x","install":""},"engines":{"node" : ">=4"}}}}"#;

#[test]
fn the_abbreviated_form_is_made_of_the_full_one() {
    let document = Fetched::new(metadata(&Npm, "a", Some(CI)), "application/json; charset=utf-8", FULL);
    assert_eq!(
        document.served(BASE),
        r#"{"name":"a","modified":"2021-01-01T00:00:00.000Z","dist-tags":{ "latest":"2.0.0"},"versions":{"2.0.0":{"name":"a","dist":{"tarball":"http://127.0.0.1:8080/npm/a/-/a-2.0.0.tgz", "x":1},"version":"2.0.0","hasInstallScript":true},"1.0.0":{"engines":{"node" : ">=4"}}}}"#
    );
    // Of `time` in the full form, and of its own in the other.
    let of = |body: &str| Fetched::new(metadata(&Npm, "a", None), "application/json", body).read().unwrap().revision;
    assert_eq!(document.read().unwrap().revision, Some(1_609_459_200_000));
    assert_eq!(of(FULL), Some(1_609_459_200_000));
    assert_eq!(of(r#"{"name":"a","versions":{},"time":{"modified":7},"modified":"soon"}"#), None);
    let odd = r#"{"name":"a","versions":{"1\"\\\u0001é":{"version":"1"}}}"#;
    let odd_served = Fetched::new(metadata(&Npm, "a", Some(CI)), "application/json", odd).served(BASE);
    assert_eq!(odd_served, odd);
    // Mislabelled as abbreviated.
    let labelled = Fetched::new(metadata(&Npm, "a", Some(CI)), ABBREVIATED, FULL);
    assert_eq!(labelled.served(BASE), document.served(BASE));
    // Really abbreviated: kept as it is, with what else the registry says.
    let short = r#"{"name":"a","time":{"1.0.0":"x"},"versions":{}}"#;
    let kept = Fetched::new(metadata(&Npm, "a", Some(CI)), ABBREVIATED, short);
    assert_eq!(kept.served(BASE), short);
    assert!(kept.read().unwrap().replacement.is_none());
}

#[test]
fn the_other_documents() {
    let manifest = Fetched::new(
        metadata(&Npm, "a/latest", None),
        "application/json",
        r#"{"dist":{"shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","tarball":"https://registry.example/z"},"version":"1.0.0"}"#,
    );
    assert!(manifest.served(BASE).contains(r#""tarball":"http://127.0.0.1:8080/npm/a/-/a-1.0.0.tgz""#));
    assert_eq!(manifest.read().unwrap().files[0].name, "a-1.0.0.tgz");
    for (target, body, good) in [
        ("a/latest", r#"{"error":"not found"}"#, false),
        ("-/package/a/dist-tags", r#"{"latest":"1.0.0"}"#, true),
        ("-/package/a/dist-tags", r#"{"latest":{}}"#, false),
        ("-/package/a/dist-tags", "[]", false),
        ("-/npm/v1/keys", r#"{"keys":[]}"#, true),
        ("-/npm/v1/keys", r#"{"keys":{}}"#, false),
        ("-/npm/v1/attestations/a@1.0.0", r#"{"attestations":[{}]}"#, true),
        ("-/npm/v1/attestations/a@1.0.0", "<html>", false),
    ] {
        let document = Fetched::new(metadata(&Npm, target, None), "application/json", body);
        assert_eq!(document.read().is_ok(), good, "{target} {body}");
    }
}

/// Any JSON value, with keys that matter in places where they do not.
fn anything() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        3 => prop::sample::select(vec!["dist", "tarball", "versions", "url", "attestations"]).prop_map(str::to_owned),
        1 => ".{0,6}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(Value::from("https://registry.example/a/-/a-1.0.0.tgz"))
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
        ]
    })
}

/// What the splice must come to, made by changing the parsed document.
fn changed(mut document: Value) -> Value {
    for (version, entry) in document["versions"].as_object_mut().unwrap() {
        let Some(dist) = entry.get_mut("dist").and_then(Value::as_object_mut) else { continue };
        let file = format!("a-{version}.tgz");
        let path = crate::upstream_path::UpstreamPath::from_segments(["a", "-", &file]);
        if let Some(tarball) = dist.get_mut("tarball").filter(|tarball| tarball.is_string()) {
            *tarball = format!("{BASE}{}", path.as_str()).into();
        }
        let url = dist.get_mut("attestations").and_then(|attestations| attestations.get_mut("url"));
        if let Some(url) = url.filter(|url| url.is_string()) {
            let subject = format!("a@{version}");
            let path = crate::upstream_path::UpstreamPath::from_segments(["-", "npm", "v1", "attestations", &subject]);
            *url = format!("{BASE}{}", path.as_str()).into();
        }
    }
    document
}

/// A path of pieces that registries tell apart.
fn target() -> impl Strategy<Value = String> {
    let pieces = ["a", "A", "@a", "/", "/", "%2f", "%2F", "-", "/-/", "a-1.0.0.tgz", "1.0.0", "%2B", ".", "dist-tags", "-/package/"];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn splicing_equals_changing_the_parsed_document(
        dists in prop::collection::btree_map(".{0,8}", anything(), 0..6),
        others in prop::collection::btree_map("[a-z]{1,5}x", anything(), 0..4),
        pretty in any::<bool>(),
        escaped in any::<bool>(),
    ) {
        let mut document = json!({"name": "a", "versions": {}});
        for (version, dist) in dists {
            document["versions"][version] = json!({"dist": dist, "x": {"dist": {"tarball": "https://registry.example/no"}}});
        }
        for (name, other) in others {
            document[name] = other;
        }
        let mut text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        if escaped {
            text = text.replace('/', r"\/");
        }
        let served: Value = serde_json::from_str(&full("a", &text).served(BASE)).unwrap();
        prop_assert_eq!(served, changed(document));
    }

    #[test]
    fn equal_keys_mean_equal_upstream_addresses(one in target(), other in target()) {
        let address = |target: &str| match ask(&Npm, &Method::GET, target, None) {
            Ok(Intent::Metadata(metadata)) => Some((metadata.key, metadata.from.as_str().to_owned())),
            Ok(Intent::Artifact(artifact)) => match artifact.source {
                Source::Layout(path) => Some((artifact.key, path.as_str().to_owned())),
                _ => None,
            },
            _ => None,
        };
        if let (Some((key, from)), Some((other_key, other_from))) = (address(&one), address(&other)) {
            prop_assert_eq!(key == other_key, from == other_from, "{} {}", one, other);
        }
    }
}
