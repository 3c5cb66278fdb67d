//! Connections: raw bytes that two parsers might read differently, clients that keep us waiting, too many of them.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

type Sent = crate::body::Body;

/// A listener whose service answers with the path, after reading the body, and counts.
fn listening(limits: Limits) -> (SocketAddr, watch::Sender<Phase>, Arc<AtomicUsize>) {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let phase = watch::Sender::new(Phase::Serving);
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let service = move |request: Request<Incoming>, _| {
        count.fetch_add(1, Ordering::SeqCst);
        answer(request)
    };
    tokio::spawn(serve(listener, phase.subscribe(), limits, None, service));
    (address, phase, answered)
}

async fn answer(request: Request<Incoming>) -> Response<Sent> {
    let path = request.uri().path().to_owned();
    let _ = request.into_body().collect().await;
    Response::new(Sent::full(path.into()))
}

/// Everything that comes back until the server closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut received = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut received)).await;
    let text = String::from_utf8_lossy(&received).into_owned();
    // A reset after the answer is a close too.
    assert!(read.is_ok(), "not closed after {:?}: {text}", String::from_utf8_lossy(bytes));
    text
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read() {
    let (address, _phase, _) = listening(Limits::default());
    let second = "GET /second HTTP/1.1\r\nHost: x\r\n\r\n";
    for (kind, first) in [
        ("two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n"),
        ("a list of lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello"),
        ("a signed length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello"),
        ("a negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello"),
        ("an unknown coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("a coding after chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ("a space before the colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello"),
        ("a folded header", "POST / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n Content-Length: 5\r\n\r\nhello"),
        ("a NUL", "POST / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n"),
        ("a lone CR", "POST / HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n"),
        ("HTTP/1.0 with chunks", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "both lengths on GET",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("GET with a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
        ("HEAD with a body", "HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "an upgrade with a body",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        ),
        ("no Host", "GET / HTTP/1.1\r\n\r\n"),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    ] {
        let received = exchange(address, format!("{first}{second}").as_bytes()).await;
        assert!(received.starts_with("HTTP/1.1 400 ") || received.starts_with("HTTP/1.0 400 "), "{kind}: {received}");
        assert_eq!(received.matches("HTTP/1.").count(), 1, "{kind}: {received}");
        assert!(received.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{kind}: {received}");
    }
    // With both lengths RFC 9112 §6.1 lets a server go by the chunks, if it closes then.
    for both in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"] {
        let both = format!("POST /first HTTP/1.1\r\nHost: x\r\n{both}\r\n\r\n0\r\n\r\n{second}");
        let received = exchange(address, both.as_bytes()).await;
        assert!(received.ends_with("/first"), "{received}");
    }
    for method in ["CONNECT x:80", "TRACE /"] {
        let received = exchange(address, format!("{method} HTTP/1.1\r\nHost: x\r\n\r\n{second}").as_bytes()).await;
        assert!(received.starts_with("HTTP/1.1 405 "), "{method}: {received}");
        assert!(!received.contains("/second"), "{method}: {received}");
    }
}

#[tokio::test]
async fn the_unspecified_address_takes_both_families() {
    let listener = bind((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let phase = watch::Sender::new(Phase::Serving);
    let service = |_: Request<Incoming>, arrival: Arrival| async move {
        Response::new(Sent::full(arrival.peer.to_string().into()))
    };
    tokio::spawn(serve(listener, phase.subscribe(), Limits::default(), None, service));
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // An address of IPv4 in the form of IPv6 is still what it is: some answers are for the machine itself.
    let answer = exchange((Ipv4Addr::LOCALHOST, port).into(), request).await;
    assert!(answer.ends_with("\r\n127.0.0.1"), "{answer}");
    if TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_ok() {
        let answer = exchange((Ipv6Addr::LOCALHOST, port).into(), request).await;
        assert!(answer.ends_with("\r\n::1"), "{answer}");
    }
}

#[test]
fn only_the_want_of_ipv6_makes_it_ipv4() {
    let (any, one) = ("[::]:8080", "[2001:db8::1]:8080");
    for (address, error, expected) in [
        (any, Errno::AFNOSUPPORT, true),
        (any, Errno::ADDRNOTAVAIL, true),
        (any, Errno::ADDRINUSE, false),
        (any, Errno::ACCESS, false),
        (one, Errno::ADDRNOTAVAIL, false),
        ("0.0.0.0:8080", Errno::ADDRNOTAVAIL, false),
    ] {
        assert_eq!(is_for_want_of_ipv6(address.parse().unwrap(), &error.into()), expected, "{address} {error}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let (address, _phase, answered) = listening(Limits { connections: 1, ..Limits::default() });
    let request = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request).await.unwrap();
    for round in 1..=20 {
        first.write_all(request).await.unwrap();
        assert!(response(&mut first).await.ends_with("/a"));
        assert_eq!(answered.load(Ordering::SeqCst), round, "the second connection has no place");
    }
    drop(first);
    assert!(response(&mut second).await.ends_with("/a"));
}

/// The next answer, whose body is two bytes.
async fn response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut received = Vec::new();
    while !received.windows(4).any(|end| end == b"\r\n\r\n") || !received.ends_with(b"/a") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(received).unwrap()
}

/// A connection in memory, so that the clock can be paused, and the task that ends with it.
pub(super) fn in_memory(limits: Limits) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (client, ours) = duplex(4096);
    (client, served(limits, ours))
}

fn served(limits: Limits, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> tokio::task::JoinHandle<()> {
    let service = |request: Request<Incoming>, _| async move {
        if request.uri().path() == "/large" {
            return Response::new(Sent::full(vec![0; 1 << 20].into()));
        }
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_mins(10)).await;
        }
        Response::new(Sent::full("/a".into()))
    };
    let phase = watch::Sender::new(Phase::Serving);
    let conversation = Conversation {
        peer: Ipv4Addr::LOCALHOST.into(),
        limits,
        speakers: Arc::new(Speakers::new(limits)),
        service,
        phase: phase.subscribe(),
    };
    tokio::spawn(async move {
        let _ = conversation.hold(stream, None).await;
        drop(phase);
    })
}

/// A layer that keeps what it is given for a while, as TLS does when the socket is full.
struct Layer(DuplexStream, Option<std::pin::Pin<Box<tokio::time::Sleep>>>);

impl AsyncRead for Layer {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Layer {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.1 = Some(Box::pin(tokio::time::sleep(Duration::from_secs(1))));
        std::pin::Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        if let Some(late) = &mut self.1 {
            std::task::ready!(late.as_mut().poll(context));
            self.1 = None;
        }
        std::pin::Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(context))?;
        std::pin::Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_empties_itself_late_does_not_suspend_the_limits() {
    let (mut client, ours) = duplex(4096);
    let task = served(Limits::default(), Layer(ours, None));
    client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    response(&mut client).await;
    let ended = tokio::time::timeout(Duration::from_mins(10), ends_after(task, Instant::now())).await;
    let seconds = ended.expect("an idle connection is kept for ever");
    assert!((75..=80).contains(&seconds), "{seconds}");
}

async fn ends_after(task: tokio::task::JoinHandle<()>, since: Instant) -> u64 {
    task.await.unwrap();
    since.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_left() {
    let (client, task) = in_memory(Limits::default());
    assert_eq!(ends_after(task, Instant::now()).await, 10);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_header_block_that_drips_is_cut() {
    for start in ["G", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let began = Instant::now();
        let (mut client, task) = in_memory(Limits::default());
        client.write_all(start.as_bytes()).await.unwrap();
        let drip = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if client.write_all(b"a").await.is_err() {
                    break;
                }
            }
        });
        let seconds = ends_after(task, began).await;
        assert!((10..=13).contains(&seconds), "{start:?}: {seconds}");
        drip.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_for_a_while() {
    let (mut client, task) = in_memory(Limits::default());
    // Six minutes in all, with a pause of more than the time for a header block before each request.
    for _ in 0..6 {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        response(&mut client).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(ends_after(task, Instant::now()).await, 15);
}

#[tokio::test(start_paused = true)]
async fn the_next_header_block_has_its_own_time() {
    let (mut client, task) = in_memory(Limits::default());
    client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    response(&mut client).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    client.write_all(b"GET /a HTTP/1.1\r\n").await.unwrap();
    assert_eq!(ends_after(task, Instant::now()).await, 10);
}

#[tokio::test(start_paused = true)]
async fn half_a_header_block_behind_another_request_is_no_way_to_stay() {
    for (drips, expected) in [(false, 75..=76), (true, 10..=16)] {
        let (mut client, task) = in_memory(Limits::default());
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /a HTTP/1.1\r\nX: ").await.unwrap();
        response(&mut client).await;
        let answered = Instant::now();
        let drip = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if drips && client.write_all(b"a").await.is_err()
                    || client.read(&mut [0; 1024]).await.is_ok_and(|length| length == 0)
                {
                    break;
                }
            }
        });
        let seconds = ends_after(task, answered).await;
        assert!(expected.contains(&seconds), "{drips} {seconds}");
        drip.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_slowness_is_not_the_client_s() {
    let (mut client, _task) = in_memory(Limits::default());
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    response(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_left_and_a_slow_one_is_not() {
    let (mut client, task) = in_memory(Limits::default());
    client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut taken = 0;
    let mut piece = [0; 4096];
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        taken += client.read(&mut piece).await.unwrap();
    }
    assert!(taken > 0);
    assert_eq!(ends_after(task, Instant::now()).await, 60);
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_is_kept_as_long() {
    let (mut client, task) = in_memory(Limits::default());
    // Preface and an empty SETTINGS frame, then an acknowledgement a second later: no request.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let began = Instant::now();
    let reader = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.write_all(b"\0\0\0\x04\x01\0\0\0\0").await.unwrap();
        // Answers each PING of the server.
        loop {
            let mut head = [0; 9];
            if client.read_exact(&mut head).await.is_err() {
                break;
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            client.read_exact(&mut payload).await.unwrap();
            if head[3] == 6 && head[4] == 0 {
                client.write_all(b"\0\0\x08\x06\x01\0\0\0\0").await.unwrap();
                client.write_all(&payload).await.unwrap();
            }
        }
    });
    let seconds = ends_after(task, began).await;
    assert!((75..=76).contains(&seconds), "{seconds}");
    reader.await.unwrap();
}
