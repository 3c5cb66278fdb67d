//! The base of the links that a client gets: chosen from a closed list, never echoed from a request.

use std::net::IpAddr;

use http::HeaderMap;
use url::Url;

/// The addresses under which one proxy is known.
#[derive(Clone, Debug, Default)]
pub struct Bases {
    /// In order: the first one is for clients whose Host is on no list. Without a final slash.
    listed: Vec<Base>,
    /// The path of the proxy below each: empty, or `/name`.
    path: String,
}

#[derive(Clone, Debug)]
struct Base {
    /// `host` or `host:port` as a client sends it: the default port of the scheme is left out.
    authority: String,
    text: String,
}

/// A base for one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The base, with its final slash.
    pub base: String,
    /// Whether the client's Host was on the list.
    pub listed: bool,
    /// Whether forms of documents with this base are worth keeping: there are as many loopback bases as ports.
    pub kept: bool,
}

impl Bases {
    /// `external` is the whole address of this proxy; `roots` are those of the process, below which it lies at
    /// `path` (empty, or `/name`).
    pub fn new(external: Option<&Url>, roots: &[Url], path: &str) -> Self {
        let external = external.map(|url| Base { authority: authority(url), text: trimmed(url) });
        let roots = roots.iter().map(|url| Base { authority: authority(url), text: trimmed(url) + path });
        Self { listed: external.into_iter().chain(roots).collect(), path: path.to_owned() }
    }

    /// The base for links in general.
    pub fn first(&self) -> String {
        self.listed.first().map_or_else(|| format!("{}/", self.path), |base| format!("{}/", base.text))
    }

    /// The base for a client that sent these headers from this address.
    pub fn choose(&self, headers: &HeaderMap, client: IpAddr) -> Chosen {
        let host = headers.get(http::header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        let same = |base: &&Base| base.authority == host || base.authority == host.trim_end_matches(":80");
        if let Some(base) = self.listed.iter().find(same) {
            return Chosen { base: format!("{}/", base.text), listed: true, kept: true };
        }
        // A port-forward begins at any port of the loopback interface, and ends at ours. Nobody else may make bases at
        // will: each is another form of a document. Built anew from what was understood.
        if client.to_canonical().is_loopback()
            && let Some(loopback) = loopback(&host)
        {
            let base = format!("http://{loopback}{}/", self.path);
            return Chosen { base, listed: true, kept: false };
        }
        Chosen { base: self.first(), listed: host.is_empty(), kept: true }
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Host and port that a client sends as its Host, built anew from what was understood; `None` for anything else.
pub fn understood(host: &str) -> Option<String> {
    parsed(host).as_ref().map(authority)
}

fn parsed(host: &str) -> Option<Url> {
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let is_bare = url.path() == "/" && url.username().is_empty() && url.password().is_none() && url.query().is_none();
    is_bare.then_some(url)
}

/// `localhost` or a loopback address, with or without a port; `None` for anything else.
fn loopback(host: &str) -> Option<String> {
    let url = parsed(host)?;
    let name = url.host_str()?;
    let is_loopback = name == "localhost"
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback.then(|| authority(&url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn choose_from(bases: &Bases, host: &str, client: &str) -> Chosen {
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_str(host).unwrap())]);
        bases.choose(&headers, client.parse().unwrap())
    }

    fn choose(bases: &Bases, host: &str) -> Chosen {
        choose_from(bases, host, "127.0.0.1")
    }

    #[test]
    fn a_loopback_host_counts_from_the_loopback_interface_only() {
        let bases = Bases::new(None, &[Url::parse("http://npm.team.svc").unwrap()], "");
        for (client, base, listed) in [
            ("127.0.0.1", "http://localhost:5000/", true),
            ("::1", "http://localhost:5000/", true),
            ("::ffff:127.0.0.1", "http://localhost:5000/", true),
            ("10.1.2.3", "http://npm.team.svc/", false),
            ("fd00::1", "http://npm.team.svc/", false),
        ] {
            let chosen = choose_from(&bases, "localhost:5000", client);
            assert_eq!((chosen.base.as_str(), chosen.listed), (base, listed), "{client}");
        }
        // What is listed is so for everybody.
        let local = Bases::new(None, &[Url::parse("http://localhost:8080").unwrap()], "");
        assert!(choose_from(&local, "localhost:8080", "10.1.2.3").listed);
    }

    #[test]
    fn the_list_decides() {
        let external = Url::parse("https://packages.corp.example/npm").unwrap();
        let roots = [Url::parse("http://npm.team.svc/").unwrap(), Url::parse("http://npm.team.svc:8080/").unwrap()];
        let bases = Bases::new(Some(&external), &roots, "");
        for (host, base, listed) in [
            ("packages.corp.example", "https://packages.corp.example/npm/", true),
            ("npm.team.svc", "http://npm.team.svc/", true),
            ("NPM.team.svc:80", "http://npm.team.svc/", true),
            ("npm.team.svc:8080", "http://npm.team.svc:8080/", true),
            ("localhost:9999", "http://localhost:9999/", true),
            ("127.0.0.1:1", "http://127.0.0.1:1/", true),
            ("[::1]:7", "http://[::1]:7/", true),
            ("evil.example", "https://packages.corp.example/npm/", false),
            ("localhost:1@evil.example", "https://packages.corp.example/npm/", false),
            ("localhost/evil", "https://packages.corp.example/npm/", false),
            ("localhost.evil.example", "https://packages.corp.example/npm/", false),
        ] {
            let chosen = choose(&bases, host);
            assert_eq!((chosen.base.as_str(), chosen.listed), (base, listed), "{host}");
            assert_eq!(
                chosen.kept,
                !base.contains("localhost") && !base.contains("//127.") && !base.contains("[::1]"),
                "{host}"
            );
        }
    }

    #[test]
    fn several_proxies_lie_below_their_names() {
        let bases = Bases::new(None, &[Url::parse("http://127.0.0.1:8080").unwrap()], "/npm");
        assert_eq!(bases.first(), "http://127.0.0.1:8080/npm/");
        assert_eq!(choose(&bases, "localhost:5000").base, "http://localhost:5000/npm/");
    }
}
