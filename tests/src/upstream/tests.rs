//! The scripted upstream does what its scripts say.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::bytes_of::seeded;
use crate::client::{Ask, Client};

async fn server() -> (Upstream, Client) {
    let upstream = Upstream::start().await;
    let client = Client::new(upstream.address());
    (upstream, client)
}

#[tokio::test]
async fn resources_have_validators_and_ranges() {
    let (upstream, client) = server().await;
    upstream.set("/a b", Resource::new("0123456789", "text/plain").etag("\"v1\""));
    let whole = client.get("/a%20b").await.expect_status(200);
    assert_eq!((whole.text().as_str(), whole.header("etag")), ("0123456789", "\"v1\""));
    let unchanged = client.send(Ask::get("/a%20b").header("If-None-Match", "W/\"v1\"")).await;
    assert_eq!(unchanged.status, 304);
    for (range, if_range, status, body) in [
        ("bytes=2-4", None, 206, "234"),
        ("bytes=7-", None, 206, "789"),
        ("bytes=10-", None, 416, ""),
        ("bytes=2-4", Some("\"v1\""), 206, "234"),
        ("bytes=2-4", Some("\"v0\""), 200, "0123456789"),
    ] {
        let mut ask = Ask::get("/a%20b").header("Range", range);
        if let Some(condition) = if_range {
            ask = ask.header("If-Range", condition);
        }
        assert_eq!(client.send(ask).await.expect_status(status).text(), body, "{range} {if_range:?}");
    }
    assert_eq!(client.send(Ask::head("/a%20b")).await.header("content-length"), "10");
    assert_eq!(upstream.count("/a b"), 8);
    assert_eq!(client.get("/other").await.status, 404);
}

#[tokio::test]
async fn scripts_come_first_and_once() {
    let (upstream, client) = server().await;
    upstream.set("/x", Resource::file("steady"));
    upstream.then("/x", Reply::new(503).header("Retry-After", "1")).then("/x", Reply::redirect("/y"));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get("/x").await.status.as_u16());
    }
    assert_eq!(statuses, [503, 302, 200]);
    upstream.fail_with(Reply::new(500));
    assert_eq!(client.get("/x").await.status, 500);
    upstream.recover();
    assert_eq!(client.get("/x").await.status, 200);
}

#[tokio::test]
async fn broken_bodies_are_seen_as_broken() {
    let (upstream, client) = server().await;
    let body = seeded(b"", 1, 100_000);
    let resource = Resource::file(body.clone());
    upstream.set("/reset", resource.reset_after(50_000));
    upstream.set("/cut", resource.cut_after(50_000));
    upstream.set("/chunks", Reply::ok(body.clone()).unfinished_chunks());
    upstream.set("/short", Reply::ok(body.clone()).claims(100_001));
    for path in ["/reset", "/cut", "/chunks", "/short"] {
        assert!(client.get(path).await.body.is_err(), "{path}");
    }
    upstream.set("/close", Reply::ok(body.clone()).until_close());
    upstream.set("/chunked", Reply::ok(body.clone()).chunked());
    upstream.set("/long", Reply::ok(body.clone()).claims(99_999));
    for (path, length) in [("/close", 100_000), ("/chunked", 100_000), ("/long", 99_999)] {
        assert_eq!(client.get(path).await.bytes(), &body.slice(..length), "{path}");
    }
    upstream.set("/reset-head", Reply::new(200).reset_head());
    assert!(client.open(Ask::get("/reset-head")).await.is_err());
}

#[tokio::test]
async fn gates_hold_answers() {
    let (upstream, client) = server().await;
    let gate = Gate::shut();
    upstream.set("/slow", Reply::ok("first").hold(&gate).bytes("second"));
    let mut open = client.open(Ask::get("/slow")).await.unwrap();
    assert!(open.read(5).await);
    gate.reached(1).await;
    assert_eq!(open.received(), b"first");
    gate.open();
    assert_eq!(open.finish().await.bytes(), &Bytes::from("firstsecond"));
    upstream.wait_for("/slow", 1).await;
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back() {
    let (upstream, client) = server().await;
    upstream.set("/", Reply::ok("here"));
    upstream.stop().await;
    assert!(client.open(Ask::get("/")).await.is_err());
    upstream.resume().await;
    assert_eq!(client.get("/").await.text(), "here");
    assert_eq!((upstream.total(), upstream.connections()), (1, 1));
}

#[tokio::test]
async fn codings_forms_and_bodies() {
    let (upstream, client) = server().await;
    let json = Resource::new("{}", "application/json").gzipped();
    upstream.set("/doc", Resource::new("<a>", "text/html").form("json", json));
    let html = client.get("/doc").await;
    assert_eq!((html.text().as_str(), html.header("vary")), ("<a>", "Accept"));
    let ask = Ask::get("/doc").header("Accept", "application/json");
    assert_eq!(client.send(ask.clone()).await.text(), "{}");
    let packed = client.send(ask.header("Accept-Encoding", "gzip")).await;
    assert_eq!((packed.header("content-encoding"), &packed.bytes()[..2]), ("gzip", &[0x1f, 0x8b][..]));
    upstream.set("/post", Reply::new(200));
    client.send(Ask::new(http::Method::POST, "/post?q=1").header("X-Canary", "c").body("hello")).await;
    let logged = &upstream.requests_of("/post")[0];
    assert_eq!(
        (logged.target.as_str(), &logged.body[..], logged.header("x-canary")),
        ("/post?q=1", &b"hello"[..], Some("c"))
    );
}

#[tokio::test]
async fn one_connection_carries_several_requests() {
    let (upstream, client) = server().await;
    upstream.set("/a", Reply::ok("a"));
    upstream.set("/drip", Reply::new(200).dripping(&Bytes::from("drop"), 1, Duration::from_millis(1)));
    let answers = client.keep_alive(vec![Ask::get("/a"), Ask::get("/drip"), Ask::get("/a")]).await;
    assert!(answers.iter().flatten().count() == 3 && upstream.connections() == 1);
    assert_eq!(answers[1].as_ref().unwrap().text(), "drop");
    let raw = client.raw(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", Duration::from_millis(200)).await;
    assert!(raw.starts_with(b"HTTP/1.1 200"));
}
