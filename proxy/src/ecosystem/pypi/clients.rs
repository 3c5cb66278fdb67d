//! What pip, uv, Poetry and PDM need to use the proxy.

use crate::client::{ClientSetup, Endpoint, is_loopback, plain_host};

/// The set-ups, pip first.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    let index = format!("{base}simple/");
    let trust = |name: &'static str| authority.map(|authority| (name, authority.to_owned()));
    let line = |form: &dyn Fn(&str) -> String| authority.map(form).unwrap_or_default();
    vec![
        pip(base, &index, authority),
        ClientSetup {
            client: "uv",
            // That variable means something to many programs, so it is set for this shell and nowhere else.
            command: format!("export UV_DEFAULT_INDEX={index}{}", line(&|path| format!(" SSL_CERT_FILE={path}"))),
            environment: vec![("UV_DEFAULT_INDEX", index.clone())],
            files: vec![(".config/uv/uv.toml", format!("[[index]]\nurl = \"{index}\"\ndefault = true\n"))],
        },
        ClientSetup {
            client: "poetry",
            command: format!(
                "poetry source add --priority=primary packageproxy {index}{}",
                line(&|path| format!(" && poetry config certificates.packageproxy.cert {path}"))
            ),
            environment: trust("POETRY_CERTIFICATES_PACKAGEPROXY_CERT").into_iter().collect(),
            files: Vec::new(),
        },
        ClientSetup {
            client: "pdm",
            command: format!(
                "pdm config pypi.url {index}{}",
                line(&|path| format!(" && pdm config pypi.ca_certs {path}"))
            ),
            environment: std::iter::once(("PDM_PYPI_URL", index)).chain(trust("PDM_PYPI_CA_CERTS")).collect(),
            files: Vec::new(),
        },
    ]
}

fn pip(base: &str, index: &str, authority: Option<&str>) -> ClientSetup {
    // Pip ignores an index on plain http that is not trusted, unless it is the machine itself.
    let trusted = plain_host(base).filter(|host| !is_loopback(host));
    let mut environment = vec![("PIP_INDEX_URL", index.to_owned())];
    let mut file = format!("[global]\nindex-url = {index}\n");
    let mut command = format!("pip config set global.index-url {index}");
    for (variable, option, value) in
        [("PIP_TRUSTED_HOST", "trusted-host", trusted), ("PIP_CERT", "cert", authority)]
    {
        if let Some(value) = value {
            environment.push((variable, value.to_owned()));
            file = format!("{file}{option} = {value}\n");
            command = format!("{command} && pip config set global.{option} {value}");
        }
    }
    ClientSetup { client: "pip", command, environment, files: vec![(".config/pip/pip.conf", file)] }
}
