//! `packageproxy check`: every mistake at once, one a line, or one line that says what is there.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::ConfigArguments;
use crate::config::{self, Loaded, Problem, Severity};

/// What to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct CheckArguments {
    /// Files and Secrets.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// Prints problems as `file:line: field: message; remedy`. Fails on every mistake, missing Secrets among them, and not
/// on advice.
pub fn run(arguments: &CheckArguments, out: &mut dyn Write) -> io::Result<ExitCode> {
    let ConfigArguments { files, secrets, unknown_fields } = &arguments.config;
    if files.is_empty() {
        writeln!(out, "nothing to check: name files or directories with -f")?;
        return Ok(ExitCode::from(2));
    }
    match config::load(files, secrets.as_deref(), (*unknown_fields).into()) {
        Err(problems) => refuse(&problems, out),
        Ok(loaded) if loaded.warnings.iter().any(|warning| warning.severity == Severity::Error) => {
            refuse(&loaded.warnings, out)
        }
        Ok(loaded) => accept(&loaded, out),
    }
}

fn refuse(problems: &[Problem], out: &mut dyn Write) -> io::Result<ExitCode> {
    print(problems, out)?;
    let count = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    writeln!(out, "{count} {}", if count == 1 { "problem" } else { "problems" })?;
    Ok(ExitCode::FAILURE)
}

fn accept(loaded: &Loaded, out: &mut dyn Write) -> io::Result<ExitCode> {
    print(&loaded.warnings, out)?;
    let proxies = loaded.settings.iter().map(|proxy| {
        let upstream = match &proxy.upstream {
            upstream if upstream.is_none() => "no upstream".to_owned(),
            upstream => crate::fetch::SafeUrl::from(upstream.url.clone()).to_string(),
        };
        format!("{} ({}, {upstream})", proxy.name, proxy.ecosystem)
    });
    writeln!(out, "OK: {}", proxies.collect::<Vec<_>>().join(", "))?;
    Ok(ExitCode::SUCCESS)
}

fn print(problems: &[Problem], out: &mut dyn Write) -> io::Result<()> {
    for problem in problems {
        let advice = if problem.severity == Severity::Advice { "advice: " } else { "" };
        writeln!(out, "{advice}{problem}")?;
    }
    Ok(())
}
