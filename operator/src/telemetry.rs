//! The log.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Starts the log. A filter that cannot be read is an error: a mistyped level must not silence it.
pub fn start(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(level.to_lowercase()).map_err(|error| format!("--log-level: {error}"))?;
    let human = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if human { subscriber.try_init() } else { subscriber.json().flatten_event(true).try_init() };
    started.map_err(|error| format!("the log cannot be started: {error}"))
}
