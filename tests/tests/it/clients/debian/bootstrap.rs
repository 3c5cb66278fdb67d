//! debootstrap: makes a new system, by rules of its own and with wget; and the apt of that system, which installs more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{KEYS, client, machine, suites};
use crate::clients::scenario::{Run, Scenario};

const PROXY: &str = "debian";
const NEVER_ASKED: &str = "dists/never-asked-for/InRelease";

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn debootstrap_fetches_a_minimal_system() {
    let scenario =
        Scenario { name: "debootstrap", application: "debian", proxy: PROXY, never_asked: NEVER_ASKED, except: &[] };
    let tree = scenario.run(|run| {
        // All but the unpacking, for which one has to be root; a digest that differs is fatal before it.
        let target = debootstrap(run, &["--download-only"]);
        fetched(run, &target)
    });
    assert!(tree.count(".deb") >= 50 && tree.count("_Packages") == 1, "{}", tree.count(".deb"));
}

/// Everything is unpacked and set up by the packages' own scripts, and what stands there is what it would be without
/// the proxy.
#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn a_system_is_installed_and_more_into_it() {
    if machine::run(Command::new("id").arg("-u")).trim() != "0" {
        let reason = "setting up a system takes root";
        assert!(std::env::var("CI").unwrap_or_default().is_empty(), "{reason}");
        eprintln!("skipped: {reason}");
        return;
    }
    let scenario = Scenario {
        name: "debootstrap and install",
        application: "debian",
        proxy: PROXY,
        never_asked: NEVER_ASKED,
        except: &[],
    };
    let tree = scenario.run(|run| {
        let target = debootstrap(run, &[]);
        let inside = |arguments: &[&str]| {
            let mut command = client("chroot", run.home);
            command.env_remove("TMPDIR").env("DEBIAN_FRONTEND", "noninteractive").env("LANG", "C");
            machine::run(command.arg(&target).arg("apt-get").args(arguments));
        };
        let bare = installed(&target);
        inside(&["update"]);
        let wanted = fs::read_to_string(run.project.join("system")).expect("a list of packages");
        let mut install = vec!["install", "--yes", "--no-install-recommends"];
        // Nobody needs the system after a power cut.
        install.push("--option=Dpkg::Options::=--force-unsafe-io");
        install.extend(wanted.split_ascii_whitespace());
        inside(&install);
        let more = installed(&target) - bare;
        println!("{bare} packages by debootstrap, {more} by the system's own apt-get");
        assert!(more >= 100, "{more} packages installed by the new system itself");
        // They run.
        let version = machine::run(client("chroot", run.home).arg(&target).args(["git", "--version"]));
        assert!(version.starts_with("git version"), "{version}");
        settled(&target);
        target
    });
    assert!(tree.count(".deb") >= 100 && tree.count(".list") >= 100, "{}", tree.count(".deb"));
    assert!(tree.count("bin/git") == 1 && tree.count("") >= 5_000, "{}", tree.count(""));
}

/// Makes a system from the first archive that the keys sign. Returns its folder.
fn debootstrap(run: &Run<'_>, arguments: &[&str]) -> PathBuf {
    let (root, suite) = suites(run).into_iter().next().expect("apt has a source that is signed by the keys");
    let target = run.home.join("system");
    let mut command = client("/usr/sbin/debootstrap", run.home);
    command.args(["--variant=minbase", "--force-check-gpg", "--keyring", KEYS]).args(arguments);
    let printed = machine::run(command.arg(&suite).arg(&target).arg(root));
    assert!(printed.contains("Valid Release signature"), "{printed}");
    target
}

/// How many packages dpkg has the list of files of.
fn installed(system: &Path) -> usize {
    let lists = fs::read_dir(system.join("var/lib/dpkg/info")).expect("dpkg's folder");
    lists.filter(|entry| entry.as_ref().expect("an entry").path().extension().is_some_and(|end| end == "list")).count()
}

/// Takes away what differs from one installation to the next, whatever it came from: logs, caches, devices, and where
/// the archive is.
fn settled(system: &Path) {
    let archives = system.join("var/cache/apt/archives");
    let kept = system.join("archives");
    fs::rename(archives, &kept).expect("a folder");
    for folder in ["dev", "proc", "sys", "run", "tmp", "etc/apt", "var/cache", "var/lib/apt", "var/log"] {
        fs::remove_dir_all(system.join(folder)).expect("a folder of every system");
    }
}

/// Packages and lists in one folder, whatever the archive's address was.
fn fetched(run: &Run<'_>, target: &Path) -> PathBuf {
    let folder = run.project.join("fetched");
    fs::create_dir_all(&folder).expect("a folder");
    for from in ["var/lib/apt/lists", "var/cache/apt/archives"] {
        for entry in fs::read_dir(target.join(from)).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = name.split_once("_dists_").map_or(name.as_str(), |(_, name)| name);
            if entry.file_type().expect("a type").is_file() {
                fs::copy(entry.path(), folder.join(name)).expect("a copy");
            }
        }
    }
    folder
}
