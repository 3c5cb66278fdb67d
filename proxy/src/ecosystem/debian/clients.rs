//! What apt needs to use the proxy.

use crate::client::{ClientSetup, Endpoint};

/// The set-up. Suite and components are the machine's own affair: the command takes the suite from `os-release`; the
/// file is a list of mirrors, for sources that say `URIs: mirror+file:/etc/apt/mirrors/packageproxy.list`. Apt reads no
/// environment variable for either.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    let mut files = vec![("etc/apt/mirrors/packageproxy.list", format!("{base}\n"))];
    if let Some(authority) = authority {
        let host = base.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
        let text = format!("// For {base}\nAcquire::https::{host}::CaInfo \"{authority}\";\n");
        files.push(("etc/apt/apt.conf.d/90packageproxy", text));
    }
    vec![ClientSetup { client: "apt", command: command(base), environment: Vec::new(), files }]
}

/// For this shell, apt reads the sources of this folder and no others: of a package that several have it takes the first
/// one's, and what the machine had before comes first.
fn command(base: &str) -> String {
    // The archive of security updates has suites of its own, named after those that they are for.
    let (list, suite) = if is_security(base) { ("security", "-security") } else { ("main", "") };
    format!(
        "mkdir -p /etc/apt/packageproxy.d && echo \"deb {base} $(. /etc/os-release && echo $VERSION_CODENAME){suite} \
         main\" > /etc/apt/packageproxy.d/{list}.list && echo 'Dir::Etc {{ SourceList \"/dev/null\"; SourceParts \
         \"/etc/apt/packageproxy.d\"; }};' > /etc/apt/packageproxy.conf && export \
         APT_CONFIG=/etc/apt/packageproxy.conf && apt-get update"
    )
}

/// Whether an archive is one of security updates: the first label of its host says so, or the last part of its path.
fn is_security(base: &str) -> bool {
    let address = base.split_once("://").map_or(base, |(_, rest)| rest).trim_end_matches('/');
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let mut names = [host.split(['.', ':']).next(), path.rsplit('/').next()].into_iter().flatten();
    names.any(|name| name == "security" || name.ends_with("-security"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_updates_have_suites_of_their_own() {
        for (base, is_security) in [
            ("http://127.0.0.1:8080/debian/", false),
            ("http://debian.app-security.svc.cluster.local/", false),
            ("http://127.0.0.1:8080/team-security/debian/", false),
            ("http://securities.team.svc/", false),
            ("http://debian-security.team.svc/", true),
            ("http://security.team.svc:8080/", true),
            ("http://security:8080/debian/", true),
            ("http://127.0.0.1:8080/debian-security/", true),
            ("https://packages.example/team/security/", true),
        ] {
            let command = clients(Endpoint::new(base, None)).remove(0).command;
            let (suite, file) = if is_security {
                ("CODENAME)-security main", "/security.list ")
            } else {
                ("CODENAME) main", "/main.list ")
            };
            assert!(command.contains(suite) && command.contains(file), "{command}");
        }
    }
}
