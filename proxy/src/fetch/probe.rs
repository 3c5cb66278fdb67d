//! Whether an upstream can be reached at all, asked without a request: a name, a connection, a handshake.

use std::sync::Arc;

use crds::UpstreamSettings;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::credential::Credential;
use super::egress::Egress;
use super::stack::{self, Shared};
use super::{tls, trust};
use crate::secrets::Secrets;

/// Bytes of an egress proxy's answer to CONNECT that are read.
const CONNECT_ANSWER: usize = 8 << 10;

/// How far a probe came. The text of a failure names causes, never credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The connection stands, and for https the handshake is done.
    Probed,
    /// The name has no address.
    DnsFailure(String),
    /// Nothing accepts the connection in time.
    ConnectFailed(String),
    /// The handshake failed.
    TlsFailure(String),
}

impl Probe {
    /// The word of the condition `UpstreamReachable`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Probed => "Probed",
            Self::DnsFailure(_) => "DNSFailure",
            Self::ConnectFailed(_) => "ConnectFailed",
            Self::TlsFailure(_) => "TLSFailure",
        }
    }

    /// What went wrong.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Probed => None,
            Self::DnsFailure(text) | Self::ConnectFailed(text) | Self::TlsFailure(text) => Some(text),
        }
    }
}

/// Connects to the origin of `settings` once, through the egress proxy if there is one, within `connectTimeout`.
pub async fn probe(settings: &UpstreamSettings, secrets: &Secrets, shared: &Shared) -> Probe {
    if settings.is_none() {
        // Nothing that could be out of reach.
        return Probe::Probed;
    }
    let attempt = tokio::time::timeout(settings.connect_timeout, attempt(settings, secrets, shared));
    match attempt.await {
        Ok(Ok(())) => Probe::Probed,
        Ok(Err(failed)) => failed,
        Err(_) => Probe::ConnectFailed(format!("{} did not answer in time", stack::origin(settings))),
    }
}

async fn attempt(settings: &UpstreamSettings, secrets: &Secrets, shared: &Shared) -> Result<(), Probe> {
    let egress = settings.proxy_url.as_ref().map_or_else(|| shared.egress.clone(), Egress::through);
    let upstream = &settings.url;
    let hop = egress.proxy_of(upstream);
    let mut stream = dial(hop.as_ref().unwrap_or(upstream), shared).await?;
    if upstream.scheme() != "https" {
        return Ok(());
    }
    if let Some(hop) = hop {
        // A proxy that is itself reached over TLS is only connected to: its answer is not the upstream's.
        if hop.scheme() == "https" {
            return Ok(());
        }
        tunnel(&mut stream, upstream, &hop).await?;
    }
    let failed = |reason: String| Probe::TlsFailure(reason);
    let trust = settings.trust.as_ref().map(|trust| trust::bundle(trust, secrets)).transpose();
    let trust = trust.map_err(|error| failed(error.to_string()))?;
    // A credential that cannot be used is reported as such elsewhere; the handshake is tried without it.
    let credential = stack::credential(settings, secrets, shared).ok().flatten();
    let identity = credential.as_ref().and_then(Credential::identity);
    let config = tls::client_config(&shared.roots, trust, identity).map_err(|error| failed(error.to_string()))?;
    let name = server_name(upstream).ok_or_else(|| failed("its host is no name for TLS".to_owned()))?;
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let reason = cause.map_or(tls::HANDSHAKE, tls::reason);
            Err(failed(format!("TLS with {} failed: {reason}", stack::origin(settings))))
        }
    }
}

async fn dial(url: &Url, shared: &Shared) -> Result<TcpStream, Probe> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => {
            let found = shared.resolver.resolve(name).await;
            found.map_err(|error| Probe::DnsFailure(error.to_string()))?.to_vec()
        }
        None => return Err(Probe::DnsFailure("the upstream names no host".to_owned())),
    };
    let mut last = Probe::DnsFailure("the upstream has no address".to_owned());
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Probe::ConnectFailed(format!("cannot connect to {address} port {port}: {error}")),
        }
    }
    Err(last)
}

/// Asks an egress proxy for a connection to the upstream (RFC 9110 §9.3.6).
async fn tunnel(stream: &mut TcpStream, upstream: &Url, hop: &Url) -> Result<(), Probe> {
    let failed = |reason: String| Probe::ConnectFailed(format!("the egress proxy {reason}"));
    let host = upstream.host_str().unwrap_or_default();
    let port = upstream.port_or_known_default().unwrap_or(443);
    let account = Egress::authorization(hop).map(|account| format!("Proxy-Authorization: {account}\r\n"));
    let account = account.unwrap_or_default();
    let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{account}\r\n");
    stream.write_all(head.as_bytes()).await.map_err(|error| failed(format!("broke off: {error}")))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < CONNECT_ANSWER {
        // Byte by byte: what follows the blank line belongs to the handshake.
        answer.push(stream.read_u8().await.map_err(|error| failed(format!("broke off: {error}")))?);
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    if status.starts_with(b"2") { Ok(()) } else { Err(failed(format!("answered {}", String::from_utf8_lossy(status)))) }
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(std::net::IpAddr::from(address))),
        Host::Ipv6(address) => Some(ServerName::from(std::net::IpAddr::from(address))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fetch::testing::{Server, Step, send, shared};

    async fn found(base: &str, proxy: Option<String>) -> Probe {
        let mut settings = UpstreamSettings::at(Url::parse(base).unwrap());
        settings.connect_timeout = Duration::from_secs(5);
        settings.proxy_url = proxy.map(|url| Url::parse(&url).unwrap());
        probe(&settings, &Secrets::default(), &shared()).await
    }

    #[tokio::test]
    async fn without_a_request() {
        let server = Server::start(|_, _| vec![Step::Close]).await;
        assert_eq!(found(&server.url("/"), None).await, Probe::Probed);
        assert!(server.requests().is_empty());
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(found(&format!("http://{free}/"), None).await.reason(), "ConnectFailed");
        assert_eq!(found("http://nowhere.invalid/", None).await.reason(), "DNSFailure");
    }

    #[tokio::test]
    async fn through_an_egress_proxy() {
        for (answer, reason, words) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "ConnectFailed", "answered 407"),
            ("HTTP/1.1 200 Connection established\r\n\r\nnot TLS", "TLSFailure", "handshake failed"),
        ] {
            let egress = Server::start(move |_, _| vec![send(answer), Step::Close]).await;
            let proxy = egress.url("").replace("http://", "http://me:secret@");
            let probe = found("https://registry.invalid/", Some(proxy)).await;
            assert_eq!(probe.reason(), reason);
            assert!(probe.message().unwrap().contains(words), "{probe:?}");
            let head = egress.requests().pop().unwrap();
            assert!(head.starts_with("CONNECT registry.invalid:443 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
        }
    }
}
