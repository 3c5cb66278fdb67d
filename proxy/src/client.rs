//! What a client needs to use a proxy: lines for files, environment variables, commands.

use std::collections::BTreeMap;

use crds::Ecosystem;

use crate::ecosystem;

/// Where clients find a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The address, with `/` at its end.
    pub base: &'a str,
    /// Path of the file with the certificate authority of an https address; `None` where clients trust it already.
    pub authority: Option<&'a str>,
    /// What clients put before the names of this registry's images.
    pub namespace: &'a str,
}

impl<'a> Endpoint<'a> {
    /// An address that ends in `/`. Over plain http there is nothing to trust.
    pub fn new(base: &'a str, authority: Option<&'a str>) -> Self {
        Self { base, authority: authority.filter(|_| base.starts_with("https:")), namespace: "registry.example" }
    }

    /// The same for the registry that clients name so.
    #[must_use]
    pub fn of(self, namespace: &'a str) -> Self {
        Self { namespace, ..self }
    }
}

/// The set-up of one client program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSetup {
    /// The program: `npm`, `pip`, `cargo`.
    pub client: &'static str,
    /// The shortest command that makes the client use the proxy from now on, or for one call.
    pub command: String,
    /// Environment variables that do the same, without any file. Valid names of variables only, and none that means
    /// something to programs of other kinds.
    pub environment: Vec<(&'static str, String)>,
    /// Configuration files: path relative to the home or project directory, and the whole content.
    pub files: Vec<(&'static str, String)>,
}

/// The configuration files of all clients of an ecosystem for the proxy at `base`, by file name: valid keys of a
/// `ConfigMap`. `authority`: path of the certificate authority where the files are read.
pub fn files(kind: Ecosystem, base: &str, authority: Option<&str>, namespace: &str) -> BTreeMap<String, String> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let files = setups(kind, base, authority, namespace).into_iter().flat_map(|setup| setup.files);
    // Clients that read the same file find the same in it.
    files.map(|(path, text)| (name(path), text)).collect()
}

/// The environment variables of all clients of an ecosystem for the proxy at `base`: nothing secret, and valid for
/// `envFrom`.
pub fn variables(kind: Ecosystem, base: &str, authority: Option<&str>, namespace: &str) -> BTreeMap<String, String> {
    let variables = setups(kind, base, authority, namespace).into_iter().flat_map(|setup| setup.environment);
    variables.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The set-up of every client of an ecosystem for the proxy at `base`, with or without its final slash.
pub fn setups(kind: Ecosystem, base: &str, authority: Option<&str>, namespace: &str) -> Vec<ClientSetup> {
    let base = format!("{}/", base.trim_end_matches('/'));
    ecosystem::of(kind).clients(Endpoint::new(&base, authority).of(namespace))
}

/// The host (without port) of an address with plain http; `None` for any other address. Most clients want to be told
/// that such a host is meant.
pub(crate) fn plain_host(base: &str) -> Option<&str> {
    let authority = base.strip_prefix("http://")?.split('/').next()?;
    let port = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    Some(port.map_or(authority, |colon| &authority[..colon]))
}

/// How clients that run on Java learn of a certificate authority, which they take from no setting of theirs.
pub(crate) fn java_trusts(authority: &str) -> String {
    format!(
        "Java trusts it after: keytool -importcert -noprompt -cacerts -storepass changeit -alias packageproxy -file {authority}"
    )
}

/// What Gradle wants to hear of an address in the closure of the object that gets it. Over plain http it talks to this
/// one host only unless it is told to; older versions lack the property and do not mind. Only `it` knows whether the
/// property is there: a closure that is asked answers for itself.
pub(crate) fn gradle_insecure(base: &str) -> &'static str {
    match plain_host(base) {
        None | Some("127.0.0.1") => "",
        Some(_) => "; if (it.hasProperty('allowInsecureProtocol')) it.allowInsecureProtocol = true",
    }
}

/// Whether a host is the machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
