//! Handshakes: with what certificate, in which protocol, and for how long.

use std::net::Ipv4Addr;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsConnector, client};

use super::super::{Limits, Phase, bind, serve};
use super::*;

type Sent = crate::body::Body;

struct Issued {
    chain: String,
    key: String,
}

fn issue() -> Issued {
    let made = rcgen::generate_simple_self_signed(["npm.team.svc".to_owned()]).unwrap();
    Issued { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn install(tls: &Tls, issued: &Issued) {
    tls.install(issued.chain.as_bytes(), issued.key.as_bytes()).unwrap();
}

/// A port that answers with the version of HTTP.
fn listening(tls: &Arc<Tls>, limits: Limits) -> (std::net::SocketAddr, watch::Sender<Phase>) {
    crate::fetch::tls::install_provider();
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let phase = watch::Sender::new(Phase::Serving);
    let service = |request: http::Request<hyper::body::Incoming>, _| async move {
        http::Response::new(Sent::full(format!("{:?}", request.version()).into()))
    };
    tokio::spawn(serve(listener, phase.subscribe(), limits, Some(Arc::clone(tls)), service));
    (address, phase)
}

/// Shakes hands, trusting one certificate and no other.
async fn connect(
    address: std::net::SocketAddr,
    trusted: &Issued,
    protocol: &str,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.chain.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("npm.team.svc").unwrap(), stream).await
}

async fn get(stream: &mut client::TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"HTTP/1.1") || received.len() < 20 {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(received).unwrap()
}

#[tokio::test]
async fn both_versions_of_http() {
    let (tls, issued) = (Arc::new(Tls::default()), issue());
    install(&tls, &issued);
    let (address, _phase) = listening(&tls, Limits::default());
    let mut first = connect(address, &issued, "http/1.1").await.unwrap();
    assert!(get(&mut first).await.ends_with("HTTP/1.1"));
    let second = connect(address, &issued, "h2").await.unwrap();
    assert_eq!(second.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(second)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://npm.team.svc/").body(Sent::full("".into())).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "HTTP/2.0");
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let tls = Arc::new(Tls::default());
    let (address, _phase) = listening(&tls, Limits::default());
    let (old, new) = (issue(), issue());
    assert!(connect(address, &old, "http/1.1").await.is_err(), "there is no certificate yet");
    install(&tls, &old);
    let mut kept = connect(address, &old, "http/1.1").await.unwrap();
    get(&mut kept).await;
    install(&tls, &new);
    assert!(connect(address, &old, "http/1.1").await.is_err(), "the old certificate is still shown");
    get(&mut connect(address, &new, "http/1.1").await.unwrap()).await;
    get(&mut kept).await;
    // One that cannot be used changes nothing.
    assert!(tls.install(b"nonsense", new.key.as_bytes()).is_err());
    get(&mut connect(address, &new, "http/1.1").await.unwrap()).await;
}

#[tokio::test]
async fn a_half_open_handshake_gives_its_place_back() {
    let (tls, issued) = (Arc::new(Tls::default()), issue());
    install(&tls, &issued);
    let limits = Limits { connections: 1, handshake: Duration::from_secs(3), ..Limits::default() };
    let (address, _phase) = listening(&tls, limits);
    let mut silent = TcpStream::connect(address).await.unwrap();
    // The beginning of a record that never ends.
    silent.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    // There is one place: whoever comes next waits until the handshake is given up.
    get(&mut connect(address, &issued, "http/1.1").await.unwrap()).await;
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ = silent.read_to_end(&mut rest).await;
    assert!(rest.len() < 64, "nothing but an alert at most");
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_end() {
    let (tls, issued) = (Arc::new(Tls::default()), issue());
    install(&tls, &issued);
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let phase = watch::Sender::new(Phase::Serving);
    let service = |_: http::Request<hyper::body::Incoming>, _| async { http::Response::new(Sent::full("".into())) };
    let limits = Limits { handshake: Duration::from_hours(1), ..Limits::default() };
    let served = tokio::spawn(serve(listener, phase.subscribe(), limits, Some(Arc::clone(&tls)), service));
    let _silent = TcpStream::connect(address).await.unwrap();
    // Accepted in turn: when this one has been answered, the silent one has its place.
    let mut other = connect(address, &issued, "http/1.1").await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(other.read_u8().await.is_ok());
    phase.send_replace(Phase::Draining);
    served.await.unwrap();
}

#[tokio::test]
async fn plain_http_is_no_handshake() {
    let (tls, issued) = (Arc::new(Tls::default()), issue());
    install(&tls, &issued);
    let (address, _phase) = listening(&tls, Limits::default());
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    let _ = plain.read_to_end(&mut received).await;
    assert!(!String::from_utf8_lossy(&received).contains("HTTP/"), "it was answered in the clear");
}
