//! What a client needs to use a proxy: lines for files, environment variables, commands.

/// The set-up of one client program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSetup {
    /// The program: `npm`, `pip`, `cargo`.
    pub client: &'static str,
    /// The shortest command that makes the client use the proxy from now on, or for one call.
    pub command: String,
    /// Environment variables that do the same, without any file. Valid names of variables only.
    pub environment: Vec<(&'static str, String)>,
    /// Configuration files: path relative to the home or project directory, and the whole content.
    pub files: Vec<(&'static str, String)>,
}

/// The host (without port) of an address with plain http; `None` for any other address. Most clients want to be told
/// that such a host is meant.
pub(crate) fn plain_host(base: &str) -> Option<&str> {
    let authority = base.strip_prefix("http://")?.split('/').next()?;
    let port = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    Some(port.map_or(authority, |colon| &authority[..colon]))
}

/// Whether a host is the machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_plain_http() {
        for (base, host, loopback) in [
            ("http://127.0.0.1:8080/npm/", Some("127.0.0.1"), true),
            ("http://[::1]:8080/", Some("[::1]"), true),
            ("http://[::1]/", Some("[::1]"), true),
            ("http://localhost/", Some("localhost"), true),
            ("http://npm.team.svc/", Some("npm.team.svc"), false),
            ("https://npm.team.svc/", None, false),
        ] {
            assert_eq!(plain_host(base), host, "{base}");
            assert_eq!(host.is_some_and(is_loopback), loopback, "{base}");
        }
    }
}
