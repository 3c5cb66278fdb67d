//! Requests that no honest client sends: refused, or without effect on the next honest one.

use std::time::Duration;

use http::Method;
use tests::fixture::{BASE, SMALL};
use tests::{Ask, Protocol, Reply, Resource};

use super::Case;

const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn traversal(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let name = protocol.name();
    let long = "a".repeat(8192);
    for path in [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%252e%252e%252fetc",
        "..%5c..%5cetc",
        "..;/etc",
        "%2F%2F..%2F..%2Fetc%2Fpasswd",
        "%c0%ae%c0%ae/etc",
        "tiny%00lab",
        "tiny%0d%0aX-Evil:%201",
        "a/%2e/b",
        "a//b",
        &long,
    ] {
        let request = format!("GET /{name}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let received = String::from_utf8_lossy(&case.rig.client().raw(request.as_bytes(), PATIENCE).await).into_owned();
        let status = received.split(' ').nth(1).unwrap_or_default().to_owned();
        let shown = &path[..path.len().min(40)];
        assert!(matches!(status.as_str(), "400" | "404" | "414" | "431"), "{shown}: {received}");
        assert!(!received.contains("root:") && !received.to_lowercase().contains("\r\nx-evil"), "{shown}: {received}");
    }
    case.assert_true_bytes(&case.artifact(SMALL).await, SMALL);
}

pub(super) async fn traversal_at_the_upstream(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let name = protocol.name();
    for path in ["two/secret", "secret", "registry/two/secret"] {
        case.upstream.set(&format!("/{path}"), Resource::file("secret"));
        case.upstream.set(&format!("/registry/{path}"), Resource::file("secret"));
    }
    for path in [
        "%2e%2e/two/secret",
        "../two/secret",
        "x/%2e%2e/%2e%2e/two/secret",
        "..%2ftwo%2fsecret",
        "simple/%2e%2e/%2e%2e/two/secret",
        "tiny-lab/-/..%2f..%2fsecret",
        "api/v1/crates/%2e%2e/%2e%2e/download",
        "http://127.0.0.1/secret",
        "//secret",
    ] {
        let request = format!("GET /{name}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let received = case.rig.client().raw(request.as_bytes(), PATIENCE).await;
        assert!(!received.starts_with(b"HTTP/1.1 200"), "{path}");
    }
    for request in case.upstream.requests() {
        assert!(request.target.starts_with(BASE), "{} left the base", request.target);
        assert!(!request.path().contains("/../"), "{}", request.target);
    }
}

pub(super) async fn forged_hosts(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let path = case.fixture.linking();
    let forged = Ask::get(&path)
        .header("Host", "evil.example")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Proto", "gopher")
        .header("X-Forwarded-Prefix", "/evil.example")
        .header("X-Original-URL", "/evil.example")
        .header("Forwarded", "host=evil.example;proto=https");
    let answer = case.rig.send(forged).await.expect_status(200);
    assert!(!answer.text().contains("evil.example"), "{}", answer.text());
    assert!(!format!("{:?}", answer.headers).contains("evil.example"));
    let absolute = format!("GET http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    let received = case.rig.client().raw(absolute.as_bytes(), PATIENCE).await;
    assert!(!String::from_utf8_lossy(&received).contains("evil.example"));
    let normal = case.rig.get(&path).await.expect_status(200);
    assert!(!normal.text().contains("evil.example"));
    let again = case.get_with(&path, "X-Forwarded-Host", "evil.example").await;
    assert_eq!((again.bytes(), again.header("etag")), (normal.bytes(), normal.header("etag")));
    for request in case.upstream.requests() {
        assert!(!request.mentions("evil.example"), "{request:?}");
    }
}

pub(super) async fn smuggling(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let path = case.fixture.metadata();
    let hidden = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", case.absent("smuggled").0);
    let heads = [
        ("both lengths", "Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "Host: x\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n"),
        ("signed length", "Host: x\r\nContent-Length: +5\r\n\r\nhello"),
        ("unknown coding", "Host: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("space before the colon", "Host: x\r\nContent-Length : 5\r\n\r\nhello"),
        ("folded header", "Host: x\r\nX-A: 1\r\n Content-Length: 5\r\n\r\nhello"),
        ("NUL in a value", "Host: x\r\nX-A: a\0b\r\n\r\n"),
    ];
    for (kind, head) in heads {
        let request = format!("GET {path} HTTP/1.1\r\n{head}{hidden}");
        let received = case.rig.client().raw(request.as_bytes(), PATIENCE).await;
        let text = String::from_utf8_lossy(&received);
        let answers = text.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{kind}: {answers} answers: {text}");
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{kind}: {text}");
    }
    let old = format!("GET {path} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}");
    let received = case.rig.client().raw(old.as_bytes(), PATIENCE).await;
    assert!(String::from_utf8_lossy(&received).matches("HTTP/1.").count() <= 1, "HTTP/1.0 with chunks");
    for request in case.upstream.requests() {
        assert!(!request.mentions("smuggled"), "{request:?}");
    }
    case.metadata().await.expect_status(200);
}

pub(super) async fn splitting(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("upstream.retry.attempts", 0)).await;
    let path = case.fixture.upstream_artifact(SMALL);
    for location in ["/x%0d%0aX-Evil: 1", "/x\r\nX-Evil: 1", "/x\0y", "/\"><script>"] {
        case.upstream.set(&path, Reply::redirect(location));
        let answer = case.artifact(SMALL).await;
        assert!(!answer.is_complete_success() && answer.header("x-evil").is_empty(), "{location:?}");
    }
    let bytes = case.fixture.bytes(SMALL).clone();
    let reply = Reply::ok(bytes).header("Content-Disposition", "attachment; filename=\"a\r\nX-Evil: 1\"");
    case.upstream.set(&path, reply);
    let answer = case.artifact(SMALL).await;
    assert!(answer.header("x-evil").is_empty() && answer.header("content-disposition").is_empty());
    assert!(case.upstream.requests().iter().all(|request| request.header("x-evil").is_none()));
}

pub(super) async fn dangerous_headers(protocol: &'static dyn Protocol) {
    const DANGEROUS: [&str; 14] = [
        "Set-Cookie",
        "Strict-Transport-Security",
        "Alt-Svc",
        "Access-Control-Allow-Origin",
        "X-Accel-Redirect",
        "X-Sendfile",
        "Clear-Site-Data",
        "Refresh",
        "Link",
        "Content-Location",
        "WWW-Authenticate",
        "Proxy-Authenticate",
        "X-Upstream-Internal",
        "Server",
    ];
    let case = Case::new(protocol).await;
    let dress = |resource: Resource| {
        DANGEROUS.iter().fold(resource, |resource, name| resource.header(name, "upstream-says-so"))
    };
    case.upstream.set(&case.fixture.upstream_metadata(), dress(case.fixture.document(&case.upstream)));
    let file = Resource::file(case.fixture.bytes(SMALL).clone());
    case.upstream.set(&case.fixture.upstream_artifact(SMALL), dress(file));
    for path in [case.fixture.metadata(), case.fixture.artifact(SMALL)] {
        for answer in [case.rig.get(&path).await, case.rig.until_hit(&path).await] {
            let answer = answer.expect_status(200);
            for (name, value) in &answer.headers {
                assert!(!value.to_str().unwrap_or_default().contains("upstream-says-so"), "{path}: {name}");
            }
        }
    }
    let (path, upstream_path) = case.absent("heavy-lab");
    case.upstream.set(&upstream_path, Reply::ok("{}").header("X-Long", &"x".repeat(600 << 10)));
    case.rig.get(&path).await.expect_status(502);
}

pub(super) async fn markup_is_not_served(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let file = Resource::new(case.fixture.bytes(SMALL).clone(), "text/html");
    case.upstream.set(&case.fixture.upstream_artifact(SMALL), file);
    let answer = case.artifact(SMALL).await;
    // Refused as a login page, or served under the label of its kind.
    if answer.status != 502 {
        case.assert_true_bytes(&answer, SMALL);
    }
    assert!(!answer.header("content-type").contains("html"), "{:?}", answer.headers);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let error = case.rig.get(&format!("/{}/%3Cscript%3E", protocol.name())).await;
    assert!(!error.status.is_success() && !error.header("content-type").contains("html"), "{:?}", error.headers);
}

pub(super) async fn hostile_headers_poison_nothing(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let path = case.fixture.artifact(SMALL);
    let long = "x".repeat(16 << 10);
    for (name, value) in [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Long", long.as_str()),
        ("Range", "bytes=9-1"),
        ("If-Match", "\"nothing\""),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Accept", "text/nothing"),
        ("Expect", "100-continue"),
        ("Connection", "authorization, x-foo"),
    ] {
        // Ignored, answered by the book (RFC 9110 §13.1), or refused as too long: never a failure, never other bytes.
        let answer = case.rig.send(Ask::get(&path).header(name, value)).await;
        match answer.status.as_u16() {
            200 => case.assert_true_bytes(&answer, SMALL),
            status => assert!(matches!(status, 400 | 406 | 412 | 416 | 417 | 431), "{name}: {status}"),
        }
        for request in case.upstream.requests() {
            assert!(name == "Accept" || !request.mentions(value), "{name} was passed on: {request:?}");
        }
        case.assert_true_bytes(&case.artifact(SMALL).await, SMALL);
    }
}

pub(super) async fn client_credentials_stay_here(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for path in [case.fixture.metadata(), case.fixture.artifact(SMALL)] {
        let ask = Ask::get(&path)
            .header("Authorization", "Bearer CLIENT-CANARY")
            .header("Cookie", "CLIENT-CANARY")
            .header("X-Api-Key", "CLIENT-CANARY")
            .header("User-Agent", "CLIENT-CANARY");
        case.rig.send(ask).await.expect_status(200);
    }
    for request in case.upstream.requests() {
        assert!(!request.mentions("CLIENT-CANARY"), "{request:?}");
    }
    assert!(!case.rig.metrics().await.text().contains("CLIENT-CANARY"));
}

pub(super) async fn methods(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::POST] {
        let answer = case.rig.send(Ask::new(method.clone(), &case.fixture.metadata())).await;
        assert!(matches!(answer.status.as_u16(), 404 | 405), "{method}: {}", answer.status);
    }
    let connect = "CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n";
    let received = case.rig.client().raw(connect.as_bytes(), PATIENCE).await;
    assert!(received.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&received));
    let upgrade = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        case.fixture.metadata()
    );
    let received = case.rig.client().raw(upgrade.as_bytes(), PATIENCE).await;
    assert!(received.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&received));
    for path in ["/metrics", "/status", "/healthz", "/readyz", "/purge"] {
        let answer = case.rig.get(path).await;
        assert_eq!(answer.status, 404, "{path} on the data port");
    }
    assert!(case.upstream.requests().iter().all(|request| request.method == "GET"));
}
