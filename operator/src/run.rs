//! The command `run`: waits for the kinds and for leadership, watches, works, and leaves in order.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crds::class::PackageProxyClassSpec;
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ElectionArguments, RunArguments};
use crate::backoff::Backoff;
use crate::client::{self, Activity, Fence, Limit};
use crate::controller::{Context, Controller, Syncs, class};
use crate::definitions::Definitions;
use crate::health::{self, Health};
use crate::leader::{Election, Terms};
use crate::metrics::Metrics;
use crate::scopes::Scopes;
use crate::store::{Key, Kind};
use crate::tasks::Tasks;
use crate::watches::{Scope, Watch, api, chain};

/// How long work under way may take to end.
const DRAIN: Duration = Duration::from_secs(20);
/// How long it may take to give the Lease back. Together shorter than the grace of a pod.
const RELEASE: Duration = Duration::from_secs(3);

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing says where the API server is.
    #[error("the API server is not known")]
    Configuration(#[source] kube::config::InferConfigError),
    /// The client cannot be made of what says so.
    #[error("the client of the API server cannot be set up")]
    Client(#[source] kube::Error),
    /// The API server does not know who we are.
    #[error("the API server refuses the credentials of this operator")]
    Credentials(#[source] kube::Error),
    /// The port of health and metrics cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Cause.
        source: std::io::Error,
    },
    /// The flags do not fit together.
    #[error(transparent)]
    Terms(#[from] crate::leader::TermsError),
    /// The built-in class cannot be used.
    #[error("--default-class {path}: {reason}")]
    DefaultClass {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the operator until a signal ends it or it no longer leads.
pub async fn run(arguments: &RunArguments) -> Result<ExitCode, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let built_in =
        arguments.default_class.as_deref().map_or_else(|| Ok(PackageProxyClassSpec::default()), default_class)?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|source| RunError::Listen { address: arguments.listen, source })?;
    let address = listener.local_addr().unwrap_or(arguments.listen);
    let config = client::configuration(arguments.watch_timeout.0).await.map_err(RunError::Configuration)?;

    let (fence, activity, metrics) = (Arc::new(Fence::default()), Arc::new(Activity::default()), Metrics::new());
    let limit = Arc::new(Limit::per_second(arguments.requests_per_second.get()));
    let client = client::controller(config.clone(), limit, Arc::clone(&fence), Arc::clone(&activity))
        .map_err(RunError::Client)?;
    let definitions = Arc::new(Definitions::new(arguments.classes));
    let terms = terms(arguments)?;
    let scopes = Arc::new(scopes(arguments, &terms));
    let common = (Arc::clone(&definitions), Arc::clone(&scopes));
    let context = Context::new(client.clone(), arguments, built_in, common, Arc::clone(&metrics));
    let syncs = Arc::new(Syncs::default());
    let health = Arc::new(Health {
        waiting_for: parking_lot::Mutex::new(vec!["the API server".to_owned()]),
        activity: Arc::clone(&activity),
        definitions: Arc::clone(&definitions),
        scopes: Arc::clone(&scopes),
        metrics: Arc::clone(&metrics),
        syncs: Arc::clone(&syncs),
        proxies: context.store(Kind::Proxy),
    });
    let mut tasks = Tasks::default();
    tasks.spawn("health and metrics", health::serve(listener, Arc::clone(&health)));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %address, "the operator starts");

    let mut election = None;
    let work = async {
        wait_for_cluster(&client, arguments.classes, &health, &metrics).await?;
        if arguments.election.leader_election {
            let lease = client::election(config.clone()).map_err(RunError::Client)?;
            let elected = election.insert(Election::new(lease, terms, Arc::clone(&fence)));
            elected.win().await;
        } else {
            fence.open();
        }
        Ok::<_, RunError>(())
    };
    tokio::select! {
        outcome = work => outcome?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        ended = tasks.ended() => return Ok(task_ended(ended)),
    }
    tracing::info!("this process leads");
    metrics.leader.set(1);

    *health.waiting_for.lock() = vec!["what exists to be read".to_owned()];
    let controller = Arc::new(Controller::new(context, Arc::clone(&syncs)));
    watch(&mut tasks, arguments, &controller, &client, &activity, &metrics, &syncs);
    tasks.spawn("the Leases of scopes", Arc::clone(&scopes).run(client.clone()));
    tasks.spawn("the look at the definitions", definitions.run(client.clone(), Arc::clone(&metrics)));
    let (ready, working) = (Arc::clone(&health), Arc::clone(&controller));
    let concurrency = arguments.concurrency.get();
    tasks.spawn("the workers", async move {
        let getting_ready = async {
            syncs.some().await;
            ready.waiting_for.lock().clear();
        };
        let work = async {
            syncs.most().await;
            working.work(concurrency).await;
        };
        tokio::join!(getting_ready, work);
    });

    let lost = async {
        match &mut election {
            Some(election) => election.keep().await,
            None => std::future::pending().await,
        }
    };
    let code = tokio::select! {
        () = lost => None,
        _ = terminate.recv() => Some(ExitCode::SUCCESS),
        _ = interrupt.recv() => Some(ExitCode::SUCCESS),
        ended = tasks.ended() => Some(task_ended(ended)),
    };
    health.waiting_for.lock().push("nothing: it is leaving".to_owned());
    metrics.leader.set(0);
    let Some(code) = code else {
        tracing::error!("this process leads no more: it ends, and another one goes on");
        return Ok(ExitCode::FAILURE);
    };
    tracing::info!("leaving");
    controller.close();
    if tokio::time::timeout(DRAIN, controller.idle()).await.is_err() {
        tracing::warn!("work was still under way when the time to drain was over");
    }
    tasks.abort_all();
    if let Some(election) = &mut election {
        let _ = tokio::time::timeout(RELEASE, election.release()).await;
    }
    Ok(code)
}

/// What goes on as if nothing had happened would do half of the work: the process ends, and begins anew.
fn task_ended((name, how): (String, &str)) -> ExitCode {
    tracing::error!(task = name, how, "a task is gone that must go on: the process ends");
    ExitCode::FAILURE
}

/// One task for each kind and namespace, and the one that asks the pods.
fn watch(
    tasks: &mut Tasks,
    arguments: &RunArguments,
    controller: &Arc<Controller>,
    client: &Client,
    activity: &Activity,
    metrics: &Arc<Metrics>,
    syncs: &Syncs,
) {
    let scope = Scope::of(&arguments.namespaces);
    for kind in controller.kinds() {
        for namespace in scope.parts(kind) {
            let synced = Arc::new(AtomicBool::new(false));
            syncs.expect(kind, namespace.clone(), Arc::clone(&synced));
            let path = api(client, kind, namespace.as_deref()).resource_url().to_owned();
            activity.expect(&path);
            let epochs = controller.epochs();
            let watch = Watch { kind, namespace, timeout: arguments.watch_timeout.0, synced, epochs };
            let sink = Arc::clone(controller);
            let watching = watch.run(client.clone(), controller.store(kind), Arc::clone(metrics), sink);
            tasks.spawn(format!("the watch of {path}"), watching);
        }
    }
    let polling = Arc::clone(controller);
    tasks.spawn("the questions to pods", async move { polling.poll().await });
}

fn scopes(arguments: &RunArguments, terms: &Terms) -> Scopes {
    let release = Key::new(terms.namespace.clone(), terms.name.clone());
    Scopes::new(release, Scope::of(&arguments.namespaces), arguments.election.scope_grace.0)
}

fn terms(arguments: &RunArguments) -> Result<Terms, RunError> {
    let ElectionArguments {
        lease_namespace, lease_name, identity, lease_duration, renew_deadline, retry_period, ..
    } = arguments.election.clone();
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).ok();
    let terms = Terms {
        namespace: lease_namespace.unwrap_or_else(|| arguments.site.operator_namespace.clone()),
        name: lease_name,
        everywhere: Scope::of(&arguments.namespaces) == Scope::Cluster,
        identity: identity.or_else(host).unwrap_or_else(|| format!("{:x}", fastrand::u64(..))),
        lease_duration: lease_duration.0,
        renew_deadline: renew_deadline.0,
        retry_period: retry_period.0,
    };
    terms.check()?;
    Ok(terms)
}

/// Waits until this process may lead: kinds, their fields, and no other operator of all namespaces.
async fn wait_for_cluster(client: &Client, classes: bool, health: &Health, metrics: &Metrics) -> Result<(), RunError> {
    wait_for_kinds(client, classes, health, metrics).await?;
    wait_for_fields(client, health, metrics).await;
    health.scopes.wait_until_alone(client, health).await;
    health.waiting_for.lock().clear();
    Ok(())
}

/// Waits until the API server knows our kinds. Only credentials that it refuses are the end.
async fn wait_for_kinds(client: &Client, classes: bool, health: &Health, metrics: &Metrics) -> Result<(), RunError> {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
    let mut wanted = vec!["packageproxies"];
    if classes {
        wanted.push("packageproxyclasses");
    }
    loop {
        let missing = match client.list_api_group_resources(crds::API_VERSION).await {
            Ok(found) => {
                let known = |plural: &&&str| found.resources.iter().any(|resource| resource.name == **plural);
                wanted.iter().filter(|plural| !known(plural)).map(|plural| (*plural).to_owned()).collect()
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                wanted.iter().map(|plural| (*plural).to_owned()).collect::<Vec<_>>()
            }
            Err(error) if matches!(&error, kube::Error::Api(status) if status.code == 401) => {
                return Err(RunError::Credentials(error));
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the API server cannot be asked");
                tokio::time::sleep(backoff.wait()).await;
                continue;
            }
        };
        for plural in &wanted {
            metrics.crd_missing(plural, missing.iter().any(|name: &String| name == plural));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> =
            missing.into_iter().map(|plural| format!("the CustomResourceDefinition {plural}")).collect();
        tracing::warn!(missing = missing.join(", "), "the API server does not know our kinds yet: install the CRDs");
        *health.waiting_for.lock() = missing;
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// Waits until the definitions have every field that this version knows: it must not lead before.
async fn wait_for_fields(client: &Client, health: &Health, metrics: &Metrics) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        if let Err(error) = health.definitions.ask(client, metrics).await {
            tracing::warn!(error = %chain(&error), "the API server cannot be asked for its schemas");
        } else {
            let Some(problem) = health.definitions.problem() else { return };
            tracing::warn!("waiting for {problem}");
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

fn default_class(path: &Path) -> Result<PackageProxyClassSpec, RunError> {
    let failed = |reason: String| RunError::DefaultClass { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(PackageProxyClassSpec::default());
    }
    let spec: serde_json::Value = serde_yaml::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let document = serde_json::json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::CLASS_KIND,
        "metadata": {"name": "default"},
        "spec": spec,
    });
    class::read(&document).map_err(failed)
}
