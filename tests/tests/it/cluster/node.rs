//! What needs a node: pods that run, clients inside the cluster, Secrets that arrive in volumes.

mod credentials;
mod images;
mod install;
mod lifecycle;
mod rollout;

use serde_json::json;
use tests::cluster::{GATEWAY, Proxy, Scene};
use tests::fixture::{BASE, NPM};
use tests::{Fixture, Upstream};

/// An operator in a pod, and a small registry on the machine that its proxies may reach.
struct Stage {
    scene: Scene,
    upstream: Upstream,
    fixture: Fixture,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let scene = Scene::plan(name).pods().start().await;
        let upstream = Upstream::start_at(GATEWAY).await;
        let fixture = Fixture::new(&NPM);
        fixture.install(&upstream);
        Self { scene, upstream, fixture }
    }

    /// The main document: a proxy of a cluster serves one registry, at the root.
    fn metadata(&self) -> String {
        format!("/{}", self.fixture.protocol.metadata(&self.fixture.package.name))
    }

    /// The file of a release.
    fn artifact(&self, release: usize) -> String {
        let (package, version) = (&self.fixture.package.name, &self.fixture.package.releases[release].version);
        format!("/{}", self.fixture.protocol.artifact(package, version))
    }

    /// A proxy of the small registry with one pod.
    fn proxy(&self) -> Proxy {
        self.scene
            .proxy("npm")
            .spec("/replicas", 1)
            .spec("/upstream/url", self.upstream.url(BASE))
            .spec("/upstream/allowPlaintextAuth", true)
    }

    /// The same, which asks the registry each time.
    fn asking(&self) -> Proxy {
        self.proxy().spec("/cache/metadataTTL", "0s")
    }

    /// A volume of the node, for one claim of this class. The kubelet gives it to the group of the pod.
    async fn volume(&self) -> String {
        let class = format!("{}-class", self.scene.namespace());
        let folder = self.scene.cluster().state().join("volumes").join(&class);
        std::fs::create_dir_all(&folder).expect("a writable state");
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": class}, "spec": {
            "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain", "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]}}}});
        self.scene.lend(&volume).await;
        class
    }
}
