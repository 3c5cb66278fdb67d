//! The log: lines for people on a terminal, JSON otherwise, on standard error. Its level can change while it runs.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

pub use pending::Pending;

mod pending;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people where standard error is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Changes the level of the log.
#[derive(Clone, Debug)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

/// Starts the log. `RUST_LOG`, where set, beats `level`. Whoever leaves flushes what is pending.
pub fn start(format: Format, level: &str) -> (Level, Pending) {
    let (filter, handle) = reload::Layer::new(filter(level));
    let json = match format {
        Format::Json => true,
        Format::Human => false,
        Format::Auto => !std::io::stderr().is_terminal(),
    };
    let pending = Pending::to(std::io::stderr(), json);
    let writer = pending.clone();
    let layer = if json {
        fmt::layer().json().flatten_event(true).with_writer(move || writer.clone()).boxed()
    } else {
        fmt::layer().compact().with_ansi(std::io::stderr().is_terminal()).with_writer(move || writer.clone()).boxed()
    };
    // A second start, as in tests, keeps the first log.
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    (Level(handle), pending)
}

impl Level {
    /// Sets the level: `error`, `warn`, `info`, `debug` or `trace`.
    pub fn set(&self, level: &str) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(error = %error, "the level of the log cannot be changed");
        }
    }
}

/// Our own rooms and the access lines at `level`; libraries only when something is wrong.
fn filter(level: &str) -> EnvFilter {
    match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::new(directives),
        _ => EnvFilter::new(format!("warn,packageproxy={level},proxy={level},access={level}")),
    }
}
