//! Requests and documents of the distribution protocol, in tables.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CONTENT_DIGEST, Container, manifest, name};
use crate::digest::Digest;
use crate::ecosystem::Ecosystem as _;
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{Key, Lifetime, Raw, Reading, Revalidate, Unexpected};

const HEX: &str = "abababababababababababababababababababababababababababababababab";

fn sha256() -> String {
    format!("sha256:{HEX}")
}

#[test]
fn what_requests_mean() {
    let (digest, long) = (sha256(), format!("sha512:{HEX}{HEX}"));
    for (target, expected) in [
        ("v2/".to_owned(), "answer 200 ".to_owned()),
        ("v2".to_owned(), "answer 200 ".to_owned()),
        ("v2/alpine/manifests/3.19".to_owned(), "metadata manifest|alpine|3.19| < v2/alpine/manifests/3.19".to_owned()),
        ("v2/a/b/manifests/latest?ns=x".to_owned(), "metadata manifest|a/b|latest| < v2/a/b/manifests/latest".to_owned()),
        (format!("v2/a/manifests/{digest}"), format!("metadata manifest|a|{digest}| < v2/a/manifests/{digest}")),
        (format!("v2/a/manifests/{long}"), format!("metadata manifest|a|{long}| < v2/a/manifests/{long}")),
        (format!("v2/a/b-c/blobs/{digest}"), format!("artifact blob|a/b-c|{digest}| in ")),
        // Names that look like what follows them.
        ("v2/blobs/manifests/tags/manifests/x".to_owned(), "metadata manifest|blobs/manifests/tags|x| < v2/blobs/manifests/tags/manifests/x".to_owned()),
        ("v2/tags/list/tags/list".to_owned(), "metadata tags|tags/list|| < v2/tags/list/tags/list".to_owned()),
        (format!("v2/a/blobs/{digest}/blobs/{digest}"), "not found".to_owned()),
        ("v2/a/tags/list?n=050&last=v1&evil=1".to_owned(), "metadata tags|a||n=50&last=v1 < v2/a/tags/list".to_owned()),
        ("v2/a/tags/list?last=v1&n=99999999".to_owned(), "metadata tags|a||n=10000&last=v1 < v2/a/tags/list".to_owned()),
        ("v2/a/tags/list?n=-1".to_owned(), "bad".to_owned()),
        ("v2/a/tags/list?last=a/b".to_owned(), "metadata tags|a||last=a%2Fb < v2/a/tags/list".to_owned()),
        ("v2/a/tags/list?last=a%0Ab".to_owned(), "bad".to_owned()),
        (format!("v2/a/referrers/{digest}?artifactType=a/b%2Bc"), format!("metadata referrers|a|{digest}|artifactType=a%2Fb%2Bc < v2/a/referrers/{digest}")),
        ("v2/_catalog".to_owned(), "not found".to_owned()),
        ("v2/manifests/x".to_owned(), "not found".to_owned()),
        ("v1/a/manifests/x".to_owned(), "not found".to_owned()),
        (String::new(), "not found".to_owned()),
        ("v2/a/manifests/x/".to_owned(), "not found".to_owned()),
        ("v2/a/manifests/.x".to_owned(), "not found".to_owned()),
        ("v2/A/manifests/x".to_owned(), "not found".to_owned()),
        ("v2/a__b/c.d/e---f/manifests/x".to_owned(), "metadata manifest|a__b/c.d/e---f|x| < v2/a__b/c.d/e---f/manifests/x".to_owned()),
        (format!("v2/{}/manifests/x", "a".repeat(256)), "not found".to_owned()),
        ("v2/a/manifests/sha256:abc".to_owned(), "bad".to_owned()),
        (format!("v2/a/blobs/sha256:{}", HEX.to_uppercase()), "bad".to_owned()),
        (format!("v2/a/blobs/sha1:{}", &HEX[..40]), "bad".to_owned()),
        (format!("v2/a/blobs/sha384:{HEX}{}", &HEX[..32]), "bad".to_owned()),
        (format!("v2/a/blobs/sha512:{HEX}"), "bad".to_owned()),
        ("v2/a%2fb/manifests/x".to_owned(), "bad".to_owned()),
        ("v2/../manifests/x".to_owned(), "bad".to_owned()),
    ] {
        assert_eq!(meaning(&Container, &target), expected, "{target}");
    }
    for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
        for target in ["v2/a/manifests/x", "v2/a/blobs/uploads/", "v2/"] {
            assert_eq!(described(&ask(&Container, &method, target, None)), "method", "{method} {target}");
        }
    }
}

#[test]
fn names_of_repositories_and_tags() {
    for (name, valid) in [
        ("a", true), ("a1.b_c__d-e--f", true), ("0", true), ("", false), ("a.", false), (".a", false), ("a..b", false),
        ("a___b", false), ("a_", false), ("a-", false), ("aB", false), ("a b", false), ("a_-b", false),
    ] {
        assert_eq!(name::joined(&[name]).is_ok(), valid, "{name}");
    }
    assert!(name::joined(&[]).is_err());
    for (tag, valid) in [("a", true), ("_", true), ("V1.0-x_y", true), ("-a", false), (".", false), ("", false), ("a+b", false)] {
        assert_eq!(name::is_tag(tag), valid, "{tag}");
    }
    assert!(name::is_tag(&"a".repeat(128)) && !name::is_tag(&"a".repeat(129)));
}

#[test]
fn a_digest_is_for_good_and_a_tag_is_not() {
    let by_digest = metadata(&Container, &format!("v2/a/manifests/{}", sha256()), None);
    assert_eq!((by_digest.lifetime, by_digest.revalidate), (Lifetime::Forever, Revalidate::Conditional));
    assert_eq!(by_digest.expect, Digest::parse(&sha256()));
    let tag = metadata(&Container, "v2/a/manifests/x", None);
    assert_eq!((tag.lifetime, tag.revalidate), (Lifetime::Configured, Revalidate::Digest(CONTENT_DIGEST)));
    assert_eq!(tag.expect, None);
    assert!(tag.accept.unwrap().split(", ").count() == 5 && !tag.accept.unwrap().contains("v1+prettyjws"));
    let blob = artifact(&Container, &format!("v2/a/blobs/{}", sha256()));
    assert_eq!((blob.expect, blob.content_type), (Digest::parse(&sha256()), "application/octet-stream"));
}

/// A document as it comes from the upstream for this request.
fn fetched(target: &str, said: &'static str, document: &Value) -> Result<Reading, Unexpected> {
    Fetched::new(metadata(&Container, target, None), said, document.to_string()).read()
}

#[test]
fn types_of_manifests() {
    const OCI: &str = manifest::OCI_MANIFEST;
    const INDEX: &str = manifest::OCI_INDEX;
    const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
    const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    let layer = json!({"digest": sha256(), "size": 1});
    let image = |kind: Value| json!({"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer]});
    let index = |kind: Value| json!({"schemaVersion": 2, "mediaType": kind, "manifests": [layer]});
    for (document, said, expected) in [
        (image(json!(OCI)), "text/plain", Some(OCI)),
        (image(json!(DOCKER)), OCI, Some(DOCKER)),
        (image(Value::Null), DOCKER, Some(DOCKER)),
        (image(Value::Null), "application/vnd.oci.image.manifest.v1+json; charset=utf-8", Some(OCI)),
        (image(Value::Null), "", Some(OCI)),
        (index(json!(LIST)), LIST, Some(LIST)),
        (index(Value::Null), "application/octet-stream", Some(INDEX)),
        // What it says and what it holds differ.
        (image(json!(INDEX)), OCI, None),
        (index(json!(OCI)), INDEX, None),
        (image(Value::Null), INDEX, None),
        (index(Value::Null), DOCKER, None),
        // Nothing but a configuration, and nothing at all.
        (json!({"schemaVersion": 2, "mediaType": OCI, "config": layer}), OCI, Some(OCI)),
        (json!({"schemaVersion": 2, "config": layer, "layers": null}), DOCKER, Some(DOCKER)),
        (json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": null}), INDEX, Some(INDEX)),
        (json!({"schemaVersion": 2, "config": layer, "layers": [layer], "manifests": null}), OCI, Some(OCI)),
        (json!({"schemaVersion": 2, "mediaType": INDEX}), INDEX, None),
        (json!({"schemaVersion": 2, "mediaType": OCI, "layers": null}), OCI, None),
        (json!({"schemaVersion": 2, "layers": [layer], "manifests": [layer]}), OCI, None),
        (json!({"schemaVersion": 2, "config": layer, "manifests": [layer]}), INDEX, None),
        (image(json!("text/html")), OCI, None),
        (json!({"schemaVersion": 1, "name": "a", "fsLayers": []}), OCI, None),
        (json!({"schemaVersion": 1, "layers": [layer]}), OCI, None),
        (json!({"schemaVersion": 2}), OCI, None),
        (json!({"schemaVersion": 2, "layers": [{"digest": "sha256:x"}]}), OCI, None),
        (json!({"schemaVersion": 2, "manifests": [{"digest": "md5:x"}]}), INDEX, None),
        (json!({"error": "x"}), OCI, None),
        (json!("login"), OCI, None),
    ] {
        let found = fetched("v2/a/manifests/x", said, &document);
        assert_eq!(found.ok().and_then(|reading| reading.served.content_type).as_deref(), expected, "{document} {said}");
    }
}

#[test]
fn a_manifest_names_its_blobs_for_its_repository_alone() {
    let other = format!("sha512:{HEX}{HEX}");
    let document = json!({
        "schemaVersion": 2, "config": {"digest": sha256()}, "layers": [
            {"digest": other},
            // Registries need not have these, so that a manifest proves nothing.
            {"digest": format!("sha256:{}", "1".repeat(64)), "urls": ["http://evil.example/"]},
            {"digest": format!("sha256:{}", "2".repeat(64)), "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
        ],
    });
    let reading = fetched("v2/team/a/manifests/x", manifest::OCI_MANIFEST, &document).unwrap();
    let named: Vec<_> = reading.references.iter().map(|reference| (reference.key.clone(), reference.digest.to_string())).collect();
    let key = |digest: &str| Key::file("team/a", digest, "", "blob");
    assert_eq!(named, [(key(&sha256()), sha256()), (key(&other), other.clone())]);
    assert_eq!(named[0].0, artifact(&Container, &format!("v2/team/a/blobs/{}", sha256())).key);
    // The tag's document is known by its digest as well.
    let digest = Digest::sha256(document.to_string().as_bytes()).to_string();
    let also = reading.also.unwrap();
    assert_eq!(also, metadata(&Container, &format!("v2/team/a/manifests/{digest}"), None).key);
    let by_digest = fetched(&format!("v2/team/a/manifests/{digest}"), manifest::OCI_MANIFEST, &document).unwrap();
    assert_eq!(by_digest.also, None);
}

/// What a registry has not looked for is no blob of the repository because a manifest says so.
#[test]
fn a_manifest_vouches_for_what_registries_look_for() {
    let of = |text: &str| Fetched::new(metadata(&Container, "v2/a/manifests/x", None), manifest::OCI_MANIFEST, text).read();
    let named = |text: &str| of(text).unwrap().references.into_iter().map(|named| named.digest.to_string()).collect::<Vec<_>>();
    let (real, other) = (sha256(), format!("sha256:{}", "1".repeat(64)));
    let (real_one, other_one) = (format!(r#"{{"digest":"{real}"}}"#), format!(r#"{{"digest":"{other}"}}"#));
    let artifact = manifest::KNOWN[4];
    for (text, expected) in [
        (format!(r#"{{"config":{real_one},"layers":[{real_one}],"blobs":[{other_one}]}}"#), vec![&real, &real]),
        (format!(r#"{{"mediaType":"{}","manifests":[],"blobs":[{other_one}]}}"#, manifest::OCI_INDEX), vec![]),
        (format!(r#"{{"mediaType":"{artifact}","blobs":[{other_one}]}}"#), vec![&other]),
        // Other readers take the name of a member in any case, and the last of several.
        (format!(r#"{{"layers":[{other_one}],"LAYERS":[{real_one}]}}"#), vec![]),
        (format!(r#"{{"layers":[{{"digest":"{other}","Digest":"{real}"}}]}}"#), vec![]),
        (format!(r#"{{"config":{{"digest":"{real}","urls":null,"mediaType":null}},"layers":null}}"#), vec![&real]),
        (format!(r#"{{"config":{real_one},"annotations":{{"Layers":"x"}}}}"#), vec![&real]),
    ] {
        assert_eq!(named(&text), expected.into_iter().cloned().collect::<Vec<_>>(), "{text}");
    }
    assert!(of(&format!(r#"{{"layers":[{other_one}],"layers":[{real_one}]}}"#)).is_err(), "the same name twice");
}

#[test]
fn digests_are_told_in_headers() {
    let told = |key: &Key, found| {
        let headers = Container.headers(Some((key, found)));
        headers.first().map(|(_, value)| value.clone())
    };
    let blob = crate::store::BlobId::of(b"x");
    let key = |target: &str| metadata(&Container, target, None).key;
    assert_eq!(told(&key("v2/a/manifests/x"), Some(blob)), Some(format!("sha256:{blob}")));
    let long = format!("sha512:{HEX}{HEX}");
    assert_eq!(told(&key(&format!("v2/a/manifests/{long}")), Some(blob)), Some(long));
    assert_eq!(told(&artifact(&Container, &format!("v2/a/blobs/{}", sha256())).key, None), Some(sha256()));
    assert_eq!(told(&key("v2/a/tags/list"), Some(blob)), None);
    assert_eq!(told(&key(&format!("v2/a/referrers/{}", sha256())), Some(blob)), None);
}

#[test]
fn pages_of_lists() {
    let read = |target: &str, headers: &[(&'static str, &str)]| {
        let fetched = Fetched::new(metadata(&Container, target, None), "application/json", r#"{"name":"a","tags":[],"manifests":[]}"#);
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
        fetched.metadata.read.unwrap()(Raw { headers: Some(&headers), ..fetched.raw() }).map(|reading| reading.served)
    };
    for (link, expected) in [
        ("</v2/a/tags/list?n=5&last=v1>; rel=\"next\"", Some("n=5&last=v1")),
        ("<https://registry.example/v2/a/tags/list?last=v%2F1&n=5&evil=x>; rel=next", Some("n=5&last=v%2F1")),
        ("<https://evil.example/v2/a/tags/list?last=v1>; rel=next", Some("last=v1")),
        // As registries write it that know themselves by another address.
        ("</repository/x/v2/b/tags/list?last=v1>; rel=next", Some("last=v1")),
        ("</v2/a/tags/list?last=v1>; rel=prev", None),
        ("</v2/a/tags/list?last=%3E;rel=x>; rel=next", Some("last=%3E%3Brel%3Dx")),
        ("</v2/a/tags/list?n=5&next_page=eyJv==>; rel=next", Some("n=5&next_page=eyJv%3D%3D")),
        (
            "</v2/a/tags/list?last=first>; rel=\"first\", </v2/a/tags/list?last=v2>; title=x; REL=\"last next\"",
            Some("last=v2"),
        ),
        ("nonsense", None),
    ] {
        assert_eq!(read("v2/a/tags/list", &[("link", link)]).unwrap().next.as_deref(), expected, "{link}");
    }
    for link in [
        "</v2/a/tags/list?n=5>; rel=next",
        "</v2/a/tags/list?n=5&page=2>; rel=next",
        "</v2/a/tags/list?last=a%0d%0aX-Evil:1>; rel=next",
        "</v2/a/tags?last=v1>; rel=next",
        "<https://[?last=v1>; rel=next",
    ] {
        assert!(read("v2/a/tags/list", &[("link", link)]).is_err(), "{link}: a part is not the whole");
    }
    let referrers = format!("v2/a/referrers/{}", sha256());
    let filtered = read(&referrers, &[("oci-filters-applied", "artifactType")]).unwrap();
    assert_eq!(filtered.headers, [("oci-filters-applied".to_owned(), "artifactType".to_owned())]);
    assert!(read(&referrers, &[("oci-filters-applied", "evil\tx")]).unwrap().headers.is_empty());
    let tags = |body: &str| Fetched::new(metadata(&Container, "v2/a/tags/list", None), "application/json", body).read();
    assert!(tags(r#"{"name":"a","tags":null}"#).is_ok());
    let list = |body: &str| Fetched::new(metadata(&Container, &referrers, None), "application/json", body).read();
    assert!(list(r#"{"manifests":null}"#).is_ok() && list(r#"{"errors":[]}"#).is_err());
    for body in ["", "[]", r#"{"tags":[]}"#, r#"{"name":"a","tags":[1]}"#, "<html>"] {
        assert!(tags(body).is_err(), "{body}");
    }
}

#[test]
fn errors_have_the_codes_of_the_specification() {
    for (path, status, expected) in [
        ("v2/a/manifests/x", 404, "MANIFEST_UNKNOWN"),
        ("v2/a/blobs/x", 404, "BLOB_UNKNOWN"),
        ("v2/a/tags/list", 404, "NAME_UNKNOWN"),
        ("v2/a/referrers/x", 404, "MANIFEST_UNKNOWN"),
        ("", 404, "NAME_UNKNOWN"),
        ("v2/a/blobs/x", 400, "DIGEST_INVALID"),
        ("v2/a/manifests/x", 400, "NAME_INVALID"),
        ("v2/a/manifests/x", 401, "UNAUTHORIZED"),
        ("v2/a/manifests/x", 403, "DENIED"),
        ("v2/a/manifests/x", 405, "UNSUPPORTED"),
        ("v2/a/manifests/x", 429, "TOOMANYREQUESTS"),
        ("v2/a/manifests/x", 503, "UNAVAILABLE"),
    ] {
        let (kind, body) = Container.error_at(path, StatusCode::from_u16(status).unwrap(), "so it is");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((kind, body["errors"][0]["code"].as_str()), ("application/json", Some(expected)), "{path} {status}");
        assert_eq!(body["errors"][0]["message"], "so it is");
    }
}

proptest! {
    #[test]
    fn equal_keys_mean_equal_upstream_addresses(one in "[ab]{1,3}(/[ab]{1,2})?", other in "[ab]{1,3}(/[ab]{1,2})?", tag in "[ab]{1,2}", next in "[ab]{1,2}") {
        let of = |name: &str, tag: &str| {
            let metadata = metadata(&Container, &format!("v2/{name}/manifests/{tag}"), None);
            (metadata.key, metadata.from)
        };
        let (first, second) = (of(&one, &tag), of(&other, &next));
        prop_assert_eq!(first.0 == second.0, first.1 == second.1);
    }
}
