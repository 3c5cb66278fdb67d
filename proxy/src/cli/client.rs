//! `packageproxy client NAME`: commands, variables and files that make clients use a proxy.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, builder::BoolishValueParser};
use crds::Ecosystem;
use crds::values::HttpUrl;

use super::ConfigArguments;
use super::serve::DEFAULT_LISTEN;
use crate::client::{self, ClientSetup};
use crate::config;

/// Which proxy, and where it is.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct ClientArguments {
    /// The name of the proxy: its metadata.name, or without -f the name of an ecosystem.
    pub name: String,
    /// Files and Secrets.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Address at which clients reach the data port [default: spec.externalURL, else --listen].
    #[arg(long, value_name = "URL")]
    pub base: Option<HttpUrl>,
    /// Address of the data port.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_LISTEN, env = "PACKAGEPROXY_LISTEN")]
    pub listen: SocketAddr,
    /// Path of the certificate authority that clients must trust to reach the proxy over https.
    #[arg(long, value_name = "PATH")]
    pub ca: Option<String>,
    /// The proxy is served at / instead of /NAME/.
    #[arg(long, env = "PACKAGEPROXY_ROOT", value_parser = BoolishValueParser::new())]
    pub root: bool,
}

/// Prints the set-up of each client of the proxy's ecosystem.
pub fn run(arguments: &ClientArguments, out: &mut dyn Write) -> io::Result<ExitCode> {
    let Target { kind, external_url, namespace } = match find(arguments) {
        Ok(found) => found,
        Err(lines) => {
            for line in lines {
                writeln!(out, "{line}")?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let base = base(arguments, external_url.as_ref());
    for setup in client::setups(kind, &base, arguments.ca.as_deref(), &namespace) {
        print(&setup, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What clients must know of a proxy.
struct Target {
    kind: Ecosystem,
    external_url: Option<url::Url>,
    /// The registry's host in the names of images.
    namespace: String,
}

/// The named proxy, or lines that say why there is none.
fn find(arguments: &ClientArguments) -> Result<Target, Vec<String>> {
    let ConfigArguments { files, secrets, unknown_fields } = &arguments.config;
    let name = arguments.name.as_str();
    let unknown = |names: Vec<&str>| vec![format!("there is no proxy '{name}'; there is: {}", names.join(", "))];
    if files.is_empty() {
        let named = Ecosystem::ALL.iter().copied().find(|ecosystem| ecosystem.name() == name);
        return named
            .map(|kind| Target { kind, external_url: None, namespace: "registry.example".to_owned() })
            .ok_or_else(|| unknown(Ecosystem::ALL.iter().map(|ecosystem| ecosystem.name()).collect()));
    }
    let loaded = config::load(files, secrets.as_deref(), (*unknown_fields).into())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let named = loaded.settings.iter().find(|settings| settings.name == name);
    named
        .map(|settings| Target {
            kind: settings.ecosystem,
            external_url: settings.external_url.clone(),
            namespace: settings.upstream.namespace(),
        })
        .ok_or_else(|| unknown(loaded.settings.iter().map(|settings| settings.name.as_str()).collect()))
}

/// The address of the proxy, with a slash at the end. `externalURL` is that of one proxy and has no name appended.
fn base(arguments: &ClientArguments, external_url: Option<&url::Url>) -> String {
    let slash = |url: &str| format!("{}/", url.trim_end_matches('/'));
    let server = match (&arguments.base, external_url) {
        (Some(HttpUrl(url)), _) => slash(url.as_str()),
        (None, Some(url)) => return slash(url.as_str()),
        (None, None) => format!("http://{}/", arguments.listen),
    };
    if arguments.root { server } else { format!("{server}{}/", arguments.name) }
}

fn print(setup: &ClientSetup, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {}\n{}", setup.client, setup.command)?;
    if !setup.environment.is_empty() {
        writeln!(out, "# or, in the environment")?;
        for (name, value) in &setup.environment {
            writeln!(out, "export {name}={}", quoted(value))?;
        }
    }
    for (path, content) in &setup.files {
        writeln!(out, "# or, in {path}")?;
        writeln!(out, "{}", content.trim_end())?;
    }
    writeln!(out)
}

/// A word for a POSIX shell.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:.,_-+@=".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_can_be_pasted_into_a_shell() {
        let setup = ClientSetup {
            client: "npm",
            command: "npm config set registry http://127.0.0.1:8080/npm/".to_owned(),
            environment: vec![("A", "http://a.example/".to_owned()), ("B", "it's $HOME".to_owned())],
            files: vec![(".npmrc", "registry=http://127.0.0.1:8080/npm/\n".to_owned())],
        };
        let mut out = Vec::new();
        print(&setup, &mut out).unwrap();
        let expected = "# npm\nnpm config set registry http://127.0.0.1:8080/npm/\n# or, in the environment\n\
                        export A=http://a.example/\nexport B='it'\\''s $HOME'\n# or, in .npmrc\n\
                        registry=http://127.0.0.1:8080/npm/\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
