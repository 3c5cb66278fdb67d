//! The command `serve`: its arguments, and what it says before it serves.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use crds::spec::LogLevel;
use crds::values::{ByteSize, GoDuration, HttpUrl};
use tokio::runtime::{Builder, Runtime};

use super::ConfigArguments;
use crate::app::App;
use crate::client::Endpoint;
use crate::config::{self, Loaded, Severity, UnknownFields};
use crate::fetch::credential::SecretHosts;
use crate::init::{self, Discovery, Machine};
use crate::log;
use crate::secrets::Secrets;
use crate::serve::{self, Options};

/// Where the data port listens unless it is said otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where the admin port listens unless it is said otherwise.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// How to run the proxy.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct ServeArguments {
    /// Files and Secrets. Without any file: what `init` finds.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Address of the data port: the registries' protocols and nothing else.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_LISTEN, env = "PACKAGEPROXY_LISTEN")]
    pub listen: SocketAddr,
    /// Address of the admin port: /healthz, /readyz, /metrics, /status.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_ADMIN, env = "PACKAGEPROXY_ADMIN")]
    pub admin: SocketAddr,
    /// Directory of the cache [default: packageproxy in the user's cache directory].
    #[arg(long, value_name = "DIR", env = "PACKAGEPROXY_STORAGE")]
    pub storage: Option<PathBuf>,
    /// Serve the one manifest at / instead of /NAME/.
    #[arg(long, env = "PACKAGEPROXY_ROOT", value_parser = BoolishValueParser::new())]
    pub root: bool,
    /// Base address under which clients may reach the data port, for links; repeat for more, the first is preferred.
    #[arg(long, value_name = "URL", env = "PACKAGEPROXY_BASE", value_delimiter = ',')]
    pub base: Vec<HttpUrl>,
    /// Speak https on the data port, with the keys tls.crt and tls.key of this Secret.
    #[arg(long, value_name = "NAME", env = "PACKAGEPROXY_TLS_SECRET")]
    pub tls_secret: Option<String>,
    /// Use a Secret only if its key `hosts` says where it may be sent.
    #[arg(long, env = "PACKAGEPROXY_REQUIRE_SECRET_HOSTS", value_parser = BoolishValueParser::new())]
    pub require_secret_hosts: bool,
    /// Form of the log: auto is human on a terminal and JSON otherwise.
    #[arg(long, value_enum, default_value_t, env = "PACKAGEPROXY_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// How much is logged: error, warn, info, debug or trace [default: spec.logLevel, else info].
    #[arg(long, value_name = "LEVEL", env = "PACKAGEPROXY_LOG_LEVEL", value_parser = log_level)]
    pub log_level: Option<LogLevel>,
    /// Size of the cache where no manifest gives one.
    #[arg(long, value_name = "SIZE", default_value = "10Gi", env = "PACKAGEPROXY_MAX_SIZE")]
    pub max_size: ByteSize,
    /// Memory for documents while they are rewritten, all together.
    #[arg(long, value_name = "SIZE", default_value = "160Mi", env = "PACKAGEPROXY_METADATA_MEMORY")]
    pub metadata_memory: ByteSize,
    /// Memory for small files and documents that were served lately.
    #[arg(long, value_name = "SIZE", default_value = "32Mi", env = "PACKAGEPROXY_BLOB_MEMORY")]
    pub blob_memory: ByteSize,
    /// Do not wait for the disk when something is stored: for volumes that do not outlive the machine anyway.
    #[arg(long, env = "PACKAGEPROXY_EPHEMERAL", value_parser = BoolishValueParser::new())]
    pub ephemeral: bool,
    /// After SIGTERM: how long requests are still accepted, so that those who route to this process learn of it.
    #[arg(long, value_name = "DURATION", default_value = "5s", env = "PACKAGEPROXY_LEAVE_DELAY")]
    pub leave_delay: GoDuration,
    /// After that: how long requests that are under way may take to end.
    #[arg(long, value_name = "DURATION", default_value = "25s", env = "PACKAGEPROXY_DRAIN_TIMEOUT")]
    pub drain_timeout: GoDuration,
    /// Connections that each port takes at once; others wait.
    #[arg(long, value_name = "NUMBER", default_value = "8192", env = "PACKAGEPROXY_MAX_CONNECTIONS")]
    pub max_connections: NonZeroUsize,
    /// Threads that serve requests [default: one a processor].
    #[arg(long, value_name = "NUMBER", env = "PACKAGEPROXY_WORKER_THREADS")]
    pub worker_threads: Option<NonZeroUsize>,
}

impl ServeArguments {
    /// The directory of the cache: as given, else `packageproxy` in the user's cache directory (XDG Base Directory
    /// Specification), else `None`, where there is no home.
    pub fn storage(&self) -> Option<PathBuf> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = || {
            let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
            let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(below_home)));
            cache.map(|cache| cache.join("packageproxy"))
        };
        self.storage.clone().or_else(cache)
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines to read.
    Human,
    /// One JSON object a line.
    Json,
}

fn log_level(text: &str) -> Result<LogLevel, String> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("use error, warn, info, debug or trace".to_owned()),
    }
}

/// So many threads that serve requests. A single one shares no work, and is spared the means for it.
fn runtime(threads: Option<NonZeroUsize>) -> io::Result<Runtime> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(threads).enable_all().build()
}

/// Runs the proxy until a signal ends it.
pub fn run(arguments: ServeArguments) -> ExitCode {
    let format = match arguments.log_format {
        LogFormat::Auto => log::Format::Auto,
        LogFormat::Human => log::Format::Human,
        LogFormat::Json => log::Format::Json,
    };
    let (level, pending) = log::start(format, arguments.log_level.unwrap_or(LogLevel::Info).directive());
    let runtime = match runtime(arguments.worker_threads) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let outcome = runtime.block_on(begin(arguments, level));
    // Writes to the disk that are still under way may finish; a body that nobody reads any more may not hold us.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    pending.flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "packageproxy: {message}");
    ExitCode::FAILURE
}

async fn begin(arguments: ServeArguments, level: log::Level) -> Result<(), String> {
    let loaded = configuration(&arguments).await?;
    for warning in &loaded.warnings {
        match warning.severity {
            Severity::Error => tracing::error!(problem = %warning, "configuration"),
            Severity::Advice => tracing::warn!(problem = %warning, "configuration"),
        }
    }
    if arguments.log_level.is_none()
        && let Some(wanted) = loaded.log_level
    {
        level.set(wanted.directive());
    }
    let storage = arguments.storage().ok_or("there is no home directory: say --storage DIR")?;
    let options = Options {
        listen: arguments.listen,
        admin: arguments.admin,
        storage,
        durable: !arguments.ephemeral,
        max_size: arguments.max_size.0,
        metadata_memory: arguments.metadata_memory.0,
        blob_memory: arguments.blob_memory.0,
        at_root: arguments.root,
        bases: arguments.base.iter().map(|base| base.0.clone()).collect(),
        max_connections: arguments.max_connections.get(),
        leave_delay: arguments.leave_delay.0,
        drain_timeout: arguments.drain_timeout.0,
        files: arguments.config.files.clone(),
        secrets: arguments.config.secrets.clone(),
        secret_hosts: if arguments.require_secret_hosts { SecretHosts::Required } else { SecretHosts::Optional },
        tls_secret: arguments.tls_secret.clone(),
        unknown: arguments.config.unknown_fields.into(),
        follow_log_level: arguments.log_level.is_none(),
    };
    serve::serve(options, loaded, level, greet).await.map_err(|error| error.to_string())
}

/// What the files say, or without files what this machine's clients use.
async fn configuration(arguments: &ServeArguments) -> Result<Loaded, String> {
    let ConfigArguments { files, secrets, unknown_fields } = arguments.config.clone();
    if !files.is_empty() {
        let unknown: UnknownFields = unknown_fields.into();
        let load = move || config::load(&files, secrets.as_deref(), unknown);
        return match tokio::task::spawn_blocking(load).await {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(problems)) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(format!("the configuration cannot be used:\n{}", lines.join("\n")))
            }
            Err(error) => Err(error.to_string()),
        };
    }
    let discoveries = init::discover(&Machine::here(), &[arguments.listen]).await;
    for discovery in &discoveries {
        match discovery {
            Discovery::Found(found) => {
                tracing::info!(proxy = %found.name, upstream = %crate::fetch::SafeUrl::from(found.url.clone()),
                    read_from = %found.read_from, "found a registry");
                for note in &found.notes {
                    tracing::warn!(proxy = %found.name, note, "found a registry");
                }
            }
            Discovery::NotFound(missing) => {
                tracing::warn!(ecosystem = %missing.ecosystem, remedy = %missing.remedy, "found no registry");
            }
        }
    }
    let settings = init::settings(&discoveries);
    if settings.is_empty() {
        return Err("no registry was found on this machine: write a manifest and serve it with -f FILE".to_owned());
    }
    Ok(Loaded::found(settings, Secrets::default()))
}

/// Tells a person how to use what runs now: one line a proxy.
fn greet(app: &App, data: SocketAddr, admin: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let scheme = if app.certificate.is_some() { "https" } else { "http" };
    let mut text = format!("PackageProxy listens on {scheme}://{data} (admin: http://{admin}/status)\n");
    for site in app.sites().iter() {
        let base = site.first_base();
        let command = site
            .protocol
            .clients(Endpoint::new(&base, None).of(&site.settings.upstream.namespace()))
            .into_iter()
            .next()
            .map(|client| client.command)
            .unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {base}\n    {}", command.replace('\n', "\n    "));
    }
    // A closed standard output is no reason not to serve.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
