//! Leader election on a Lease: every write carries the resourceVersion that was read, and time is what this process's
//! monotonic clock measured, so that neither two writers nor wrong clocks make two leaders.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::Instant;

use crate::backoff::jittered;
use crate::client::Fence;
use crate::scopes;

/// How an election is held.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Name of this process.
    pub identity: String,
    /// Whether the leader serves all namespaces, which others of that kind must know.
    pub everywhere: bool,
    /// How long others believe in a leader that they do not hear of.
    pub lease_duration: Duration,
    /// How long a leader goes on that cannot renew. Shorter, so that it stops first.
    pub renew_deadline: Duration,
    /// Time between two attempts.
    pub retry_period: Duration,
}

/// Terms that cannot be kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TermsError {
    /// A leader would stop after others believe that it is gone.
    #[error("--renew-deadline must be shorter than --lease-duration")]
    DeadlineTooLong,
    /// A leader could not try twice.
    #[error("--retry-period must be shorter than half of --renew-deadline")]
    RetryTooSlow,
}

impl Terms {
    /// Whether the times fit together.
    pub fn check(&self) -> Result<(), TermsError> {
        if self.renew_deadline >= self.lease_duration {
            return Err(TermsError::DeadlineTooLong);
        }
        if self.retry_period * 2 >= self.renew_deadline || self.retry_period.is_zero() {
            return Err(TermsError::RetryTooSlow);
        }
        Ok(())
    }
}

/// One candidate.
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    terms: Terms,
    fence: Arc<Fence>,
    /// The record of another holder and when this process first saw it so.
    seen: Option<(LeaseSpec, Instant)>,
}

/// What one attempt came to.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// This process holds the Lease.
    Held,
    /// Another one does.
    Lost,
    /// Somebody wrote in between.
    Raced,
}

impl Election {
    /// A candidate that opens `fence` while it leads.
    pub fn new(client: Client, terms: Terms, fence: Arc<Fence>) -> Self {
        Self { api: Api::namespaced(client, &terms.namespace), terms, fence, seen: None }
    }

    /// Waits until this process leads.
    pub async fn win(&mut self) {
        loop {
            let began = Instant::now();
            match self.bounded_attempt(false).await {
                Ok(Attempt::Held) => {
                    self.fence.extend(began + self.terms.renew_deadline);
                    return;
                }
                Ok(Attempt::Lost | Attempt::Raced) => {}
                Err(error) => tracing::warn!(error = %crate::watches::chain(&error), "the Lease cannot be had"),
            }
            tokio::time::sleep(jittered(self.terms.retry_period)).await;
        }
    }

    /// Renews until that fails for too long or another process leads. The fence closes by itself at the same time.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.terms.retry_period).await;
            let began = Instant::now();
            // A process that was frozen must not find the Lease free and go on as if nothing had happened.
            if began >= renewed + self.terms.renew_deadline {
                break;
            }
            match self.bounded_attempt(true).await {
                Ok(Attempt::Held) => {
                    renewed = began;
                    self.fence.extend(began + self.terms.renew_deadline);
                }
                Ok(Attempt::Lost) => break,
                Ok(Attempt::Raced) => {}
                Err(error) => tracing::warn!(error = %crate::watches::chain(&error), "the Lease cannot be renewed"),
            }
        }
        self.fence.close();
    }

    /// Gives the Lease back, so that the next leader need not wait.
    pub async fn release(&mut self) {
        self.fence.close();
        let Ok(Some(mut lease)) = self.api.get_opt(&self.terms.name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.terms.identity) {
            return;
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.api.replace(&self.terms.name, &PostParams::default(), &lease).await {
            tracing::debug!(error = %error, "the Lease was not given back");
        }
    }

    async fn bounded_attempt(&mut self, leading: bool) -> Result<Attempt, kube::Error> {
        let limit = self.terms.renew_deadline / 2;
        tokio::time::timeout(limit, self.attempt(leading))
            .await
            .unwrap_or_else(|_| Err(kube::Error::Service("the API server did not answer".into())))
    }

    /// Takes or renews the Lease if that is allowed.
    async fn attempt(&mut self, leading: bool) -> Result<Attempt, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.terms.name).await? else {
            if leading {
                return Ok(Attempt::Lost);
            }
            let metadata = ObjectMeta { name: Some(self.terms.name.clone()), ..ObjectMeta::default() };
            let mut lease = Lease { metadata, spec: Some(self.taken(None)) };
            self.label(&mut lease);
            return settled(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder != self.terms.identity && (leading || !(holder.is_empty() || self.is_silent(&spec))) {
            return Ok(Attempt::Lost);
        }
        lease.spec = Some(self.taken(Some(&spec)));
        self.label(&mut lease);
        settled(self.api.replace(&self.terms.name, &PostParams::default(), &lease).await)
    }

    fn label(&self, lease: &mut Lease) {
        let labels = lease.metadata.labels.get_or_insert_default();
        if self.terms.everywhere {
            labels.insert(scopes::LABEL.to_owned(), scopes::ALL.to_owned());
        } else {
            labels.remove(scopes::LABEL);
        }
    }

    /// Whether the holder was not heard of for as long as it said, measured here.
    fn is_silent(&mut self, spec: &LeaseSpec) -> bool {
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if seen == spec => *since,
            _ => {
                self.seen = Some((spec.clone(), now));
                now
            }
        };
        let promised = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        now >= since + Duration::from_secs(promised).max(self.terms.lease_duration)
    }

    /// The record of this process as holder.
    fn taken(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = before.filter(|spec| spec.holder_identity.as_deref() == Some(&self.terms.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.terms.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.terms.lease_duration.as_secs()).unwrap_or(i32::MAX).max(1)),
            acquire_time: ours.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if before.is_none() || ours.is_some() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

/// Another process was faster: that is no error.
fn settled(result: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
    match result {
        Ok(_) => Ok(Attempt::Held),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::Raced),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_must_fit_together() {
        let terms = |lease, renew, retry| Terms {
            namespace: "a".to_owned(),
            name: "b".to_owned(),
            identity: "c".to_owned(),
            everywhere: true,
            lease_duration: Duration::from_secs(lease),
            renew_deadline: Duration::from_secs(renew),
            retry_period: Duration::from_secs(retry),
        };
        assert_eq!(terms(15, 10, 2).check(), Ok(()));
        assert_eq!(terms(10, 10, 2).check(), Err(TermsError::DeadlineTooLong));
        assert_eq!(terms(15, 10, 5).check(), Err(TermsError::RetryTooSlow));
        assert_eq!(terms(15, 10, 0).check(), Err(TermsError::RetryTooSlow));
    }
}
