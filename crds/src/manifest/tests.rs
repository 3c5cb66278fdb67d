//! Good and bad documents: for each bad one the field, a piece of the message and a piece of the remedy.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::ProblemKind;
use crate::{AuthKind, CacheSettings, TrustSettings, UpstreamSettings};

/// A document with this spec.
fn document(spec: Value) -> Value {
    let mut document = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "npm"}});
    document["spec"] = spec;
    document
}

/// A document whose upstream has these members besides an address.
fn upstream(members: Value) -> Value {
    let mut upstream = json!({"url": "https://registry.example/npm"});
    let Value::Object(members) = members else { panic!("{members} is no object") };
    upstream.as_object_mut().unwrap().extend(members);
    document(json!({"ecosystem": "npm", "upstream": upstream}))
}

#[test]
fn the_least_manifest_has_all_defaults() {
    let reading = read(&upstream(json!({})));
    assert_eq!(reading.problems, []);
    let url = "https://registry.example/npm/".parse().unwrap();
    let expected = Settings {
        name: "npm".to_owned(),
        namespace: None,
        generation: None,
        ecosystem: crate::Ecosystem::Npm,
        owner: "default".to_owned(),
        external_url: None,
        upstream: UpstreamSettings::at(url),
        cache: CacheSettings::default(),
    };
    assert_eq!(reading.settings, Some(expected));
}

#[test]
fn every_field_reaches_the_settings() {
    let reading = read(&json!({
        "apiVersion": API_VERSION, "kind": KIND,
        "metadata": {"name": "npm", "namespace": "team", "generation": 3, "uid": "ignored", "labels": {"a.b/c": "d"}},
        "status": {"conditions": []},
        "spec": {
            "ecosystem": "npm", "externalURL": "https://npm.corp.example", "logLevel": "Debug",
            "upstream": {
                "url": "https://registry.example", "connectTimeout": "1s", "readTimeout": "2s", "idleTimeout": "3s",
                "queueTimeout": "4s", "minimumRate": "1k", "maxConcurrentRequests": 7, "linkHosts": ["*.files.example"],
                "allowedCIDRs": ["10.0.0.0/8"], "proxyURL": "http://proxy.corp.example:3128",
                "auth": {"type": "Header", "headerName": "X-Token", "secretRef": {"name": "npm-token"}},
                "trust": {"configMapRef": {"name": "ca", "key": "ca.crt"}},
                "fallbacks": [{"url": "https://mirror.example/a", "when": "Unavailable",
                               "auth": {"type": "Basic", "secretRef": {"name": "mirror"}}}],
                "retry": {"attempts": 1, "baseDelay": "1ms", "maxDelay": "2ms"},
                "breaker": {"failures": 2, "openDuration": "10ms", "maxOpenDuration": "20ms"},
            },
            "cache": {"metadataTTL": "0s", "negativeTTL": "5s", "staleWhileRevalidate": "6s", "staleIfError": "7s",
                      "revalidationWait": "8s", "maxSize": "9Gi", "maxMetadataSize": "10Mi"},
        },
    }));
    assert_eq!(reading.problems, []);
    assert_eq!(reading.log_level, Some(LogLevel::Debug));
    let settings = reading.settings.unwrap();
    assert_eq!((settings.owner.as_str(), settings.generation), ("team", Some(3)));
    let upstream = &settings.upstream;
    let auth = upstream.auth.as_ref().unwrap();
    assert_eq!((&auth.kind, auth.secret.as_str()), (&AuthKind::Header("x-token".to_owned()), "npm-token"));
    assert_eq!(upstream.trust, Some(TrustSettings { name: "ca".to_owned(), key: "ca.crt".to_owned() }));
    assert_eq!(upstream.fallbacks[0].url.as_str(), "https://mirror.example/a/");
    assert_eq!(upstream.allowed_cidrs[0].to_string(), "10.0.0.0/8");
    let seconds = [upstream.connect_timeout, upstream.read_timeout, upstream.idle_timeout, upstream.queue_timeout];
    assert_eq!(seconds.map(|time| time.as_secs()), [1, 2, 3, 4]);
    assert_eq!((upstream.minimum_rate, upstream.max_concurrent_requests), (1000, 7));
    assert_eq!((upstream.retry.attempts, upstream.retry.cap), (1, Duration::from_millis(2)));
    assert_eq!((upstream.breaker.failures, upstream.breaker.open), (2, Duration::from_millis(10)));
    assert_eq!((settings.cache.max_size, settings.cache.max_metadata_size), (Some(9 << 30), 10 << 20));
    assert!(settings.cache.metadata_ttl.is_zero());
}

#[test]
fn a_manifest_survives_being_written_and_read() {
    let manifest: PackageProxy = serde_json::from_value(upstream(json!({"readTimeout": "1m"}))).unwrap();
    let written = serde_json::to_value(&manifest).unwrap();
    assert_eq!(written, upstream(json!({"readTimeout": "1m"})));
}

/// One problem, whose path, message and remedy are as given.
fn assert_refused(document: &Value, path: &str, message: &str, remedy: &str) {
    let reading = read(document);
    let [problem] = reading.problems.as_slice() else { panic!("{path}: {:?}", reading.problems) };
    assert_eq!(problem.path, path);
    assert!(problem.message.contains(message), "{path}: {}", problem.message);
    assert!(problem.remedy.contains(remedy), "{path}: {}", problem.remedy);
}

#[test]
fn structure() {
    let at = |field: &str| format!("spec.upstream.{field}");
    for (members, field, message, remedy) in [
        (json!({"readTimeout": 60}), "readTimeout", "must be a string, not a number", "'5m'"),
        (json!({"readTimeout": "60"}), "readTimeout", "'60' is not a duration", "'1h30m'"),
        (json!({"maxConcurrentRequests": "64"}), "maxConcurrentRequests", "a whole number, not a string", "quotes: 64"),
        (json!({"maxConcurrentRequests": 0}), "maxConcurrentRequests", "between 1 and 1024, not 0", "from 1 to 1024"),
        (json!({"allowPlaintextAuth": "true"}), "allowPlaintextAuth", "must be true or false", "quotes: true"),
        (json!({"readTimeOut": "60s"}), "readTimeOut", "unknown field `readTimeOut`", "`readTimeout`?"),
        (json!({"colour": "red"}), "colour", "unknown field", "known here: allowPlaintextAuth"),
        (json!({"auth": []}), "auth", "must be an object, not a list", "the account that is used there"),
        (json!({"auth": {"type": "Basic"}}), "auth.secretRef", "is required", "add `secretRef`"),
        (
            json!({"auth": {"type": "basic", "secretRef": {"name": "a"}}}),
            "auth.type",
            "'basic' is not a known value",
            "'Basic'?",
        ),
        (json!({"allowedCIDRs": ["10.0.0.1"]}), "allowedCIDRs[0]", "'10.0.0.1' is not a network", "10.0.0.0/8"),
        (json!({"linkHosts": ["https://a.example"]}), "linkHosts[0]", "has a form", "matches"),
        (json!({"fallbacks": [{"when": "Unavailable"}]}), "fallbacks[0].url", "is required", "add `url`"),
        (json!({"retry": {"attempts": 11}}), "retry.attempts", "between 0 and 10", "0 to 10"),
        (json!({"url": ""}), "url", "at least 8 characters", "https://registry.example"),
    ] {
        let remedy = if field == "auth" { "The account that is used there" } else { remedy };
        assert_refused(&upstream(members), &at(field), message, remedy);
    }
    let fallbacks: Vec<Value> = (0..5).map(|n| json!({"url": format!("https://m{n}.example/")})).collect();
    assert_refused(&upstream(json!({"fallbacks": fallbacks})), &at("fallbacks"), "at most 4 items, not 5", "remove");
    let secret = json!({"type": "Basic", "secretRef": {"name": "a".repeat(254)}});
    assert_refused(&upstream(json!({"auth": secret})), &at("auth.secretRef.name"), "at most 253", "shorter");
}

#[test]
fn rules() {
    let auth = |kind: &str| json!({"type": kind, "secretRef": {"name": "a"}});
    let header = |name: &str| json!({"type": "Header", "headerName": name, "secretRef": {"name": "a"}});
    let both = json!({"configMapRef": {"name": "a", "key": "b"}, "secretRef": {"name": "c", "key": "b"}});
    let plain = "http://registry.example/";
    for (members, field, message, remedy) in [
        (json!({"url": "https://u:p@registry.example/"}), "url", "without user info", "Secret"),
        (json!({"url": "https://registry.example/?a=b"}), "url", "without user info, query", "from '?'"),
        (json!({"url": "sparse+https://registry.example/"}), "url", "http(s) address", "leave out 'sparse+'"),
        (json!({"url": "ftp://registry.example/"}), "url", "http(s) address", "https://registry.example"),
        (json!({"url": "https://registry example/"}), "url", "http(s) address", "https://registry.example"),
        (json!({"url": plain, "auth": auth("Basic")}), "auth", "allowPlaintextAuth", "use https"),
        (json!({"url": plain, "auth": auth("ClientCertificate")}), "auth.type", "http `url`", "https address"),
        (json!({"auth": auth("Header")}), "auth.headerName", "must be set", "name the header"),
        (json!({"auth": header("Host")}), "auth.headerName", "writes itself", "another header"),
        (json!({"trust": {}}), "trust", "exactly one", "name the object"),
        (json!({"trust": both}), "trust", "exactly one", "name the object"),
        (json!({"readTimeout": "1ms"}), "readTimeout", "between '100ms' and '5m'", "from 100ms to 5m"),
        (json!({"retry": {"baseDelay": "10s", "maxDelay": "1s"}}), "retry.baseDelay", "not be longer", "shorten"),
        (json!({"proxyURL": "socks5://proxy.example"}), "proxyURL", "`proxyURL` must be an http(s)", "write"),
        (
            json!({"fallbacks": [{"url": "https://m.example", "when": "NotFound"}]}),
            "fallbacks",
            "must not be 'NotFound' for this ecosystem",
            "Unavailable",
        ),
        (
            json!({"fallbacks": [{"url": "http://m.example", "auth": auth("Bearer")}]}),
            "fallbacks",
            "allowPlaintextAuth",
            "use https",
        ),
    ] {
        assert_refused(&upstream(members), &format!("spec.upstream.{field}"), message, remedy);
    }
    for (spec, path, message) in [
        (json!({"ecosystem": "npm"}), "spec.upstream.url", "UpstreamMissing"),
        (
            json!({"ecosystem": "pypi", "upstream": {"url": "https://registry.example/pypi/simple/"}}),
            "spec.upstream.url",
            "above 'simple/'",
        ),
        (json!({"ecosystem": "nmp", "upstream": {"url": plain}}), "spec.ecosystem", "'nmp' is not a known value"),
        (
            json!({"ecosystem": "npm", "upstream": {"url": plain}, "externalURL": "https://a.example/b/"}),
            "spec.externalURL",
            "must not end in '/'",
        ),
        (
            json!({"ecosystem": "npm", "upstream": {"url": plain}, "cache": {"metadataTTL": "721h"}}),
            "spec.cache.metadataTTL",
            "between '0s' and '720h'",
        ),
        (json!({"ecosystem": "npm", "upstream": {"url": plain}, "owner": "A"}), "spec.owner", "has a form"),
    ] {
        assert_refused(&document(spec), path, message, "");
    }
    for (name, message) in [
        ("1npm", "letter first"),
        ("my.npm", "letter first"),
        ("npm-", "letter first"),
        ("v2", "must not be 'v2'"),
        (&"a".repeat(41), "at most 40"),
    ] {
        let mut document = upstream(json!({}));
        document["metadata"]["name"] = json!(name);
        assert_refused(&document, "metadata.name", message, "");
    }
    let mut other = upstream(json!({}));
    other["apiVersion"] = json!("packageproxy.dev/v2");
    assert_refused(&other, "apiVersion", "must be 'packageproxy.dev/v1alpha1'", "write apiVersion");
}

#[test]
fn all_mistakes_are_found_at_once() {
    let reading = read(&json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "Npm"},
        "spec": {
            "ecosystem": "nmp", "cach": {},
            "upstream": {"url": "ftp://registry.example/", "readTimeout": 5, "connectTimeout": "1ms"},
        },
    }));
    let mut paths: Vec<&str> = reading.problems.iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    let upstream = ["spec.upstream.connectTimeout", "spec.upstream.readTimeout", "spec.upstream.url"];
    assert_eq!(paths, [&["metadata.name", "spec.cach", "spec.ecosystem"][..], &upstream[..]].concat());
    assert_eq!(reading.settings, None);
}

#[test]
fn an_unknown_field_alone_leaves_the_settings_usable() {
    let reading = read(&upstream(json!({"later": {"than": "this"}})));
    assert_eq!(reading.problems[0].kind, ProblemKind::UnknownField);
    assert!(reading.settings.is_some());
}

#[test]
fn a_password_is_not_repeated() {
    let reading = read(&upstream(json!({"url": "https://user:canary@registry.example/"})));
    assert!(!format!("{:?}", reading.problems).contains("canary"));
}
