//! Whether the API server knows every field that this operator knows. Where an older definition is installed, it drops
//! the others of what it reads: a proxy would be rolled to something that nobody asked for, and the first write of its
//! status would make the loss final. So nothing is done until the definitions are brought up to date.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::watches::chain;

mod fields;

use fields::missing;

/// How often it is asked whether the definitions have changed.
const PERIOD: Duration = Duration::from_secs(30);
/// The same while it is in doubt, or while fields are missing.
const HURRY: Duration = Duration::from_secs(2);
/// A changed definition is in force before the API server says so; by then it has.
const SETTLED: Duration = Duration::from_secs(15);
/// Bytes of a description.
const LIMIT: usize = 16 << 20;
/// Paths that are named in a message.
const NAMED: usize = 5;

/// What is known of the definitions.
#[derive(Debug)]
pub struct Definitions {
    kinds: Vec<&'static str>,
    state: Mutex<State>,
    asked: Notify,
    /// Moves when what was read under other definitions has to be read again.
    epoch: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Fields that the API server does not know, as `Kind.path`.
    missing: Vec<String>,
    /// Set after something that only a change of definitions explains.
    doubt: Option<Instant>,
    /// The version of the last description.
    version: Option<header::HeaderValue>,
}

impl Definitions {
    /// Nothing is missing yet.
    pub fn new(classes: bool) -> Self {
        let mut kinds = vec![crds::KIND];
        if classes {
            kinds.push(crds::CLASS_KIND);
        }
        Self { kinds, state: Mutex::default(), asked: Notify::new(), epoch: watch::Sender::new(0) }
    }

    /// Whether what the API server returns can be acted upon.
    pub fn holds_back(&self) -> bool {
        let state = self.state.lock();
        !state.missing.is_empty() || state.doubt.is_some()
    }

    /// What is missing and what to do, for a person; `None`: nothing.
    pub fn problem(&self) -> Option<String> {
        let state = self.state.lock();
        let first = state.missing.get(..NAMED.min(state.missing.len())).filter(|first| !first.is_empty())?;
        let more = if state.missing.len() > NAMED { ", ..." } else { "" };
        Some(format!(
            "the CustomResourceDefinitions of this version: those installed lack {}{more}; install them with \
             `packageproxy-operator crds | kubectl apply --server-side -f -`, or upgrade the release that has \
             crds.enabled",
            first.join(", ")
        ))
    }

    /// Something happened that only a change of definitions explains: nothing is done until it is clear.
    pub fn suspect(&self) {
        self.state.lock().doubt = Some(Instant::now() + SETTLED);
        self.asked.notify_one();
    }

    /// Tells when everything has to be read again.
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Asks the API server once. One that does not tell its schemas is taken to know everything.
    pub async fn ask(&self, client: &Client, metrics: &Metrics) -> Result<(), kube::Error> {
        let path = format!("/openapi/v3/apis/{}", crds::API_VERSION);
        let mut request = Request::get(path).header(header::ACCEPT, "application/json");
        if let Some(version) = &self.state.lock().version {
            request = request.header(header::IF_NONE_MATCH, version);
        }
        let request = request.body(Body::empty()).map_err(kube::Error::HttpError)?;
        let answer = client.send(request).await?;
        let found = match answer.status() {
            StatusCode::OK => {
                let version = answer.headers().get(header::ETAG).cloned();
                let body = Limited::new(answer.into_body(), LIMIT).collect().await.map_err(kube::Error::Service)?;
                let description: Value = serde_json::from_slice(&body.to_bytes()).map_err(kube::Error::SerdeError)?;
                self.state.lock().version = version;
                Some(missing(&description, &self.kinds))
            }
            StatusCode::NOT_MODIFIED => None,
            status => {
                tracing::debug!(%status, "the API server does not tell its schemas");
                Some(Vec::new())
            }
        };
        self.learn(found, metrics);
        Ok(())
    }

    fn learn(&self, found: Option<Vec<String>>, metrics: &Metrics) {
        let reread = {
            let mut state = self.state.lock();
            let was_missing = !state.missing.is_empty();
            if let Some(found) = found {
                state.missing = found;
            }
            for kind in &self.kinds {
                let prefix = format!("{kind}.");
                metrics.crd_outdated(kind, state.missing.iter().any(|path| path.starts_with(&prefix)));
            }
            state.doubt = state.doubt.filter(|until| *until > Instant::now());
            was_missing && state.missing.is_empty()
        };
        if reread {
            tracing::info!("the definitions are up to date: everything is read again");
            // Nothing is acted upon before it was read again.
            self.suspect();
            self.epoch.send_modify(|epoch| *epoch += 1);
        }
    }

    /// Asks until the future is dropped.
    pub async fn run(self: Arc<Self>, client: Client, metrics: Arc<Metrics>) {
        let mut told = None;
        loop {
            let pause = if self.holds_back() { HURRY } else { PERIOD };
            let _ = tokio::time::timeout(pause, self.asked.notified()).await;
            if let Err(error) = self.ask(&client, &metrics).await {
                tracing::debug!(error = %chain(&error), "the API server does not tell its schemas");
            }
            let problem = self.problem();
            if problem != told
                && let Some(problem) = &problem
            {
                tracing::warn!("nothing is done until there are {problem}");
            }
            told = problem;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_done_while_fields_are_missing_or_in_doubt() {
        let (definitions, metrics) = (Definitions::new(true), Metrics::new());
        let epochs = definitions.epochs();
        assert!(!definitions.holds_back() && definitions.problem().is_none());
        definitions.suspect();
        definitions.learn(None, &metrics);
        assert!(definitions.holds_back(), "the API server may not have noticed yet");
        tokio::time::advance(SETTLED).await;
        definitions.learn(None, &metrics);
        assert!(!definitions.holds_back() && !epochs.has_changed().unwrap());
        let lacking: Vec<String> = (0..7).map(|number| format!("PackageProxy.spec.f{number}")).collect();
        definitions.learn(Some(lacking), &metrics);
        let problem = definitions.problem().unwrap();
        assert!(problem.contains("spec.f4, ...") && !problem.contains("spec.f5"), "{problem}");
        assert!(metrics.encode().contains("packageproxy_crd_outdated{crd=\"PackageProxy\"} 1"));
        definitions.learn(Some(Vec::new()), &metrics);
        assert!(definitions.problem().is_none() && definitions.holds_back(), "what was read is to be read again");
        assert!(epochs.has_changed().unwrap());
    }
}
