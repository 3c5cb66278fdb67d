//! The machine as `init` sees it: environment, home, working directory, programs with a time limit.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long a client may take to say what it is set to. A cold npm needs about two seconds.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Longest output that is read as configuration.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Where clients and their configuration are looked for.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Environment variables.
    pub environment: BTreeMap<OsString, OsString>,
    /// The working directory, whose ancestors may hold configuration.
    pub directory: PathBuf,
}

impl Machine {
    /// This process's machine.
    pub fn here() -> Self {
        Self {
            environment: std::env::vars_os().collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// An environment variable that is text and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = self.environment.get(&OsString::from(name))?.to_str()?;
        (!value.trim().is_empty()).then(|| value.to_owned())
    }

    /// The home directory.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").or_else(|| self.variable("USERPROFILE")).map(PathBuf::from)
    }

    /// What a program prints; `None` if it is absent, fails, or takes too long.
    pub(super) async fn run(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(TIME_LIMIT, command.output()).await.ok()?.ok()?;
        let is_usable = output.status.success() && output.stdout.len() <= OUTPUT_LIMIT;
        if is_usable { String::from_utf8(output.stdout).ok() } else { None }
    }

    /// The same machine without some environment variables, whatever their case.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        let mut machine = self.clone();
        machine.environment.retain(|name, _| !names.iter().any(|other| name.eq_ignore_ascii_case(other)));
        machine
    }
}
