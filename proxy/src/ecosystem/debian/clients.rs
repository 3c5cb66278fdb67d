//! What apt needs to use the proxy.

use crate::client::{ClientSetup, Endpoint};

/// The set-up. Suite and components are the machine's own affair: the command takes the suite from `os-release`; the
/// file is a list of mirrors, for sources that say `URIs: mirror+file:/etc/apt/mirrors/packageproxy.list`. Apt reads no
/// environment variable for either.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    let command = format!(
        "echo \"deb {base} $(. /etc/os-release && echo $VERSION_CODENAME) main\" \
         > /etc/apt/sources.list.d/packageproxy.list && apt-get update"
    );
    let mut files = vec![("etc/apt/mirrors/packageproxy.list", format!("{base}\n"))];
    if let Some(authority) = authority {
        let host = base.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
        let text = format!("// For {base}\nAcquire::https::{host}::CaInfo \"{authority}\";\n");
        files.push(("etc/apt/apt.conf.d/90packageproxy", text));
    }
    vec![ClientSetup { client: "apt", command, environment: Vec::new(), files }]
}
