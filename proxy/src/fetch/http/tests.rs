use std::time::Duration;

use http::Method;

use super::*;
use crate::fetch::credential::Rules;
use crate::fetch::redirect::Redirects;
use crate::fetch::testing::{Server, Step, ask, collect, send, shared, whole};

fn settings(base: &str) -> UpstreamSettings {
    UpstreamSettings {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        queue_timeout: Duration::from_millis(50),
        ..UpstreamSettings::at(Url::parse(base).unwrap())
    }
}

fn fetcher(settings: &UpstreamSettings) -> Redirects<HttpFetcher> {
    Redirects::new(HttpFetcher::new(settings, None, None, &shared()).unwrap())
}

fn authenticated(settings: &UpstreamSettings, kind: crds::AuthKind) -> Redirects<HttpFetcher> {
    let mut secrets = crate::secrets::Secrets::default();
    for key in ["token", "username", "password"] {
        secrets.insert("account", key, b"canary".to_vec());
    }
    let auth = crds::AuthSettings { kind, secret: "account".into() };
    let rules = Rules { plaintext: true, ..Rules::default() };
    let credential = Credential::resolve(&auth, &settings.url, rules, &secrets).unwrap();
    Redirects::new(HttpFetcher::new(settings, Some(credential), None, &shared()).unwrap())
}

#[tokio::test]
async fn a_request_is_built_from_nothing() {
    let server = Server::start(|_, _| whole("200 OK\r\ncontent-encoding: gzip\r\nset-cookie: a=b", "not gzip")).await;
    let fetcher = fetcher(&settings(&server.url("/")));
    let document = Ask { purpose: Purpose::Metadata, ..ask(&server.url("/a?b=c")) };
    for asked in [document, ask(&server.url("/file"))] {
        let reply = fetcher.fetch(asked).await.unwrap();
        assert_eq!(collect(reply.body).await.0, b"not gzip", "no coding is removed");
    }
    let version = env!("CARGO_PKG_VERSION");
    let head = |line: &str, coding: &str| {
        format!(
            "GET {line} HTTP/1.1\r\nuser-agent: packageproxy/{version}\r\naccept: */*\r\naccept-encoding: {coding}\r\nhost: {}\r\n\r\n",
            server.address
        )
    };
    assert_eq!(server.requests(), [head("/a?b=c", "gzip"), head("/file", "identity")]);
}

#[tokio::test]
async fn a_post_carries_its_body_and_a_head_has_none() {
    let server = Server::start(|_, _| vec![send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"), Step::Close]).await;
    let fetcher = fetcher(&settings(&server.url("/")));
    let json = Some(http::HeaderValue::from_static("application/json"));
    let body = crate::fetch::AskBody { content_type: json, content_encoding: None, bytes: "{}".into() };
    let post = Ask { method: Method::POST, purpose: Purpose::Forward, body: Some(body), ..ask(&server.url("/")) };
    fetcher.fetch(post).await.unwrap();
    for line in ["POST / HTTP/1.1", "content-type: application/json", "content-length: 2"] {
        assert!(server.requests()[0].lines().any(|sent| sent == line), "{line}");
    }
    let head = Ask { method: Method::HEAD, ..ask(&server.url("/")) };
    assert!(collect(fetcher.fetch(head).await.unwrap().body).await.0.is_empty());
}

/// Every way to name another place than the configured origin: the sentinel must never be dialled.
#[tokio::test]
async fn nothing_leads_to_an_inner_address() {
    let sentinel = Server::start(|_, _| whole("200 OK", "inner")).await;
    let port = sentinel.address.port();
    let targets = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0:{port}/"),
        format!("http://[::]:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://localhost.:{port}/"),
        format!("http://files.registry.example:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://user:password@127.0.0.1:{port}/"),
        "http://169.254.169.254/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
    ];
    let locations = targets.clone();
    let server = Server::start(move |head, _| {
        let index: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        vec![send(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", locations[index]))]
    })
    .await;
    let fetcher = fetcher(&settings(&server.url("/")));
    for (index, target) in targets.iter().enumerate() {
        let error = fetcher.fetch(ask(&server.url(&format!("/{index}")))).await.unwrap_err();
        assert!(matches!(error, FetchError::Forbidden { .. }), "redirect to {target}: {error:?}");
        assert!(!error.to_string().contains("password"));
        if let Ok(url) = Url::parse(target) {
            let error = fetcher.fetch(ask(url.as_str())).await.unwrap_err();
            assert!(matches!(error, FetchError::Forbidden { .. }), "link to {target}: {error:?}");
        }
    }
    assert!(sentinel.requests().is_empty());

    let mut opened = settings(&server.url("/"));
    opened.allowed_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    let fetcher = self::fetcher(&opened);
    for url in [sentinel.url("/"), format!("http://files.registry.example:{port}/")] {
        assert!(fetcher.fetch(ask(&url)).await.is_ok(), "allowedCIDRs opens {url}");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_and_its_body_is_not_read() {
    let server = Server::start(|head, _| match head.split(' ').nth(1).unwrap() {
        "/a/b" => vec![send("HTTP/1.1 302 Found\r\nlocation: c\r\ncontent-length: 1000000\r\n\r\nx"), Step::Stall],
        _ => whole("200 OK", "there"),
    })
    .await;
    let reply = fetcher(&settings(&server.url("/"))).fetch(ask(&server.url("/a/b"))).await.unwrap();
    assert_eq!(reply.url.expose().as_str(), server.url("/a/c"));
    assert_eq!(collect(reply.body).await.0, b"there");
}

#[tokio::test]
async fn a_credential_stays_where_it_belongs() {
    use crds::AuthKind;
    let other = Server::start(|_, _| whole("200 OK", "other")).await;
    let elsewhere = other.url("/npm/x");
    let server = Server::start(move |head, _| match head.split(' ').nth(1).unwrap() {
        "/npm/away" => vec![send(format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n"))],
        "/npm/evil" => vec![send("HTTP/1.1 302 Found\r\nlocation: /npm-evil/x\r\ncontent-length: 0\r\n\r\n")],
        "/npm/near" => vec![send("HTTP/1.1 302 Found\r\nlocation: /npm/x\r\ncontent-length: 0\r\n\r\n")],
        _ => whole("200 OK", "x"),
    })
    .await;
    let mut settings = settings(&server.url("/npm/"));
    settings.allowed_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    for kind in [AuthKind::Basic, AuthKind::Bearer, AuthKind::Header("private-token".into())] {
        let fetcher = authenticated(&settings, kind.clone());
        let secret = if kind == AuthKind::Basic { "Y2FuYXJ5OmNhbmFyeQ==" } else { "canary" };
        let seen = server.requests().len();
        for path in ["/npm/away", "/npm/evil", "/npm/near", "/other"] {
            fetcher.fetch(ask(&server.url(path))).await.unwrap();
        }
        fetcher.fetch(ask(&other.url("/npm/y"))).await.unwrap();
        let shown: Vec<_> = server.requests()[seen..].iter().map(|head| head.contains(secret)).collect();
        assert_eq!(shown, [true, true, false, true, true, false], "{kind:?}");
        assert!(other.requests().iter().all(|head| !head.contains(secret) && !head.contains("referer")));
    }
}

#[tokio::test]
async fn user_info_in_an_address_is_not_sent() {
    let server = Server::start(|_, _| whole("200 OK", "")).await;
    let fetcher = fetcher(&settings(&server.url("/")));
    let url = format!("http://user:canary@{}/a#b", server.address);
    fetcher.fetch(ask(&url)).await.unwrap();
    let head = server.requests().pop().unwrap();
    assert!(!head.contains("authorization") && head.starts_with("GET /a HTTP"), "{head}");
}

fn phase(found: Result<Reply, FetchError>) -> Phase {
    match found.unwrap_err() {
        FetchError::Timeout { phase, .. } => phase,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_step_has_its_limit() {
    let server = Server::start(|head, _| match head.split(' ').nth(1).unwrap() {
        "/silent" => vec![Step::Stall],
        "/stall" => vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Stall],
        _ => whole("200 OK", "x"),
    })
    .await;
    let mut settings = settings(&server.url("/"));
    settings.max_concurrent_requests = 1;
    // Only what is waited for in vain is short: the rest has to come in time on a busy machine, too.
    let hasty = UpstreamSettings { read_timeout: Duration::from_millis(50), ..settings.clone() };
    assert_eq!(phase(fetcher(&hasty).fetch(ask(&server.url("/silent"))).await), Phase::Head);

    settings.idle_timeout = Duration::from_millis(50);
    let fetcher = fetcher(&settings);
    let stalling = fetcher.fetch(ask(&server.url("/stall"))).await.unwrap();
    assert_eq!(phase(fetcher.fetch(ask(&server.url("/x"))).await), Phase::Queue);
    let (read, error) = collect(stalling.body).await;
    assert_eq!(read, b"half");
    assert!(matches!(error, Some(FetchError::Timeout { phase: Phase::Idle, .. })));

    let held = fetcher.fetch(ask(&server.url("/x"))).await.unwrap();
    assert_eq!(phase(fetcher.fetch(ask(&server.url("/x"))).await), Phase::Queue);
    drop(held);
    assert!(fetcher.fetch(ask(&server.url("/x"))).await.is_ok(), "a dropped body frees its place");
}

#[tokio::test]
async fn what_breaks_is_named() {
    let many = |count: usize| "x-a: bbbbbbbbbbbbbbbbbbbb\r\n".repeat(count);
    let server = Server::start(move |head, _| match head.split(' ').nth(1).unwrap() {
        "/closed" => vec![Step::Close],
        "/reset" => vec![Step::Reset],
        "/short" => vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Close],
        "/cut" => vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"), Step::Close],
        "/garbage" => vec![send("SSH-2.0-x\r\n\r\n"), Step::Close],
        "/many" => vec![send(format!("HTTP/1.1 200 OK\r\n{}\r\n", many(200)))],
        "/long" => {
            vec![send(format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(HEADER_LIMIT)))]
        }
        _ => whole(&format!("200 OK\r\n{}x: y", many(50)), "fine"),
    })
    .await;
    let fetcher = fetcher(&settings(&server.url("/")));
    for (path, name) in [
        ("/closed", "Broken"),
        ("/reset", "Broken"),
        ("/garbage", "Protocol"),
        ("/many", "Protocol"),
        ("/long", "Protocol"),
    ] {
        let error = fetcher.fetch(ask(&server.url(path))).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(name), "{path}: {error:?}");
    }
    for path in ["/short", "/cut"] {
        let reply = fetcher.fetch(ask(&server.url(path))).await.unwrap();
        let (read, error) = collect(reply.body).await;
        assert_eq!(read, b"half");
        assert!(matches!(error, Some(FetchError::Broken { .. })), "{path}: {error:?}");
    }
    assert!(fetcher.fetch(ask(&server.url("/fine"))).await.is_ok());

    let closed = Server::start(|_, _| vec![]).await;
    let (url, address) = (closed.url("/"), closed.address);
    drop(closed);
    // The listener is gone as soon as its task is, which is a turn of the runtime later.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = self::fetcher(&settings(&url)).fetch(ask(&url)).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");

    let unknown = "http://nowhere.invalid/";
    let error = self::fetcher(&settings(unknown)).fetch(ask(unknown)).await.unwrap_err();
    assert!(matches!(error, FetchError::Dns { .. }), "{error:?}");
    assert!(crate::fetch::with_cause(&error).contains("nowhere.invalid does not exist"));
}

#[tokio::test]
async fn a_pooled_connection_that_went_stale_is_replaced() {
    let server = Server::start(|_, _| {
        let mut steps = whole("200 OK", "x");
        steps.push(Step::Close);
        steps
    })
    .await;
    let stack = crate::fetch::Retry::new(fetcher(&settings(&server.url("/"))), crds::RetrySettings::default());
    for _ in 0..10 {
        let reply = stack.fetch(ask(&server.url("/"))).await.unwrap();
        let (read, error) = collect(reply.body).await;
        assert!(read == b"x" && error.is_none());
    }
}

/// An HTTP proxy on the way out: it sees absolute addresses, and links may only lead where `linkHosts` says.
#[tokio::test]
async fn behind_an_egress_proxy() {
    let egress = Server::start(|_, _| whole("200 OK", "by the proxy")).await;
    let mut settings = settings("http://registry.invalid/base/");
    settings.proxy_url = Some(Url::parse(&format!("http://me:secret@{}", egress.address)).unwrap());
    settings.link_hosts = vec!["*.cdn.invalid".into()];
    let fetcher = fetcher(&settings);
    for (url, passes) in [
        ("http://registry.invalid/base/a", true),
        ("http://x.cdn.invalid/a", true),
        ("http://cdn.invalid/a", false),
        ("http://127.0.0.1/a", false),
        ("http://registry.invalid:8080/a", false),
    ] {
        let before = egress.requests().len();
        let found = fetcher.fetch(ask(url)).await;
        if passes {
            assert_eq!(collect(found.unwrap().body).await.0, b"by the proxy", "{url}");
            let head = egress.requests().pop().unwrap();
            assert!(head.starts_with(&format!("GET {url} HTTP/1.1\r\n")), "{head}");
            assert!(head.contains("proxy-authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
        } else {
            assert!(matches!(found, Err(FetchError::Forbidden { .. })), "{url}: {found:?}");
            assert_eq!(egress.requests().len(), before);
        }
    }
}
