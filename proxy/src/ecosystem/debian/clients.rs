//! What apt needs to use the proxy.

use crate::client::{ClientSetup, Endpoint};

/// The set-up. Suite and components are the machine's own affair: the command takes the suite from `os-release`; the
/// file is a list of mirrors, for sources that say `URIs: mirror+file:/etc/apt/mirrors/packageproxy.list`. Apt reads no
/// environment variable for either.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    // The archive of security updates has suites of its own, named after those that they are for.
    let security = if base.contains("-security") { "-security" } else { "" };
    let command = format!(
        "echo \"deb {base} $(. /etc/os-release && echo $VERSION_CODENAME){security} main\" \
         > /etc/apt/sources.list.d/packageproxy{security}.list && apt-get update"
    );
    let mut files = vec![("etc/apt/mirrors/packageproxy.list", format!("{base}\n"))];
    if let Some(authority) = authority {
        let host = base.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
        let text = format!("// For {base}\nAcquire::https::{host}::CaInfo \"{authority}\";\n");
        files.push(("etc/apt/apt.conf.d/90packageproxy", text));
    }
    vec![ClientSetup { client: "apt", command, environment: Vec::new(), files }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_updates_have_suites_of_their_own() {
        for (base, suite, file) in [
            ("http://127.0.0.1:8080/debian/", "CODENAME) main", "/packageproxy.list"),
            ("http://debian-security.team.svc/", "CODENAME)-security main", "/packageproxy-security.list"),
        ] {
            let command = clients(Endpoint::new(base, None)).remove(0).command;
            assert!(command.contains(suite) && command.contains(file), "{command}");
        }
    }
}
