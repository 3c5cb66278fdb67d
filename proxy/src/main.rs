//! The command `packageproxy`.

use std::process::ExitCode;

use clap::Parser as _;
use proxy::cli::{self, Cli, Command};
use proxy::init::Machine;

fn main() -> ExitCode {
    match Cli::parse().into_command() {
        Command::Serve(arguments) => cli::serve::run(arguments),
        Command::Init(arguments) => cli::print(|out| cli::init::run(&arguments, &Machine::here(), out)),
        Command::Check(arguments) => cli::print(|out| cli::check::run(&arguments, out)),
        Command::Client(arguments) => cli::print(|out| cli::client::run(&arguments, out)),
        Command::Purge(arguments) => cli::print(|out| cli::purge::run(&arguments, out)),
    }
}
