//! What only a node has: pods, their logs, clients inside the cluster, Services that answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Proxy, Scene, at, workspace};
use crate::client::{Ask, Client};
use crate::wait::{until, until_time};

/// The machine's address as pods see it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// A pod that runs a client of the machine to its end.
#[derive(Clone, Debug)]
pub struct ClientPod {
    name: String,
    script: String,
    env_from: Vec<String>,
    files: Vec<(String, String)>,
}

impl ClientPod {
    /// A pod that runs a script of bash in an empty home.
    pub fn new(name: &str, script: &str) -> Self {
        Self { name: name.to_owned(), script: script.to_owned(), env_from: Vec::new(), files: Vec::new() }
    }

    /// Takes the variables of a `ConfigMap`.
    #[must_use]
    pub fn variables(mut self, config_map: &str) -> Self {
        self.env_from.push(config_map.to_owned());
        self
    }

    /// Mounts the files of a `ConfigMap`.
    #[must_use]
    pub fn files(mut self, config_map: &str, path: &str) -> Self {
        self.files.push((config_map.to_owned(), path.to_owned()));
        self
    }

    fn object(&self, namespace: &str) -> Value {
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        for (number, path) in machine().into_iter().enumerate() {
            let name = format!("machine-{number}");
            mounts.push(json!({"name": name, "mountPath": path, "readOnly": true}));
            volumes.push(json!({"name": name, "hostPath": {"path": path}}));
        }
        mounts.push(json!({"name": "clients", "mountPath": "/clients", "readOnly": true}));
        volumes.push(json!({"name": "clients", "hostPath": {"path": workspace().join("tests/clients")}}));
        for (number, (map, path)) in self.files.iter().enumerate() {
            let name = format!("files-{number}");
            mounts.push(json!({"name": name, "mountPath": path}));
            volumes.push(json!({"name": name, "configMap": {"name": map}}));
        }
        let sources: Vec<Value> = self.env_from.iter().map(|map| json!({"configMapRef": {"name": map}})).collect();
        let go = goroot().unwrap_or_else(|| "/usr".into());
        let own = [python(), sysroot(), go].map(|folder| format!("{}/bin:", folder.display())).concat();
        let path = format!("{own}/usr/local/bin:/usr/bin:/usr/sbin");
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name, "namespace": namespace}, "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "enableServiceLinks": false, "volumes": volumes,
            "containers": [{"name": "client", "image": "docker.io/local/host-tools:1", "imagePullPolicy": "Never",
                "command": ["/usr/bin/bash", "-euc", self.script], "envFrom": sources, "volumeMounts": mounts,
                "env": [{"name": "HOME", "value": "/tmp"}, {"name": "PATH", "value": path}]}]}})
    }
}

fn sysroot() -> PathBuf {
    let printed = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    String::from_utf8_lossy(&printed).trim().into()
}

/// The environment of pip, which `tests/install` makes.
fn python() -> PathBuf {
    workspace().join("tests/.tools/python").canonicalize().expect("tests/install was run")
}

/// The folder of the go command.
fn goroot() -> Option<PathBuf> {
    let printed = Command::new("go").args(["env", "GOROOT"]).output().ok()?.stdout;
    Some(PathBuf::from(String::from_utf8_lossy(&printed).trim())).filter(|path| path.is_absolute())
}

/// The folders of the machine that its clients are in.
fn machine() -> Vec<PathBuf> {
    let python = python();
    let base = Command::new(python.join("bin/python")).args(["-c", "import sys; print(sys.base_prefix)"]).output();
    let base = base.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    let mut paths = vec!["/usr".into(), "/etc/ssl".into(), sysroot(), python];
    // What Debian keeps of Java and Maven beside /usr.
    let settings = ["/etc/alternatives", "/etc/maven", "/etc/java-17-openjdk"].map(PathBuf::from);
    paths.extend(settings.into_iter().filter(|path| path.is_dir()));
    paths.extend(goroot().filter(|path| !path.starts_with("/usr")));
    paths.extend(base.ok().filter(|base| base.is_absolute() && !base.starts_with("/usr")));
    paths
}

/// A pod of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodState {
    /// Its id.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Whether it takes traffic.
    pub ready: bool,
    /// How often its container has been started again.
    pub restarts: i64,
    /// Its image.
    pub image: String,
}

impl Scene {
    /// Runs a client to its end and returns what it wrote.
    ///
    /// # Panics
    /// If it fails, with what it wrote.
    pub async fn run_client(&self, pod: &ClientPod) -> String {
        let object = pod.object(self.namespace());
        self.api.apply(&object).await;
        let path = super::of(&object);
        let phase = until_time(Duration::from_mins(4), &format!("the end of the client {}", pod.name), || async {
            let phase = self.api.get(&path).await["status"]["phase"].as_str().unwrap_or_default().to_owned();
            matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
        })
        .await;
        let log = self.cluster().kubectl(&["--namespace", self.namespace(), "logs", &pod.name]);
        assert_eq!(phase, "Succeeded", "{}:\n{log}", pod.name);
        self.api.delete(&path).await;
        log
    }

    /// The pods of a proxy that are not going.
    pub async fn pods(&self, name: &str) -> Vec<PodState> {
        let selector = format!("app.kubernetes.io/name=packageproxy,app.kubernetes.io/instance={name}");
        self.pods_by(self.namespace(), &selector).await
    }

    /// The pods of a selector that are not going.
    pub async fn pods_by(&self, namespace: &str, selector: &str) -> Vec<PodState> {
        let pods = self.api.list(&at("Pod", namespace, ""), selector).await;
        let staying = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let mut states: Vec<PodState> = staying
            .map(|pod| {
                let container = &pod["status"]["containerStatuses"][0];
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                PodState {
                    uid: word(&pod["metadata"]["uid"]),
                    name: word(&pod["metadata"]["name"]),
                    ready: container["ready"].as_bool().unwrap_or_default(),
                    restarts: container["restartCount"].as_i64().unwrap_or_default(),
                    image: word(&pod["spec"]["containers"][0]["image"]),
                }
            })
            .collect();
        states.sort();
        states
    }

    /// Waits until a proxy is ready and its only pods are those of the last generation.
    pub async fn serving(&self, proxy: &Proxy) -> Vec<PodState> {
        self.whole(proxy).await;
        let name = proxy.0["metadata"]["name"].as_str().expect("a name");
        let replicas = proxy.0["spec"]["replicas"].as_u64().unwrap_or(1);
        until("exactly the wanted pods", || async {
            let pods = self.pods(name).await;
            (pods.len() as u64 == replicas && pods.iter().all(|pod| pod.ready)).then_some(pods)
        })
        .await
    }

    /// The address of the Service of a proxy, once the node leads it to a pod: a proxy is ready a moment before the
    /// rules of the node know its endpoint, and until they do the kernel refuses connections.
    pub async fn service(&self, name: &str) -> SocketAddr {
        let service = self.api.get(&at("Service", self.namespace(), name)).await;
        let address = service["spec"]["clusterIP"].as_str().and_then(|address| address.parse().ok());
        let port = service["spec"]["ports"][0]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let service = SocketAddr::new(address.expect("an address"), port.expect("a port"));
        until("the node to lead the Service to a pod", || async { TcpStream::connect(service).await.ok() }).await;
        service
    }
}

/// A client that asks again and again, each time over a connection of its own, and remembers what failed.
#[derive(Debug)]
pub struct Loop {
    task: JoinHandle<()>,
    seen: Arc<Mutex<(usize, Vec<String>)>>,
    stop: watch::Sender<bool>,
}

impl Loop {
    /// Asks a server for these paths in turn.
    pub fn start(server: SocketAddr, paths: Vec<String>) -> Self {
        let seen = Arc::new(Mutex::new((0, Vec::new())));
        let stop = watch::Sender::new(false);
        let (shared, stopped) = (Arc::clone(&seen), stop.subscribe());
        let task = tokio::spawn(async move {
            for path in paths.iter().cycle() {
                if *stopped.borrow() {
                    return;
                }
                let problem = match Client::new(server).open(Ask::get(path)).await {
                    Err(error) => Some(error),
                    Ok(open) => {
                        let answer = open.finish().await;
                        let problem = || format!("{} {:?}", answer.status, answer.body);
                        (!answer.is_complete_success()).then(problem)
                    }
                };
                {
                    let mut seen = shared.lock();
                    seen.0 += 1;
                    let number = seen.0;
                    seen.1.extend(problem.map(|problem| format!("request {number}: {path}: {problem}")));
                }
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
        Self { task, seen, stop }
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.seen.lock().0
    }

    /// Waits for so many further requests.
    pub async fn further(&self, requests: usize) {
        let goal = self.count() + requests;
        until("further requests of the loop", || async { (self.count() >= goal).then_some(()) }).await;
    }

    /// Ends it and returns the number of requests.
    ///
    /// # Panics
    /// If any of them failed.
    pub async fn end(self) -> usize {
        self.stop.send_replace(true);
        self.task.await.expect("the loop ends");
        let (count, failures) = &*self.seen.lock();
        assert!(
            failures.is_empty(),
            "{} of {count} requests failed: {:#?}",
            failures.len(),
            &failures[..failures.len().min(5)]
        );
        *count
    }
}

/// The header `Authorization` of an account.
pub fn authority(user: &str, password: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes()))
}
