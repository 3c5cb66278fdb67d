//! One application installed four ways: directly, through a cold proxy, through the warm one, and through one that
//! is cut off from its upstream and lives on what it holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::machine::tests_folder;
use super::proxy::{self, Network, Proxy};
use super::report::{self, Times};
use super::scratch::{Scratch, remove};
use super::tree::Tree;

/// What is installed, and what may differ.
pub(super) struct Scenario {
    /// Names the row of the report and the scratch folder.
    pub(super) name: &'static str,
    /// The folder of the application below `tests/clients`.
    pub(super) application: &'static str,
    /// The proxy's name, which is that of its ecosystem.
    pub(super) proxy: &'static str,
    /// A metadata document that no client asks for, below the proxy: with the upstream cut off it must not be found,
    /// or the cut would prove nothing.
    pub(super) never_asked: &'static str,
    /// The paths of the tree in which the client records its registry or the time.
    pub(super) except: &'static [&'static str],
}

/// One installation.
pub(super) struct Run<'a> {
    /// The proxy's base, ending in `/`; `None` installs from the machine's own registry.
    pub(super) registry: Option<&'a str>,
    /// A fresh copy of the application, at the same path in every run.
    pub(super) project: &'a Path,
    /// An empty folder for the client's settings and caches, at the same path in every run.
    pub(super) home: &'a Path,
}

impl Scenario {
    /// Installs four ways by `install`, which returns the root of the installed tree. Returns the tree.
    pub(super) fn run(&self, install: impl Fn(&Run<'_>) -> PathBuf) -> Tree {
        let name = self.name.replace(' ', "-");
        let folder = Scratch::new(&name);
        // The proxy's volume is a disk, as it is wherever it runs.
        let volume = tests_folder().join(".work").join(name);
        remove(&volume);
        fs::create_dir_all(&volume).expect("a folder");
        let manifests = folder.join("manifests.yaml");
        proxy::init(&manifests);

        let once = |registry: Option<&str>| self.once(&folder, registry, &install);
        let mut times = Times::default();
        let direct;
        (times.direct, direct) = once(None);

        let open = Proxy::start(&manifests, &volume, ([127, 0, 0, 1], 0).into(), Network::Open);
        let base = open.base(self.proxy);
        for (what, time) in [("cold", &mut times.cold), ("warm", &mut times.warm)] {
            let tree;
            (*time, tree) = once(Some(&base));
            self.compare(what, &direct, &tree);
        }

        // The same address, because some clients write it into their locks.
        let address = open.address();
        open.stop();
        let cut = Proxy::start(&manifests, &volume, address, Network::Cut);
        let offline;
        (times.offline, offline) = once(Some(&base));
        self.compare("offline", &direct, &offline);
        let (status, text) = proxy::get(&format!("{base}{}", self.never_asked), &[]);
        assert!((502..=504).contains(&status), "the upstream was not cut off: {text}");
        cut.stop();

        report::row(self.name, direct.count(""), &times);
        remove(&volume);
        direct
    }

    /// One installation, timed, and the tree that it left.
    fn once(&self, folder: &Path, registry: Option<&str>, install: impl Fn(&Run<'_>) -> PathBuf) -> (Duration, Tree) {
        let (project, home) = (folder.join("project"), folder.join("home"));
        remove(&project);
        remove(&home);
        fs::create_dir_all(&home).expect("a home");
        copy(&tests_folder().join("clients").join(self.application), &project);
        let start = Instant::now();
        let root = install(&Run { registry, project: &project, home: &home });
        (start.elapsed(), Tree::read(&root))
    }

    fn compare(&self, what: &str, direct: &Tree, other: &Tree) {
        let differences = direct.differences(other, self.except);
        let first: Vec<_> = differences.iter().take(30).collect();
        assert!(differences.is_empty(), "{}, {what}: {} differences, first {first:#?}", self.name, differences.len());
    }
}

/// Copies a small folder.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for item in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let item = item.expect("a readable folder");
        let target = to.join(item.file_name());
        if item.file_type().expect("a file type").is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).expect("a copy");
        }
    }
}
