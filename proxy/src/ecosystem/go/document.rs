//! The documents about a module: lists of versions, and what a version is.

use serde::Deserialize;

use super::name::is_canonical;
use crate::intent::{Key, Raw, Reading, Unexpected};
use crate::rewrite::json;

/// What is used of an `.info`.
#[derive(Deserialize)]
struct Info {
    #[serde(rename = "Version")]
    version: String,
}

/// Reads a list of versions, which may be empty. As the go command does, it passes over lines that it does not know,
/// but not over a text without any version.
pub(super) fn read_list(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let text = json::text(raw.bytes)?;
    let is_version = |line: &str| line.split_whitespace().next().is_some_and(is_canonical);
    if text.trim().is_empty() || text.lines().any(is_version) {
        return Ok(Reading::default());
    }
    Err(Unexpected("a list of versions without a version".to_owned()))
}

/// Reads what a branch, a commit, a short form or `latest` means now.
pub(super) fn read_version(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    info(json::text(raw.bytes)?).map(|_| Reading::default())
}

/// Whether an `.info` is of the version that was asked for. Of a module that has no `go.mod` the upstream may say so,
/// as the go command allows.
pub(super) fn is_of_version(key: &Key, text: &str) -> Result<(), Unexpected> {
    let version = info(text)?;
    if version.strip_suffix("+incompatible").unwrap_or(&version) == key.version || version == key.version {
        return Ok(());
    }
    Err(Unexpected(format!("the description of {version:?} for the version {:?}", key.version)))
}

fn info(text: &str) -> Result<String, Unexpected> {
    // An array of the right length would do for serde.
    if !text.trim_start().starts_with('{') {
        return Err(Unexpected("a description of a version that is not a JSON object".to_owned()));
    }
    let info: Info = serde_json::from_str(text).map_err(|error| json::broken("the description of a version", &error))?;
    if is_canonical(&info.version) {
        return Ok(info.version);
    }
    Err(Unexpected("a description of a version that names none".to_owned()))
}
