//! skopeo and containerd, pulling images of two architectures from Debian's docker-registry: directly, through a cold
//! proxy, through the warm one, and with the registry gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::machine::{self, tests_folder};
use super::proxy::{self, Network, Proxy, program};
use super::report::{self, Times};
use super::tree::Tree;
use containerd::Containerd;
use image::{Layout, PLATFORMS, TAG};
use registry::{ACCOUNT, Registry};

mod containerd;
pub(crate) mod image;
pub(crate) mod registry;

/// The registry in the names of images: nobody's, so that a request which passes the proxy by finds nothing.
const NAMESPACE: &str = "registry.test";
const MEBIBYTE: u64 = 1 << 20;

/// A scratch folder that is empty.
fn scratch(name: &str) -> PathBuf {
    let folder = tests_folder().join(".work").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// Writes the manifest of a proxy for a registry, in which every tag is asked for again each time.
fn manifest(folder: &Path, registry: &Registry, account: bool) -> PathBuf {
    let mut upstream = json!({
        "url": format!("http://{}/", registry.address()), "namespace": NAMESPACE, "allowedCIDRs": ["127.0.0.0/8"],
        "retry": {"attempts": 0},
    });
    let mut documents = Vec::new();
    if account {
        upstream["allowPlaintextAuth"] = true.into();
        upstream["auth"] = json!({"type": "Basic", "secretRef": {"name": "account"}});
        let (username, password) = ACCOUNT;
        documents.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "account"},
            // The token server has another port.
            "stringData": {"username": username, "password": password, "hosts": "127.0.0.1"},
        }));
    }
    documents.push(json!({
        "apiVersion": "packageproxy.dev/v1alpha1", "kind": "PackageProxy", "metadata": {"name": "container"},
        "spec": {"ecosystem": "container", "upstream": upstream, "cache": {"metadataTTL": "0s"}},
    }));
    let path = folder.join("manifests.yaml");
    let texts: Vec<String> = documents.iter().map(ToString::to_string).collect();
    fs::write(&path, texts.join("\n---\n")).expect("a manifest");
    path
}

/// The file that `packageproxy client` prints for clients of a proxy.
fn client_file(manifests: &Path, proxy: &Proxy, name: &str) -> String {
    let mut command = Command::new(program());
    command.args(["client", "container", "--base"]).arg(format!("http://{}", proxy.address())).arg("-f").arg(manifests);
    let printed = machine::run(&mut command);
    let (_, after) =
        printed.split_once(&format!("# or, in {name}\n")).unwrap_or_else(|| panic!("no {name}: {printed}"));
    // A set-up ends with an empty line, and the next one begins with the name of a program.
    let end = after.find("\n\n# ").unwrap_or(after.len());
    format!("{}\n", after[..end].trim_end())
}

/// Pushes an image with all its architectures, with the account or as anybody.
pub(crate) fn push(layout: &Layout, registry: &Registry, repository: &str, account: bool) {
    let mut command = machine::client("skopeo", Path::new("/nonexistent"));
    command.args(["copy", "--quiet", "--all", "--insecure-policy", "--dest-tls-verify=false"]);
    if account {
        command.arg(format!("--dest-creds={}:{}", ACCOUNT.0, ACCOUNT.1));
    }
    command.arg(layout.reference());
    machine::run(command.arg(format!("docker://{}/{repository}:{TAG}", registry.address())));
}

/// Copies an image with all its architectures to a folder, and returns what is there.
fn skopeo(folder: &Path, image: &str, arguments: &[&str]) -> Tree {
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    let mut command = machine::client("skopeo", folder);
    command.args(["copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false"]).args(arguments);
    machine::run(command.arg(format!("docker://{image}")).arg(format!("dir:{}", out.display())));
    Tree::read(&out)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// Runs one pull directly, cold, warm and with the registry gone, and compares what each left.
fn four_ways<T: PartialEq + std::fmt::Debug>(
    name: &str,
    folder: &Path,
    mut registry: Registry,
    account: bool,
    direct: impl FnOnce(&Registry) -> T,
    through: impl Fn(&Proxy, &Path) -> T,
    files: impl Fn(&T) -> usize,
) {
    let manifests = manifest(folder, &registry, account);
    let mut times = Times::default();
    let expected;
    (times.direct, expected) = timed(|| direct(&registry));
    let open = Proxy::start(&manifests, folder, ([127, 0, 0, 1], 0).into(), Network::Open);
    for time in [&mut times.cold, &mut times.warm] {
        let found;
        (*time, found) = timed(|| through(&open, &manifests));
        assert!(found == expected, "{name}: {found:?}, not {expected:?}");
    }
    let address = open.address();
    open.stop();
    registry.stop();
    let cut = Proxy::start(&manifests, folder, address, Network::Open);
    let found;
    (times.offline, found) = timed(|| through(&cut, &manifests));
    assert!(found == expected, "{name}, offline: {found:?}, not {expected:?}");
    let (status, text) = proxy::get(&format!("{}v2/team/app/manifests/never", cut.base("container")), &[]);
    assert!((502..=504).contains(&status), "the registry was not gone: {text}");
    cut.stop();
    report::row(name, files(&expected), &times);
    let _ = fs::remove_dir_all(folder);
}

#[test]
#[ignore = "needs skopeo and docker-registry: tests/run"]
fn skopeo_copies_every_architecture() {
    let folder = scratch("skopeo");
    let registry = Registry::open(&folder);
    push(&Layout::new(folder.join("layout"), 1), &registry, "team/app", false);
    four_ways(
        "skopeo copy",
        &folder,
        registry,
        false,
        |registry| skopeo(&folder, &format!("{}/team/app:{TAG}", registry.address()), &[]),
        |proxy, _| {
            // By the proxy's name, and as the only registry that there is.
            let named = skopeo(&folder, &format!("{}/container/team/app:{TAG}", proxy.address()), &[]);
            assert_eq!(skopeo(&folder, &format!("{}/team/app:{TAG}", proxy.address()), &[]), named);
            named
        },
        |tree| tree.count(""),
    );
}

#[test]
#[ignore = "needs skopeo and docker-registry: tests/run"]
fn skopeo_pulls_by_the_registry_s_own_name() {
    let folder = scratch("skopeo-mirror");
    let registry = Registry::open(&folder);
    push(&Layout::new(folder.join("layout"), 2), &registry, "team/app", false);
    four_ways(
        "skopeo mirror",
        &folder,
        registry,
        false,
        |registry| skopeo(&folder, &format!("{}/team/app:{TAG}", registry.address()), &[]),
        |proxy, manifests| {
            // The command adds to what the user has.
            let own = folder.join(".config/containers/registries.conf");
            let settings = "unqualified-search-registries = [\"own.test\"]\n";
            fs::create_dir_all(own.parent().expect("a folder")).expect("a folder");
            fs::write(&own, settings).expect("a file");
            let (base, manifests) = (format!("http://{}", proxy.address()), manifests.display().to_string());
            let command = proxy::printed_command("podman", &["container", "--base", &base, "-f", &manifests]);
            machine::run(machine::client("sh", &folder).args(["-c", &command]));
            assert_eq!(fs::read_to_string(own).expect("a file"), settings);
            skopeo(&folder, &format!("{NAMESPACE}/team/app:{TAG}"), &[])
        },
        |tree| tree.count(""),
    );
}

/// Pulls the image for each architecture by this `hosts.toml`, with the account or as anybody. Returns the digests of
/// what each pull left.
fn ctr_pull(containerd: &Containerd, folder: &Path, settings: &str, account: Option<(&str, &str)>) -> [Vec<String>; 2] {
    let hosts = folder.join("hosts");
    fs::create_dir_all(hosts.join(NAMESPACE)).expect("a folder");
    fs::write(hosts.join(NAMESPACE).join("hosts.toml"), settings).expect("a file");
    let image = format!("{NAMESPACE}/team/app:{TAG}");
    PLATFORMS.map(|architecture| {
        let digests = containerd.pull(&hosts, &image, architecture, account);
        assert!(digests.len() >= 6, "index, manifest, configuration and three layers: {digests:?}");
        containerd.forget(&image);
        digests
    })
}

#[test]
#[ignore = "needs containerd and docker-registry: tests/run"]
fn containerd_pulls_by_hosts_toml() {
    let folder = scratch("containerd");
    let registry = Registry::open(&folder);
    push(&Layout::new(folder.join("layout"), 3), &registry, "team/app", false);
    let containerd = Containerd::start(&folder.join("containerd"));
    let pull = |settings: &str| ctr_pull(&containerd, &folder, settings, None);
    four_ways(
        "ctr images pull",
        &folder,
        registry,
        false,
        |registry| pull(&format!("server = \"http://127.0.0.1:1\"\n[host.\"http://{}\"]\n", registry.address())),
        |proxy, manifests| {
            // The name leads to the proxy, and nowhere else.
            let settings = client_file(manifests, proxy, "hosts.toml");
            let named = pull(&format!("server = \"http://127.0.0.1:1\"\n{settings}"));
            let by_query = format!("server = \"http://127.0.0.1:1\"\n[host.\"http://{}\"]\n", proxy.address());
            assert_eq!(pull(&by_query), named);
            named
        },
        |digests| digests.iter().map(Vec::len).sum(),
    );
}

#[test]
#[ignore = "needs skopeo, containerd and docker-registry: tests/run"]
fn a_registry_with_tokens() {
    let folder = scratch("tokens");
    let registry = Registry::with_tokens(&folder);
    push(&Layout::new(folder.join("layout"), 4), &registry, "team/app", true);
    let credentials = format!("--src-creds={}:{}", ACCOUNT.0, ACCOUNT.1);
    let asked = registry.tokens_asked();
    four_ways(
        "skopeo, with tokens",
        &folder,
        registry,
        true,
        |registry| {
            let tree = skopeo(&folder, &format!("{}/team/app:{TAG}", registry.address()), &[&credentials]);
            assert!(registry.tokens_asked() > asked, "the registry asked for no token");
            tree
        },
        // Its clients need no account.
        |proxy, _| skopeo(&folder, &format!("{}/team/app:{TAG}", proxy.address()), &[]),
        |tree| tree.count(""),
    );
}

#[test]
#[ignore = "needs skopeo, containerd and docker-registry: tests/run"]
fn containerd_pulls_from_a_registry_with_tokens() {
    let folder = scratch("containerd-tokens");
    let registry = Registry::with_tokens(&folder);
    push(&Layout::new(folder.join("layout"), 6), &registry, "team/app", true);
    let containerd = Containerd::start(&folder.join("containerd"));
    let nowhere = "server = \"http://127.0.0.1:1\"\n";
    let direct = format!("{nowhere}[host.\"http://{}\"]\n", registry.address());
    // The repository is not for everybody.
    let hosts = folder.join("hosts");
    fs::create_dir_all(hosts.join(NAMESPACE)).expect("a folder");
    fs::write(hosts.join(NAMESPACE).join("hosts.toml"), &direct).expect("a file");
    let refused = containerd.pulling(&hosts, &format!("{NAMESPACE}/team/app:{TAG}"), PLATFORMS[0], None).output();
    assert!(!refused.expect("ctr runs").status.success(), "a stranger pulled what is private");
    let asked = registry.tokens_asked();
    four_ways(
        "ctr, with tokens",
        &folder,
        registry,
        true,
        |registry| {
            let digests = ctr_pull(&containerd, &folder, &direct, Some(ACCOUNT));
            assert!(registry.tokens_asked() > asked, "the registry asked for no token");
            digests
        },
        // Its clients need no account.
        |proxy, manifests| {
            let settings = client_file(manifests, proxy, "hosts.toml");
            ctr_pull(&containerd, &folder, &format!("{nowhere}{settings}"), None)
        },
        |digests| digests.iter().map(Vec::len).sum(),
    );
}

#[test]
#[ignore = "needs skopeo and docker-registry: tests/run"]
fn tokens_for_everybody() {
    let folder = scratch("public-tokens");
    let registry = Registry::with_tokens(&folder);
    let layout = Layout::new(folder.join("layout"), 5);
    push(&layout, &registry, "public/app", true);
    push(&layout, &registry, "private/app", true);
    let manifests = manifest(&folder, &registry, false);
    let proxy = Proxy::start(&manifests, &folder, ([127, 0, 0, 1], 0).into(), Network::Open);
    let direct = skopeo(&folder, &format!("{}/public/app:{TAG}", registry.address()), &[]);
    assert_eq!(skopeo(&folder, &format!("{}/public/app:{TAG}", proxy.address()), &[]), direct);
    // The same bytes, which the proxy holds, in a repository that is not for everybody.
    let base = proxy.base("container");
    let (status, text) = proxy::get(&format!("{base}v2/private/app/manifests/{TAG}"), &[]);
    assert_eq!(status, 404, "{text}");
    for blob in fs::read_dir(folder.join("layout/blobs/sha256")).expect("blobs") {
        let digest = blob.expect("a blob").file_name().into_string().expect("a digest");
        let (status, text) = proxy::get(&format!("{base}v2/private/app/blobs/sha256:{digest}"), &[]);
        assert_eq!(status, 404, "{text}");
    }
    proxy.stop();
    let _ = fs::remove_dir_all(folder);
}

/// A layer that is much larger than the memory which it may take, for several clients at once.
#[test]
#[ignore = "takes two gigabytes, twice, of the disk: tests/run"]
fn a_layer_of_two_gigabytes_for_eight_clients() {
    let folder = scratch("large-layer");
    let registry = Registry::open(&folder);
    let file = folder.join("layer");
    let digest = image::large(&file, 2 << 30);
    registry.push_blob("team/large", &digest, &file);
    fs::remove_file(file).expect("a file");
    let manifests = manifest(&folder, &registry, false);
    let proxy = Proxy::start(&manifests, &folder, ([127, 0, 0, 1], 0).into(), Network::Open);
    let path = format!("/v2/team/large/blobs/{digest}");
    proxy::get(&format!("http://{}/v2/", proxy.address()), &[]);
    let idle = proxy.memory("VmRSS");
    let script = format!("curl --silent --fail --noproxy '*' http://{}{path} | sha256sum", proxy.address());
    let clients: Vec<_> = (0..8)
        .map(|_| Command::new("bash").args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("a shell"))
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("a client's end");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(printed.split(' ').next(), digest.strip_prefix("sha256:"), "other bytes");
    }
    let peak = proxy.memory("VmHWM");
    registry.until_answered(&path);
    assert_eq!(registry.answered(&path), 1, "one request for eight clients");
    let above = peak.saturating_sub(idle) / MEBIBYTE;
    println!("2 GiB layer, 8 clients: 1 request, {} MiB idle, {above} MiB above that at most", idle / MEBIBYTE);
    assert!(above <= 64, "{above} MiB above idle");
    proxy.stop();
    let _ = fs::remove_dir_all(folder);
}
