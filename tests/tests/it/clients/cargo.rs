//! cargo, with the proxy in place of its default registry and as a registry of its own name.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::machine::{self, cargo_configuration, client};
use super::scenario::{Run, Scenario};

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn cargo_fetches_a_workspace_by_source_replacement() {
    let tree = scenario("cargo fetch", "cargo/workspace").run(|run| {
        let replacement = run.registry.map(|base| {
            format!("[source.crates-io]\nreplace-with = \"proxy\"\n[source.proxy]\nregistry = \"sparse+{base}\"\n")
        });
        machine::run(cargo(run, replacement).args(["fetch", "--locked"]));
        crates(run)
    });
    assert!(tree.count(".crate") >= 200);
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn cargo_resolves_and_builds_from_a_named_registry() {
    let tree = scenario("cargo build", "cargo/small").run(|run| {
        let registry = run.registry.map(|base| format!("[registries.proxy]\nindex = \"sparse+{base}\"\n"));
        if registry.is_none() {
            // Without the proxy the same crates come from the default registry.
            let manifest = run.project.join("Cargo.toml");
            let text = fs::read_to_string(&manifest).expect("a manifest").replace(", registry = \"proxy\"", "");
            fs::write(manifest, text).expect("a writable manifest");
        }
        let target = run.project.join("target");
        machine::run(cargo(run, registry).arg("build").env("CARGO_TARGET_DIR", &target));
        let printed = machine::run(&mut Command::new(target.join("debug/small")));
        assert_eq!(printed, "{\"built\":\"1\"}\n");
        crates(run)
    });
    assert!(tree.count(".crate") >= 3);
}

fn scenario(name: &'static str, application: &'static str) -> Scenario {
    Scenario { name, application, proxy: "cargo", never_asked: "ne/ve/never-asked-for", except: &[] }
}

/// cargo with an empty home of its own, which holds only this configuration or, without one, the machine's.
fn cargo(run: &Run<'_>, configuration: Option<String>) -> Command {
    let home = run.home.join("cargo");
    fs::create_dir_all(&home).expect("a home");
    if let Some(text) = configuration.or_else(cargo_configuration) {
        fs::write(home.join("config.toml"), text).expect("a configuration");
    }
    let mut cargo = client("cargo", run.home);
    cargo.current_dir(run.project).env("CARGO_HOME", home);
    cargo
}

/// The folder of the downloaded crates, whose name is that of the registry.
fn crates(run: &Run<'_>) -> PathBuf {
    let cache = run.home.join("cargo/registry/cache");
    let folders: Vec<_> = fs::read_dir(&cache).expect("a cache").map(|item| item.expect("an entry").path()).collect();
    let [folder] = folders.as_slice() else { panic!("more than one registry: {folders:?}") };
    folder.clone()
}
