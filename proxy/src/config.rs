//! The configuration: manifests and Secrets from files, read as one snapshot and refused as one list of problems.
//!
//! What a manifest may say is decided in `crds`; here are files, lines, and the objects that manifests refer to.

use std::fmt;
use std::path::{Path, PathBuf};

use crds::{Settings, spec::LogLevel};

use crate::secrets::Secrets;

mod classes;
mod objects;
mod read;
mod references;
mod scalar;
mod snapshot;
mod tree;
#[cfg(feature = "server")]
mod watch;

pub use snapshot::Fingerprint;
#[cfg(feature = "server")]
pub use watch::{POLL_INTERVAL, watch};

/// Everything that the files say.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// One for each `PackageProxy`, in the order of files and documents; no name occurs twice.
    pub settings: Vec<Settings>,
    /// The Secrets and ConfigMaps of the files and of the directory of Secrets; where both have a key, the directory
    /// wins.
    pub secrets: Secrets,
    /// The most verbose `spec.logLevel`, since the process has one log.
    pub log_level: Option<LogLevel>,
    /// What a person should see although the proxy can start; `check` refuses those of [`Severity::Error`].
    pub warnings: Vec<Problem>,
    /// SHA-256 of the manifests in hexadecimal digits; empty if no file holds them.
    pub sha256: String,
    /// Identifies the bytes that were read, for [`fn@watch`].
    pub fingerprint: Fingerprint,
}

/// What to do with fields that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// They are mistakes: a person wrote the file.
    Refuse,
    /// They are reported and ignored: an operator of a newer version wrote the file.
    Warn,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Every problem at once, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// `metadata.generation` of the manifest (of several, the highest), if that could be read.
    pub generation: Option<i64>,
    /// SHA-256 of the manifests in hexadecimal digits.
    pub sha256: String,
    /// What the directory of Secrets holds: a mistake in a manifest is no reason to go on with an old credential.
    pub secrets: Secrets,
}

/// Whether a problem is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Must be corrected.
    Error,
    /// Should be known.
    Advice,
}

/// One problem of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named or found.
    pub file: PathBuf,
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// The field, such as `spec.upstream.url`; empty: the document as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Whether it must be corrected.
    pub severity: Severity,
}

impl Problem {
    /// A mistake in a file as a whole.
    fn of_file(file: &Path, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            field: String::new(),
            message: message.into(),
            remedy: remedy.into(),
            severity: Severity::Error,
        }
    }
}

impl Loaded {
    /// A configuration that no file holds.
    pub fn found(settings: Vec<Settings>, secrets: Secrets) -> Self {
        Self {
            settings,
            secrets,
            log_level: None,
            warnings: Vec::new(),
            sha256: String::new(),
            fingerprint: Fingerprint::default(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file holds what it likes; one problem is one line all the same.
        let line = |text: &str| text.replace(char::is_control, "\u{fffd}");
        write!(formatter, "{}:", line(&self.file.to_string_lossy()))?;
        if self.line > 0 {
            write!(formatter, "{}:", self.line)?;
        }
        if !self.field.is_empty() {
            write!(formatter, " {}:", line(&self.field))?;
        }
        write!(formatter, " {}", line(&self.message))?;
        if !self.remedy.is_empty() {
            write!(formatter, "; {}", line(&self.remedy))?;
        }
        Ok(())
    }
}

/// Reads files, or the `*.yaml`, `*.yml` and `*.json` of directories, and the directory `<secret>/<key>`.
///
/// # Errors
/// Every problem at once, in the order of files and lines.
pub fn load(sources: &[PathBuf], secrets_dir: Option<&Path>, unknown: UnknownFields) -> Result<Loaded, Vec<Problem>> {
    read::interpret(snapshot::take(sources, secrets_dir), unknown).map_err(|refused| refused.problems)
}

#[cfg(test)]
mod tests;
