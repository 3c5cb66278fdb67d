//! pip: its environment variable, its configuration, else the index that it was built with.

use super::machine::Machine;
use super::search::Search;

/// Prints the index that pip was built with.
const DEFAULT_INDEX: &str = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";

/// Offers the index that pip uses here.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str = "install pip, or write the address of an index without its final simple/";
    if let Some(index) = machine.variable("PIP_INDEX_URL")
        && offer(search, &index, "the environment variable PIP_INDEX_URL")
    {
        return REMEDY;
    }
    for (program, arguments) in
        [("pip", &["config", "list"][..]), ("pip3", &["config", "list"]), ("python3", &["-m", "pip", "config", "list"])]
    {
        let Some(listing) = machine.run(program, arguments).await else { continue };
        for (key, index) in index_urls(&listing) {
            if offer(search, &index, &format!("pip config list ({key})")) {
                return REMEDY;
            }
        }
        break;
    }
    for python in ["python3", "python"] {
        if let Some(index) = machine.run(python, &["-c", DEFAULT_INDEX]).await {
            offer(search, &index, "pip's own default");
            break;
        }
    }
    REMEDY
}

/// Offers the address above `simple/`: the proxy appends that itself.
fn offer(search: &mut Search<'_>, index: &str, read_from: &str) -> bool {
    let address = index.trim().trim_end_matches('/');
    let Some(base) = address.strip_suffix("/simple") else {
        search.note(format!("passed over {read_from}: the index does not end in /simple/"));
        return false;
    };
    search.offer(&format!("{base}/"), read_from)
}

/// The index addresses of `pip config list`, the one that counts for `pip install` first.
fn index_urls(listing: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for key in [":env:.index-url", "install.index-url", "global.index-url"] {
        let value = listing.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        if let Some(value) = value {
            found.push((key.to_owned(), value.trim().trim_matches(['\'', '"']).to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_an_install_comes_first() {
        let listing = "global.cert='/etc/ca.crt'\nglobal.index-url='https://a.example/simple'\n\
                       install.index-url='https://b.example/simple'\n";
        let found: Vec<String> = index_urls(listing).into_iter().map(|(_, index)| index).collect();
        assert_eq!(found, ["https://b.example/simple", "https://a.example/simple"]);
    }
}
