//! npm, pnpm, Yarn classic and a current Yarn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::machine::{self, client, node_tool, npm_authorities, npm_registry};
use super::scenario::{Run, Scenario};

/// npm's copy of the lock, which records where each package came from.
const HIDDEN_LOCK: &str = ".package-lock.json";

const NEVER_ASKED: &str = "never-asked-for";

fn large(name: &'static str) -> Scenario {
    let application = "npm/large";
    Scenario { name, application, proxy: "npm", never_asked: NEVER_ASKED, except: &[HIDDEN_LOCK] }
}

fn small(name: &'static str, except: &'static [&'static str]) -> Scenario {
    Scenario { name, application: "npm/small", proxy: "npm", never_asked: NEVER_ASKED, except }
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn npm_ci_with_a_lock_that_names_no_registry() {
    let tree = large("npm ci").run(|run| npm(run, &["ci"]));
    assert!(tree.count("/package.json") >= 500);
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn npm_ci_with_a_lock_that_names_the_registry_behind_the_proxy() {
    let registry = npm_registry();
    let tree = large("npm ci, resolved").run(|run| {
        name_registry(&run.project.join("package-lock.json"), &registry);
        npm(run, &["ci"])
    });
    assert!(tree.count("/package.json") >= 500);
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn npm_install_without_a_lock() {
    small("npm install", &[HIDDEN_LOCK]).run(|run| {
        let tree = npm(run, &["install"]);
        let lock = json(&run.project.join("package-lock.json"));
        let packages = lock["packages"].as_object().expect("packages");
        // The entry without a name is the application itself.
        let resolved: Vec<_> =
            packages.iter().filter(|(path, _)| !path.is_empty()).map(|(_, at)| &at["resolved"]).collect();
        assert!(resolved.len() >= 30);
        all_below(run, resolved.into_iter().map(|address| address.as_str().expect("resolved")));
        tree
    });
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn pnpm_install() {
    // The first records registries and the time, the second the time.
    let except = &[".modules.yaml", ".pnpm-workspace-state-v1.json"];
    small("pnpm install", except).run(|run| {
        let mut pnpm = node(run, "pnpm/bin/pnpm.cjs");
        pnpm.args(["install", "--ignore-scripts", "--store-dir"]).arg(run.home.join("store"));
        machine::run(&mut pnpm);
        let lock = read(&run.project.join("pnpm-lock.yaml"));
        assert!(lock.matches("integrity:").count() >= 30, "{lock}");
        assert!(!lock.contains("tarball:"), "an unconventional address in {lock}");
        run.project.join("node_modules")
    });
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn yarn_classic_install() {
    // Yarn's note of the lock, addresses included.
    small("yarn 1 install", &[".yarn-integrity"]).run(|run| {
        let mut yarn = node(run, "yarn/bin/yarn.js");
        yarn.args(["install", "--ignore-scripts", "--non-interactive", "--no-default-rc", "--cache-folder"]);
        yarn.arg(run.home.join("cache")).args(["--registry", &registry(run)]);
        machine::run(&mut yarn);
        let lock = read(&run.project.join("yarn.lock"));
        let resolved: Vec<_> = lock
            .lines()
            .filter_map(|line| line.strip_prefix("  resolved \""))
            .map(|rest| rest.trim_end_matches('"'))
            .collect();
        assert!(resolved.len() >= 30, "{lock}");
        all_below(run, resolved.into_iter());
        run.project.join("node_modules")
    });
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn yarn_current_install() {
    small("yarn 4 install", &[]).run(|run| {
        fs::write(run.project.join("yarn.lock"), "").expect("an empty lock: the root of a project");
        let mut yarn = node(run, "@yarnpkg/cli-dist/bin/yarn.js");
        yarn.env("YARN_NPM_REGISTRY_SERVER", registry(run).trim_end_matches('/'));
        yarn.env("YARN_UNSAFE_HTTP_WHITELIST", "127.0.0.1");
        yarn.env("YARN_NODE_LINKER", "node-modules").env("YARN_ENABLE_GLOBAL_CACHE", "false");
        yarn.env("YARN_ENABLE_SCRIPTS", "false").env("YARN_ENABLE_TELEMETRY", "0");
        yarn.env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false");
        if let Some(file) = npm_authorities() {
            yarn.env("YARN_HTTPS_CA_FILE_PATH", file);
        }
        machine::run(yarn.arg("install"));
        let lock = read(&run.project.join("yarn.lock"));
        assert!(lock.matches("checksum:").count() >= 30, "{lock}");
        assert!(!lock.contains("__archiveUrl"), "an unconventional address in {lock}");
        run.project.join("node_modules")
    });
}

/// Runs npm with stock settings and returns the installed tree.
fn npm(run: &Run<'_>, arguments: &[&str]) -> PathBuf {
    let mut npm = with_settings(client("npm", run.home), run);
    // Scripts do what they like, and not through the registry.
    machine::run(npm.args(arguments).arg("--ignore-scripts"));
    run.project.join("node_modules")
}

/// A client that is a script of the tests' own tools.
fn node(run: &Run<'_>, script: &str) -> Command {
    let mut node = with_settings(client("node", run.home), run);
    node.arg(node_tool(script));
    node
}

/// The settings that npm's relatives read too: registry, authorities, and a cache in the empty home.
fn with_settings(mut command: Command, run: &Run<'_>) -> Command {
    command.current_dir(run.project);
    command.env("npm_config_registry", registry(run)).env("npm_config_cache", run.home.join("npm"));
    command.env("npm_config_userconfig", run.home.join("npmrc")).env("npm_config_globalconfig", run.home.join("none"));
    command.env("npm_config_update_notifier", "false");
    if let Some(file) = npm_authorities() {
        command.env("npm_config_cafile", file);
    }
    command
}

fn registry(run: &Run<'_>) -> String {
    run.registry.map_or_else(npm_registry, ToOwned::to_owned)
}

/// Through the proxy, no link that a client was given may lead past it.
fn all_below<'a>(run: &Run<'_>, mut addresses: impl Iterator<Item = &'a str>) {
    if let Some(base) = run.registry {
        assert_eq!(addresses.find(|address| !address.starts_with(base)), None);
    }
}

/// Writes into each entry of a lock the conventional address of its tarball, as a lock made without the proxy has it.
fn name_registry(path: &Path, registry: &str) {
    let mut lock = json(path);
    for (folder, entry) in lock["packages"].as_object_mut().expect("packages") {
        let Some((_, installed_as)) = folder.rsplit_once("node_modules/") else { continue };
        let name = entry["name"].as_str().unwrap_or(installed_as);
        let file = name.rsplit('/').next().unwrap_or(name);
        let version = entry["version"].as_str().expect("a version");
        entry["resolved"] = format!("{registry}{name}/-/{file}-{version}.tgz").into();
    }
    fs::write(path, lock.to_string()).expect("a writable lock");
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_conventional_address_is_written_into_every_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package-lock.json");
    let lock = serde_json::json!({ "packages": {
        "": { "name": "application" },
        "node_modules/one": { "version": "1.0.0" },
        "node_modules/one/node_modules/@scope/two": { "version": "2.0.0-rc.1" },
        "node_modules/alias": { "name": "@scope/three", "version": "3.0.0" },
    }});
    fs::write(&path, lock.to_string()).unwrap();
    name_registry(&path, "https://registry.example/npm/");
    let packages = &json(&path)["packages"];
    for (folder, address) in [
        ("node_modules/one", "https://registry.example/npm/one/-/one-1.0.0.tgz"),
        ("node_modules/one/node_modules/@scope/two", "https://registry.example/npm/@scope/two/-/two-2.0.0-rc.1.tgz"),
        ("node_modules/alias", "https://registry.example/npm/@scope/three/-/three-3.0.0.tgz"),
    ] {
        assert_eq!(packages[folder]["resolved"], address);
    }
    assert_eq!(packages[""]["resolved"], Value::Null);
}
