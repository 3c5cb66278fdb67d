//! Go: what `go env` says, which covers the environment, the file of `go env -w` and the built-in default.

use crds::spec::FallbackTrigger;

use super::machine::Machine;
use super::search::Search;

/// Offers the module proxies that the go command uses here; if the only one is this proxy, the built-in default.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str =
        "install go, or write the address of a module proxy: what `go env GOPROXY` prints where go works";
    let Some((proxies, database)) = settings(machine).await else { return REMEDY };
    if offer_all(search, &proxies, "go env GOPROXY") {
        checksum_database(search, &database);
        return REMEDY;
    }
    let mut bare = machine.without(&["GOPROXY", "GOSUMDB"]);
    bare.environment.insert("GOENV".into(), "off".into());
    if let Some((proxies, database)) = settings(&bare).await
        && offer_all(search, &proxies, "go's own default")
    {
        checksum_database(search, &database);
    }
    REMEDY
}

/// Proxies and checksum database, one a line.
async fn settings(machine: &Machine) -> Option<(String, String)> {
    let output = machine.run("go", &["env", "GOPROXY", "GOSUMDB"]).await?;
    let mut lines = output.lines().map(|line| line.trim().to_owned());
    Some((lines.next()?, lines.next().unwrap_or_default()))
}

/// Offers each address of a list. Whatever stands between them, the next one is asked where a module is missing. Where
/// modules come straight from their origin, a proxy has no part.
fn offer_all(search: &mut Search<'_>, list: &str, read_from: &str) -> bool {
    let mut taken = false;
    for address in list.split([',', '|']).map(str::trim) {
        match address {
            "" | "direct" | "off" => {}
            _ if taken => search.offer_fallback(address, FallbackTrigger::NotFound, read_from),
            _ => taken = search.offer(address, read_from),
        }
    }
    taken
}

/// Takes the name of the database out of `name[+key] [address]`.
fn checksum_database(search: &mut Search<'_>, setting: &str) {
    let name = setting.split(['+', ' ']).next().unwrap_or_default();
    let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if !name.is_empty() && name != "off" && name.bytes().all(is_host) {
        search.checksum_database(name);
    }
}
