//! The connection pools of one upstream, built so that nothing can dial past the resolver with the filter in it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::ClientConfig;

use super::{HEADER_LIMIT, HttpSetupError, Way};
use crate::fetch::Purpose;
use crate::fetch::dns::Screened;
use crate::fetch::egress::Egress;
use crate::fetch::filter::AddressFilter;
use crate::fetch::stack::Shared;
use crate::fetch::tls::{self, Identity};

/// Pings find a dead HTTP/2 connection before every request on it has waited for its own limit.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_ANSWER: Duration = Duration::from_secs(10);

/// What the pools of one upstream are made from.
pub(super) struct Plan<'a> {
    pub(super) connect_timeout: Duration,
    pub(super) trust: Option<&'a [u8]>,
    pub(super) identity: Option<&'a Identity>,
    pub(super) filter: &'a AddressFilter,
    pub(super) egress: &'a Egress,
    pub(super) shared: &'a Shared,
}

/// A pool for each way, and in it one client for each HTTP version.
pub(super) struct Pools {
    own: Pair,
    plain: Pair,
    foreign: Pair,
}

#[derive(Clone)]
struct Pair {
    one: Client,
    any: Client,
}

impl Pools {
    pub(super) fn new(plan: &Plan<'_>) -> Result<Self, HttpSetupError> {
        let roots = &plan.shared.roots;
        let uncertified = tls::client_config(roots, plan.trust, None)?;
        let bare = plan.pair(&uncertified, None)?;
        let own = match plan.identity {
            Some(identity) => plan.pair(&tls::client_config(roots, plan.trust, Some(identity))?, None)?,
            None => bare.clone(),
        };
        let foreign = plan.pair(&uncertified, Some(plan.filter))?;
        Ok(Self { own, plain: bare, foreign })
    }

    pub(super) fn client(&self, way: Way, purpose: Purpose) -> &Client {
        let pair = match way {
            Way::Own => &self.own,
            Way::Plain => &self.plain,
            Way::Foreign => &self.foreign,
        };
        if purpose.multiplexed() { &pair.any } else { &pair.one }
    }
}

impl Plan<'_> {
    fn pair(&self, tls: &ClientConfig, filter: Option<&AddressFilter>) -> Result<Pair, HttpSetupError> {
        Ok(Pair { one: self.client(tls, filter, false)?, any: self.client(tls, filter, true)? })
    }

    fn client(
        &self,
        tls: &ClientConfig,
        filter: Option<&AddressFilter>,
        http2: bool,
    ) -> Result<Client, HttpSetupError> {
        let mut tls = tls.clone();
        tls.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        let resolver = Screened { resolver: Arc::clone(&self.shared.resolver), filter: filter.cloned() };
        let egress = self.egress.clone();
        // Content codings, cookies and referers are off by feature or here, and no time limit is set on a whole
        // transfer. Decoding is disabled although no feature enables it: another crate of the build might, and digests
        // are over the bytes as sent.
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(resolver))
            .no_proxy()
            .proxy(reqwest::Proxy::custom(move |url| egress.proxy_of(url)))
            .redirect(Policy::none())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_adaptive_window(true)
            .http2_max_header_list_size(HEADER_LIMIT as u32)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_ANSWER);
        let builder = if http2 { builder } else { builder.http1_only() };
        builder.build().map_err(HttpSetupError::Client)
    }
}
