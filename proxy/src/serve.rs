//! The command `serve`: opens the store, listens, takes over changed files, drains.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use url::Url;

use crate::access::Access;
use crate::admin::{self, Peer};
use crate::app::{App, ApplyError, Placement};
use crate::cache::Engine;
use crate::clock::Clock;
use crate::config::{self, Loaded, UnknownFields};
use crate::fetch::credential::SecretHosts;
use crate::handle;
use crate::housekeeping;
use crate::log;
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::server::{self, Arrival, Limits, Phase};
use crate::store::{self, Store};
use crate::workshop::Workshop;

/// How long commits may take once the last request is answered.
const SETTLING: Duration = Duration::from_secs(2);

/// What `serve` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the data port.
    pub listen: SocketAddr,
    /// Address of the admin port.
    pub admin: SocketAddr,
    /// Directory of the store.
    pub storage: PathBuf,
    /// Whether commits wait for the disk.
    pub durable: bool,
    /// Bytes of the store.
    pub max_size: u64,
    /// Bytes of memory for documents that are being worked on.
    pub metadata_memory: u64,
    /// Bytes of memory for small blobs.
    pub blob_memory: u64,
    /// Serve the one manifest at `/`.
    pub at_root: bool,
    /// Bases of links; where there is none, the listen address and `localhost`.
    pub bases: Vec<Url>,
    /// Connections of each port at once.
    pub max_connections: usize,
    /// How long a leaving process still accepts, so that those who route to it learn of it first.
    pub leave_delay: Duration,
    /// How long requests may take to end after that.
    pub drain_timeout: Duration,
    /// Files to watch; empty where the configuration was found on the machine.
    pub files: Vec<PathBuf>,
    /// Directory of Secrets.
    pub secrets: Option<PathBuf>,
    /// Whether every Secret must say where it may be sent.
    pub secret_hosts: SecretHosts,
    /// The Secret with the certificate of the data port; without it that speaks plain http.
    pub tls_secret: Option<String>,
    /// What to do with unknown fields.
    pub unknown: UnknownFields,
    /// Whether manifests decide the level of the log.
    pub follow_log_level: bool,
}

/// `serve` cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// The configuration cannot be put in force.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// There is no thread that looks after the store.
    #[error("cannot begin a thread: {0}")]
    Housekeeping(io::Error),
}

/// Serves until a signal ends it. `started` is called with the addresses once requests are accepted.
pub async fn serve(
    options: Options,
    loaded: Loaded,
    level: log::Level,
    started: impl FnOnce(&App, SocketAddr, SocketAddr),
) -> Result<(), ServeError> {
    // Before anybody can learn that the process runs, so that no signal ends it in the middle.
    let terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let (data, data_address) = listen(options.listen)?;
    let (admin, admin_address) = listen(options.admin)?;
    let placement = Placement {
        at_root: options.at_root,
        bases: bases(&options, data_address),
        secret_hosts: options.secret_hosts,
        tls_secret: options.tls_secret.clone(),
    };
    let app = Arc::new(App::new(Arc::new(engine(&options)), placement));
    let fingerprint = loaded.fingerprint;
    app.apply(loaded)?;

    let limits = Limits { connections: options.max_connections, ..Limits::default() };
    let serving = tokio::spawn(serve_data(Arc::clone(&app), data, limits));
    tokio::spawn(serve_admin(Arc::clone(&app), admin, limits));
    housekeeping::begin(&app).map_err(ServeError::Housekeeping)?;
    if !options.files.is_empty() {
        let watched = Arc::clone(&app);
        let follow = options.follow_log_level;
        let (files, secrets, unknown) = (options.files.clone(), options.secrets.clone(), options.unknown);
        tokio::spawn(async move {
            config::watch(files, secrets, unknown, fingerprint, |change| {
                take_over(&watched, follow.then_some(&level), change);
            })
            .await;
        });
    }
    tracing::info!(data = %data_address, admin = %admin_address, version = env!("CARGO_PKG_VERSION"), "listening");
    started(&app, data_address, admin_address);

    leave(&app, &options, serving, terminate, interrupt).await;
    // The runtime waits a moment for it; longer is not worth it.
    tokio::task::spawn_blocking(move || app.engine.store.note_uses());
    Ok(())
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let bound = server::bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| ServeError::Bind { address, source })
}

fn engine(options: &Options) -> Engine {
    let metrics = Metrics::new();
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    metrics.started.set(started.as_secs_f64());
    let store = Store::open(store::Options {
        root: options.storage.clone(),
        durable: options.durable,
        max_size: options.max_size,
        memory: options.blob_memory,
    });
    Engine {
        store: Arc::new(store),
        clock: Clock::start(),
        metrics,
        memory: Budget::new(options.metadata_memory),
        workshop: Workshop::default(),
    }
}

/// The bases of links: as told, else the address that is listened on, by number and by name.
fn bases(options: &Options, data: SocketAddr) -> Vec<Url> {
    if !options.bases.is_empty() {
        return options.bases.clone();
    }
    let reachable = if data.ip().is_unspecified() {
        SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), data.port())
    } else {
        data
    };
    let scheme = if options.tls_secret.is_some() { "https" } else { "http" };
    let texts = [format!("{scheme}://{reachable}"), format!("{scheme}://localhost:{}", data.port())];
    texts.iter().filter_map(|text| Url::parse(text).ok()).collect()
}

async fn serve_data(app: Arc<App>, listener: TcpListener, limits: Limits) {
    let phase = app.phase.subscribe();
    let tls = app.certificate.as_ref().map(|certificate| Arc::clone(certificate.tls()));
    let service = move |request: http::Request<hyper::body::Incoming>, arrival: Arrival| {
        let access = Access::begin(Arc::clone(&app.engine), &request, arrival.peer);
        handle::handle(app.sites(), request, arrival, access)
    };
    server::serve(listener, phase, limits, tls, service).await;
}

async fn serve_admin(app: Arc<App>, listener: TcpListener, limits: Limits) {
    let phase = app.phase.subscribe();
    let router = admin::router(app);
    let service = move |mut request: http::Request<hyper::body::Incoming>, arrival: Arrival| {
        request.extensions_mut().insert(Peer(arrival.peer));
        let answer = tower::ServiceExt::oneshot(router.clone(), request);
        async move { answer.await.unwrap_or_else(|never| match never {}) }
    };
    server::serve(listener, phase, limits, None, service).await;
}

/// Takes over a changed configuration, or says why not.
fn take_over(app: &App, level: Option<&log::Level>, change: Result<Loaded, config::Refused>) {
    if let Ok(loaded) = &change {
        for warning in &loaded.warnings {
            tracing::warn!(problem = %warning, "configuration");
        }
        if let (Some(level), Some(wanted)) = (level, loaded.log_level) {
            level.set(wanted.directive());
        }
    }
    app.take_over(change);
}

/// Waits until no fetch and no write is under way.
async fn settled(app: &App) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while app.sites().iter().any(|site| site.cache.under_way() > 0) {
        ticks.tick().await;
    }
}

/// Waits for a signal and leaves in order: not ready at once, accepting a little longer, then finishing what is
/// under way. A second signal ends it there and then.
async fn leave(app: &App, options: &Options, serving: JoinHandle<()>, mut terminate: Signal, mut interrupt: Signal) {
    let patient = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
    };
    tracing::info!("leaving");
    app.phase.send_replace(Phase::Leaving);
    let drain = async {
        if patient {
            tokio::time::sleep(options.leave_delay).await;
        }
        app.phase.send_replace(Phase::Draining);
        if tokio::time::timeout(options.drain_timeout, serving).await.is_err() {
            tracing::warn!("requests were still under way when the time to drain was over");
        }
        // Nobody waits for a commit, so some may be left that a little time completes.
        let _ = tokio::time::timeout(SETTLING, settled(app)).await;
    };
    tokio::select! {
        () = drain => {}
        _ = terminate.recv() => tracing::warn!("a second signal: leaving at once"),
        _ = interrupt.recv() => tracing::warn!("a second signal: leaving at once"),
    }
}
