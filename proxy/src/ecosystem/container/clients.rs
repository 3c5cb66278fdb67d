//! What container clients need to use the proxy. They are told once for each registry, by the host in the names of
//! its images; the names stay as they are.

use crate::client::{ClientSetup, Endpoint};

/// The set-ups: containerd (and with it the kubelet), and the programs that share one configuration.
pub(super) fn clients(at: Endpoint<'_>) -> Vec<ClientSetup> {
    let Endpoint { base, namespace, .. } = at;
    let hosts = hosts(at);
    let registries = registries(at);
    vec![
        ClientSetup {
            client: "containerd",
            command: written(&format!("/etc/containerd/certs.d/{namespace}"), "hosts.toml", &hosts),
            environment: Vec::new(),
            files: vec![("hosts.toml", hosts)],
        },
        ClientSetup {
            client: "podman",
            // A file for each registry, beside the user's own settings.
            command: written(
                "\"$HOME/.config/containers/registries.conf.d\"",
                &format!("packageproxy-{namespace}.conf"),
                &registries,
            ),
            environment: Vec::new(),
            files: vec![(".config/containers/registries.conf.d/packageproxy.conf", registries)],
        },
        ClientSetup {
            client: "skopeo",
            command: format!(
                "skopeo copy --src-tls-verify={} docker://{}/NAME:TAG dir:NAME # {base}",
                base.starts_with("https:"),
                location(base)
            ),
            environment: Vec::new(),
            files: Vec::new(),
        },
    ]
}

/// The proxy's own address comes with its whole path: containerd then appends nothing but the name.
fn hosts(Endpoint { base, authority, namespace }: Endpoint<'_>) -> String {
    let authority = authority.map_or(String::new(), |path| format!("  ca = \"{path}\"\n"));
    format!(
        "# /etc/containerd/certs.d/{namespace}/hosts.toml\n[host.\"{base}v2\"]\n  capabilities = [\"pull\", \
         \"resolve\"]\n  override_path = true\n{authority}"
    )
}

fn registries(Endpoint { base, authority, namespace }: Endpoint<'_>) -> String {
    let authority = authority.map_or(String::new(), |path| {
        let host = location(base).split('/').next().unwrap_or_default();
        format!("# its authority: cp {path} /etc/containers/certs.d/{host}/ca.crt\n")
    });
    let insecure = if base.starts_with("https:") { "" } else { "insecure = true\n" };
    let mirror = location(base);
    format!(
        "# {base}\n{authority}[[registry]]\nprefix = \"{namespace}\"\nlocation = \"{namespace}\"\n\n\
         [[registry.mirror]]\nlocation = \"{mirror}\"\n{insecure}"
    )
}

/// Host and path without a scheme, as these programs write an address.
fn location(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, rest)| rest).trim_end_matches('/')
}

/// A command that writes a file, on one line. None of the texts holds a quote of the shell.
fn written(folder: &str, file: &str, text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("'{line}'")).collect();
    format!("mkdir -p {folder} && printf '%s\\n' {} > {folder}/{file}", lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_registry_has_a_file_beside_the_user_s_own() {
        let of = |namespace| clients(Endpoint::new("http://x.team.svc/", None).of(namespace)).remove(1);
        let (setup, other) = (of("registry.example:5000"), of("other.example"));
        let folder = "\"$HOME/.config/containers/registries.conf.d\"";
        let (begin, end) = (format!("mkdir -p {folder} && "), |name: &str| format!(" > {folder}/packageproxy-{name}.conf"));
        assert!(setup.command.starts_with(&begin) && setup.command.ends_with(&end("registry.example:5000")), "{setup:?}");
        assert!(other.command.ends_with(&end("other.example")), "{other:?}");
        assert_eq!(setup.files[0].0, ".config/containers/registries.conf.d/packageproxy.conf");
    }
}
