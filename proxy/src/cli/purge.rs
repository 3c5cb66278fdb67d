//! The arguments of `purge`.

use std::net::SocketAddr;

use clap::Args;

use super::serve::DEFAULT_ADMIN;

/// What to drop from which running proxy.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PurgeArguments {
    /// The proxy's metadata.name.
    #[arg(long, value_name = "NAME")]
    pub proxy: String,
    /// The package.
    #[arg(long, value_name = "NAME")]
    pub package: String,
    /// Only this version.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Address of the admin port.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_ADMIN, env = "PACKAGEPROXY_ADMIN")]
    pub admin: SocketAddr,
}
