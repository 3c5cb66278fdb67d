//! Requests and documents of cargo, in tables.

use http::Method;
use proptest::prelude::*;

use super::{Cargo, config};
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{Intent, Source};

const JSON: &str = "application/json";
const BASE: &str = "http://127.0.0.1:8080/cargo/";

#[test]
fn what_requests_mean() {
    for (target, expected) in [
        ("config.json", "metadata config|||config.json < config.json"),
        ("1/a", "metadata index|a|| < 1/a"),
        ("3/s/syn", "metadata index|syn|| < 3/s/syn"),
        ("cf/g-/cfg-if", "metadata index|cfg-if|| < cf/g-/cfg-if"),
        ("ap/i_/api_x", "metadata index|api_x|| < ap/i_/api_x"),
        ("api/v1/crates/serde/1.0.0/download", "artifact crate|serde|1.0.0|serde-1.0.0.crate in index"),
        ("api/v1/crates/a/1.0.0%2Bb/download", "artifact crate|a|1.0.0+b|a-1.0.0+b.crate in index"),
        ("api/v1/crates/a/1.0.0+b/download", "artifact crate|a|1.0.0+b|a-1.0.0+b.crate in index"),
        ("api/v1/crates?q=a+b&per_page=10&evil=1", "forward GET api/v1/crates?q=a+b&per_page=10"),
        ("api/v1/crates/serde", "forward GET api/v1/crates/serde"),
        ("api/v1/crates/serde/1.0.0?x=1", "forward GET api/v1/crates/serde/1.0.0"),
        ("api/v1/crates/serde/owners", "method"),
        ("Cf/g-/Cfg-if", "not found"),
        ("cf/gx/cfg-if", "not found"),
        ("cf/g-/cfg-if/", "not found"),
        ("", "not found"),
        ("me", "not found"),
        ("api/v1/crates/a.b/1.0.0/download", "not found"),
        ("api/v1/crates/a/x/download", "not found"),
        ("cf/g-/%2e%2e", "bad"),
        ("api/v1/crates/a/1.0.0%2f..%2f2/download", "bad"),
    ] {
        assert_eq!(meaning(&Cargo, target), expected, "{target}");
    }
    for (method, target) in [
        (Method::PUT, "api/v1/crates/new"),
        (Method::DELETE, "api/v1/crates/a/1.0.0/yank"),
        (Method::PUT, "api/v1/crates/a/1.0.0/unyank"),
        (Method::POST, "config.json"),
    ] {
        assert_eq!(described(&ask(&Cargo, &method, target, None)), "method", "{method} {target}");
    }
}

fn config_of(body: &str) -> Fetched {
    Fetched::new(metadata(&Cargo, "config.json", None), JSON, body)
}

#[test]
fn our_config_names_only_us() {
    for (body, expected) in [
        (r#"{"dl":"https://dl.example/crates"}"#, r#"{"dl":"http://127.0.0.1:8080/cargo/api/v1/crates"}"#),
        (
            r#"{"dl":"https://dl.example","api":"https://api.example/","auth-required":true,"x":"https://api.example"}"#,
            r#"{"api":"http://127.0.0.1:8080/cargo","dl":"http://127.0.0.1:8080/cargo/api/v1/crates"}"#,
        ),
    ] {
        assert_eq!(config_of(body).served(BASE), expected);
    }
    for body in ["<html>login", "{}", r#"{"dl":7}"#, r#"{"dl":"file:///etc"}"#, r#"["dl"]"#, ""] {
        assert!(config_of(body).read().is_err(), "{body}");
    }
}

#[test]
fn addresses_of_crate_files() {
    let artifact = artifact(&Cargo, "api/v1/crates/MyCrate/1.0.0/download");
    let Source::Template(template) = &artifact.source else { panic!("no template") };
    let index = Fetched::new(metadata(&Cargo, "my/cr/mycrate", None), "text/plain", line("MyCrate", "1.0.0"));
    let listing = index.read().unwrap().files.pop().unwrap();
    assert_eq!(listing.name, artifact.listed_as);
    for (dl, expected) in [
        ("https://dl.example/crates", "https://dl.example/crates/MyCrate/1.0.0/download"),
        ("https://dl.example:443/a/", "https://dl.example/a/MyCrate/1.0.0/download"),
        ("https://dl.example/{crate}-{version}.crate", "https://dl.example/MyCrate-1.0.0.crate"),
        ("https://dl.example/{prefix}/{lowerprefix}/{crate}", "https://dl.example/My/Cr/my/cr/MyCrate"),
        ("https://dl.example/{sha256-checksum}", &format!("https://dl.example/{}", "ab".repeat(32))),
        ("/files", "https://registry.example/files/MyCrate/1.0.0/download"),
    ] {
        let document = config_of(&serde_json::json!({ "dl": dl }).to_string());
        assert_eq!((template.build)(document.raw(), &artifact, Some(&listing)).unwrap(), expected, "{dl}");
        let needed = (template.needs_listing)(document.raw());
        assert_eq!(needed, dl.contains("checksum"), "{dl}");
        assert_eq!((template.build)(document.raw(), &artifact, None).is_err(), needed, "{dl}");
    }
}

#[test]
fn the_web_api_is_where_the_config_says() {
    for (body, expected) in [
        (r#"{"dl":"/dl"}"#, None),
        (r#"{"dl":"/dl","api":null}"#, None),
        (r#"{"dl":"/dl","api":"https://api.example"}"#, Some("https://api.example/")),
        (r#"{"dl":"/dl","api":"https://api.example/x/"}"#, Some("https://api.example/x/")),
    ] {
        assert_eq!(config::api(config_of(body).raw()).unwrap().as_deref(), expected, "{body}");
    }
    assert!(config::api(config_of(r#"{"dl":"/dl","api":"gopher://x"}"#).raw()).is_err());
}

fn line(name: &str, version: &str) -> String {
    let checksum = "ab".repeat(32);
    format!(r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{checksum}","features":{{}},"yanked":true}}"#)
}

#[test]
fn index_files_pass_byte_for_byte() {
    let index = |body: &str| Fetched::new(metadata(&Cargo, "my/cr/mycrate", None), "text/plain", body);
    let names = |body: &str| {
        let files = index(body).read()?.files;
        Ok::<_, crate::intent::Unexpected>(files.into_iter().map(|file| file.name).collect::<Vec<_>>())
    };
    let one = line("MyCrate", "1.0.0");
    let two = line("MyCrate", "2.0.0");
    let body = format!("{one}\n{{\"v\":99}}\n\n{two}\n");
    assert_eq!(names(&body).unwrap(), ["MyCrate-1.0.0.crate", "MyCrate-2.0.0.crate"]);
    assert_eq!(index(&body).served(BASE), body);
    assert_eq!(names(&format!("{one}\n{two}")).unwrap().len(), 2);
    let other = line("other", "1.0.0");
    for body in ["", "\n", "<html>\nlogin", &other, &format!("{one}\n{}", &two[..50])] {
        assert!(names(body).is_err(), "{body}");
    }
    assert_eq!(index(&one).read().unwrap().files[0].digests[0].hex(), "ab".repeat(32));
    let short = "{\"name\":\"mycrate\",\"vers\":\"1\",\"cksum\":\"\"}\n";
    assert!(index(&short.repeat(250_001)).read().unwrap_err().0.contains("more than 250000 files"));
}

proptest! {
    #[test]
    fn equal_keys_mean_equal_upstream_addresses(one in "[ab]{1,5}", other in "[abAB]{1,5}", version in "[12]\\.0\\.[01]", next in "[12]\\.0\\.[01]") {
        let key = |name: &str, version: &str| artifact(&Cargo, &format!("api/v1/crates/{name}/{version}/download")).key;
        prop_assert_eq!(key(&one, &version) == key(&other, &next), one == other && version == next);
        let index = |name: &str| match ask(&Cargo, &Method::GET, &format!("{}/{name}", super::prefix(name)), None) {
            Ok(Intent::Metadata(metadata)) => Some((metadata.key, metadata.from)),
            _ => None,
        };
        if let (Some((key, from)), Some((other_key, other_from))) = (index(&one), index(&other)) {
            prop_assert_eq!(key == other_key, from == other_from);
        }
    }
}
