//! What npm, pnpm and both Yarns need to use the proxy.

use crate::client::{ClientSetup, Endpoint, plain_host};

/// The set-ups, npm first.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    let line = |form: &dyn Fn(&str) -> String| authority.map(form).unwrap_or_default();
    // Added to what Node trusts, for all programs that run on it.
    let trust = || authority.map(|authority| ("NODE_EXTRA_CA_CERTS", authority.to_owned()));
    let set = |client: &str| {
        let ca = line(&|authority| format!(" && {client} config set cafile {authority}"));
        format!("{client} config set registry {base}{ca}")
    };
    let npmrc = format!("registry={base}\n{}", line(&|authority| format!("cafile={authority}\n")));
    let yarnrc = format!("registry \"{base}\"\n{}", line(&|authority| format!("cafile \"{authority}\"\n")));
    let berry_ca = line(&|authority| format!("httpsCaFilePath: \"{authority}\"\n"));
    let berry_set = line(&|authority| format!(" && yarn config set --home httpsCaFilePath {authority}"));
    let with = |variables: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        variables.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(trust()).collect()
    };
    // Yarn refuses plain http to any host that is not listed.
    let plain = plain_host(base);
    let whitelist = plain.map(|host| format!("unsafeHttpWhitelist:\n  - \"{host}\"\n")).unwrap_or_default();
    let mut berry = vec![("YARN_NPM_REGISTRY_SERVER", base)];
    berry.extend(plain.map(|host| ("YARN_UNSAFE_HTTP_WHITELIST", host)));
    vec![
        ClientSetup {
            client: "npm",
            command: set("npm"),
            environment: with(&[("npm_config_registry", base)]),
            files: vec![(".npmrc", npmrc.clone())],
        },
        ClientSetup {
            client: "pnpm",
            command: set("pnpm"),
            environment: with(&[("npm_config_registry", base), ("pnpm_config_registry", base)]),
            files: vec![(".npmrc", npmrc)],
        },
        ClientSetup {
            client: "yarn-classic",
            command: set("yarn"),
            environment: with(&[("npm_config_registry", base)]),
            files: vec![(".yarnrc", yarnrc)],
        },
        ClientSetup {
            client: "yarn",
            command: format!("yarn config set --home npmRegistryServer {base}{berry_set}"),
            environment: with(&berry),
            files: vec![(".yarnrc.yml", format!("npmRegistryServer: \"{base}\"\n{whitelist}{berry_ca}"))],
        },
    ]
}
