//! What pip, uv, Poetry and PDM need to use the proxy.

use crate::client::{ClientSetup, is_loopback, plain_host};

/// The set-ups, pip first. `base` ends in `/`.
pub(super) fn clients(base: &str) -> Vec<ClientSetup> {
    let index = format!("{base}simple/");
    // Pip ignores an index on plain http that is not trusted, unless it is the machine itself.
    let trusted = plain_host(base).filter(|host| !is_loopback(host));
    let mut pip_environment = vec![("PIP_INDEX_URL", index.clone())];
    let mut pip_file = format!("[global]\nindex-url = {index}\n");
    let mut pip_command = format!("pip config set global.index-url {index}");
    if let Some(host) = trusted {
        pip_environment.push(("PIP_TRUSTED_HOST", host.to_owned()));
        pip_file.push_str("trusted-host = ");
        pip_file.push_str(host);
        pip_file.push('\n');
        pip_command.push_str(" && pip config set global.trusted-host ");
        pip_command.push_str(host);
    }
    vec![
        ClientSetup {
            client: "pip",
            command: pip_command,
            environment: pip_environment,
            files: vec![(".config/pip/pip.conf", pip_file)],
        },
        ClientSetup {
            client: "uv",
            command: format!("export UV_DEFAULT_INDEX={index}"),
            environment: vec![("UV_DEFAULT_INDEX", index.clone())],
            files: vec![(".config/uv/uv.toml", format!("[[index]]\nurl = \"{index}\"\ndefault = true\n"))],
        },
        ClientSetup {
            client: "poetry",
            command: format!("poetry source add --priority=primary packageproxy {index}"),
            environment: Vec::new(),
            files: Vec::new(),
        },
        ClientSetup {
            client: "pdm",
            command: format!("pdm config pypi.url {index}"),
            environment: vec![("PDM_PYPI_URL", index)],
            files: Vec::new(),
        },
    ]
}
