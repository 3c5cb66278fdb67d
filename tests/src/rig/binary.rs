//! Finds the program under test, and never an old one by accident.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program: `PACKAGEPROXY_BIN` if set, else the one of the target folder in which this test was built, after
/// cargo has brought it up to date.
///
/// # Panics
/// If it cannot be built.
pub(super) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("PACKAGEPROXY_BIN") {
        Some(path) => PathBuf::from(path),
        None => built(),
    })
}

fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // TARGET/PROFILE/deps/test-hash
    let profile = test.ancestors().nth(2).expect("tests lie two folders below the target folder");
    let target = profile.parent().expect("a profile lies below the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "proxy", "--bin", "packageproxy", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace");
    let status = cargo.current_dir(workspace).status().expect("cargo runs");
    assert!(status.success(), "the program does not build; set PACKAGEPROXY_BIN to test another one");
    profile.join("packageproxy")
}
