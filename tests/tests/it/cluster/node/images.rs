//! The kubelet pulls an image through a proxy, and again from the cache when the registry is gone.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::{GATEWAY, Proxy, Scene, at, workspace};
use tests::wait::until;

use crate::clients::container::registry::Registry;

/// The registry in the names of images: nobody's, so that a pull which passes the proxy by finds nothing.
const NAMESPACE: &str = "registry.test";
const IMAGE: &str = "registry.test/team/tiny:1";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// An image of one program that says a word, in a registry.
fn push(folder: &Path, registry: &Registry) {
    let archive = folder.join("tiny.tar");
    let busybox = run(Command::new("sh").args(["-c", "readlink -f \"$(command -v busybox)\""]));
    let mut write = Command::new(workspace().join("images/archive.py"));
    write.arg(&archive).args([IMAGE, "--entrypoint", r#"["/bin/busybox","echo","pulled"]"#]);
    run(write.arg(format!("{}:bin/busybox:755", busybox.trim())));
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
    copy.arg(format!("docker-archive:{}", archive.display()));
    run(copy.arg(format!("docker://{}/team/tiny:1", registry.address())));
}

/// Tells the node's containerd where images of that registry come from, for as long as it lives.
struct Hosts(std::path::PathBuf);

impl Hosts {
    fn new(scene: &Scene, text: &str) -> Self {
        let folder = scene.cluster().state().join("certs.d").join(NAMESPACE);
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

/// Runs the image to its end; the kubelet asks for it although the node may have it.
async fn pulled(scene: &Scene, name: &str) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": scene.namespace(), "name": name},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false,
            "containers": [{"name": "tiny", "image": IMAGE, "imagePullPolicy": "Always"}]}});
    scene.api.apply(&pod).await;
    let path = at("Pod", scene.namespace(), name);
    until("the pulled image to run", || async {
        let phase = scene.api.get(&path).await["status"]["phase"].clone();
        (phase == "Succeeded").then_some(())
    })
    .await;
    scene.cluster().kubectl(&["--namespace", scene.namespace(), "logs", name])
}

fn forget(scene: &Scene) {
    let socket = scene.cluster().state().join("run/containerd.sock");
    let ctr =
        |arguments: &[&str]| run(Command::new("ctr").arg("-a").arg(&socket).args(["-n", "k8s.io"]).args(arguments));
    for name in ctr(&["images", "list", "--quiet"]).lines().filter(|name| name.starts_with(NAMESPACE)) {
        ctr(&["images", "remove", "--sync", name]);
    }
    ctr(&["content", "prune", "references"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn the_kubelet_pulls_through_a_proxy_and_again_without_the_registry() {
    let scene = Scene::plan("images").pods().start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut registry = Registry::open_at(GATEWAY, folder.path());
    push(folder.path(), &registry);
    let proxy = Proxy::new(scene.namespace(), "container")
        .spec("/ecosystem", "container")
        .spec("/replicas", 1)
        .spec("/upstream/url", format!("http://{}/", registry.address()))
        .spec("/upstream/namespace", NAMESPACE);
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    // Nodes do not ask the cluster's DNS: the address for clients is one that they reach.
    let service = scene.service("container").await;
    let proxy = proxy.spec("/externalURL", format!("http://{service}"));
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    let published = at("ConfigMap", scene.namespace(), "container-client");
    let hosts = until("the address in the client configuration", || async {
        let map: Value = scene.api.get(&published).await;
        let text = map["data"]["hosts.toml"].as_str().unwrap_or_default().to_owned();
        text.contains(&service.ip().to_string()).then_some(text)
    })
    .await;
    let hosts = Hosts::new(&scene, &hosts);
    assert_eq!(pulled(&scene, "online").await, "pulled\n");
    registry.stop();
    forget(&scene);
    assert_eq!(pulled(&scene, "offline").await, "pulled\n");
    forget(&scene);
    drop(hosts);
}
