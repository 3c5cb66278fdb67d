//! A real control plane and what stands in it for one test: namespaces, the chart's release, a relay, operators.
//!
//! `tests/cluster/run` starts the cluster, runs the tests and takes it down again. Without it, `KUBECONFIG` names one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::OnceCell;

pub use api::{Api, Path as ObjectPath, at, of};
pub use convergence::{Condition, condition, condition_of};
pub use definition::Definition;
pub use manifest::Proxy;
pub use node::{ClientPod, GATEWAY, Loop, PodState, authority};
pub use operator::{Operator, SHORT_LEASE, Setup};
pub use report::{Row, report};
pub use scene::{Scene, TAGS};

mod api;
mod convergence;
mod definition;
mod manifest;
mod node;
mod operator;
mod report;
mod scene;

/// The cluster that the tests run in.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// The cluster of this run, with the CRDs in it.
    ///
    /// # Panics
    /// If there is none.
    pub async fn get() -> &'static Self {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        CLUSTER.get_or_init(Self::connect).await
    }

    async fn connect() -> Self {
        let Some(kubeconfig) = std::env::var_os("KUBECONFIG").map(PathBuf::from) else {
            panic!("KUBECONFIG is not set: these tests need a cluster, start them with tests/cluster/run");
        };
        let read = Kubeconfig::read_from(&kubeconfig).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(read, &options).await.expect("a usable kubeconfig");
        config.default_retry = false;
        let cluster = Self { config, kubeconfig };
        for file in ["packageproxies.yaml", "packageproxyclasses.yaml"] {
            let path = workspace().join("crds").join(file);
            cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &path.display().to_string()]);
        }
        let names = ["crd/packageproxies.packageproxy.dev", "crd/packageproxyclasses.packageproxy.dev"];
        cluster.kubectl(&[&["wait", "--for=condition=Established", "--timeout=30s"][..], &names].concat());
        cluster
    }

    /// An administrator's client, for one test: a client lives as long as the runtime that it was made in.
    pub fn api(&self) -> Api {
        Api::new(Client::try_from(self.config.clone()).expect("a client of the API server"))
    }

    /// The address and the authorities of the API server.
    pub fn origin(&self) -> (http::Uri, Option<Vec<Vec<u8>>>) {
        (self.config.cluster_url.clone(), self.config.root_cert.clone())
    }

    /// The folder of the cluster's state, where a node finds the volumes that tests make.
    ///
    /// # Panics
    /// If the kubeconfig is in no folder.
    pub fn state(&self) -> &Path {
        self.kubeconfig.parent().expect("a kubeconfig in a folder")
    }

    /// Runs `kubectl` as an administrator and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.run("kubectl", arguments).unwrap_or_else(|printed| panic!("kubectl {arguments:?}: {printed}"))
    }

    /// Runs `helm` as an administrator and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.run("helm", arguments).unwrap_or_else(|printed| panic!("helm {arguments:?}: {printed}"))
    }

    /// Seconds of processor time that the API server has taken, in user and system mode.
    ///
    /// # Panics
    /// If it does not say.
    pub fn processor_of_server(&self) -> f64 {
        let metrics = self.kubectl(&["get", "--raw", "/metrics"]);
        let value = metrics.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total ")?.parse().ok());
        value.expect("the API server counts its processor time")
    }

    /// Runs one of the two, whatever comes of it: the error is what it printed.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(find(tool));
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        let output = command.output().expect("the tools of the cluster start");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

/// The optimised operator of `PACKAGEPROXY_OPERATOR_BIN_RELEASE`, else the one of [`program`].
pub fn fast_program() -> PathBuf {
    std::env::var_os("PACKAGEPROXY_OPERATOR_BIN_RELEASE").map_or_else(|| program().to_owned(), PathBuf::from)
}

/// Whether [`fast_program`] is optimised.
pub fn is_optimised() -> bool {
    std::env::var_os("PACKAGEPROXY_OPERATOR_BIN_RELEASE").is_some()
}

/// The folder of the project.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace")
}

/// A tool that `tests/cluster/build` made, else the one on the path.
fn find(tool: &str) -> PathBuf {
    let built = workspace().join("tests/.tools/cluster").join(tool);
    if built.exists() { built } else { tool.into() }
}

/// The operator: `PACKAGEPROXY_OPERATOR_BIN` if set, else the one of the target folder of this test, after cargo has
/// brought it up to date.
///
/// # Panics
/// If it cannot be built.
pub fn program() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("PACKAGEPROXY_OPERATOR_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("a running test has a path");
        // TARGET/PROFILE/deps/test-hash
        let profile = test.ancestors().nth(2).expect("tests lie two folders below the target folder");
        let target = profile.parent().expect("a profile lies below the target folder");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "operator", "--target-dir"]).arg(target);
        let status = cargo.current_dir(workspace()).status().expect("cargo runs");
        assert!(status.success(), "the operator does not build; set PACKAGEPROXY_OPERATOR_BIN to test another one");
        profile.join("packageproxy-operator")
    })
}
