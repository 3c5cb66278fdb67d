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
use crate::controller::Syncs;
use crate::definitions::Definitions;
use crate::metrics::{ConditionLabels, Metrics, ObjectLabels};
use crate::scopes::Scopes;
use crate::store::{Key, Store};

/// A list that was not asked for in so long has a task that hangs.
const HANGING: Duration = Duration::from_mins(15);

/// What the endpoints say.
#[derive(Debug)]
pub struct Health {
    /// What this process waits for; empty: it works, or stands by.
    pub waiting_for: Mutex<Vec<String>>,
    /// When each list was last asked for.
    pub activity: Arc<Activity>,
    /// Whether the definitions are those of this version.
    pub definitions: Arc<Definitions>,
    /// Which namespaces are left to others.
    pub scopes: Arc<Scopes>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Which namespaces were read.
    pub syncs: Arc<Syncs>,
    /// The proxies.
    pub proxies: Arc<Store>,
}

impl Health {
    /// Paths of the lists whose tasks hang.
    fn hanging(&self) -> Vec<String> {
        self.activity.ages().into_iter().filter(|(_, age)| *age > HANGING).map(|(path, _)| path).collect()
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
        let ages = self.activity.ages_of_kinds();
        self.metrics.measured(objects.into_iter(), conditions.into_iter(), ages, self.syncs.missing());
    }

    /// Whether this process is ready, and what a person should know.
    fn readiness(&self) -> (StatusCode, String) {
        let mut waiting = self.waiting_for.lock().clone();
        waiting.extend(self.definitions.problem());
        let (status, mut text) = if waiting.is_empty() {
            (StatusCode::OK, "ready\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", waiting.join(", ")))
        };
        let named = |namespace: String| if namespace.is_empty() { "all".to_owned() } else { namespace };
        let unread: Vec<String> = self.syncs.missing().into_iter().map(named).collect();
        if !unread.is_empty() {
            text = format!("{text}namespaces that could not be read yet: {}\n", unread.join(", "));
        }
        let others = self.scopes.left_alone();
        if !others.is_empty() {
            text = format!("{text}namespaces that are left alone: {}\n", others.join(", "));
        }
        (status, text)
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

/// Ready once what exists in any namespace was read, and while standing by.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    health.readiness().into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    health.measure();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], health.metrics.encode()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::Kind;

    #[test]
    fn a_namespace_that_cannot_be_read_is_named_and_costs_no_readiness() {
        let syncs = Arc::new(Syncs::default());
        let flags = ["a", "b"].map(|namespace| {
            let flag = Arc::new(AtomicBool::new(false));
            syncs.expect(Kind::Proxy, Some(namespace.to_owned()), Arc::clone(&flag));
            flag
        });
        let health = Health {
            waiting_for: Mutex::new(vec!["something".to_owned()]),
            activity: Arc::default(),
            definitions: Arc::new(Definitions::new(true)),
            scopes: Arc::new(Scopes::new(Key::default(), crate::watches::Scope::Cluster, std::time::Duration::ZERO)),
            metrics: Metrics::new(),
            syncs,
            proxies: Arc::new(Store::new(Kind::Proxy)),
        };
        let metric = |namespace: &str| {
            health.measure();
            health.metrics.encode().contains(&format!("packageproxy_unsynced{{namespace=\"{namespace}\"}} 1"))
        };
        let note = "namespaces that could not be read yet: ";
        assert_eq!(
            health.readiness(),
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for something\n{note}a, b\n"))
        );
        health.waiting_for.lock().clear();
        flags[0].store(true, Ordering::Release);
        assert_eq!(health.readiness(), (StatusCode::OK, format!("ready\n{note}b\n")));
        assert!(metric("b") && !metric("a"));
        flags[1].store(true, Ordering::Release);
        assert_eq!(health.readiness(), (StatusCode::OK, "ready\n".to_owned()));
        assert!(!metric("b"));
    }
}
