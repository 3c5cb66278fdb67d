//! The arguments of `serve`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use crds::spec::LogLevel;
use crds::values::{ByteSize, HttpUrl};

use super::ConfigArguments;

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
    #[arg(long, value_name = "SIZE", default_value = "256Mi", env = "PACKAGEPROXY_METADATA_MEMORY")]
    pub metadata_memory: ByteSize,
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
