//! `init` on machines made of a few scripts and files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crds::settings::{HUB, HUB_HOSTS};
use tempfile::TempDir;

use super::*;
use crate::config::{UnknownFields, load};

const OWN: &str = "127.0.0.1:8080";

/// A machine with these programs (their scripts) and files below its home.
fn machine(programs: &[(&str, &str)], files: &[(&str, &str)]) -> (TempDir, Machine) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (name, script) in programs {
        let path = root.path().join("bin").join(name);
        write(&path, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (name, text) in files {
        write(&root.path().join("home").join(name), text);
    }
    let directory = root.path().join("home/project");
    fs::create_dir_all(&directory).unwrap();
    let environment = [("PATH", root.path().join("bin")), ("HOME", root.path().join("home"))];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    (root, Machine { environment: environment.into(), directory })
}

async fn discover_here(machine: &Machine) -> Vec<Discovery> {
    discover(machine, &[OWN.parse().unwrap()]).await
}

/// Ecosystem, address and where it was read, of what was found.
fn found(discoveries: &[Discovery]) -> Vec<(&'static str, String, String)> {
    let found = discoveries.iter().filter_map(|discovery| match discovery {
        Discovery::Found(found) => Some((found.ecosystem.name(), found.url.to_string(), found.read_from.clone())),
        Discovery::NotFound(_) => None,
    });
    found.collect()
}

#[tokio::test]
async fn an_empty_machine_gets_remedies() {
    let (_root, machine) = machine(&[], &[]);
    let discoveries = discover_here(&machine).await;
    assert_eq!(found(&discoveries), []);
    let text = manifests(&discoveries);
    for remedy in ["# npm: no registry was found; install npm", "# pypi: no", "# cargo: no"] {
        assert!(text.contains(remedy), "{text}");
    }
    assert_eq!(settings(&discoveries), []);
}

#[tokio::test]
async fn defaults_of_the_clients() {
    let index = "home/.cargo/registry/index";
    let (root, machine) = machine(
        &[
            ("npm", "echo https://npm.registry.example/"),
            ("pip", "echo \"global.cert='/etc/ca.crt'\""),
            ("python3", "[ \"$1\" = -c ] && echo https://pypi.registry.example/simple"),
        ],
        &[(".cargo/registry/index/127.0.0.1-0123456789abcdef/config.json", "{}")],
    );
    let folder = root.path().join(index).join("index.registry.example-1949cf8c6b5b557f");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    let discoveries = discover_here(&machine).await;
    let expected = [
        ("cargo", "https://index.registry.example/", format!("the index that cargo has fetched, {}", folder.display())),
        ("npm", "https://npm.registry.example/", "npm config get registry".to_owned()),
        ("pypi", "https://pypi.registry.example/", "pip's own default".to_owned()),
    ];
    assert_eq!(found(&discoveries), expected.map(|(name, url, from)| (name, url.to_owned(), from)));
}

#[tokio::test]
async fn configured_registries_win() {
    let (_root, mut machine) = machine(
        &[("pip", "echo \"global.index-url='https://global.example/root/simple/'\"")],
        &[
            ("project/.cargo/config.toml", "[source.corp]\nregistry = 'sparse+https://cargo.example/index/'"),
            (".cargo/config.toml", "[source.crates-io]\nreplace-with = 'corp'\n[source.corp]\nregistry = 'other'"),
        ],
    );
    let from_files = found(&discover_here(&machine).await);
    assert_eq!(from_files[0].1, "https://cargo.example/index/");
    assert!(from_files[0].2.starts_with("source.corp in "), "{from_files:?}");
    assert_eq!(
        (from_files[1].1.as_str(), from_files[1].2.as_str()),
        ("https://global.example/root/", "pip config list (global.index-url)")
    );

    machine.environment.insert("PIP_INDEX_URL".into(), "https://env.example/simple".into());
    assert_eq!(found(&discover_here(&machine).await)[1].1, "https://env.example/");
}

#[tokio::test]
async fn a_client_that_uses_this_proxy_is_asked_for_its_default() {
    let npm = "case \"$*\" in *userconfig*) echo https://default.example/;; *) echo http://localhost:8080/npm/;; esac";
    let (_root, mut machine) = machine(
        &[("npm", npm), ("python3", "[ \"$1\" = -c ] && echo https://index.example/simple")],
        &[
            (
                ".cargo/config.toml",
                "[source.crates-io]\nreplace-with = 'p'\n[source.p]\nregistry = 'sparse+http://127.0.0.1:8080/cargo/'",
            ),
            (".cargo/registry/index/index.example-0123456789abcdef/config.json", "{}"),
        ],
    );
    machine.environment.insert("PIP_INDEX_URL".into(), "http://127.0.0.1:8080/pypi/simple/".into());
    let discoveries = discover_here(&machine).await;
    let addresses: Vec<String> = found(&discoveries).into_iter().map(|(_, address, _)| address).collect();
    assert_eq!(addresses, ["https://index.example/", "https://default.example/", "https://index.example/"]);
    assert!(manifests(&discoveries).contains("# passed over npm config get registry: it names this proxy itself"));
}

#[tokio::test]
async fn credentials_are_left_out_and_the_output_passes_check() {
    let (root, machine) =
        machine(&[("npm", "echo 'https://user:canary@npm.example/a%20b/?token=canary#x'"), ("pip", "echo")], &[]);
    let discoveries = discover_here(&machine).await;
    let text = manifests(&discoveries);
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("also holds a credential, which is left out"), "{text}");

    let file = root.path().join("manifests.yaml");
    fs::write(&file, &text).unwrap();
    let loaded = load(&[file], None, UnknownFields::Refuse).unwrap();
    assert_eq!(loaded.settings, settings(&discoveries));
    assert_eq!(loaded.settings[0].upstream.url.as_str(), "https://npm.example/a%20b/");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_is_given_up() {
    let (_root, machine) = machine(&[("npm", "exec 1>&2; while :; do :; done")], &[]);
    assert_eq!(found(&discover_here(&machine).await), []);
}

#[tokio::test]
async fn every_archive_of_apt_is_a_proxy_of_its_own() {
    let lines = [
        "'http://registry.example/debian/dists/stable/InRelease' a 0",
        "'http://registry.example/debian/dists/stable/main/binary-amd64/Packages.xz' b 0",
        "'http://registry.example/debian/dists/stable/updates/InRelease' c 0",
        "'http://registry.example/debian-security/dists/stable-security/InRelease' d 0",
        "'https://other.example/tools/./InRelease' e 0",
        "'https://more.example/x/tools/InRelease' f 0",
        "'mirror+file:/etc/apt/mirrors/x.list/dists/stable/InRelease' g 0",
        "'http://127.0.0.1:8080/debian/dists/stable/InRelease' h 0",
    ];
    let script = format!("[ \"$1\" = --print-uris ] && cat <<'END'\n{}\nEND", lines.join("\n"));
    // `cat` is outside of the machine's own programs.
    let script = format!("PATH=/usr/bin:/bin\n{script}");
    let (_root, machine) = machine(&[("apt-get", &script)], &[]);
    let discoveries = discover_here(&machine).await;
    let names: Vec<(String, String)> = discoveries
        .iter()
        .filter_map(|discovery| match discovery {
            Discovery::Found(found) => Some((found.name.clone(), found.url.to_string())),
            Discovery::NotFound(_) => None,
        })
        .collect();
    let expected = [
        ("debian", "http://registry.example/debian/"),
        ("debian-security", "http://registry.example/debian-security/"),
        ("debian-tools", "https://other.example/tools/"),
        ("debian-tools-2", "https://more.example/x/tools/"),
    ];
    assert_eq!(names, expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
}

/// The manifest that `init` writes for Go, without comments, on a machine whose go command prints this.
async fn go_manifest(script: &str) -> String {
    let (root, machine) = machine(&[("go", script)], &[]);
    let discoveries = discover_here(&machine).await;
    let text = manifests(&discoveries);
    let file = root.path().join("manifests.yaml");
    fs::write(&file, &text).unwrap();
    if !found(&discoveries).is_empty() {
        assert_eq!(load(&[file], None, UnknownFields::Refuse).unwrap().settings, settings(&discoveries), "{text}");
    }
    let document = text.split("---\n").find(|document| document.contains("ecosystem: go\n")).unwrap_or_default();
    let upstream = document.split("  upstream:\n").nth(1).unwrap_or_default();
    upstream.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn module_proxies_in_their_order_and_the_checksum_database() {
    for (proxies, database, expected) in [
        (
            "https://proxy.registry.example,direct",
            "sum.registry.example",
            "url: \"https://proxy.registry.example/\" checksumDatabase: \"sum.registry.example\"",
        ),
        (
            "off|https://a.example/go|https://b.example,direct",
            "sum.registry.example+033de0ae+Ac4zctda0e5eza https://sum.registry.example/x",
            "url: \"https://a.example/go/\" checksumDatabase: \"sum.registry.example\" fallbacks: \
             - url: \"https://b.example/\" when: NotFound",
        ),
        ("https://a.example", "off", "url: \"https://a.example/\""),
        ("direct", "sum.registry.example", ""),
        ("off", "off", ""),
    ] {
        let found = go_manifest(&format!("echo '{proxies}'; echo '{database}'")).await;
        assert_eq!(found, expected, "{proxies} {database}");
    }
    // Set to use this proxy: asked for what it was built with.
    let script =
        "if [ \"$GOENV\" = off ]; then echo https://built.example,direct; else echo http://localhost:8080/go/; fi
echo sum.registry.example";
    let expected = "url: \"https://built.example/\" checksumDatabase: \"sum.registry.example\"";
    assert_eq!(go_manifest(script).await, expected);
}

#[tokio::test]
async fn every_registry_of_images_is_a_proxy_of_its_own() {
    let text = format!(
        "[[registry]]\nprefix = \"a.example\"\nlocation = \"api.a.example\"\n[[registry]]\nlocation = \"{HUB}\"\n\
         [[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n[[registry]]\nprefix = \"a.example\"\n\
         location = \"other.example\"\n[[registry]]\nlocation = \"127.0.0.1:8080\"\ninsecure = true\n"
    );
    let (root, machine) = machine(&[], &[(".config/containers/registries.conf", &text)]);
    let discoveries = discover_here(&machine).await;
    let settings = settings(&discoveries);
    let all =
        settings.iter().map(|proxy| (proxy.name.as_str(), proxy.upstream.url.as_str(), proxy.upstream.namespace()));
    let api = format!("https://{}{HUB}/", HUB_HOSTS[0]);
    let expected = [
        ("container", "https://api.a.example/", "a.example"),
        ("container-docker-io", api.as_str(), HUB),
        ("container-127-0-0-1-5000", "http://127.0.0.1:5000/", "127.0.0.1:5000"),
    ];
    assert_eq!(all.collect::<Vec<_>>(), expected.map(|(name, url, namespace)| (name, url, namespace.to_owned())));
    let file = root.path().join("manifests.yaml");
    fs::write(&file, manifests(&discoveries)).unwrap();
    assert_eq!(load(&[file], None, UnknownFields::Refuse).unwrap().settings, settings);
}
