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

/// A request that is being answered.
pub struct Access {
    engine: Arc<Engine>,
    began: Instant,
    method: Method,
    /// Its own text: an address shares the buffer that the request was read into.
    path: Box<str>,
    client: IpAddr,
}

impl Access {
    /// Notes the beginning of a request.
    pub fn begin<B>(engine: Arc<Engine>, request: &Request<B>, client: IpAddr) -> Self {
        let (method, path) = (request.method().clone(), shown(request.uri()).into());
        Self { engine, began: Instant::now(), method, path, client }
    }

    /// Has the line written and the request counted when the body of `response` ends.
    pub fn of(self, site: Option<&Arc<Site>>, response: Response<Body>) -> Response<Body> {
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
        let Self { engine, began, method, path, client } = self;
        response.map(|body| {
            body.when_done(move |bytes, ended| {
                let labels = RequestLabels { ecosystem, outcome: status_class(status), cache: cache.label() };
                engine.metrics.requests.get_or_create(&labels).inc();
                let hit = matches!(cache, CacheStatus::Hit { .. } | CacheStatus::Stale { .. });
                if let Some(traffic) = traffic {
                    traffic.count(hit);
                }
                if hit {
                    engine.metrics.bytes_from_cache.get_or_create(&EcosystemLabel { ecosystem }).inc_by(bytes);
                }
                let complete = ended || announced == Some(bytes);
                tracing::info!(
                    target: "access",
                    %method,
                    path = &*path,
                    status = status.as_u16(),
                    bytes,
                    duration_ms = (began.elapsed().as_micros() as f64) / 1000.0,
                    cache = cache.label(),
                    %client,
                    complete,
                    "request"
                );
            })
        })
    }
}

/// The query may hold what must not be logged, so only the path is shown.
fn shown(uri: &Uri) -> &str {
    let path = uri.path();
    let end = path.char_indices().nth(SHOWN).map_or(path.len(), |(index, _)| index);
    &path[..end]
}
