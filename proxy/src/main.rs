//! The command `packageproxy`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use proxy::cli::{self, Cli, Command};
use proxy::init::Machine;

fn main() -> ExitCode {
    match Cli::parse().into_command() {
        Command::Init(arguments) => cli::print(|out| cli::init::run(&arguments, &Machine::here(), out)),
        Command::Check(arguments) => cli::print(|out| cli::check::run(&arguments, out)),
        Command::Client(arguments) => cli::print(|out| cli::client::run(&arguments, out)),
        Command::Serve(_) | Command::Purge(_) => {
            let _ = writeln!(std::io::stderr(), "packageproxy: this command is not part of this build yet");
            ExitCode::from(2)
        }
    }
}
