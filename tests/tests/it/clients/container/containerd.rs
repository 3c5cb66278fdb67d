//! A containerd of its own, with nothing of the machine's: roots, state and socket in one folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::super::machine;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running containerd. Dropping it ends it.
pub(super) struct Containerd {
    child: Child,
    folder: PathBuf,
}

impl Containerd {
    /// Starts it without the parts that tests of pulls have no use for.
    pub(super) fn start(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let at = |name: &str| folder.join(name).display().to_string();
        let disabled = ["cri", "btrfs", "devmapper", "zfs", "aufs", "overlayfs"]
            .map(|name| match name {
                "cri" => "\"io.containerd.grpc.v1.cri\"".to_owned(),
                name => format!("\"io.containerd.snapshotter.v1.{name}\""),
            })
            .join(", ");
        let settings = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [{disabled}]\n[grpc]\naddress = \"{}\"\n\
             [ttrpc]\naddress = \"{}\"\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{}\"\n",
            at("root"),
            at("state"),
            at("grpc.sock"),
            at("ttrpc.sock"),
            at("opt")
        );
        fs::write(folder.join("config.toml"), settings).expect("a file");
        let log = File::create(folder.join("log")).expect("a log");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.join("config.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("containerd: {error}: run tests/install"));
        let containerd = Self { child, folder: folder.to_owned() };
        let until = Instant::now() + PATIENCE;
        while !containerd.ctr(&["version"]).output().is_ok_and(|output| output.status.success()) {
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "containerd does not answer:\n{}", log());
        }
        containerd
    }

    /// Its client.
    pub(super) fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = machine::client("ctr", &self.folder);
        command.arg("--address").arg(self.folder.join("grpc.sock")).args(arguments);
        command
    }

    /// A pull of an image for one architecture, which unpacks it; with the account or as anybody.
    pub(super) fn pulling(
        &self,
        hosts: &Path,
        image: &str,
        architecture: &str,
        account: Option<(&str, &str)>,
    ) -> Command {
        let platform = format!("linux/{architecture}");
        let mut command = self.ctr(&["images", "pull", "--snapshotter", "native", "--platform", &platform]);
        command.arg("--hosts-dir").arg(hosts);
        if let Some((user, password)) = account {
            command.arg("--user").arg(format!("{user}:{password}"));
        }
        command.arg(image);
        command
    }

    /// Pulls an image and returns the digest of each thing that it left.
    pub(super) fn pull(
        &self,
        hosts: &Path,
        image: &str,
        architecture: &str,
        account: Option<(&str, &str)>,
    ) -> Vec<String> {
        machine::run(&mut self.pulling(hosts, image, architecture, account));
        let listed = machine::run(&mut self.ctr(&["content", "ls", "-q"]));
        let mut digests: Vec<String> = listed.lines().map(str::to_owned).collect();
        digests.sort();
        digests
    }

    /// Forgets an image and everything of it.
    pub(super) fn forget(&self, image: &str) {
        machine::run(&mut self.ctr(&["images", "rm", "--sync", image]));
        machine::run(&mut self.ctr(&["content", "prune", "references"]));
        let left = machine::run(&mut self.ctr(&["content", "ls", "-q"]));
        for digest in left.lines() {
            machine::run(&mut self.ctr(&["content", "rm", digest]));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
