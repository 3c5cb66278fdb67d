//! apt: what it would ask for in an update, which covers both forms of its sources. Each archive is a proxy of its own.

use super::machine::Machine;
use super::search::{Search, label};

/// Offers the archives that apt uses here.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str = "write the address of an archive: the URI of a line in apt's sources, without suite and \
                          components";
    // Prints and fetches nothing.
    let Some(printed) = machine.run("apt-get", &["--print-uris", "update"]).await else { return REMEDY };
    let mut seen: Vec<&str> = Vec::new();
    for address in printed.lines().filter_map(root) {
        if !seen.contains(&address) {
            seen.push(address);
            search.offer_another(address, "apt's sources", &suffix(address));
        }
    }
    REMEDY
}

/// The root of the archive in a line `'URI' FILE SIZE`, where the URI is of a suite's head.
fn root(line: &str) -> Option<&str> {
    let address = line.strip_prefix('\'')?.split('\'').next()?.strip_suffix("InRelease")?;
    // The head of a flat repository lies beside its packages.
    Some(address.split_once("/dists/").map_or(address.trim_end_matches("./"), |(root, _)| root))
}

/// What tells an archive from others: the last part of its path, as in `.../debian-security/`.
fn suffix(address: &str) -> String {
    let last = address.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = label(last.strip_prefix("debian-").unwrap_or(last));
    if name.is_empty() { "archive".to_owned() } else { name }
}
