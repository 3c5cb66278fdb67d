//! The way of a newcomer: install the chart, apply proxies, and pods install through them by nothing but the
//! published configuration; then again without the registries.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tests::cluster::{ClientPod, Proxy, Row, Scene, at, report};
use tests::wait::until;
use tokio::time::Instant;

/// apt in a root of its own, so that nothing of the machine's settings counts. Signatures are checked.
const APT: &str = r#"
    root=/tmp/root; mkdir -p $root/etc/apt/{apt.conf.d,sources.list.d,preferences.d,trusted.gpg.d}
    mkdir -p $root/var/lib/{apt/lists/partial,dpkg} $root/var/cache/apt/archives/partial; : >$root/var/lib/dpkg/status
    printf '%s\n' "Dir "$root";" "Dir::State::status "$root/var/lib/dpkg/status";" "Dir::Etc "$root/etc/apt";" \
        'Dir::Bin::Methods "/usr/lib/apt/methods";' 'APT::Sandbox::User "root";' >/tmp/apt.conf
    . /usr/lib/os-release
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] mirror+file:/etc/apt/mirrors/packageproxy.list $VERSION_CODENAME main" >$root/etc/apt/sources.list
    export APT_CONFIG=/tmp/apt.conf
    apt-get -q update
    apt-get -qy install --download-only --no-install-recommends $(cat /clients/debian/packages)
    ls $root/var/cache/apt/archives/*.deb | wc -l"#;

/// An application of each ecosystem, and what shows that it is installed.
fn clients(when: &str) -> Vec<ClientPod> {
    let name = |client: &str| format!("{client}-{when}");
    vec![
        ClientPod::new(
            &name("npm"),
            "cp -r /clients/npm/large /tmp/app; cd /tmp/app; npm ci --ignore-scripts --no-audit --no-fund
             find node_modules -name package.json | wc -l",
        )
        .variables("npm-client-env"),
        ClientPod::new(
            &name("pip"),
            "cd /tmp; pip install --no-compile --disable-pip-version-check -q -r /clients/python/science/requirements.txt --target site
             find site -name WHEEL | wc -l",
        )
        .variables("pypi-client-env"),
        ClientPod::new(
            &name("cargo"),
            "mkdir /tmp/work; cp -r /clients/cargo/workspace /tmp/work/app; cd /tmp/work/app; cargo fetch --locked
             find /tmp/.cargo -name '*.crate' | wc -l",
        )
        .files("cargo-client", "/.cargo"),
        ClientPod::new(
            &name("go"),
            "cp -r /clients/go/application /tmp/app; cd /tmp/app; export GOFLAGS=-mod=mod GOPATH=/tmp/go GOCACHE=/tmp/build
             go list -deps . >/dev/null; go mod download; find /tmp/go/pkg/mod/cache/download -name '*.zip' | wc -l",
        )
        .variables("go-client-env"),
        ClientPod::new(
            &name("mvn"),
            "cp -r /clients/maven/application /tmp/app; cd /tmp/app
             mvn -B -q -C -s /etc/packageproxy/settings.xml -Dmaven.repo.local=/tmp/repository package >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
             find /tmp/repository -name '*.jar' | wc -l",
        )
        .files("maven-client", "/etc/packageproxy"),
        ClientPod::new(&name("apt"), APT).files("debian-client", "/etc/apt/mirrors"),
    ]
}

async fn install(scene: &Scene, when: &str) -> Vec<usize> {
    let mut counts = Vec::new();
    for client in clients(when) {
        let log = scene.run_client(&client).await;
        // Programs that colour their output may leave an escape behind at their end.
        let last = log.lines().rev().find_map(|line| line.trim().parse().ok());
        counts.push(last.unwrap_or_else(|| panic!("no number in {log}")));
    }
    counts
}

/// The path out of the cluster, cut for the pods of proxies while this lives.
struct Cut;

impl Cut {
    fn new(addresses: &[String]) -> Self {
        let set = addresses.join(", ");
        let rules = format!(
            "table ip packageproxy-cut {{\n chain out {{\n type filter hook forward priority -10; policy accept;\n \
             ip saddr {{ {set} }} ip daddr != {{ 10.244.0.0/16, 10.96.0.0/16 }} drop\n }}\n}}\n"
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("rules");
        std::fs::write(&file, rules).expect("a writable folder");
        let output = Command::new("nft").arg("-f").arg(file).output().expect("nft runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let _ = Command::new("nft").args(["delete", "table", "ip", "packageproxy-cut"]).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn pods_install_by_the_published_configuration_alone_and_again_without_the_registries() {
    let scene = Scene::plan("install").pods().start().await;
    let started = Instant::now();
    // As the documentation says: packageproxy init | kubectl apply -f -
    let program = std::env::var_os("PACKAGEPROXY_BIN").expect("PACKAGEPROXY_BIN names the program");
    let init = Command::new(program).arg("init").stdin(Stdio::null()).output().expect("packageproxy runs");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("init.yaml");
    std::fs::write(&file, &init.stdout).expect("a writable folder");
    let kubectl = |arguments: &[&str]| scene.cluster().kubectl(&[&["-n", scene.namespace()][..], arguments].concat());
    kubectl(&["apply", "-f", &file.display().to_string()]);
    // A build cache needs no upstream, and no client on this machine speaks to one by its configuration alone.
    let gradle = Proxy::new(scene.namespace(), "gradle").spec("/ecosystem", "gradle").spec("/replicas", 1);
    scene.apply(&gradle.spec("/upstream", json!({}))).await;
    let names = ["npm", "pypi", "cargo", "go", "maven", "debian"];
    let wanted: Vec<String> = names.iter().map(|name| format!("pkgp/{name}")).collect();
    let mut wait = vec!["wait", "--for=condition=Ready", "--timeout=60s"];
    wait.extend(wanted.iter().map(String::as_str));
    wait.push("pkgp/gradle");
    kubectl(&wait);
    let ready = started.elapsed();
    let entry = format!("/{}", "ab".repeat(16));
    tests::Client::new(scene.service("gradle").await).get(&entry).await.expect_status(404);
    println!("{}", kubectl(&["get", "pkgp"]));

    let begun = Instant::now();
    let first = install(&scene, "online").await;
    let online = begun.elapsed();
    let mut addresses = Vec::new();
    for name in names {
        let selector = format!("app.kubernetes.io/instance={name}");
        for pod in scene.api.list(&at("Pod", scene.namespace(), ""), &selector).await {
            addresses.push(pod["status"]["podIP"].as_str().expect("an address").to_owned());
        }
    }
    let cut = Cut::new(&addresses);
    let begun = Instant::now();
    let second = install(&scene, "offline").await;
    let offline = begun.elapsed();
    assert_eq!(first, second, "the same without the registries");
    drop(cut);
    assert!(first.iter().zip([500, 40, 200, 150, 150, 100]).all(|(count, least)| *count >= least), "{first:?}");
    let seconds = |time: std::time::Duration| format!("{:.1} s", time.as_secs_f64());
    let rows = [
        Row::new("kubectl apply of npm, pypi, cargo, go, maven, debian, gradle until all are Ready", seconds(ready)),
        Row::new(
            "npm ci, pip install, cargo fetch, go mod download, mvn package, apt-get install in pods, cold",
            seconds(online),
        ),
        Row::new("the same with the registries cut off", seconds(offline)),
        Row::new("packages, wheels, crates, modules, jars, debs", format!("{first:?}")),
    ];
    report("install in pods", &rows);
}

/// What the other scenarios rest on: pods with the clients of the machine and nothing of its settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn client_pods_have_the_clients_of_the_machine() {
    let scene = Scene::new("clients").await;
    let script = "npm --version; pip --version; cargo --version; ls /clients; pip config list; env | sort";
    let log = scene.run_client(&ClientPod::new("versions", script)).await;
    assert!(log.contains("cargo 1.") && log.contains("pip 2"), "{log}");
    assert!(!log.contains("PIP_"), "settings of the machine: {log}");
}

/// Every pod of a proxy and of the operator passes the strictest level of Pod Security.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn pods_run_where_only_restricted_ones_may() {
    let stage = super::Stage::new("restricted").await;
    let scene = &stage.scene;
    let enforce = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    for namespace in [scene.namespace(), &scene.system()] {
        scene.api.patch(&at("Namespace", "", namespace), &enforce).await;
    }
    let claim = json!({"size": "1Gi", "storageClassName": stage.volume().await});
    let stored = Proxy::new(scene.namespace(), "stored");
    let stored = stored.spec("/replicas", 1).spec("/upstream/url", stage.upstream.url("/")).claim(&claim);
    scene.apply(&stage.proxy()).await;
    scene.apply(&stored).await;
    scene.serving(&stage.proxy()).await;
    scene.converged(&stored).await;
    let deployment = format!("deployment/{}", scene.release_name());
    let kubectl = |arguments: &[&str]| scene.cluster().kubectl(&[&["-n", &scene.system()][..], arguments].concat());
    kubectl(&["rollout", "restart", &deployment]);
    kubectl(&["rollout", "status", &deployment, "--timeout=60s"]);
    for pod in scene.api.list(&at("Pod", scene.namespace(), ""), "app.kubernetes.io/name=packageproxy").await {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["enableServiceLinks"], false);
        assert_eq!(spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
        let volumes = spec["volumes"].as_array().expect("volumes");
        assert!(volumes.iter().all(|volume| volume.get("projected").is_none()), "no token: {volumes:?}");
    }
    scene.cluster().helm(&["test", scene.release(), "--namespace", &scene.system()]);
}

/// `UpstreamReachable` follows the registry, and Ready does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_registry_that_is_away_is_shown_and_does_not_make_the_proxy_unready() {
    let stage = super::Stage::new("away").await;
    let scene = &stage.scene;
    let proxy = stage.asking();
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    scene.until(&proxy, "UpstreamReachable", "True", "Probed").await;
    let client = tests::Client::new(scene.service("npm").await);
    let path = stage.metadata();
    client.get(&path).await.expect_status(200);
    stage.upstream.stop().await;
    // Traffic is what tells the proxy, and failures of one document are not yet those of the registry.
    let asked = AtomicUsize::new(0);
    until("the condition to follow", || async {
        client.get(&path).await;
        client.get(&format!("/absent-{}", asked.fetch_add(1, Ordering::Relaxed))).await;
        let object = scene.api.get(&tests::cluster::of(&proxy.0)).await;
        tests::cluster::condition(&object, "UpstreamReachable").filter(|found| found.status == "False")
    })
    .await;
    let object = scene.until(&proxy, "Ready", "True", "ServingStale").await;
    assert_eq!(object["status"]["upstream"]["healthy"], false);
    client.get(&path).await.expect_status(200);
    stage.upstream.resume().await;
    until("the condition to heal", || async {
        client.get(&path).await;
        let object = scene.api.get(&tests::cluster::of(&proxy.0)).await;
        tests::cluster::condition(&object, "UpstreamReachable").filter(|found| found.status == "True")
    })
    .await;
}
