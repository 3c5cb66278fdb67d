//! debootstrap: fetches what a new system consists of, by rules of its own and with wget.

use std::fs;
use std::path::{Path, PathBuf};

use super::{KEYS, client, machine, suites};
use crate::clients::scenario::{Run, Scenario};

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn debootstrap_fetches_a_minimal_system() {
    let scenario = Scenario {
        name: "debootstrap",
        application: "debian",
        proxy: "debian",
        never_asked: "dists/never-asked-for/InRelease",
        except: &[],
    };
    let tree = scenario.run(|run| {
        let (root, suite) = suites(run).into_iter().next().expect("apt has a source that is signed by the keys");
        let target = run.home.join("system");
        // All but the unpacking, for which one has to be root; a digest that differs is fatal before it.
        let mut command = client("/usr/sbin/debootstrap", run.home);
        command.args(["--variant=minbase", "--download-only", "--force-check-gpg", "--keyring", KEYS, &suite]);
        let printed = machine::run(command.arg(&target).arg(root));
        assert!(printed.contains("Valid Release signature"), "{printed}");
        fetched(run, &target)
    });
    assert!(tree.count(".deb") >= 50 && tree.count("_Packages") == 1, "{}", tree.count(".deb"));
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
