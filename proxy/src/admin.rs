//! The admin port: health, metrics, status, purge. Nothing of it can be reached on the data port.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::app::App;
use crate::server::Phase;
use crate::status;

/// The address of whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(show_status))
        .route("/purge", post(purge))
        .with_state(app)
}

/// Ready as soon as it serves and until it leaves: never a question of upstream or disk, which it survives.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match *app.phase.borrow() {
        Phase::Serving => (StatusCode::OK, "ready\n").into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "leaving\n").into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    status::measure(&app);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.engine.metrics.encode()).into_response()
}

async fn show_status(State(app): State<Arc<App>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{:#}\n", status::of(&app))).into_response()
}

#[derive(Debug, Deserialize)]
struct Purge {
    proxy: String,
    package: String,
    version: Option<String>,
}

/// Whether a browser sent this on behalf of a page: a page that a developer looks at reaches that machine's loopback
/// interface too. Only browsers send these, and no page can leave them out of a POST.
fn from_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Forgets a package: its records and pins go, the next request asks the upstream. For the machine itself only.
async fn purge(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Query(purge): Query<Purge>,
) -> Response {
    if from_a_page(&headers) {
        return (StatusCode::FORBIDDEN, "purge is not answered to web pages\n").into_response();
    }
    if !peer.to_canonical().is_loopback() {
        return (StatusCode::FORBIDDEN, "purge is answered on the loopback interface only\n").into_response();
    }
    let sites = app.sites();
    let Some(site) = sites.get(&purge.proxy) else {
        let text = format!("there is no proxy {:?} here; there are: {}\n", purge.proxy, sites.names());
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let records = site.cache.purge(purge.package.clone(), purge.version.clone()).await;
    tracing::info!(proxy = %purge.proxy, package.name = %purge.package, package.version = purge.version, records,
        "purged");
    (StatusCode::OK, format!("{records} records of {} are gone\n", purge.package)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request};
    use tower::ServiceExt as _;

    use super::*;
    use crate::app::Placement;
    use crate::cache::Engine;
    use crate::clock::Clock;
    use crate::memory::Budget;
    use crate::metrics::Metrics;
    use crate::store::{Options, Store};
    use crate::workshop::Workshop;

    #[tokio::test]
    async fn purge_is_for_programs_of_the_machine_itself() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        let engine = Engine {
            store: Arc::new(Store::open(Options { root, durable: false, max_size: 1 << 20, memory: 1 << 20 })),
            clock: Clock::start(),
            metrics: Metrics::new(),
            memory: Budget::new(1 << 20),
            workshop: Workshop::default(),
        };
        let app = Arc::new(App::new(Arc::new(engine), Placement::default()));
        for (method, peer, header, expected) in [
            // There is no proxy at all, so that whoever is let in learns that.
            (Method::POST, "127.0.0.1", None, 404),
            (Method::POST, "::1", None, 404),
            (Method::POST, "::ffff:127.0.0.1", None, 404),
            (Method::POST, "10.0.0.1", None, 403),
            (Method::POST, "::ffff:10.0.0.1", None, 403),
            (Method::POST, "127.0.0.1", Some(("origin", "https://page.example")), 403),
            (Method::POST, "127.0.0.1", Some(("origin", "null")), 403),
            (Method::POST, "127.0.0.1", Some(("sec-fetch-site", "same-origin")), 403),
            (Method::GET, "127.0.0.1", None, 405),
            (Method::TRACE, "127.0.0.1", None, 405),
        ] {
            let mut request = Request::builder().method(method.clone()).uri("/purge?proxy=npm&package=a");
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            let request = request.extension(Peer(peer.parse().unwrap())).body(Body::empty()).unwrap();
            let response = router(Arc::clone(&app)).oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), expected, "{method} {peer} {header:?}");
        }
    }
}
