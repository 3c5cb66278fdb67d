//! The command line: which command, with which arguments, each also a variable `PACKAGEPROXY_*`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::UnknownFields;

pub mod check;
pub mod client;
pub mod init;
pub mod purge;
pub mod serve;

pub use check::CheckArguments;
pub use client::ClientArguments;
pub use init::InitArguments;
pub use purge::PurgeArguments;
pub use serve::{LogFormat, ServeArguments};

const EXAMPLES: &str = "\
Examples:
  packageproxy                                 the registries that this machine uses, at http://127.0.0.1:8080/<name>/
  packageproxy init > proxies.yaml             the same as manifests, to edit
  packageproxy check -f proxies.yaml           every mistake of the manifests, with file and line
  packageproxy serve -f proxies.yaml           run them; changes of the file are taken over while it runs
  packageproxy client npm                      what npm, pnpm and yarn need to use the proxy
  packageproxy purge --proxy npm --package left-pad";

/// A caching, verifying proxy for package registries.
#[derive(Debug, Parser)]
#[command(name = "packageproxy", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the proxy (the default).
    Serve(ServeArguments),
    /// Print manifests for the registries that this machine's clients use now.
    Init(InitArguments),
    /// Report every mistake of manifests.
    Check(CheckArguments),
    /// Print what each client needs to use a proxy.
    Client(ClientArguments),
    /// Drop what a running proxy has cached of a package.
    Purge(PurgeArguments),
}

impl Cli {
    /// The command; without one, `serve` with the arguments that were given.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// Where the configuration is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ConfigArguments {
    /// Manifest file, or directory of *.yaml, *.yml and *.json files, or - for standard input; repeat for more.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", env = "PACKAGEPROXY_FILE")]
    pub files: Vec<PathBuf>,
    /// Directory of Secrets: `<DIR>/<secret>/<key>`.
    #[arg(long, value_name = "DIR", env = "PACKAGEPROXY_SECRETS")]
    pub secrets: Option<PathBuf>,
    /// What to do with fields that this version does not know.
    #[arg(long, value_enum, default_value_t, env = "PACKAGEPROXY_UNKNOWN_FIELDS")]
    pub unknown_fields: UnknownFieldsArgument,
}

/// The values of `--unknown-fields`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UnknownFieldsArgument {
    /// They are mistakes.
    #[default]
    Refuse,
    /// Report and ignore them: an operator of a newer version wrote the file.
    Warn,
}

impl From<UnknownFieldsArgument> for UnknownFields {
    fn from(argument: UnknownFieldsArgument) -> Self {
        match argument {
            UnknownFieldsArgument::Refuse => Self::Refuse,
            UnknownFieldsArgument::Warn => Self::Warn,
        }
    }
}

/// Runs a command that only prints. A reader that leaves early (`| head`) is no failure.
pub fn print(command: impl FnOnce(&mut dyn Write) -> io::Result<ExitCode>) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = command(&mut out).and_then(|code| out.flush().map(|()| code));
    match result {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests;
