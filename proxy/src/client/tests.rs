use super::*;

const PLAIN: &str = "http://x.team.svc/";
const SECURE: &str = "https://x.team.svc";
const AUTHORITY: &str = "/etc/packageproxy/ca.crt";
const NAMESPACE: &str = "registry.example:5000";

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn hosts_of_plain_http() {
    for (base, host, loopback) in [
        ("http://127.0.0.1:8080/npm/", Some("127.0.0.1"), true),
        ("http://[::1]:8080/", Some("[::1]"), true),
        ("http://[::1]/", Some("[::1]"), true),
        ("http://localhost/", Some("localhost"), true),
        ("http://npm.team.svc/", Some("npm.team.svc"), false),
        ("https://npm.team.svc/", None, false),
    ] {
        assert_eq!(plain_host(base), host, "{base}");
        assert_eq!(host.is_some_and(is_loopback), loopback, "{base}");
    }
}

#[test]
fn gradle_is_told_of_plain_http_but_for_the_one_host_that_it_lets_pass() {
    for (base, is_told) in [
        ("http://127.0.0.1:8080/maven/", false),
        ("https://x.team.svc/", false),
        ("http://localhost:8080/maven/", true),
        ("http://[::1]:8080/maven/", true),
        ("http://127.0.0.2/", true),
        (PLAIN, true),
    ] {
        for kind in [Ecosystem::Maven, Ecosystem::Gradle] {
            let setups = setups(kind, base, None, NAMESPACE);
            let gradle = setups.iter().find(|setup| setup.client == "gradle").unwrap();
            let told = "if (it.hasProperty('allowInsecureProtocol')) it.allowInsecureProtocol = true";
            for text in [&gradle.command, &gradle.files[0].1] {
                assert_eq!(text.contains(told), is_told, "{base}: {text}");
            }
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn files_by_ecosystem() {
    for (kind, base, expected) in [
        (
            Ecosystem::Npm,
            PLAIN,
            &[
                (".npmrc", "registry=http://x.team.svc/\n"),
                (".yarnrc", "registry \"http://x.team.svc/\"\n"),
                (
                    ".yarnrc.yml",
                    "npmRegistryServer: \"http://x.team.svc/\"\nunsafeHttpWhitelist:\n  - \"x.team.svc\"\n",
                ),
            ][..],
        ),
        (
            Ecosystem::Npm,
            SECURE,
            &[
                (".npmrc", "registry=https://x.team.svc/\ncafile=/etc/packageproxy/ca.crt\n"),
                (".yarnrc", "registry \"https://x.team.svc/\"\ncafile \"/etc/packageproxy/ca.crt\"\n"),
                (
                    ".yarnrc.yml",
                    "npmRegistryServer: \"https://x.team.svc/\"\nhttpsCaFilePath: \"/etc/packageproxy/ca.crt\"\n",
                ),
            ],
        ),
        (
            Ecosystem::Pypi,
            PLAIN,
            &[
                ("pip.conf", "[global]\nindex-url = http://x.team.svc/simple/\ntrusted-host = x.team.svc\n"),
                ("uv.toml", "[[index]]\nurl = \"http://x.team.svc/simple/\"\ndefault = true\n"),
            ],
        ),
        (
            Ecosystem::Pypi,
            SECURE,
            &[
                ("pip.conf", "[global]\nindex-url = https://x.team.svc/simple/\ncert = /etc/packageproxy/ca.crt\n"),
                ("uv.toml", "[[index]]\nurl = \"https://x.team.svc/simple/\"\ndefault = true\n"),
            ],
        ),
        (
            Ecosystem::Cargo,
            PLAIN,
            &[(
                "config.toml",
                "[source.crates-io]\nreplace-with = \"packageproxy\"\n\n[registries.packageproxy]\n\
                 index = \"sparse+http://x.team.svc/\"\n",
            )],
        ),
        (Ecosystem::Debian, PLAIN, &[("packageproxy.list", "http://x.team.svc/\n")]),
        (
            Ecosystem::Debian,
            SECURE,
            &[
                (
                    "90packageproxy",
                    "// For https://x.team.svc/\nAcquire::https::x.team.svc::CaInfo \"/etc/packageproxy/ca.crt\";\n",
                ),
                ("packageproxy.list", "https://x.team.svc/\n"),
            ],
        ),
        (Ecosystem::Go, PLAIN, &[("env", "GOPROXY=http://x.team.svc/\n")]),
        (Ecosystem::Go, SECURE, &[("env", "GOPROXY=https://x.team.svc/\n")]),
        (
            Ecosystem::Cargo,
            SECURE,
            &[(
                "config.toml",
                "[source.crates-io]\nreplace-with = \"packageproxy\"\n\n[registries.packageproxy]\n\
                 index = \"sparse+https://x.team.svc/\"\n\n[http]\ncainfo = \"/etc/packageproxy/ca.crt\"\n",
            )],
        ),
        (
            Ecosystem::Gradle,
            PLAIN,
            &[(
                "packageproxy-cache.gradle",
                "gradle.settingsEvaluated { it.buildCache { remote(HttpBuildCache) { url = 'http://x.team.svc/'; push = false; \
                 if (it.hasProperty('allowInsecureProtocol')) it.allowInsecureProtocol = true } } }\n",
            )],
        ),
        (
            Ecosystem::Maven,
            PLAIN,
            &[
                (
                    "packageproxy.gradle",
                    "def packageproxy = { if (it instanceof MavenArtifactRepository && it.name.startsWith('MavenRepo')) \
                     it.with { url = 'http://x.team.svc/'; if (it.hasProperty('allowInsecureProtocol')) \
                     it.allowInsecureProtocol = true } }\n\
                     gradle.settingsEvaluated { it.pluginManagement.repositories.all(packageproxy); if \
                     (it.hasProperty('dependencyResolutionManagement')) \
                     it.dependencyResolutionManagement.repositories.all(packageproxy) }\n\
                     allprojects { buildscript.repositories.all(packageproxy); repositories.all(packageproxy) }\n",
                ),
                ("repositories", "[repositories]\nlocal\npackageproxy: http://x.team.svc/, allowInsecureProtocol\n"),
                (
                    "settings.xml",
                    "<settings>\n  <mirrors>\n    <mirror><id>packageproxy</id><mirrorOf>central</mirrorOf>\
                     <url>http://x.team.svc/</url></mirror>\n  </mirrors>\n</settings>\n",
                ),
            ],
        ),
    ] {
        assert_eq!(files(kind, base, Some(AUTHORITY), NAMESPACE), map(expected), "{kind} {base}");
    }
}

#[test]
fn files_of_container_clients() {
    let expected = &[
        (
            "hosts.toml",
            "# /etc/containerd/certs.d/registry.example:5000/hosts.toml\n[host.\"https://x.team.svc/v2\"]\n  \
                     capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n  ca = \
                     \"/etc/packageproxy/ca.crt\"\n",
        ),
        (
            "packageproxy.conf",
            "# https://x.team.svc/\n# its authority: cp /etc/packageproxy/ca.crt \
                     /etc/containers/certs.d/x.team.svc/ca.crt\n[[registry]]\nprefix = \
                     \"registry.example:5000\"\nlocation = \"registry.example:5000\"\n\n[[registry.mirror]]\n\
                     location = \"x.team.svc\"\n",
        ),
    ];
    assert_eq!(files(Ecosystem::Container, SECURE, Some(AUTHORITY), NAMESPACE), map(expected));
}

#[test]
fn variables_by_ecosystem() {
    for (kind, base, expected) in [
        (
            Ecosystem::Npm,
            PLAIN,
            &[
                ("YARN_NPM_REGISTRY_SERVER", PLAIN),
                ("YARN_UNSAFE_HTTP_WHITELIST", "x.team.svc"),
                ("npm_config_registry", PLAIN),
                ("pnpm_config_registry", PLAIN),
            ][..],
        ),
        (
            Ecosystem::Npm,
            SECURE,
            &[
                ("NODE_EXTRA_CA_CERTS", AUTHORITY),
                ("YARN_NPM_REGISTRY_SERVER", "https://x.team.svc/"),
                ("npm_config_registry", "https://x.team.svc/"),
                ("pnpm_config_registry", "https://x.team.svc/"),
            ],
        ),
        (
            Ecosystem::Pypi,
            PLAIN,
            &[
                ("PDM_PYPI_URL", "http://x.team.svc/simple/"),
                ("PIP_INDEX_URL", "http://x.team.svc/simple/"),
                ("PIP_TRUSTED_HOST", "x.team.svc"),
                ("UV_DEFAULT_INDEX", "http://x.team.svc/simple/"),
            ],
        ),
        (
            Ecosystem::Pypi,
            SECURE,
            &[
                ("PDM_PYPI_CA_CERTS", AUTHORITY),
                ("PDM_PYPI_URL", "https://x.team.svc/simple/"),
                ("PIP_CERT", AUTHORITY),
                ("PIP_INDEX_URL", "https://x.team.svc/simple/"),
                ("POETRY_CERTIFICATES_PACKAGEPROXY_CERT", AUTHORITY),
                ("UV_DEFAULT_INDEX", "https://x.team.svc/simple/"),
            ],
        ),
        (Ecosystem::Go, PLAIN, &[("GOPROXY", PLAIN)]),
        (Ecosystem::Go, SECURE, &[("GOPROXY", "https://x.team.svc/")]),
        (Ecosystem::Cargo, PLAIN, &[("CARGO_REGISTRIES_PACKAGEPROXY_INDEX", "sparse+http://x.team.svc/")]),
        (
            Ecosystem::Cargo,
            SECURE,
            &[("CARGO_HTTP_CAINFO", AUTHORITY), ("CARGO_REGISTRIES_PACKAGEPROXY_INDEX", "sparse+https://x.team.svc/")],
        ),
    ] {
        assert_eq!(variables(kind, base, Some(AUTHORITY), NAMESPACE), map(expected), "{kind} {base}");
    }
}

#[test]
fn maps_lose_nothing_and_their_keys_are_valid() {
    for &kind in Ecosystem::ALL {
        for (base, authority) in [(PLAIN, None), (SECURE, None), (SECURE, Some(AUTHORITY))] {
            let (files, variables) =
                (files(kind, base, authority, NAMESPACE), variables(kind, base, authority, NAMESPACE));
            let is_key = |key: &str| key.chars().all(|one| one.is_ascii_alphanumeric() || "-._".contains(one));
            assert!(files.keys().chain(variables.keys()).all(|key| is_key(key)), "{files:?} {variables:?}");
            // Clients that share a file or a variable agree on it.
            for setup in setups(kind, base, authority, NAMESPACE) {
                for (path, text) in &setup.files {
                    assert_eq!(&files[path.rsplit('/').next().unwrap()], text, "{}: {path}", setup.client);
                }
                for (name, value) in &setup.environment {
                    assert_eq!(&variables[*name], value, "{}: {name}", setup.client);
                }
            }
            let said = format!("{files:?} {variables:?}");
            // The go command knows no authority but those of the variable below.
            let tells = authority.is_some() && kind != Ecosystem::Go;
            assert_eq!(said.contains(AUTHORITY), tells, "{kind} {base}");
            // Any program that uses OpenSSL reads these, and would trust nothing else any more.
            assert!(!variables.contains_key("SSL_CERT_FILE") && !variables.contains_key("SSL_CERT_DIR"));
        }
    }
}
