//! Container clients: the registries that containerd, and podman with its kin, are set up for. None has one registry
//! for all names, so without such a set-up there is none to be found.

use std::path::{Path, PathBuf};

use crds::settings::{HUB, HUB_HOSTS};
use toml::{Table, Value};

use super::machine::Machine;
use super::search::{Search, label};

/// Offers the registries that clients here have been told about. Each is a proxy of its own.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str = "an image's name begins with its registry: write the address above v2/ of the one to keep \
                          close by, and its name as upstream.namespace where that is another";
    let machine = machine.clone();
    let Ok(found) = tokio::task::spawn_blocking(move || registries(&machine)).await else { return REMEDY };
    let mut seen: Vec<String> = Vec::new();
    for Registry { namespace, address, read_from } in found {
        // What containerd has been told comes first.
        if !seen.contains(&namespace)
            && let Some(found) = search.offer_another(&serving(&address), &read_from, &label(&namespace))
        {
            let is_told = found.url.authority() == namespace;
            found.namespace = (!is_told).then(|| namespace.clone());
            seen.push(namespace);
        }
    }
    REMEDY
}

/// The address that serves the images of a registry: clients know of one that its name leads nowhere.
fn serving(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, HUB)) => format!("{scheme}://{}{HUB}", HUB_HOSTS[0]),
        _ => address.to_owned(),
    }
}

struct Registry {
    namespace: String,
    address: String,
    read_from: String,
}

fn registries(machine: &Machine) -> Vec<Registry> {
    let mut found = containerd(Path::new("/etc/containerd/certs.d"));
    let own = machine.home().map(|home| home.join(".config/containers/registries.conf"));
    let told = machine.variable("CONTAINERS_REGISTRIES_CONF").map(PathBuf::from);
    for path in told.into_iter().chain(own).chain([PathBuf::from("/etc/containers/registries.conf")]) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        found.extend(shared(&text, &path));
    }
    found
}

/// One folder a registry, named by its host.
fn containerd(folder: &Path) -> Vec<Registry> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let registry = |folder: PathBuf| {
        let path = folder.join("hosts.toml");
        let namespace = folder.file_name()?.to_str().filter(|name| *name != "_default")?.to_owned();
        let table: Table = std::fs::read_to_string(&path).ok()?.parse().ok()?;
        let server = table.get("server").and_then(Value::as_str).map(ToOwned::to_owned);
        let address = server.unwrap_or_else(|| format!("https://{namespace}"));
        let address = address.trim_end_matches('/').trim_end_matches("/v2").to_owned();
        Some(Registry { namespace, address, read_from: path.display().to_string() })
    };
    folders.into_iter().filter_map(registry).collect()
}

/// The tables of the second form of `registries.conf`.
fn shared(text: &str, path: &Path) -> Vec<Registry> {
    let Ok(table) = text.parse::<Table>() else { return Vec::new() };
    let registry = |entry: &Value| {
        let location = entry.get("location")?.as_str()?;
        let namespace = entry.get("prefix").and_then(Value::as_str).unwrap_or(location);
        let insecure = entry.get("insecure").and_then(Value::as_bool).unwrap_or_default();
        // A part of a registry is no upstream of its own, and a pattern names none.
        (!location.contains(['/', '*']) && !namespace.contains(['/', '*'])).then(|| Registry {
            namespace: namespace.to_owned(),
            address: format!("{}://{location}", if insecure { "http" } else { "https" }),
            read_from: path.display().to_string(),
        })
    };
    table.get("registry").and_then(Value::as_array).into_iter().flatten().filter_map(registry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(registries: &[Registry]) -> Vec<(&str, &str)> {
        registries.iter().map(|registry| (registry.namespace.as_str(), registry.address.as_str())).collect()
    }

    #[test]
    fn folders_of_containerd() {
        let folder = tempfile::tempdir().unwrap();
        for (host, text) in [
            ("_default", "server = \"https://default.example\"\n"),
            ("a.example", "server = \"https://api.a.example/v2/\"\n[host.\"http://127.0.0.1:8080/a/v2\"]\n"),
            ("b.example:5000", "[host.\"http://127.0.0.1:8080\"]\n"),
            ("broken.example", "server ="),
        ] {
            std::fs::create_dir(folder.path().join(host)).unwrap();
            std::fs::write(folder.path().join(host).join("hosts.toml"), text).unwrap();
        }
        let registries = containerd(folder.path());
        let expected = [("a.example", "https://api.a.example"), ("b.example:5000", "https://b.example:5000")];
        assert_eq!(found(&registries), expected);
        assert!(containerd(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn the_shared_configuration() {
        let text = "unqualified-search-registries = [\"search.example\"]\n[[registry]]\nprefix = \"a.example\"\n\
                    location = \"api.a.example\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:8080/a\"\n[[registry]]\n\
                    location = \"127.0.0.1:5000\"\ninsecure = true\n[[registry]]\nlocation = \"b.example/team\"\n\
                    [[registry]]\nprefix = \"*.c.example\"\n";
        let registries = shared(text, Path::new("registries.conf"));
        let expected = [("a.example", "https://api.a.example"), ("127.0.0.1:5000", "http://127.0.0.1:5000")];
        assert_eq!(found(&registries), expected);
        assert!(shared("[[registry", Path::new("x")).is_empty());
    }
}
