//! Leaves an origin alone that keeps failing, or that asks for a pause. The gate here lets requests through and reports
//! how they went; when to open and close is the policy in `circuit`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use crds::BreakerSettings;
use futures_util::Stream;
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::challenge::asks_for_token;
use super::retry_after::retry_after;
use super::{Ask, BodyStream, BoxFuture, Fetch, FetchError, Phase, Purpose, Reply, tls};
use circuit::{Admission, Outcome};
use origins::{Origin, Report};
pub use origins::{OriginState, Origins, State, Trouble};

mod circuit;
mod origins;

/// Guards each origin that passes through it.
pub struct CircuitBreaker<F> {
    inner: F,
    origins: Arc<Origins>,
    limits: BreakerSettings,
}

impl<F> CircuitBreaker<F> {
    /// Guards `inner`. What is known of an origin is shared by all breakers over the same `origins`.
    pub fn new(inner: F, origins: Arc<Origins>, limits: BreakerSettings) -> Self {
        Self { inner, origins, limits }
    }
}

impl<F: Fetch> Fetch for CircuitBreaker<F> {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(async move {
            let name = ask.url.origin();
            let origin = self.origins.of(&name);
            // A passed-through call says little of the registry: many have no such service, or limit it on its own.
            let counted = ask.purpose != Purpose::Forward;
            let probe = match origin.admit(counted) {
                Admission::Pass => false,
                Admission::Probe => true,
                Admission::Open(retry_after) => return Err(FetchError::CircuitOpen { origin: name, retry_after }),
                Admission::Paused(retry_after) => return Err(FetchError::Paused { origin: name, retry_after }),
            };
            if !counted {
                return self.inner.fetch(ask).await;
            }
            let mut ticket = Ticket { origin, limits: self.limits, key: ask.key, probe, settled: false };
            let bodiless = ask.method == Method::HEAD;
            let mut reply = match self.inner.fetch(ask).await {
                Ok(reply) => reply,
                Err(error) => {
                    ticket.settle(report_error(&error));
                    return Err(error);
                }
            };
            let outcome = judge_status(&reply, self.limits.open);
            let report = Report { unauthorized: wants_account(&reply), ..Report::of(outcome) };
            match report.outcome {
                // A probe has seen what it came for: others need not wait until a long body is through.
                Outcome::Success if ticket.probe => {
                    ticket.settle(report);
                    ticket = ticket.again();
                    if reply.status.is_success() && !bodiless {
                        reply.body = ticket.watch(reply.body);
                    }
                }
                Outcome::Success if reply.status.is_success() && !bodiless => reply.body = ticket.watch(reply.body),
                _ => ticket.settle(report),
            }
            Ok(reply)
        })
    }
}

/// Whether a reply says that the origin lets nobody in without an account. One that sends its clients for a token says so
/// at the start of every conversation, and for every name that it does not have.
fn wants_account(reply: &Reply) -> bool {
    reply.status == StatusCode::UNAUTHORIZED && !asks_for_token(&reply.headers)
}

/// What a status says of the origin. Every answer below 500 comes from something that lives.
fn judge_status(reply: &Reply, default_pause: Duration) -> Outcome {
    let told = retry_after(&reply.headers, Timestamp::now());
    match (reply.status, told) {
        (StatusCode::TOO_MANY_REQUESTS, told) => Outcome::Pause(told.unwrap_or(default_pause)),
        (StatusCode::SERVICE_UNAVAILABLE, Some(told)) => Outcome::Pause(told),
        (status, _) if status.is_server_error() => Outcome::Failure(format!("it answered {}", status.as_u16())),
        _ => Outcome::Success,
    }
}

/// What an error says of the origin. A certificate that we do not accept says more of our configuration than of its
/// health, and another proxy of this process may accept it.
fn judge_error(error: &FetchError) -> Outcome {
    match error {
        FetchError::Tls { reason, .. } if *reason != tls::HANDSHAKE => Outcome::Neither,
        FetchError::Timeout { phase: Phase::Queue, .. }
        | FetchError::CircuitOpen { .. }
        | FetchError::Paused { .. }
        | FetchError::Forbidden { .. }
        | FetchError::Credential { .. }
        | FetchError::Trust { .. } => Outcome::Neither,
        FetchError::Connect { .. }
        | FetchError::Dns { .. }
        | FetchError::Tls { .. }
        | FetchError::Timeout { .. }
        | FetchError::Broken { .. }
        | FetchError::Protocol { .. } => Outcome::Failure(super::with_cause(error)),
    }
}

/// The same for `/status`, with the kind of trouble. Of what was not asked nothing is learnt.
fn report_error(error: &FetchError) -> Report {
    let trouble = match error {
        FetchError::Dns { .. } => Some(Trouble::Dns),
        FetchError::Connect { .. } | FetchError::Timeout { phase: Phase::Connect, .. } => Some(Trouble::Connect),
        FetchError::Tls { .. } => Some(Trouble::Tls),
        _ => None,
    };
    let report = Report::of(judge_error(error));
    Report { error: Some(super::with_cause(error)), trouble: trouble.or(report.trouble), ..report }
}

/// One admitted request. Dropped without a word, a probe has failed; another request has said nothing.
struct Ticket {
    origin: Arc<Origin>,
    limits: BreakerSettings,
    key: u64,
    probe: bool,
    settled: bool,
}

impl Ticket {
    fn settle(&mut self, report: Report) {
        if !std::mem::replace(&mut self.settled, true) {
            self.origin.settle(report, self.key, self.probe, &self.limits);
        }
    }

    /// An ordinary ticket for the rest of the same request.
    fn again(&self) -> Self {
        let origin = Arc::clone(&self.origin);
        Self { origin, limits: self.limits, key: self.key, probe: false, settled: false }
    }

    fn watch(self, body: BodyStream) -> BodyStream {
        Box::pin(Watched { body, ticket: self })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.probe {
            self.settle(Report::of(Outcome::Failure("the probe was given up".to_owned())));
        }
    }
}

/// A body whose end is a success and whose break is a failure.
struct Watched {
    body: BodyStream,
    ticket: Ticket,
}

impl Stream for Watched {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.body.as_mut().poll_next(context));
        match &next {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.ticket.settle(report_error(error)),
            None => self.ticket.settle(Report::of(Outcome::Success)),
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests;
