//! apt in a root folder of its own, with signatures checked: an update, an installation's packages and a source
//! package; and updates without end while a signed archive changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::machine::{self, client};
use super::proxy;
use super::scenario::{Run, Scenario};
use super::scratch::Scratch;

mod archive;
mod bootstrap;
mod forms;
mod patches;
mod rotation;

/// The keys of the archives that this machine uses.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn apt_updates_installs_and_fetches_sources() {
    let scenario = Scenario {
        name: "apt-get update and install",
        application: "debian",
        proxy: "debian",
        never_asked: "dists/never-asked-for/InRelease",
        except: &[],
    };
    let tree = scenario.run(|run| {
        let suites = suites(run);
        assert!(!suites.is_empty(), "apt has sources that are signed by {KEYS}");
        let lines = suites.iter().flat_map(|(root, suite)| {
            ["deb", "deb-src"].map(|kind| format!("{kind} [signed-by={KEYS}] {root} {suite} main\n"))
        });
        let apt = Apt::new(run.home, &lines.collect::<String>());
        apt.run(&["update"]);
        let wanted = fs::read_to_string(run.project.join("packages")).expect("a list of packages");
        let mut install = vec!["install", "--yes", "--download-only", "--no-install-recommends"];
        install.extend(wanted.split_ascii_whitespace());
        apt.run(&install);
        apt.run(&["source", "hello"]);
        apt.fetched(run.project)
    });
    assert!(tree.count(".deb") >= 100, "{}", tree.count(".deb"));
    assert!(tree.count(".dsc") == 1 && tree.count("_Packages") >= 1 && tree.count("_Sources") >= 1);
}

/// The command that `packageproxy client` prints makes apt ask the proxy alone, and that for another archive both.
#[test]
#[ignore = "needs apt: tests/run"]
fn the_printed_command_leaves_apt_no_other_archive() {
    let home = Scratch::new("apt-command");
    let mut expected = Vec::new();
    for (name, end) in [("debian", ""), ("debian-security", "-security")] {
        let base = format!("http://registry.example/{name}");
        let command = proxy::printed_command("apt", &["debian", "--root", "--base", &base]);
        // Nothing of the machine's is touched.
        let command = command.replace("/etc/apt/", &format!("{}/etc/apt/", home.display()));
        let command = command.replace("apt-get update", "apt-get --print-uris update");
        let printed = machine::run(client("sh", &home).args(["-c", &command]));
        expected.push((base, end));
        let asked: Vec<_> = heads(&printed).collect();
        let are_alike = asked.len() == expected.len()
            && asked.iter().zip(&expected).all(|((root, suite), (base, end))| root == base && suite.ends_with(end));
        assert!(are_alike, "{asked:?} instead of {expected:?}");
    }
}

/// The archives and suites whose heads an update asks for.
fn heads(printed: &str) -> impl Iterator<Item = (&str, &str)> {
    let addresses = printed.lines().filter_map(|line| line.strip_prefix('\'')?.split('\'').next());
    addresses.filter_map(|address| address.strip_suffix("/InRelease")?.split_once("/dists/"))
}

/// The archives that this machine's apt reads and the keys sign, as this run reaches them, and their suites.
fn suites(run: &Run<'_>) -> Vec<(String, String)> {
    let printed = machine::run(Command::new("apt-get").args(["--print-uris", "update"]));
    let proxies = proxies(&run.project.with_file_name("manifests.yaml"));
    let mut found = Vec::new();
    for (root, suite) in heads(&printed) {
        let Some((name, _)) = proxies.iter().find(|(_, url)| url.trim_end_matches('/') == root) else { continue };
        let is_signed = name == "debian" || name == "debian-security";
        let own = run.registry.map(|base| base.replace("/debian/", &format!("/{name}/")));
        if is_signed {
            found.push((own.unwrap_or_else(|| root.to_owned()), suite.to_owned()));
        }
    }
    found
}

/// Name and upstream of each proxy in the manifests.
fn proxies(manifests: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(manifests).expect("manifests");
    let value = |document: &str, key: &str| {
        let line = document.lines().find_map(|line| line.trim().strip_prefix(key))?;
        Some(line.trim().trim_matches('"').to_owned())
    };
    text.split("---\n").filter_map(|document| Some((value(document, "name:")?, value(document, "url:")?))).collect()
}

/// An apt with nothing but these sources.
struct Apt {
    root: PathBuf,
    home: PathBuf,
}

impl Apt {
    fn new(home: &Path, sources: &str) -> Self {
        let root = home.join("root");
        for folder in [
            "etc/apt/apt.conf.d",
            "etc/apt/sources.list.d",
            "etc/apt/preferences.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
        ] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        let at = root.display();
        let configuration = format!(
            "Dir \"{at}\";\nDir::State::status \"{at}/var/lib/dpkg/status\";\nDir::Etc \"{at}/etc/apt\";\n\
             Dir::Bin::Methods \"/usr/lib/apt/methods\";\nAPT::Sandbox::User \"{}\";\nDebug::NoLocking \"true\";\n",
            std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
        );
        for (file, text) in
            [("var/lib/dpkg/status", ""), ("apt.conf", &configuration), ("etc/apt/sources.list", sources)]
        {
            fs::write(root.join(file), text).expect("a writable folder");
        }
        Self { root, home: home.to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = client("apt-get", &self.home);
        command.current_dir(&self.root).env("APT_CONFIG", self.root.join("apt.conf")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) {
        machine::run(&mut self.command(arguments));
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("apt-get runs")
    }

    /// The lists that were read, without the archive's address in their names.
    fn lists(&self) -> Vec<(String, PathBuf)> {
        let folder = fs::read_dir(self.root.join("var/lib/apt/lists")).expect("lists");
        let files = folder.map(|entry| entry.expect("an entry").path());
        let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.split_once("_dists_")?.1.to_owned());
        files.filter_map(|path| Some((name(&path)?, path))).collect()
    }

    /// Puts lists, packages and sources into one folder, whatever the archive's address was.
    fn fetched(&self, project: &Path) -> PathBuf {
        let folder = project.join("fetched");
        fs::create_dir_all(&folder).expect("a folder");
        for (name, path) in self.lists() {
            fs::copy(path, folder.join(name)).expect("a copy");
        }
        for from in [self.root.join("var/cache/apt/archives"), self.root.clone()] {
            for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type().expect("a type").is_file() && (name.contains(".deb") || name.contains("hello")) {
                    fs::copy(entry.path(), folder.join(name)).expect("a copy");
                }
            }
        }
        folder
    }
}
