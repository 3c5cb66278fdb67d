//! `/healthz`, `/readyz` and `/metrics` of the operator.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use crds::PackageProxyStatus;
use parking_lot::Mutex;
use serde::Deserialize as _;
use tokio::net::TcpListener;

use crate::client::Activity;
use crate::metrics::{ConditionLabels, Metrics, ObjectLabels};
use crate::store::{Key, Store};

/// A kind that was not asked for in so long has a task that hangs.
const HANGING: Duration = Duration::from_mins(15);

/// What the endpoints say.
#[derive(Debug)]
pub struct Health {
    /// What this process waits for; empty: it works, or stands by.
    pub waiting_for: Mutex<Vec<String>>,
    /// When each kind was last asked for.
    pub activity: Arc<Activity>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The proxies.
    pub proxies: Arc<Store>,
}

impl Health {
    /// Names of the kinds whose tasks hang.
    fn hanging(&self) -> Vec<String> {
        self.activity.ages().into_iter().filter(|(_, age)| *age > HANGING).map(|(plural, _)| plural).collect()
    }

    fn measure(&self) {
        let mut objects = Vec::new();
        let mut conditions = Vec::new();
        for proxy in self.proxies.all() {
            let key = Key::of(&proxy);
            let status = PackageProxyStatus::deserialize(&proxy["status"]).unwrap_or_default();
            let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
            objects.push(ObjectLabels {
                ecosystem: proxy["spec"]["ecosystem"].as_str().unwrap_or_default().to_owned(),
                owner: status.owner.clone().unwrap_or_else(|| key.namespace.clone()),
                ready: ready.map_or("Unknown", |ready| ready.status.name()).to_owned(),
            });
            conditions.extend(status.conditions.iter().map(|condition| ConditionLabels {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                r#type: condition.kind.clone(),
                status: condition.status.name().to_owned(),
            }));
        }
        self.metrics.measured(objects.into_iter(), conditions.into_iter(), self.activity.ages());
    }
}

/// Answers until the future is dropped.
pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(error = %error, "health and metrics are not served any more");
    }
}

/// Alive as long as every watch goes on: an API server that is away is no reason to restart.
async fn healthz(State(health): State<Arc<Health>>) -> Response {
    let hanging = health.hanging();
    if hanging.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, format!("these watches hang: {}\n", hanging.join(", "))).into_response()
}

/// Ready once everything that exists was read, and while standing by.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let waiting = health.waiting_for.lock().clone();
    if waiting.is_empty() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", waiting.join(", "))).into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    health.measure();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], health.metrics.encode()).into_response()
}
