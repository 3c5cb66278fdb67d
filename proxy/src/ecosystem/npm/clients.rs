//! What npm, pnpm and both Yarns need to use the proxy.

use crate::client::{ClientSetup, plain_host};

/// The set-ups, npm first. `base` ends in `/`.
pub(super) fn clients(base: &str) -> Vec<ClientSetup> {
    let npmrc = format!("registry={base}\n");
    // Yarn refuses plain http to any host that is not listed.
    let (whitelist, whitelist_variable) = match plain_host(base) {
        Some(host) => {
            (format!("unsafeHttpWhitelist:\n  - \"{host}\"\n"), Some(("YARN_UNSAFE_HTTP_WHITELIST", host.to_owned())))
        }
        None => (String::new(), None),
    };
    let berry = std::iter::once(("YARN_NPM_REGISTRY_SERVER", base.to_owned())).chain(whitelist_variable).collect();
    vec![
        ClientSetup {
            client: "npm",
            command: format!("npm config set registry {base}"),
            environment: vec![("npm_config_registry", base.to_owned())],
            files: vec![(".npmrc", npmrc.clone())],
        },
        ClientSetup {
            client: "pnpm",
            command: format!("pnpm config set registry {base}"),
            environment: vec![("npm_config_registry", base.to_owned()), ("pnpm_config_registry", base.to_owned())],
            files: vec![(".npmrc", npmrc)],
        },
        ClientSetup {
            client: "yarn-classic",
            command: format!("yarn config set registry {base}"),
            environment: vec![("npm_config_registry", base.to_owned())],
            files: vec![(".yarnrc", format!("registry \"{base}\"\n"))],
        },
        ClientSetup {
            client: "yarn",
            command: format!("yarn config set --home npmRegistryServer {base}"),
            environment: berry,
            files: vec![(".yarnrc.yml", format!("npmRegistryServer: \"{base}\"\n{whitelist}"))],
        },
    ]
}
