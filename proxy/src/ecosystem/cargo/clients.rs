//! What cargo needs to use the proxy.

use crate::client::{ClientSetup, Endpoint};

/// The set-up. Cargo takes the replacement of its default source from a file or `--config` only, not from the
/// environment; the variable makes the proxy known as a registry, for `cargo search --registry packageproxy`.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    let index = format!("sparse+{base}");
    let mut command = format!(
        "cargo --config 'source.crates-io.replace-with=\"packageproxy\"' \
         --config 'registries.packageproxy.index=\"{index}\"'"
    );
    let mut environment = vec![("CARGO_REGISTRIES_PACKAGEPROXY_INDEX", index.clone())];
    let mut file = format!(
        "[source.crates-io]\nreplace-with = \"packageproxy\"\n\n[registries.packageproxy]\nindex = \"{index}\"\n"
    );
    if let Some(authority) = authority {
        command = format!("{command} --config 'http.cainfo=\"{authority}\"'");
        environment.push(("CARGO_HTTP_CAINFO", authority.to_owned()));
        file = format!("{file}\n[http]\ncainfo = \"{authority}\"\n");
    }
    vec![ClientSetup {
        client: "cargo",
        command: format!("{command} fetch"),
        environment,
        files: vec![(".cargo/config.toml", file)],
    }]
}
