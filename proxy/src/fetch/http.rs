//! One request over HTTP, without following anything: which connection pool an address gets, what is sent, how long
//! each step may take, and which word an error gets.

use std::net::IpAddr;
use std::sync::Arc;

use crds::UpstreamSettings;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::{Host, Url};

use super::credential::{Credential, Scope};
use super::filter::{AddressFilter, host_matches};
use super::stack::Shared;
use super::tls::TlsError;
use super::{Ask, BodyStream, BoxFuture, Fetch, FetchError, Phase, Purpose, Reply, SafeUrl};
use limits::Limits;
use pools::Pools;

mod classify;
mod head;
mod limits;
mod pools;

/// Bytes of all header lines of an answer together, as `name: value` with line ends.
pub const HEADER_LIMIT: usize = 32 << 10;

/// Sends requests to one upstream and to where its links and redirects lead. A redirect is handed back as it came.
pub struct HttpFetcher {
    own: Scope,
    credential: Option<Credential>,
    filter: AddressFilter,
    link_hosts: Vec<String>,
    egress: super::egress::Egress,
    pools: Pools,
    places: Arc<Semaphore>,
    settings: UpstreamSettings,
}

/// The connection pools. They differ in whom they dial and what they show: a connection is never used for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the configured origin, whatever its address, with the client certificate.
    Own,
    /// Without client certificate and filter: the configured origin outside the credential's paths, or an egress
    /// proxy, which is the only thing dialled then.
    Plain,
    /// To an origin that a document or a redirect names: through the address filter.
    Foreign,
}

impl HttpFetcher {
    /// A fetcher for the upstream of `settings` (its fallbacks are not its business). `trust`: a PEM bundle.
    pub fn new(
        settings: &UpstreamSettings,
        credential: Option<Credential>,
        trust: Option<&[u8]>,
        shared: &Shared,
    ) -> Result<Self, HttpSetupError> {
        let filter = AddressFilter::new(settings.allowed_cidrs.clone());
        let egress = match &settings.proxy_url {
            Some(url) => super::egress::Egress::through(url),
            None => shared.egress.clone(),
        };
        let pools = Pools::new(&pools::Plan {
            connect_timeout: settings.connect_timeout,
            trust,
            identity: credential.as_ref().and_then(Credential::identity),
            filter: &filter,
            egress: &egress,
            shared,
        })?;
        Ok(Self {
            own: Scope::below(&settings.url),
            credential,
            filter,
            link_hosts: settings.link_hosts.clone(),
            egress,
            pools,
            places: Arc::new(Semaphore::new(settings.max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS))),
            settings: settings.clone(),
        })
    }

    /// Decides before anything is dialled. Names are screened by the resolver of [`Way::Foreign`]; literal addresses,
    /// in whatever spelling, never reach a resolver and are screened here.
    fn way(&self, url: &Url) -> Result<Way, FetchError> {
        let refuse = |reason: String| FetchError::Forbidden { url: SafeUrl::from(url.clone()), reason };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("only http and https are fetched".to_owned()));
        }
        if self.own.same_origin(url) {
            let certified = self.credential.as_ref().filter(|credential| credential.identity().is_some());
            return Ok(if certified.is_none_or(|credential| credential.covers(url)) { Way::Own } else { Way::Plain });
        }
        let host = url.host_str().unwrap_or_default();
        if self.egress.covers(url) {
            if self.link_hosts.iter().any(|pattern| host_matches(pattern, host)) {
                return Ok(Way::Plain);
            }
            return Err(refuse("behind an egress proxy, `upstream.linkHosts` must name its host".to_owned()));
        }
        let literal: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(refuse("it names no host".to_owned())),
        };
        match literal.map(|address| self.filter.check(address)) {
            Some(Err(refused)) => Err(refuse(refused.to_string())),
            _ => Ok(Way::Foreign),
        }
    }

    async fn place(&self, origin: &str) -> Result<OwnedSemaphorePermit, FetchError> {
        let full = || FetchError::Timeout { origin: origin.to_owned(), phase: Phase::Queue };
        match tokio::time::timeout(self.settings.queue_timeout, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed; if it were, nothing would be free.
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }

    async fn send(&self, ask: Ask) -> Result<Reply, FetchError> {
        let url = bare(ask.url.expose());
        let way = self.way(&url)?;
        let url = SafeUrl::from(url);
        let origin = url.origin();
        let place = self.place(&origin).await?;

        let request = self.request(self.pools.client(way, ask.purpose), &ask, &url)?;
        let client = self.pools.client(way, ask.purpose);
        let response = match tokio::time::timeout(self.settings.read_timeout, client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(classify::classify(error, &url)),
            Err(_) => return Err(FetchError::Timeout { origin, phase: Phase::Head }),
        };

        let headers = response.headers().clone();
        let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if length > HEADER_LIMIT {
            let reason = format!("its header block is longer than {HEADER_LIMIT} bytes");
            return Err(FetchError::Protocol { origin, reason });
        }
        let status = response.status();
        let framed = head::is_framed(response.version(), &headers);
        let limits = Limits::of(&self.settings, origin);
        let body = limits.keep(pieces(response, url.clone()), place);
        Ok(Reply { status, headers, url, framed, fallback: None, body })
    }

    fn request(&self, client: &Client, ask: &Ask, url: &SafeUrl) -> Result<reqwest::Request, FetchError> {
        let mut headers = head::headers(ask);
        if let Some(credential) = &self.credential {
            credential.attach(url.expose(), &mut headers);
        }
        if let Some(authorization) = &ask.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let mut request = client.request(ask.method.clone(), url.expose().clone());
        if let Some(body) = &ask.body {
            for (name, value) in [(CONTENT_TYPE, &body.content_type), (CONTENT_ENCODING, &body.content_encoding)] {
                if let Some(value) = value {
                    headers.insert(name, value.clone());
                }
            }
            request = request.body(body.bytes.clone());
        }
        request.headers(headers).build().map_err(|error| classify::classify(error, url))
    }
}

impl Fetch for HttpFetcher {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(self.send(ask))
    }
}

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// Certificates or keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client library refuses its configuration.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[source] reqwest::Error),
}

/// The address without user info, which the client would send as a credential, and without fragment.
fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for addresses without host, which are refused later.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}

fn pieces(response: reqwest::Response, url: SafeUrl) -> BodyStream {
    use futures_util::StreamExt as _;
    Box::pin(response.bytes_stream().map(move |piece| piece.map_err(|error| classify::classify(error, &url))))
}

impl Purpose {
    /// Files go over HTTP/1.1, one connection each: a shared HTTP/2 connection has one flow-control window and one TCP
    /// congestion window for all of them. Documents are many and small, which is what HTTP/2 is good at.
    fn multiplexed(self) -> bool {
        !matches!(self, Self::Artifact)
    }
}

#[cfg(test)]
mod tests;
