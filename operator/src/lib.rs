//! The control plane of PackageProxy.
//!
//! `run` wires it: `watches` fill `store`s and say whom a change concerns, `queue` hands proxies to workers, and
//! `controller` looks after one at a time. `client` is the only way to the API server, `leader` decides who writes,
//! `poll` asks the proxies themselves.

use std::process::ExitCode;

use clap::Parser as _;

pub mod args;
pub mod backoff;
pub mod client;
pub mod controller;
pub mod definitions;
pub mod events;
pub mod facts;
pub mod health;
pub mod kinds;
pub mod leader;
pub mod metrics;
pub mod object;
pub mod poll;
pub mod probe;
pub mod queue;
pub mod render;
pub mod rollouts;
pub mod run;
pub mod scopes;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod watches;

use args::{Cli, Command};

/// What the binary does.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => {
            if let Err(message) = telemetry::start(&arguments.log_level, arguments.log_format) {
                return failed(&message);
            }
            block_on(async move {
                match run::run(&arguments).await {
                    Ok(code) => code,
                    Err(error) => {
                        tracing::error!(error = %watches::chain(&error), "the operator cannot run");
                        failed(&watches::chain(&error))
                    }
                }
            })
        }
        Command::Crds => print(&format!(
            "{}---\n{}",
            crds::definition::PACKAGE_PROXY_YAML,
            crds::definition::PACKAGE_PROXY_CLASS_YAML
        )),
        Command::Render(arguments) => rendered(&arguments),
        Command::Probe(arguments) => block_on(async move { probe::run(&arguments).await }),
    }
}

/// Prints what manifests would become, or every mistake in them.
fn rendered(arguments: &args::RenderArguments) -> ExitCode {
    let mut documents = Vec::new();
    for file in &arguments.files {
        match read(file) {
            Ok(text) => documents.push(text),
            Err(error) => return failed(&format!("{} cannot be read: {error}", file.display())),
        }
    }
    match render::render(&documents.join("\n---\n"), &(&arguments.site).into()) {
        Ok(text) => print(&text),
        Err(problems) => {
            for problem in problems {
                failed(&problem);
            }
            ExitCode::FAILURE
        }
    }
}

/// A file, or standard input for `-`.
fn read(file: &std::path::Path) -> std::io::Result<String> {
    if file == std::path::Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    }
}

/// Runs a future on a runtime of its own.
fn block_on(future: impl Future<Output = ExitCode>) -> ExitCode {
    // Another TLS provider may be linked in by a dependency; this one is meant.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread works through what is short and never waits; the election goes on in this one. More would mostly wake
    // each other.
    match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(future);
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            code
        }
        Err(error) => failed(&format!("the runtime cannot be started: {error}")),
    }
}

/// Prints a text; a reader that leaves early is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn failed(message: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "packageproxy-operator: {message}");
    ExitCode::FAILURE
}
