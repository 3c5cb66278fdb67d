//! One line and one count for each request, written when its body has ended.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Request, Response, Uri, header};
use tokio::time::Instant;

use crate::body::Body;
use crate::cache::Engine;
use crate::cache_status::CacheStatus;
use crate::metrics::{EcosystemLabel, RequestLabels, status_class};
use crate::site::Site;

/// Characters of a path that a line shows.
const SHOWN: usize = 2048;

/// The status in the log of a request whose client left before it was answered, as other servers write it.
const CLIENT_LEFT: u16 = 499;

/// A request that is being answered. Dropped before that, it is noted as one whose client has left.
pub struct Access {
    engine: Arc<Engine>,
    began: Instant,
    method: Method,
    /// Its own text: an address shares the buffer that the request was read into.
    path: Box<str>,
    client: IpAddr,
    is_answered: bool,
}

impl Access {
    /// Notes the beginning of a request.
    pub fn begin<B>(engine: Arc<Engine>, request: &Request<B>, client: IpAddr) -> Self {
        let (method, path) = (request.method().clone(), shown(request.uri()).into());
        Self { engine, began: Instant::now(), method, path, client, is_answered: false }
    }

    /// Has the line written and the request counted when the body of `response` ends.
    pub fn of(mut self, site: Option<&Arc<Site>>, response: Response<Body>) -> Response<Body> {
        self.is_answered = true;
        let status = response.status();
        let cache = response.body().cache();
        let announced = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok())
            .filter(|_| self.method != Method::HEAD);
        let ecosystem = site.map_or("none", |site| site.settings.ecosystem.name());
        let traffic = site.map(|site| Arc::clone(&site.traffic));
        response.map(|body| {
            body.when_done(move |bytes, ended| {
                self.count(ecosystem, status_class(status), cache);
                let hit = matches!(cache, CacheStatus::Hit { .. } | CacheStatus::Stale { .. });
                if let Some(traffic) = traffic {
                    traffic.count(hit);
                }
                if hit {
                    self.engine.metrics.bytes_from_cache.get_or_create(&EcosystemLabel { ecosystem }).inc_by(bytes);
                }
                self.log(status.as_u16(), cache, bytes, ended || announced == Some(bytes));
            })
        })
    }

    fn count(&self, ecosystem: &'static str, outcome: &'static str, cache: CacheStatus) {
        let labels = RequestLabels { ecosystem, outcome, cache: cache.label() };
        self.engine.metrics.requests.get_or_create(&labels).inc();
    }

    fn log(&self, status: u16, cache: CacheStatus, bytes: u64, complete: bool) {
        tracing::info!(
            target: "access",
            method = %self.method,
            path = &*self.path,
            status,
            bytes,
            duration_ms = (self.began.elapsed().as_micros() as f64) / 1000.0,
            cache = cache.label(),
            client = %self.client,
            complete,
            "request"
        );
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if !self.is_answered {
            self.count("none", "client_left", CacheStatus::Bypass);
            self.log(CLIENT_LEFT, CacheStatus::Bypass, 0, false);
        }
    }
}

/// The query may hold what must not be logged, so only the path is shown.
fn shown(uri: &Uri) -> &str {
    let path = uri.path();
    let end = path.char_indices().nth(SHOWN).map_or(path.len(), |(index, _)| index);
    &path[..end]
}
