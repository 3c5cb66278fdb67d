//! cargo: its source replacement, else the sparse index that it has fetched already.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use toml::{Table, Value};

use super::machine::Machine;
use super::search::Search;

/// cargo's name for the source that dependencies come from unless they say otherwise.
const DEFAULT_SOURCE: &str = "crates-io";

/// Offers the registry that cargo uses here.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str = "run `cargo fetch` once in any project with a dependency, or write the address of a sparse \
                          index without `sparse+`";
    let (machine, read) = (machine.clone(), |machine: Machine| {
        let home = cargo_home(&machine);
        let configuration = Configuration::read(&machine, home.as_deref());
        let replacement = configuration.replacement(&machine);
        let folders = home.map_or_else(Vec::new, |home| index_folders(&home, &configuration.registry_hosts()));
        (replacement, folders)
    });
    let Ok((replacement, folders)) = tokio::task::spawn_blocking(move || read(machine)).await else { return REMEDY };
    if let Some((address, read_from)) = replacement {
        match address.strip_prefix("sparse+") {
            Some(address) if search.offer(address, &read_from) => return REMEDY,
            Some(_) => {}
            None => search.note(format!("passed over {read_from}: not a sparse index")),
        }
    }
    let mut folders = folders.into_iter();
    let taken = folders.by_ref().find(|(host, folder)| {
        search.offer(&format!("https://{host}/"), &format!("the index that cargo has fetched, {}", folder.display()))
    });
    if taken.is_some() {
        for (host, _) in folders {
            search.note(format!("cargo has also fetched an index from {host}"));
        }
    }
    REMEDY
}

fn cargo_home(machine: &Machine) -> Option<PathBuf> {
    let home = machine.variable("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| machine.home().map(|home| home.join(".cargo")))
}

/// The configuration files that cargo reads here, the one that wins first.
struct Configuration(Vec<(PathBuf, Table)>);

impl Configuration {
    fn read(machine: &Machine, home: Option<&Path>) -> Self {
        let nearby = machine.directory.ancestors().map(|directory| directory.join(".cargo"));
        let mut folders: Vec<PathBuf> = nearby.chain(home.map(Path::to_owned)).collect();
        folders.dedup();
        let file = |folder: PathBuf| {
            // Where both exist, cargo reads the one without an extension.
            let (path, text) = ["config", "config.toml"].into_iter().find_map(|name| {
                let path = folder.join(name);
                std::fs::read_to_string(&path).ok().map(|text| (path, text))
            })?;
            Some((path, text.parse::<Table>().ok()?))
        };
        Self(folders.into_iter().filter_map(file).collect())
    }

    /// The text at `table.name.key` and the file that gives it.
    fn text(&self, table: &str, name: &str, key: &str) -> Option<(String, &Path)> {
        let text = |content: &Table| content.get(table)?.get(name)?.get(key)?.as_str().map(ToOwned::to_owned);
        self.0.iter().find_map(|(path, content)| Some((text(content)?, path.as_path())))
    }

    /// Follows `replace-with` from the default source to the address of an index.
    fn replacement(&self, machine: &Machine) -> Option<(String, String)> {
        let mut source = DEFAULT_SOURCE.to_owned();
        // Bounded: a chain may lead back to itself.
        for _ in 0..8 {
            let Some((next, _)) = self.text("source", &source, "replace-with") else { break };
            source = next;
        }
        if source == DEFAULT_SOURCE {
            return None;
        }
        if let Some((address, path)) = self.text("source", &source, "registry") {
            return Some((address, format!("source.{source} in {}", path.display())));
        }
        let variable = format!("CARGO_REGISTRIES_{}_INDEX", source.to_uppercase().replace('-', "_"));
        if let Some(address) = machine.variable(&variable) {
            return Some((address, format!("the environment variable {variable}")));
        }
        let (address, path) = self.text("registries", &source, "index")?;
        Some((address, format!("registries.{source} in {}", path.display())))
    }

    /// The hosts of named registries: their folders do not belong to the default source.
    fn registry_hosts(&self) -> Vec<String> {
        let tables = self.0.iter().filter_map(|(_, content)| content.get("registries")?.as_table());
        let indexes =
            tables.flat_map(Table::values).filter_map(|registry| registry.get("index").and_then(Value::as_str));
        let host = |index: &str| {
            let url = url::Url::parse(index.strip_prefix("sparse+").unwrap_or(index)).ok()?;
            url.host_str().map(ToOwned::to_owned)
        };
        indexes.filter_map(host).collect()
    }
}

/// The sparse indexes below `registry/index`, the one used last first: host, and the folder `<host>-<hash>`. Those of
/// `others` and of this machine are left out: nobody else's index lies at the root of such a host.
fn index_folders(home: &Path, others: &[String]) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(home.join("registry/index")).into_iter().flatten().flatten();
    let mut found: Vec<(SystemTime, String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = entry.file_name().into_string().ok()?;
            let (host, hash) = name.rsplit_once('-')?;
            let is_hash = hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok();
            // Only a sparse index has its config.json here; that of a git index is inside the repository.
            let used = std::fs::metadata(path.join("config.json")).and_then(|file| file.modified()).ok()?;
            let is_candidate = is_hash && !is_local && !others.iter().any(|other| other == host);
            is_candidate.then(|| (used, host.to_owned(), path))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, host, path)| (host, path)).collect()
}
