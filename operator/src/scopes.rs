//! Which operator serves which namespace where several releases are installed. One of some namespaces holds a Lease in
//! each of them; one of all namespaces leaves those alone, and does not lead beside another of its kind. Two of one
//! release do not meet here: of them one leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{Timestamp, Unit};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::health::Health;
use crate::store::Key;
use crate::watches::{Scope, chain};

mod silence;

use silence::Silence;

/// The label of a Lease that others must know of; its value is `namespace` or `all`.
pub const LABEL: &str = "packageproxy.dev/scope";
/// The value of the label of an election for all namespaces.
pub const ALL: &str = "all";
/// The Lease in each namespace that an operator of some namespaces serves.
const CLAIM: &str = "packageproxy-operator-scope";
/// How often Leases are renewed and looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// How long a holder is believed that is not heard of.
const BELIEVED: Duration = Duration::from_secs(30);
/// How long a holder goes on that cannot renew.
const RENEWED: Duration = Duration::from_secs(25);

/// What this operator serves.
#[derive(Debug)]
pub struct Scopes {
    /// Where the election of this release is: its name in the Leases of namespaces.
    release: Key,
    scope: Scope,
    /// How long a namespace that was claimed a moment ago is left alone, for others to notice.
    grace: Duration,
    state: Mutex<State>,
    silence: Silence,
}

#[derive(Debug, Default)]
struct State {
    /// Of some namespaces: from when until when each may be served.
    claimed: BTreeMap<String, (Instant, Instant)>,
    /// Namespaces that are left to others, with their holders.
    others: BTreeMap<String, String>,
    /// Of all namespaces: whether it was looked who serves which.
    looked: bool,
}

/// Another operator of all namespaces.
#[derive(Debug)]
struct Rival {
    release: Key,
    since: Option<MicroTime>,
}

impl Scopes {
    /// Serves nothing yet.
    pub fn new(release: Key, scope: Scope, grace: Duration) -> Self {
        Self { release, scope, grace, state: Mutex::default(), silence: Silence::default() }
    }

    /// Whether this operator looks after a namespace now.
    pub fn serves(&self, namespace: &str) -> bool {
        let (state, now) = (self.state.lock(), Instant::now());
        match self.scope {
            Scope::Cluster => state.looked && !state.others.contains_key(namespace),
            Scope::Namespaces(_) => {
                state.claimed.get(namespace).is_some_and(|(from, until)| (*from..*until).contains(&now))
            }
        }
    }

    /// The namespaces that are left to others, for a person.
    pub fn left_alone(&self) -> Vec<String> {
        let state = self.state.lock();
        state.others.iter().map(|(namespace, holder)| format!("{namespace} ({holder} serves it)")).collect()
    }

    /// Waits until no other operator of all namespaces is heard of.
    pub async fn wait_until_alone(&self, client: &Client, health: &Health) {
        if self.scope != Scope::Cluster {
            return;
        }
        loop {
            match self.rivals(client).await {
                Ok(rivals) => {
                    let Some(rival) = rivals.iter().find(|rival| rival.release != self.release) else { break };
                    let problem = format!("the operator '{}', which serves all namespaces, too", rival.release);
                    tracing::warn!(
                        "waiting for the end of {problem}: uninstall one of the two, or give each namespaces of its own"
                    );
                    *health.waiting_for.lock() = vec![problem];
                }
                Err(error) => tracing::warn!(error = %chain(&error), "the Leases of others cannot be read"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews and looks while this process leads; ends if another operator of all namespaces led before.
    pub async fn run(self: Arc<Self>, client: Client) {
        loop {
            match &self.scope {
                Scope::Namespaces(namespaces) => {
                    join_all(namespaces.iter().map(|namespace| self.renew(&client, namespace))).await;
                }
                Scope::Cluster => match self.rivals(&client).await {
                    Ok(rivals) => {
                        if let Some(rival) = rivals.iter().find(|rival| rival.was_first(&self.release, &rivals)) {
                            tracing::error!(rival = %rival.release, "another operator serves all namespaces, too");
                            return;
                        }
                    }
                    Err(error) => tracing::warn!(error = %chain(&error), "the Leases of others cannot be read"),
                },
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Looks who serves what; the other operators of all namespaces, and this one if it leads.
    async fn rivals(&self, client: &Client) -> Result<Vec<Rival>, kube::Error> {
        let leases: Api<Lease> = Api::all(client.clone());
        let listed = match leases.list(&ListParams::default().labels(LABEL)).await {
            Ok(listed) => listed.items,
            // Without the right to look there is nobody to avoid.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                tracing::debug!(message = status.message, "other operators cannot be seen");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let (mut others, mut rivals) = (BTreeMap::new(), Vec::new());
        for lease in listed {
            let key = Key::new(lease.namespace().unwrap_or_default(), lease.name_any());
            let of_all = lease.labels().get(LABEL).is_some_and(|scope| scope == ALL);
            let spec = lease.spec.unwrap_or_default();
            let holder = spec.holder_identity.clone().unwrap_or_default();
            if holder.is_empty() || self.silence.is_silent(&key, &spec, BELIEVED) {
                continue;
            }
            if of_all {
                rivals.push(Rival { release: key, since: spec.acquire_time });
            } else if key.name == CLAIM {
                others.insert(key.namespace, holder);
            }
        }
        self.learn(others);
        Ok(rivals)
    }

    /// Takes note of which namespaces others serve.
    pub(crate) fn learn(&self, others: BTreeMap<String, String>) {
        let mut state = self.state.lock();
        state.looked = true;
        if state.others != others {
            tracing::info!(namespaces = ?others, "left to other operators");
            state.others = others;
        }
    }

    /// Takes or renews the Lease of a namespace.
    async fn renew(&self, client: &Client, namespace: &str) {
        let began = Instant::now();
        let outcome = self.claim(client, namespace).await;
        let mut state = self.state.lock();
        match outcome {
            Ok(Claim::Held { goes_on, age }) => state.hold(namespace, began, goes_on, age, self.grace),
            Ok(Claim::Lost { holder }) => {
                state.claimed.remove(namespace);
                if state.others.insert(namespace.to_owned(), holder.clone()).is_none() {
                    tracing::warn!(namespace, holder, "a namespace is left to another operator, which serves it");
                }
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {
                tracing::debug!(namespace, message = status.message, "a namespace is served without a Lease");
                state.claimed.insert(namespace.to_owned(), (began, began + RENEWED));
            }
            Err(error) => {
                tracing::warn!(namespace, error = %chain(&error), "the Lease of a namespace cannot be renewed");
            }
        }
    }

    async fn claim(&self, client: &Client, namespace: &str) -> Result<Claim, kube::Error> {
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let (ours, now) = (self.release.to_string(), Timestamp::now());
        let labels = BTreeMap::from([(LABEL.to_owned(), "namespace".to_owned())]);
        let mut spec = LeaseSpec {
            holder_identity: Some(ours.clone()),
            lease_duration_seconds: i32::try_from(BELIEVED.as_secs()).ok(),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        };
        let Some(mut lease) = api.get_opt(CLAIM).await? else {
            let metadata = ObjectMeta { name: Some(CLAIM.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
            api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await?;
            return Ok(Claim::Held { goes_on: false, age: Duration::ZERO });
        };
        let there = lease.spec.take().unwrap_or_default();
        let holder = there.holder_identity.clone().unwrap_or_default();
        let is_ours = holder == ours;
        let key = Key::new(namespace, CLAIM);
        if !is_ours && !holder.is_empty() && !self.silence.is_silent(&key, &there, BELIEVED) {
            return Ok(Claim::Lost { holder });
        }
        let goes_on = is_ours && !has_lapsed(&there);
        if goes_on {
            spec.acquire_time.clone_from(&there.acquire_time);
        }
        let age = age(&spec, now);
        lease.spec = Some(spec);
        lease.metadata.labels = Some(labels);
        api.replace(CLAIM, &PostParams::default(), &lease).await?;
        Ok(Claim::Held { goes_on, age })
    }
}

impl State {
    /// Serves a namespace that is held; one that others may have taken meanwhile only after a grace, in which they
    /// notice. What is left of the grace is told by the Lease where this process does not know: it may have begun just
    /// now, or have had no answer when it took the Lease.
    fn hold(&mut self, namespace: &str, now: Instant, goes_on: bool, age: Duration, grace: Duration) {
        let from = match self.claimed.get(namespace) {
            Some((from, until)) if goes_on && now < *until => *from,
            None if goes_on => now + grace.saturating_sub(age),
            _ => now + grace,
        };
        self.claimed.insert(namespace.to_owned(), (from, now + RENEWED));
        self.others.remove(namespace);
    }
}

/// Whether the process before this one may have been taken for gone. Its clock may differ from this one's a little, which
/// [`BELIEVED`] has room for.
fn has_lapsed(lease: &LeaseSpec) -> bool {
    let silent = lease.renew_time.as_ref().and_then(|renewed| (Timestamp::now() - renewed.0).total(Unit::Second).ok());
    silent.is_none_or(|seconds| seconds > RENEWED.as_secs_f64())
}

/// How long a Lease has been its holder's. One of an older version does not say, and counts as old; to a clock that is
/// behind it has only begun.
fn age(lease: &LeaseSpec, now: Timestamp) -> Duration {
    let since = |acquired: &MicroTime| Duration::try_from(now.duration_since(acquired.0)).unwrap_or_default();
    lease.acquire_time.as_ref().map_or(Duration::MAX, since)
}

/// What came of a try to hold a namespace.
#[derive(Debug)]
enum Claim {
    Held {
        /// It was this release's before, without a gap.
        goes_on: bool,
        /// Since when it is this release's.
        age: Duration,
    },
    Lost {
        /// Whose it is.
        holder: String,
    },
}

impl Rival {
    /// Whether it led before the operator of `ours`, which is among `all` once it leads.
    fn was_first(&self, ours: &Key, all: &[Self]) -> bool {
        let Some(own) = all.iter().find(|rival| rival.release == *ours) else { return self.release != *ours };
        let order = |rival: &Self| (rival.since.as_ref().map(|since| since.0), rival.release.clone());
        self.release != *ours && order(self) < order(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_namespace_is_served_from_its_claim_on_and_not_beside_another() {
        let some = Scopes::new(Key::new("system", "a"), Scope::of(&["team".to_owned()]), Duration::from_secs(10));
        assert!(!some.serves("team"), "not claimed yet");
        let now = Instant::now();
        some.state.lock().claimed.insert("team".to_owned(), (now + some.grace, now + RENEWED));
        assert!(!some.serves("team"), "others have yet to notice");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(some.serves("team") && !some.serves("other"));
        tokio::time::advance(RENEWED).await;
        assert!(!some.serves("team"), "it could not be renewed");
        let hold = |goes_on| some.state.lock().hold("team", Instant::now(), goes_on, Duration::ZERO, some.grace);
        hold(true);
        assert!(!some.serves("team"), "others may have begun to serve it");
        tokio::time::advance(some.grace).await;
        assert!(some.serves("team"));
        hold(true);
        assert!(some.serves("team"), "renewed in time");
        hold(false);
        assert!(!some.serves("team"), "another release held it meanwhile");

        let all = Scopes::new(Key::new("system", "b"), Scope::Cluster, Duration::ZERO);
        assert!(!all.serves("team"), "nobody has looked yet");
        all.learn(BTreeMap::from([("team".to_owned(), "system/a".to_owned())]));
        assert!(!all.serves("team") && all.serves("other"));
        assert_eq!(all.left_alone(), ["team (system/a serves it)"]);
    }

    #[test]
    fn a_lease_that_was_not_renewed_in_time_has_lapsed() {
        let renewed =
            |ago: Duration| LeaseSpec { renew_time: Some(MicroTime(Timestamp::now() - ago)), ..LeaseSpec::default() };
        assert!(!has_lapsed(&renewed(Duration::ZERO)) && !has_lapsed(&renewed(RENEWED / 2)));
        assert!(has_lapsed(&renewed(BELIEVED)) && has_lapsed(&LeaseSpec::default()));
    }

    #[test]
    fn a_process_that_follows_at_once_goes_on_after_what_is_left_of_the_grace() {
        let (now, seconds, acquired) = (Instant::now(), Duration::from_secs, Timestamp::now());
        for (age, from) in [(0, 10), (3, 7), (10, 0), (11, 0)] {
            let mut state = State::default();
            state.hold("team", now, true, seconds(age), seconds(10));
            assert_eq!(state.claimed["team"], (now + seconds(from), now + RENEWED), "{age}");
            state.hold("team", now + seconds(5), true, seconds(age + 5), seconds(10));
            assert_eq!(state.claimed["team"].0, now + seconds(from), "renewed");
        }
        let lease = LeaseSpec { acquire_time: Some(MicroTime(acquired)), ..LeaseSpec::default() };
        for (lease, now, expected) in [
            (&lease, acquired + seconds(3), seconds(3)),
            (&lease, acquired, Duration::ZERO),
            (&lease, acquired - seconds(3), Duration::ZERO),
            (&LeaseSpec::default(), acquired, Duration::MAX),
        ] {
            assert_eq!(age(lease, now), expected, "{now}");
        }
    }

    #[test]
    fn of_two_operators_of_all_namespaces_the_later_one_goes() {
        let rival = |name: &str, second: i64| Rival {
            release: Key::new("system", name),
            since: Some(MicroTime(Timestamp::from_second(second).unwrap())),
        };
        let (ours, others) = (Key::new("system", "b"), |second| [rival("a", second), rival("b", 5)]);
        for (second, goes) in [(4, true), (5, true), (6, false)] {
            let all = others(second);
            assert_eq!(all.iter().any(|rival| rival.was_first(&ours, &all)), goes, "{second}");
        }
    }
}
