//! What one test has for itself: namespaces, a release of the chart without pods, a relay.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Api, Cluster, Operator, Proxy, Setup, at, workspace};
use crate::relay::Relay;
use crate::wait::until;

/// The stage of one test. Dropping it deletes its release and its namespaces.
#[derive(Debug)]
pub struct Scene {
    /// An administrator's view of the cluster, which goes around the relay.
    pub api: Api,
    /// What the operators of this scene speak through.
    pub relay: Relay,
    cluster: &'static Cluster,
    release: String,
    namespaces: Vec<String>,
    arguments: Vec<String>,
    token: String,
    folder: TempDir,
    /// What belongs to no namespace, as `kind/name`.
    others: Mutex<Vec<String>>,
    _cluster_use: ClusterUse,
}

/// How a scene uses what belongs to the whole cluster: scenes that change it run alone.
#[derive(Debug)]
enum ClusterUse {
    Shared { _guard: OwnedRwLockReadGuard<()> },
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

static CLUSTER_USE: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// How a [`Scene`] is set up.
#[derive(Clone, Debug)]
pub struct Plan {
    name: String,
    namespaces: usize,
    everywhere: bool,
    alone: bool,
    values: Value,
}

/// The images of the programs as `tests/cluster/run` loads them, and one of the same content with another name.
pub const TAGS: [&str; 2] = ["test", "other"];

impl Plan {
    /// Runs the operator as the chart does, in a pod, instead of as a process of the test.
    #[must_use]
    pub fn pods(mut self) -> Self {
        self.values["replicaCount"] = json!(1);
        for (key, program) in [("image", "packageproxy-operator"), ("proxyImage", "packageproxy")] {
            let repository = format!("docker.io/local/{program}");
            self.values[key] = json!({"repository": repository, "tag": TAGS[0], "pullPolicy": "Never"});
        }
        self.values["extraArgs"] = json!(["--poll-interval=1s", "--scope-grace=0s"]);
        self
    }

    /// Gives it this many namespaces for proxies instead of one.
    #[must_use]
    pub const fn namespaces(mut self, number: usize) -> Self {
        self.namespaces = number;
        self
    }

    /// Sets a value of the chart.
    #[must_use]
    pub fn value(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.values;
        for word in pointer.trim_start_matches('/').split('/') {
            place = &mut place[word];
        }
        *place = value.into();
        self
    }

    /// No other scene of this process is there at the same time: for what belongs to the whole cluster.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Gives the release rights in every namespace. Its operators still serve only those of the scene.
    #[must_use]
    pub const fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// Makes the namespaces, installs the chart and starts the relay.
    pub async fn start(self) -> Scene {
        let cluster = Cluster::get().await;
        let all = Arc::clone(&CLUSTER_USE);
        let cluster_use = if self.alone {
            ClusterUse::Alone { _guard: all.write_owned().await }
        } else {
            ClusterUse::Shared { _guard: all.read_owned().await }
        };
        let api = cluster.api();
        let release = format!("{}-{:05x}", self.name, unique());
        let namespaces: Vec<String> = (0..self.namespaces).map(|number| format!("{release}-{number}")).collect();
        let (origin, authorities) = cluster.origin();
        let scene = Scene {
            api,
            relay: Relay::start(origin, authorities).await,
            cluster,
            release,
            namespaces,
            arguments: Vec::new(),
            token: String::new(),
            others: Mutex::default(),
            folder: TempDir::new().expect("a temporary folder"),
            _cluster_use: cluster_use,
        };
        scene.install(self.values, self.everywhere).await
    }
}

/// Differs between the tests of a process and, most likely, between processes.
fn unique() -> u32 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&(std::time::SystemTime::now(), std::thread::current().id()), &mut hasher);
    (std::hash::Hasher::finish(&hasher) & 0xf_ffff) as u32
}

impl Scene {
    /// A scene with one namespace, whose release may do nothing elsewhere.
    pub async fn new(name: &str) -> Self {
        Self::plan(name).start().await
    }

    /// A scene to be changed before it starts.
    pub fn plan(name: &str) -> Plan {
        let values = json!({
            "replicaCount": 0, "crds": {"enabled": false}, "rbac": {"aggregate": false}, "rateLimit": 200,
            "logging": {"level": "debug", "format": "json"},
        });
        Plan { name: name.to_owned(), namespaces: 1, everywhere: false, alone: false, values }
    }

    async fn install(mut self, mut values: Value, everywhere: bool) -> Self {
        for namespace in self.namespaces.iter().chain([&self.system()]) {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            self.api.apply(&object).await;
        }
        if !everywhere {
            values["watchNamespaces"] = json!(self.namespaces);
        }
        let file = self.file("values.json", &values.to_string());
        let chart = workspace().join("charts/packageproxy").display().to_string();
        let (system, file) = (self.system(), file.display().to_string());
        self.cluster.helm(&["install", &self.release, &chart, "--namespace", &system, "--values", &file]);
        if values["replicaCount"] != 0 {
            let deployment = format!("deployment/{}", self.release_name());
            self.cluster.kubectl(&["--namespace", &system, "rollout", "status", &deployment, "--timeout=180s"]);
        }

        let deployment = self.api.get(&at("Deployment", &system, &self.release_name())).await;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_array().expect("arguments");
        self.arguments = arguments.iter().map(|word| word.as_str().expect("a text").to_owned()).collect();
        let class = self.api.get(&at("ConfigMap", &system, &format!("{}-default-class", self.release_name()))).await;
        self.file("class.yaml", class["data"]["class.yaml"].as_str().expect("the built-in class"));
        self.token = self.api.token(&system, &self.release_name()).await;
        self
    }

    /// What an operator uses: a relay, and the token of the chart's ServiceAccount.
    fn kubeconfig(&self, identity: &str, relay: &Relay) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "relay",
            "clusters": [{"name": "relay", "cluster": {"server": relay.url()}}],
            "users": [{"name": "operator", "user": {"token": self.token}}],
            "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "operator"}}],
        });
        self.file(&format!("{identity}.kubeconfig"), &config.to_string())
    }

    /// The token of the chart's ServiceAccount.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A further relay, for another operator.
    pub async fn other_relay(&self) -> Relay {
        let (origin, authorities) = self.cluster.origin();
        Relay::start(origin, authorities).await
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    }

    /// Applies an object that belongs to no namespace, and deletes it at the end.
    pub async fn lend(&self, object: &Value) -> Value {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.others.lock().push(format!("{}/{}", word(&object["kind"]), word(&object["metadata"]["name"])));
        self.api.apply(object).await
    }

    /// The cluster around it.
    pub const fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// The namespace of the release.
    pub fn system(&self) -> String {
        format!("{}-system", self.release)
    }

    /// The name of the release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The name of the release's objects.
    pub fn release_name(&self) -> String {
        format!("{}-packageproxy-operator", self.release)
    }

    /// The first of the namespaces for proxies.
    pub fn namespace(&self) -> &str {
        &self.namespaces[0]
    }

    /// All namespaces for proxies.
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// Installs the release again, or upgrades it, with another image of the proxies, and waits for its operator.
    pub fn install_again(&self, tag: &str) {
        let chart = workspace().join("charts/packageproxy").display().to_string();
        let values = self.folder.path().join("values.json").display().to_string();
        let image = format!("proxyImage.tag={tag}");
        let (system, release) = (self.system(), &self.release);
        let arguments = ["upgrade", "--install", release, &chart, "--namespace", &system, "--values", &values];
        self.cluster.helm(&[&arguments[..], &["--set", &image]].concat());
        let deployment = format!("deployment/{}", self.release_name());
        self.cluster.kubectl(&["--namespace", &system, "rollout", "status", &deployment, "--timeout=180s"]);
    }

    /// A proxy in the first namespace.
    pub fn proxy(&self, name: &str) -> Proxy {
        Proxy::new(self.namespace(), name)
    }

    /// Applies a proxy as a person does.
    pub async fn apply(&self, proxy: &Proxy) -> Value {
        self.api.apply(&proxy.0).await
    }

    /// An operator with the chart's arguments, to be changed before it starts.
    pub fn setup(&self, identity: &str) -> Setup {
        self.setup_through(identity, &self.relay)
    }

    /// The same through another relay.
    pub fn setup_through(&self, identity: &str, relay: &Relay) -> Setup {
        let kubeconfig = self.kubeconfig(identity, relay);
        Setup::new(identity, &self.system(), &kubeconfig, &self.arguments)
            .flag("--default-class", &self.folder.path().join("class.yaml").display().to_string())
            .flag("--namespaces", &self.namespaces.join(","))
    }

    /// Starts an operator and waits until it leads.
    pub async fn operator(&self) -> Operator {
        let operator = self.setup("first").start();
        self.leads(&operator).await;
        operator
    }

    /// Who holds the Lease.
    pub async fn leader(&self) -> Option<String> {
        let lease = self.api.find(&at("Lease", &self.system(), &self.release_name())).await?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// Waits until this operator holds the Lease.
    pub async fn leads(&self, operator: &Operator) {
        until(&format!("{} to lead", operator.identity()), || async {
            (self.leader().await.as_deref() == Some(operator.identity())).then_some(())
        })
        .await;
    }

    /// Waits until the operators have written nothing for this long.
    pub async fn quiet(&self, time: Duration) {
        until("the operators to come to rest", || async {
            let writes = self.relay.writes();
            writes.last().is_none_or(|last| last.at.elapsed() >= time).then_some(())
        })
        .await;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Whatever comes of it: a test that has failed must not be hidden by its cleaning up.
        let _ = self.cluster.run("helm", &["uninstall", &self.release, "--namespace", &self.system()]);
        let system = self.system();
        let mut arguments = vec!["delete", "namespace", "--wait=false", "--ignore-not-found"];
        arguments.extend(self.namespaces.iter().map(String::as_str).chain([system.as_str()]));
        let _ = self.cluster.run("kubectl", &arguments);
        for other in self.others.lock().iter() {
            let _ = self.cluster.run("kubectl", &["delete", "--wait=false", "--ignore-not-found", other]);
        }
        if std::thread::panicking() {
            let mut calls = self.relay.calls();
            calls.retain(|call| call.is_write() || call.faulted);
            #[expect(clippy::print_stderr, reason = "what passed the relay explains why the test failed")]
            for call in calls.iter().skip(calls.len().saturating_sub(30)) {
                eprintln!("  > {call}{}", if call.faulted { " (fault)" } else { "" });
            }
        }
    }
}
