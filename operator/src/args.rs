//! The command line. Each flag of `run` is also a variable: `PACKAGEPROXY_OPERATOR_*`, or `POD_NAMESPACE` and `POD_NAME`.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use crds::values::GoDuration;

use crate::controller::plan::Site;

/// The operator of PackageProxy.
#[derive(Debug, Parser)]
#[command(name = "packageproxy-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArguments>),
    /// Print the `CustomResourceDefinitions`.
    Crds,
    /// Print the objects that manifests would become.
    Render(RenderArguments),
    /// Check from inside the cluster that the API server knows our kinds and that the operator may use them.
    Probe(ProbeArguments),
}

/// How to run the operator.
#[derive(Clone, Debug, Args)]
#[command(next_line_help = true)]
pub struct RunArguments {
    /// Namespaces that are watched, separated by commas [default: all].
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',', env = "PACKAGEPROXY_OPERATOR_NAMESPACES")]
    pub namespaces: Vec<String>,
    /// What proxies get that do not say otherwise.
    #[command(flatten)]
    pub site: SiteArguments,
    /// Who leads where several operators run.
    #[command(flatten)]
    pub election: ElectionArguments,
    /// File with the spec of the class for proxies that name none and where no class is marked as default.
    #[arg(long, value_name = "FILE", env = "PACKAGEPROXY_OPERATOR_DEFAULT_CLASS")]
    pub default_class: Option<PathBuf>,
    /// Whether PackageProxyClass objects are watched.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "PACKAGEPROXY_OPERATOR_CLASSES")]
    pub classes: bool,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_LISTEN, env = "PACKAGEPROXY_OPERATOR_LISTEN")]
    pub listen: SocketAddr,
    /// Proxies that are worked on at once.
    #[arg(long, value_name = "NUMBER", default_value = "8", env = "PACKAGEPROXY_OPERATOR_CONCURRENCY")]
    pub concurrency: NonZeroUsize,
    /// Rollouts at once that no tenant asked for: of a new image or a changed class.
    #[arg(long, value_name = "NUMBER", default_value = "1", env = "PACKAGEPROXY_OPERATOR_MAX_CONCURRENT_ROLLOUTS")]
    pub max_concurrent_rollouts: NonZeroUsize,
    /// Requests a second to the API server, lease renewals aside.
    #[arg(long, value_name = "NUMBER", default_value = "300", env = "PACKAGEPROXY_OPERATOR_REQUESTS_PER_SECOND")]
    pub requests_per_second: NonZeroU32,
    /// How often each proxy is looked at although nothing has changed.
    #[arg(long, value_name = "DURATION", default_value = "10m", env = "PACKAGEPROXY_OPERATOR_RESYNC")]
    pub resync: GoDuration,
    /// How often the admin port of each pod is asked.
    #[arg(long, value_name = "DURATION", default_value = "15s", env = "PACKAGEPROXY_OPERATOR_POLL_INTERVAL")]
    pub poll_interval: GoDuration,
    /// How long one watch lasts before it is begun anew; a silent one is given up a little later.
    #[arg(long, value_name = "DURATION", default_value = "290s", env = "PACKAGEPROXY_OPERATOR_WATCH_TIMEOUT")]
    pub watch_timeout: GoDuration,
    /// How much is logged, as a filter of tracing-subscriber.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "PACKAGEPROXY_OPERATOR_LOG_LEVEL")]
    pub log_level: String,
    /// Form of the log: auto is human on a terminal and JSON otherwise.
    #[arg(long, value_enum, default_value_t, env = "PACKAGEPROXY_OPERATOR_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// Where health and metrics are unless it is said otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080);

/// What is the same for every proxy.
#[derive(Clone, Debug, Args)]
pub struct SiteArguments {
    /// Image of the proxy where the class names none.
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_IMAGE, env = "PACKAGEPROXY_OPERATOR_IMAGE")]
    pub image: String,
    /// When it is pulled: `Always`, `IfNotPresent` or `Never`.
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "IfNotPresent",
        env = "PACKAGEPROXY_OPERATOR_IMAGE_PULL_POLICY"
    )]
    pub image_pull_policy: String,
    /// Secrets for its registry, in the namespace of each proxy.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', env = "PACKAGEPROXY_OPERATOR_IMAGE_PULL_SECRETS")]
    pub image_pull_secrets: Vec<String>,
    /// DNS domain of the cluster.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", env = "PACKAGEPROXY_OPERATOR_CLUSTER_DOMAIN")]
    pub cluster_domain: String,
    /// Namespace of the operator itself, which must reach the admin ports.
    #[arg(long, value_name = "NAMESPACE", default_value = "packageproxy-system", env = "POD_NAMESPACE")]
    pub operator_namespace: String,
}

/// The image of this version.
const DEFAULT_IMAGE: &str = concat!("ghcr.io/packageproxy/packageproxy:", env!("CARGO_PKG_VERSION"));

impl From<&SiteArguments> for Site {
    fn from(arguments: &SiteArguments) -> Self {
        Self {
            image: arguments.image.clone(),
            image_pull_policy: arguments.image_pull_policy.clone(),
            image_pull_secrets: arguments.image_pull_secrets.iter().filter(|name| !name.is_empty()).cloned().collect(),
            cluster_domain: arguments.cluster_domain.clone(),
            operator_namespace: arguments.operator_namespace.clone(),
        }
    }
}

/// Who leads where several operators run.
#[derive(Clone, Debug, Args)]
pub struct ElectionArguments {
    /// Whether there is an election at all.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "PACKAGEPROXY_OPERATOR_LEADER_ELECTION")]
    pub leader_election: bool,
    /// Namespace of the Lease [default: the operator's].
    #[arg(long, value_name = "NAMESPACE", env = "PACKAGEPROXY_OPERATOR_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of the Lease.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "packageproxy-operator",
        env = "PACKAGEPROXY_OPERATOR_LEASE_NAME"
    )]
    pub lease_name: String,
    /// Name of this process in the Lease [default: the host's name].
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// How long a namespace that was claimed a moment ago is left alone, so that an operator of all namespaces notices.
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "PACKAGEPROXY_OPERATOR_SCOPE_GRACE")]
    pub scope_grace: GoDuration,
    /// How long a leader is believed that is not heard of.
    #[arg(long, value_name = "DURATION", default_value = "15s", env = "PACKAGEPROXY_OPERATOR_LEASE_DURATION")]
    pub lease_duration: GoDuration,
    /// How long a leader goes on that cannot renew.
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "PACKAGEPROXY_OPERATOR_RENEW_DEADLINE")]
    pub renew_deadline: GoDuration,
    /// Time between two attempts to get or to renew the Lease.
    #[arg(long, value_name = "DURATION", default_value = "2s", env = "PACKAGEPROXY_OPERATOR_RETRY_PERIOD")]
    pub retry_period: GoDuration,
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

/// Which manifests to render.
#[derive(Clone, Debug, Args)]
pub struct RenderArguments {
    /// Manifest file, or - for standard input; repeat for more.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What proxies get that do not say otherwise.
    #[command(flatten)]
    pub site: SiteArguments,
}

/// What to check.
#[derive(Clone, Debug, Args)]
pub struct ProbeArguments {
    /// Namespaces that the operator watches [default: all].
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',', env = "PACKAGEPROXY_OPERATOR_NAMESPACES")]
    pub namespaces: Vec<String>,
    /// Whether PackageProxyClass objects are used.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "PACKAGEPROXY_OPERATOR_CLASSES")]
    pub classes: bool,
    /// Address of the operator's /readyz.
    #[arg(long, value_name = "URL", env = "PACKAGEPROXY_OPERATOR_PROBE_URL")]
    pub ready: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
