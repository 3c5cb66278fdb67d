//! What the go command needs to use the proxy.

use crate::client::{ClientSetup, Endpoint};

/// The set-up. The checksum database stays the one that the go command knows; it is asked through the proxy.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    // That variable means something to many programs, so it is set for this shell and nowhere else.
    let trust = authority.map(|authority| format!(" SSL_CERT_FILE={authority}")).unwrap_or_default();
    vec![ClientSetup {
        client: "go",
        command: format!("export GOPROXY={base}{trust}"),
        environment: vec![("GOPROXY", base.to_owned())],
        files: vec![(".config/go/env", format!("GOPROXY={base}\n"))],
    }]
}
