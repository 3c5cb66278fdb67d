//! `packageproxy init`: manifests of the registries that this machine uses, on standard output.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::serve::DEFAULT_LISTEN;
use crate::init::{Discovery, Machine, discover, manifests};

/// What `init` needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct InitArguments {
    /// Address of the proxy's data port: a client that already uses it is asked for its own default.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_LISTEN, env = "PACKAGEPROXY_LISTEN")]
    pub listen: SocketAddr,
}

/// Prints the manifests; fails if no registry was found at all.
pub fn run(arguments: &InitArguments, machine: &Machine, out: &mut dyn Write) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let discoveries = runtime.block_on(discover(machine, &[arguments.listen]));
    out.write_all(manifests(&discoveries).as_bytes())?;
    let any = discoveries.iter().any(|discovery| matches!(discovery, Discovery::Found(_)));
    Ok(if any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
