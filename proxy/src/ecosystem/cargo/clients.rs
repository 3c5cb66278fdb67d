//! What cargo needs to use the proxy.

use crate::client::ClientSetup;

/// The set-up. Cargo takes the replacement of its default source from a file or `--config` only, not from the
/// environment; the variable makes the proxy known as a registry, for `cargo search --registry packageproxy`.
pub(super) fn clients(base: &str) -> Vec<ClientSetup> {
    let index = format!("sparse+{base}");
    vec![ClientSetup {
        client: "cargo",
        command: format!(
            "cargo --config 'source.crates-io.replace-with=\"packageproxy\"' \
             --config 'registries.packageproxy.index=\"{index}\"' fetch"
        ),
        environment: vec![("CARGO_REGISTRIES_PACKAGEPROXY_INDEX", index.clone())],
        files: vec![(
            ".cargo/config.toml",
            format!(
                "[source.crates-io]\nreplace-with = \"packageproxy\"\n\n[registries.packageproxy]\nindex = \"{index}\"\n"
            ),
        )],
    }]
}
