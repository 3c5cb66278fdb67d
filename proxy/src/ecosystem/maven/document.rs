//! Documents of a repository: only looked at, to tell them from a login page or a part, and served byte for byte.

use crate::intent::{Raw, Reading, Unexpected};

/// `maven-metadata.xml`.
pub(super) fn metadata(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let reading = element(raw.bytes, "metadata")?;
    Ok(Reading { revision: last_updated(raw.bytes), ..reading })
}

/// `versioning/lastUpdated`: year to second without anything between.
fn last_updated(bytes: &[u8]) -> Option<u64> {
    let (_, rest) = std::str::from_utf8(bytes).ok()?.split_once("<lastUpdated>")?;
    rest.split_once('<')?.0.trim().parse().ok()
}

/// `archetype-catalog.xml`.
pub(super) fn catalogue(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    element(raw.bytes, "archetype-catalog")
}

/// `.meta/prefixes.txt`: the paths that the repository has anything below. A page in its place would hide everything.
pub(super) fn prefixes(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let is_line = |line: &str| line.is_empty() || line.starts_with(['#', '@', '/']);
    match std::str::from_utf8(raw.bytes) {
        Ok(text) if !text.trim().is_empty() && text.lines().map(str::trim).all(is_line) => Ok(Reading::default()),
        _ => Err(Unexpected("a list of prefixes whose lines are none".to_owned())),
    }
}

/// Checks that the outermost element has this name and that its end is there.
fn element(bytes: &[u8], name: &str) -> Result<Reading, Unexpected> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // The declaration, comments and the kind of document come before it.
    while rest.starts_with("<?") || rest.starts_with("<!") {
        let end = if rest.starts_with("<!--") { "-->" } else { ">" };
        rest = rest.split_once(end).map_or("", |(_, after)| after.trim_start());
    }
    let begins = rest.strip_prefix('<').and_then(|rest| rest.strip_prefix(name));
    let Some(inside) = begins.filter(|rest| rest.starts_with(|next: char| next.is_whitespace() || "/>".contains(next)))
    else {
        return Err(Unexpected(format!("a document whose outermost element is not `{name}`")));
    };
    let is_empty = inside.split_once('>').is_some_and(|(head, after)| head.ends_with('/') && after.trim().is_empty());
    if is_empty || inside.contains(&format!("</{name}")) {
        return Ok(Reading::default());
    }
    Err(Unexpected(format!("a document without the end of its `{name}`")))
}
