//! The go command, with the proxy as the only way to modules and to the checksum database.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::machine::{self, client, go_proxies};
use super::proxy::closed_address;
use super::scenario::{Run, Scenario};

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn go_resolves_and_downloads_an_application() {
    let tree = scenario("go mod download").run(|run| {
        let mut list = go(run);
        // With nothing but one requirement it has to find the others, and the hashes of all.
        machine::run(list.args(["list", "-deps", "."]));
        machine::run(go(run).args(["mod", "download"]));
        machine::run(go(run).args(["list", "-m", "-versions", "github.com/golangci/golangci-lint/v2"]));
        downloaded(run)
    });
    assert!(tree.count(".zip") >= 150, "{} modules", tree.count(".zip"));
    assert!(tree.count(".mod") >= 500, "{} go.mod", tree.count(".mod"));
}

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn go_gets_another_version_of_itself() {
    let tree = scenario("go toolchain").run(|run| {
        let printed = machine::run(go(run).arg("version").env("GOTOOLCHAIN", "go1.27.3"));
        assert!(printed.starts_with("go version go1.27.3 "), "{printed}");
        downloaded(run)
    });
    assert!(tree.count(".zip") == 1);
}

fn scenario(name: &'static str) -> Scenario {
    Scenario {
        name,
        application: "go/application",
        proxy: "go",
        never_asked: "modules.example/never-asked-for/@v/list",
        except: &[],
    }
}

/// The go command with an empty cache. Through the proxy, every other way out leads to a port on which nothing
/// listens; loopback addresses are exempt from that by Go's own rule.
fn go(run: &Run<'_>) -> Command {
    let mut go = client("go", run.home);
    go.current_dir(run.project).env("GOPATH", run.home.join("go")).env("GOFLAGS", "-mod=mod -modcacherw");
    match run.registry {
        None => go.env("GOPROXY", go_proxies()),
        Some(base) => {
            let closed = format!("http://{}", closed_address());
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
                go.env(name, &closed);
            }
            go.env_remove("NO_PROXY").env_remove("no_proxy").env("GOPROXY", base)
        }
    };
    go
}

/// What was downloaded, with the project's `go.mod` and `go.sum`.
fn downloaded(run: &Run<'_>) -> PathBuf {
    let cache = run.home.join("go/pkg/mod/cache/download");
    // Everything was compared with the database, whose answers hold the head of its tree at that moment.
    let database = cache.join("sumdb");
    assert!(fs::read_dir(&database).is_ok_and(|mut names| names.next().is_some()), "no checksum database was asked");
    fs::remove_dir_all(database).expect("a folder that can be removed");
    for name in ["go.mod", "go.sum"] {
        let from = run.project.join(name);
        if from.exists() {
            fs::copy(from, cache.join(name)).expect("a copy");
        }
    }
    cache
}
