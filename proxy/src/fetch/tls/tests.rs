use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use crds::{AuthKind, AuthSettings, TrustSettings, UpstreamSettings};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::*;
use crate::fetch::testing::{ask, collect, shared};
use crate::fetch::{Ask, FetchError, Probe, Purpose, build, probe};
use crate::secrets::Secrets;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name` and its key, in PEM form.
fn issue(authority: &Authority, name: &str, last_year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
    parameters.not_before = date_time_ymd(2000, 1, 1);
    parameters.not_after = date_time_ymd(last_year, 1, 1);
    let certificate = parameters.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Answers `ok` over TLS, and notes the protocol that each connection agreed on.
async fn serve((chain, key): (String, String), clients: Option<&Authority>) -> (u16, Arc<Mutex<Vec<String>>>) {
    install_provider();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
        None => ServerConfig::builder().with_no_client_auth(),
    };
    let Identity { chain, key } = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let agreed = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&agreed);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let protocol = stream.get_ref().1.alpn_protocol().unwrap_or_default();
            noted.lock().push(String::from_utf8_lossy(protocol).into_owned());
            tokio::spawn(async move {
                let answer = service_fn(|_| async {
                    Ok::<_, Infallible>(::http::Response::new(Full::new(Bytes::from_static(b"ok"))))
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (port, agreed)
}

fn settings(port: u16, trusted: &Authority) -> (UpstreamSettings, Secrets) {
    let mut settings = UpstreamSettings::at(Url::parse(&format!("https://registry.example:{port}/")).unwrap());
    settings.trust = Some(TrustSettings { name: "authority".into(), key: "ca.crt".into() });
    settings.retry.attempts = 0;
    let mut secrets = Secrets::default();
    secrets.insert("authority", "ca.crt", trusted.pem().into_bytes());
    (settings, secrets)
}

async fn get(settings: &UpstreamSettings, secrets: &Secrets, purpose: Purpose) -> Result<Vec<u8>, FetchError> {
    let stack = build(settings, secrets, &shared(), false).unwrap();
    let reply = stack.fetch(Ask { purpose, ..ask(settings.url.as_str()) }).await?;
    Ok(collect(reply.body).await.0)
}

#[tokio::test]
async fn certificates_that_are_not_accepted_are_named() {
    let (known, unknown) = (authority("known"), authority("unknown"));
    for (certificate, trusted, reason) in [
        (issue(&known, "registry.example", 4000), &known, None),
        (issue(&known, "registry.example", 2001), &known, Some("its certificate has expired")),
        (issue(&known, "other.example", 4000), &known, Some("its certificate is for another name")),
        (issue(&known, "registry.example", 4000), &unknown, Some("its certificate is from an unknown authority")),
    ] {
        let (port, _) = serve(certificate, None).await;
        let (settings, secrets) = settings(port, trusted);
        let found = get(&settings, &secrets, Purpose::Metadata).await;
        let probed = probe(&settings, &secrets, &shared()).await;
        match (found, reason) {
            (Ok(body), None) => {
                assert_eq!(body, b"ok");
                assert_eq!(probed, Probe::Probed);
            }
            (Err(FetchError::Tls { reason, .. }), Some(expected)) => {
                assert_eq!(reason, expected);
                assert!(probed.reason() == "TLSFailure" && probed.message().unwrap().ends_with(expected), "{probed:?}");
            }
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn documents_go_over_http2_and_files_over_http1() {
    let known = authority("known");
    let (port, agreed) = serve(issue(&known, "registry.example", 4000), None).await;
    let (settings, secrets) = settings(port, &known);
    for purpose in [Purpose::Metadata, Purpose::Artifact] {
        get(&settings, &secrets, purpose).await.unwrap();
    }
    assert_eq!(*agreed.lock(), ["h2", "http/1.1"]);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_origin() {
    let known = authority("known");
    let (port, _) = serve(issue(&known, "registry.example", 4000), Some(&known)).await;
    let (mut settings, mut secrets) = settings(port, &known);
    let found = get(&settings, &secrets, Purpose::Metadata).await;
    assert!(matches!(found, Err(FetchError::Tls { .. } | FetchError::Broken { .. })), "{found:?}");

    let (certificate, key) = issue(&known, "client.example", 4000);
    settings.auth = Some(AuthSettings { kind: AuthKind::ClientCertificate, secret: "account".into() });
    secrets.insert("account", "tls.crt", certificate.into_bytes());
    secrets.insert("account", "tls.key", key.into_bytes());
    assert_eq!(get(&settings, &secrets, Purpose::Metadata).await.unwrap(), b"ok");
    assert_eq!(probe(&settings, &secrets, &shared()).await, Probe::Probed);

    // The same port under another name is another origin, and sees no certificate.
    settings.allowed_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    let stack = build(&settings, &secrets, &shared(), false).unwrap();
    let found = stack.fetch(ask(&format!("https://files.registry.example:{port}/"))).await;
    assert!(matches!(found, Err(FetchError::Tls { .. } | FetchError::Broken { .. })), "{found:?}");
}

#[tokio::test]
async fn what_does_not_speak_tls_has_failed_the_handshake() {
    let plain = crate::fetch::testing::Server::start(|_, _| vec![]).await;
    let (settings, secrets) = settings(plain.address.port(), &authority("known"));
    // The server waits for the end of an HTTP request; a limit, or garbage where a ServerHello should be, ends it.
    let mut settings = settings;
    settings.connect_timeout = std::time::Duration::from_millis(100);
    let found = get(&settings, &secrets, Purpose::Metadata).await;
    assert!(matches!(found, Err(FetchError::Timeout { phase: crate::fetch::Phase::Connect, .. })), "{found:?}");
    assert_eq!(probe(&settings, &secrets, &shared()).await.reason(), "ConnectFailed");
}

#[test]
fn bundles_and_identities() {
    let made = rcgen::generate_simple_self_signed(["registry.example".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let roots = RootCertStore::empty();
    assert!(client_config(&roots, Some(certificate.repeat(2).as_bytes()), None).is_ok());
    assert!(matches!(client_config(&roots, Some(b"nonsense"), None), Err(TlsError::NoCertificate)));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bundle = format!("{certificate}{broken}");
    let error = client_config(&roots, Some(bundle.as_bytes()), None).unwrap_err();
    assert!(matches!(error, TlsError::BadCertificate { position: 2, .. }), "{error}");

    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    assert!(client_config(&roots, None, Some(&identity)).is_ok());
    assert_eq!(format!("{identity:?}"), "Identity(..)");
    assert!(matches!(Identity::from_pem(certificate.as_bytes(), b""), Err(TlsError::NoKey)));
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let mixed = Identity::from_pem(certificate.as_bytes(), other.as_bytes());
    assert!(matches!(mixed, Err(TlsError::BadIdentity(_))));
}
