//! What a private registry has and this machine's may not: dist-tags, search, audit, validators and the abbreviated
//! form, through the proxy to Verdaccio.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::machine::{self, client, node_tool, tests_folder};
use super::proxy::{self, Network, Proxy};
use super::scenario::copy;
use super::scratch::Scratch;

const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

#[test]
#[ignore = "needs Verdaccio: tests/run"]
fn everything_that_npm_asks_a_private_registry() {
    let folder = Scratch::new("verdaccio");
    copy(&tests_folder().join("clients/verdaccio"), &folder);
    let registry = Registry::start(&folder);
    registry.publish();

    let manifests = folder.join("manifests.yaml");
    fs::write(&manifests, registry.manifest()).expect("a manifest");
    // What the registry answers itself must pass first, or the test would blame the proxy.
    surface(&folder, &registry.base);
    let proxy = Proxy::start(&manifests, &folder, ([127, 0, 0, 1], 0).into(), Network::Open);
    let base = proxy.base("npm");
    surface(&folder, &base);

    // Nothing stays fresh here: the second request is revalidated.
    let (status, text) = proxy::get(&format!("{base}needle"), &["Accept: application/json"]);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("fwd-status=304"), "no revalidation in {text}");
    proxy.stop();
}

/// All that a client can see of the registry at `base`.
fn surface(folder: &Path, base: &str) {
    let tags = json!({ "latest": "1.0.0", "beta": "2.0.0-beta.1" });
    assert_eq!(parsed(&npm(folder, base, &["view", "needle", "dist-tags", "--json"])), tags);
    let listed = npm(folder, base, &["dist-tag", "ls", "needle"]);
    assert!(listed.contains("beta: 2.0.0-beta.1"), "{listed}");

    let found = parsed(&npm(folder, base, &["search", "needle", "--json"]));
    assert_eq!(found[0]["name"], "needle", "{found}");

    npm(folder, base, &["install", "needle@beta", "--no-audit"]);
    let installed = fs::read_to_string(folder.join("project/node_modules/needle/package.json")).expect("installed");
    assert_eq!(parsed(&installed)["version"], "2.0.0-beta.1");

    // npm exits with 1 when it finds something.
    let audit = command(folder, base, &["audit", "--json"]).output().expect("npm runs");
    let audit = parsed(&String::from_utf8_lossy(&audit.stdout));
    assert_eq!(audit["vulnerabilities"]["needle"]["severity"], "high", "{audit}");

    let address = format!("{base}needle");
    let (status, full) = proxy::get(&address, &["Accept: application/json"]);
    assert!(status == 200 && full.contains("\"_id\""), "{full}");
    let (status, short) = proxy::get(&address, &[&format!("Accept: {ABBREVIATED}")]);
    assert!(status == 200 && short.contains(ABBREVIATED) && !short.contains("\"_id\""), "{short}");
    let link = format!("\"{base}needle/-/needle-1.0.0.tgz\"");
    assert!(full.contains(&link) && short.contains(&link), "not all links lead to {base}: {full}\n{short}");

    let etag =
        full.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("etag")));
    let (_, etag) = etag.unwrap_or_else(|| panic!("no ETag in {full}"));
    let (status, text) =
        proxy::get(&address, &["Accept: application/json", &format!("If-None-Match: {}", etag.trim())]);
    assert_eq!(status, 304, "{text}");
}

/// npm in the project, with an empty cache and the registry at `base`.
fn command(folder: &Path, base: &str, arguments: &[&str]) -> Command {
    let home = folder.join("home");
    let _ = fs::remove_dir_all(home.join("npm"));
    let mut npm = client("npm", &home);
    npm.current_dir(folder.join("project")).env("npm_config_registry", base).env("npm_config_cache", home.join("npm"));
    npm.env("npm_config_userconfig", folder.join("npmrc")).env("npm_config_globalconfig", home.join("none"));
    npm.env("npm_config_update_notifier", "false").args(arguments);
    npm
}

fn npm(folder: &Path, base: &str, arguments: &[&str]) -> String {
    machine::run(&mut command(folder, base, arguments))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A running Verdaccio.
struct Registry<'a> {
    child: Child,
    folder: &'a Path,
    base: String,
}

impl<'a> Registry<'a> {
    fn start(folder: &'a Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a loopback port");
        let log = fs::File::create(folder.join("verdaccio.log")).expect("a log file");
        let mut node = client("node", folder);
        node.arg(node_tool("verdaccio/bin/verdaccio")).arg("--config").arg(folder.join("config.yaml"));
        node.args(["--listen", &address.to_string()]).stdout(log).stderr(Stdio::null());
        let registry = Self { child: node.spawn().expect("node"), folder, base: format!("http://{address}/") };
        let mut ping = Command::new("curl");
        ping.args(["-sSf", "--noproxy", "*", "--retry", "60", "--retry-connrefused", "--retry-delay", "1"]);
        machine::run(ping.arg(format!("{}-/ping", registry.base)));
        registry
    }

    /// Makes a user and publishes `needle` 1.0.0 and, under the tag `beta`, 2.0.0-beta.1.
    fn publish(&self) {
        let user = json!({ "name": "publisher", "password": "a long enough password" }).to_string();
        let mut put = Command::new("curl");
        put.args(["-sSf", "--noproxy", "*", "-X", "PUT", "-H", "Content-Type: application/json", "-d", &user]);
        let answer = parsed(&machine::run(put.arg(format!("{}-/user/org.couchdb.user:publisher", self.base))));
        let host = self.base.trim_start_matches("http:");
        let settings = format!("{host}:_authToken={}\n", answer["token"].as_str().expect("a token"));
        fs::write(self.folder.join("npmrc"), settings).expect("settings");

        let package = self.folder.join("needle");
        let publish = |tag: &str| {
            let mut npm = command(self.folder, &self.base, &["publish", "--tag", tag]);
            machine::run(npm.current_dir(&package));
        };
        publish("latest");
        let manifest = package.join("package.json");
        let text = fs::read_to_string(&manifest).expect("a manifest").replace("1.0.0", "2.0.0-beta.1");
        fs::write(manifest, text).expect("a writable manifest");
        publish("beta");
    }

    fn manifest(&self) -> String {
        format!(
            "apiVersion: packageproxy.dev/v1alpha1\nkind: PackageProxy\nmetadata:\n  name: npm\nspec:\n  \
             ecosystem: npm\n  upstream:\n    url: {}\n  cache:\n    metadataTTL: 0s\n",
            self.base
        )
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
