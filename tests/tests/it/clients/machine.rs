//! This machine: where its clients install from, where the tests keep their tools, and an environment that holds
//! nothing of its settings but the way out and the certificate authorities.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables that a client may inherit: how programs are found, how the network is reached and whom TLS trusts.
const INHERITED: &[&str] = &[
    "PATH",
    "LANG",
    "TMPDIR",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
];

/// The folder `tests` of the repository.
pub(super) fn tests_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A program of `tests/.tools/python`.
pub(super) fn python_tool(name: &str) -> PathBuf {
    tool(&format!("python/bin/{name}"))
}

/// A script of `tests/.tools/npm`, to be run with node.
pub(super) fn node_tool(script: &str) -> PathBuf {
    tool(&format!("npm/node_modules/{script}"))
}

/// The program that fetches sbt and starts it.
pub(super) fn sbt_launcher() -> PathBuf {
    tool("sbt/sbt-launch.jar")
}

fn tool(path: &str) -> PathBuf {
    let tool = tests_folder().join(".tools").join(path);
    assert!(tool.exists(), "{} is absent: run tests/install", tool.display());
    tool
}

/// A client with empty caches and stock settings, whose home is `home`.
pub(super) fn client(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // The toolchain is found through the real home.
    if let (None, Some(real)) = (std::env::var_os("RUSTUP_HOME"), std::env::home_dir()) {
        command.env("RUSTUP_HOME", real.join(".rustup"));
    }
    // What is unpacked on the way is a part of what is installed.
    if home.is_dir() {
        let temporary = home.join("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder");
        command.env("TMPDIR", temporary);
    }
    command.env("HOME", home).env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    command
}

/// Runs a command to its end and returns what it printed on standard output.
///
/// # Panics
/// If it fails, with everything that it printed.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{printed}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// One setting as the machine's own client reports it; `None` where it is not set.
fn setting(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir("/").stdin(Stdio::null()).output().ok()?;
    let value = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !value.is_empty() && value != "null").then_some(value)
}

/// The npm registry that this machine uses; ends in `/`.
pub(super) fn npm_registry() -> String {
    let registry = setting("npm", &["config", "get", "registry"]).expect("npm names its registry");
    format!("{}/", registry.trim_end_matches('/'))
}

/// The file of certificate authorities that this machine's npm trusts, if it has its own.
pub(super) fn npm_authorities() -> Option<String> {
    setting("npm", &["config", "get", "cafile"])
}

/// The Python index that this machine is set to use; `None` is the clients' own default.
pub(super) fn python_index() -> Option<String> {
    std::env::var("PIP_INDEX_URL").ok().or_else(|| {
        let pip = python_tool("pip");
        ["global.index-url", "install.index-url"].iter().find_map(|key| setting(&pip, &["config", "get", key]))
    })
}

/// The module proxies that this machine's go command uses.
pub(super) fn go_proxies() -> String {
    setting("go", &["env", "GOPROXY"]).expect("go names its module proxies")
}

/// What this machine's cargo is configured with, which may name a mirror.
pub(super) fn cargo_configuration() -> Option<String> {
    let folder =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    std::fs::read_to_string(folder.join("config.toml")).ok()
}
