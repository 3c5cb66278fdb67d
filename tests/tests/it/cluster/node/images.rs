//! The kubelet pulls an image through a proxy, and again from the cache when the registry is gone.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::cluster::{GATEWAY, Proxy, Scene, at, of};
use tests::wait::{until, until_time};

use crate::clients::container::image::{Layout, TAG};
use crate::clients::container::push;
use crate::clients::container::registry::{ACCOUNT, Registry};

const REPOSITORY: &str = "team/app";
/// The kubelet removes the containers of a pod that is gone when it next looks, which it does each minute.
const SWEEP: Duration = Duration::from_mins(3);

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The program of this machine that the image runs. It needs no library.
fn busybox() -> Vec<u8> {
    let path = run(Command::new("sh").args(["-c", "readlink -f \"$(command -v busybox)\""]));
    std::fs::read(path.trim()).expect("a readable program")
}

/// Tells the node's containerd where images of that registry come from, for as long as it lives.
struct Hosts(std::path::PathBuf);

impl Hosts {
    fn new(scene: &Scene, registry: &str, text: &str) -> Self {
        let folder = scene.cluster().state().join("certs.d").join(registry);
        std::fs::create_dir_all(&folder).expect("the node's folder");
        std::fs::write(folder.join("hosts.toml"), text).expect("a writable folder");
        Self(folder)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image in its registry, and what the node pulls of it.
struct Image<'a> {
    scene: &'a Scene,
    /// The registry in its name.
    namespace: String,
    /// Index and manifest.
    documents: [String; 2],
    /// Configuration and layers.
    blobs: Vec<String>,
}

impl Image<'_> {
    /// Runs it to its end and deletes the pod; the kubelet asks for the image although the node may have it.
    async fn runs(&self, name: &str) {
        let scene = self.scene;
        let image = format!("{}/{REPOSITORY}:{TAG}", self.namespace);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": scene.namespace(), "name": name},
            "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false,
                "containers": [{"name": "app", "image": image, "imagePullPolicy": "Always"}]}});
        scene.api.apply(&pod).await;
        let path = of(&pod);
        until("the pulled image to run", || async {
            let phase = scene.api.get(&path).await["status"]["phase"].clone();
            (phase == "Succeeded").then_some(())
        })
        .await;
        assert_eq!(scene.cluster().kubectl(&["--namespace", scene.namespace(), "logs", name]), "pulled\n");
        assert_eq!(self.held(), self.documents.len() + self.blobs.len(), "each part is on the node");
        scene.api.delete(&path).await;
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        let socket = self.scene.cluster().state().join("run/containerd.sock");
        run(Command::new("ctr").arg("-a").arg(socket).args(["-n", "k8s.io"]).args(arguments))
    }

    /// How many of its parts the node's content store holds.
    fn held(&self) -> usize {
        let listed = self.ctr(&["content", "list", "--quiet"]);
        self.documents.iter().chain(&self.blobs).filter(|digest| listed.contains(digest.as_str())).count()
    }

    /// Has the node forget it under all its names, one of which is the digest of its configuration.
    async fn forgotten(&self) {
        // Of a layer whose files are still there, as a container's are, the node pulls nothing.
        until_time(SWEEP, "the containers to be removed", || async {
            let listed = self.ctr(&["containers", "list"]);
            (!listed.contains(&self.namespace)).then_some(())
        })
        .await;
        let names = || {
            let listed = self.ctr(&["images", "list"]);
            let own = listed.lines().filter(|line| self.documents.iter().any(|digest| line.contains(digest.as_str())));
            own.filter_map(|line| Some(line.split_ascii_whitespace().next()?.to_owned())).collect::<Vec<_>>()
        };
        let known = names();
        assert!(known.iter().any(|name| *name == self.blobs[0]), "by its configuration: {known:?}");
        for name in known {
            self.ctr(&["images", "remove", "--sync", &name]);
        }
        until("the node to forget the image", || async { (names().is_empty() && self.held() == 0).then_some(()) })
            .await;
    }

    /// How often the proxy's pods have given each blob away, to the last byte.
    async fn served(&self) -> Vec<usize> {
        let mut lines = Vec::new();
        for pod in self.scene.pods("container").await {
            let log = self.scene.cluster().kubectl(&["--namespace", self.scene.namespace(), "logs", &pod.name]);
            lines.extend(log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
        let is_whole = |line: &Value, digest: &str| {
            let path = line["path"].as_str().unwrap_or_default();
            path.ends_with(&format!("/{REPOSITORY}/blobs/{digest}"))
                && line["method"] == "GET"
                && line["status"] == 200
                && line["complete"] == true
        };
        self.blobs.iter().map(|digest| lines.iter().filter(|line| is_whole(line, digest)).count()).collect()
    }

    /// Waits until it has given each blob away so often.
    async fn until_served(&self, times: usize) {
        until("the proxy to have served each blob", || async {
            self.served().await.iter().all(|served| *served == times).then_some(())
        })
        .await;
    }
}

async fn pulls_twice(name: &str, mut registry: Registry, folder: &std::path::Path, account: bool) {
    let scene = Scene::plan(name).pods().start().await;
    let layout = Layout::with(
        folder.join("layout"),
        if account { 8 } else { 7 },
        &[("bin/busybox", busybox())],
        &["/bin/busybox", "echo", "pulled"],
    );
    push(&layout, &registry, REPOSITORY, account);
    let (documents, blobs) = layout.parts(if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    assert!(blobs.len() >= 4, "a configuration and three layers");
    // Nobody's, so that a pull which passes the proxy by finds nothing; and of this test alone, for it is the node's.
    let namespace = format!("{name}.registry.test");
    let image = Image { scene: &scene, namespace: namespace.clone(), documents, blobs };
    let mut proxy = Proxy::new(scene.namespace(), "container")
        .spec("/ecosystem", "container")
        .spec("/replicas", 1)
        // A tag is asked for again each time: without the registry the last answer has to do.
        .spec("/cache/metadataTTL", "0s")
        .spec("/upstream/url", format!("http://{}/", registry.address()))
        .spec("/upstream/namespace", namespace.as_str());
    if account {
        let (username, password) = ACCOUNT;
        // The token server has another port.
        let values = json!({"username": username, "password": password, "hosts": GATEWAY.to_string()});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": values,
            "metadata": {"name": "account", "namespace": scene.namespace()}});
        scene.api.apply(&secret).await;
        proxy = proxy
            .spec("/upstream/allowPlaintextAuth", true)
            .spec("/upstream/allowedCIDRs", json!([format!("{GATEWAY}/32")]))
            .spec("/upstream/auth", json!({"type": "Basic", "secretRef": {"name": "account"}}));
    }
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    // Nodes do not ask the cluster's DNS: the address for clients is one that they reach.
    let service = scene.service("container").await;
    let proxy = proxy.spec("/externalURL", format!("http://{service}"));
    scene.apply(&proxy).await;
    let pods = scene.serving(&proxy).await;
    let published = at("ConfigMap", scene.namespace(), "container-client");
    let hosts = until("the address in the client configuration", || async {
        let map: Value = scene.api.get(&published).await;
        let text = map["data"]["hosts.toml"].as_str().unwrap_or_default().to_owned();
        text.contains(&service.ip().to_string()).then_some(text)
    })
    .await;
    let hosts = Hosts::new(&scene, &namespace, &hosts);
    let asked = registry.tokens_asked();
    image.runs("online").await;
    assert_eq!(registry.tokens_asked() > asked, account, "tokens where the registry wants them");
    image.until_served(1).await;
    registry.stop();
    image.forgotten().await;
    image.runs("offline").await;
    image.until_served(2).await;
    assert_eq!(scene.pods("container").await, pods, "the pods whose log was read are those that served");
    image.forgotten().await;
    drop(hosts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn the_kubelet_pulls_through_a_proxy_and_again_without_the_registry() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = Registry::open_at(GATEWAY, folder.path());
    pulls_twice("images", registry, folder.path(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn the_kubelet_pulls_from_a_registry_with_tokens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = Registry::with_tokens_at(GATEWAY, folder.path());
    pulls_twice("tokens", registry, folder.path(), true).await;
}
