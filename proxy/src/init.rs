//! Finds the registries that this machine's clients use now, so that the first run needs no configuration.
//!
//! No registry is compiled in: an address comes from a client's configuration, else from what the client itself was
//! built with. Each client has one file here.

use std::net::SocketAddr;

use crds::{Ecosystem, Settings};
use futures_util::future::join_all;

pub use machine::Machine;
pub use manifests::manifests;
use search::Search;
pub use search::{Found, NotFound};

mod cargo;
mod container;
mod debian;
mod go;
mod gradle;
mod machine;
mod manifests;
mod maven;
mod npm;
mod pypi;
mod search;

/// What is known of one ecosystem's registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// A client of this ecosystem uses a registry.
    Found(Found),
    /// No client, or none that says where its registry is.
    NotFound(NotFound),
}

/// Looks at every ecosystem's clients. `own` are the addresses on which this program listens: a client that has been
/// set to use the proxy must not become the proxy's upstream.
pub async fn discover(machine: &Machine, own: &[SocketAddr]) -> Vec<Discovery> {
    let each = Ecosystem::ALL.iter().copied().map(|ecosystem| discover_one(machine, ecosystem, own));
    join_all(each).await.concat()
}

async fn discover_one(machine: &Machine, ecosystem: Ecosystem, own: &[SocketAddr]) -> Vec<Discovery> {
    let mut search = Search::new(ecosystem, own);
    // Exhaustive, so that a new ecosystem says how its clients are asked.
    let remedy = match ecosystem {
        Ecosystem::Cargo => cargo::find(machine, &mut search).await,
        Ecosystem::Container => container::find(machine, &mut search).await,
        Ecosystem::Debian => debian::find(machine, &mut search).await,
        Ecosystem::Go => go::find(machine, &mut search).await,
        Ecosystem::Gradle => gradle::REMEDY,
        Ecosystem::Maven => maven::find(machine, &mut search).await,
        Ecosystem::Npm => npm::find(machine, &mut search).await,
        Ecosystem::Pypi => pypi::find(machine, &mut search).await,
    };
    search.finish(remedy)
}

/// The settings of what was found, with every default: what `serve` runs without a file.
pub fn settings(discoveries: &[Discovery]) -> Vec<Settings> {
    let found = discoveries.iter().filter_map(|discovery| match discovery {
        Discovery::Found(found) => Some(found),
        Discovery::NotFound(_) => None,
    });
    found.filter_map(|found| Settings::from_manifest(&found.manifest()).ok()).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
