//! The company's own HTTP proxy on the way out: which addresses are reached through it, decided in one place for the
//! dialler, the address filter and the probe alike.

use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// Where requests leave.
#[derive(Clone)]
pub struct Egress(Arc<Matcher>);

impl Egress {
    /// Straight out.
    pub fn direct() -> Self {
        Self(Arc::new(Matcher::builder().build()))
    }

    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in upper or lower case.
    pub fn from_environment() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// Everything through one proxy. User info in the address authenticates to it.
    pub fn through(proxy: &Url) -> Self {
        Self(Arc::new(Matcher::builder().all(proxy.as_str()).build()))
    }

    /// The address of the proxy, with the user info for it, where `url` is reached through one.
    pub fn proxy_of(&self, url: &Url) -> Option<Url> {
        let hop = self.hop(url)?;
        let mut proxy = Url::parse(&hop.uri().to_string()).ok()?;
        if let Some((user, password)) = hop.basic_auth().and_then(plain) {
            proxy.set_username(&user).ok()?;
            proxy.set_password(Some(&password)).ok()?;
        }
        Some(proxy)
    }

    /// Whether `url` is reached through a proxy.
    pub fn covers(&self, url: &Url) -> bool {
        self.hop(url).is_some()
    }

    /// The value of `Proxy-Authorization` for a proxy address that [`Self::proxy_of`] gave.
    pub(super) fn authorization(proxy: &Url) -> Option<String> {
        let hop = Self::through(proxy).hop(proxy)?;
        hop.basic_auth()?.to_str().ok().map(str::to_owned)
    }

    fn hop(&self, url: &Url) -> Option<hyper_util::client::proxy::matcher::Intercept> {
        // Only the origin decides, and a path may hold what `Uri` refuses.
        let origin: http::Uri = url.origin().ascii_serialization().parse().ok()?;
        self.0.intercept(&origin)
    }
}

/// User and password of a `Basic` header value.
fn plain(header: &http::HeaderValue) -> Option<(String, String)> {
    let coded = header.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(data_encoding::BASE64.decode(coded.as_bytes()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_decision_for_every_reader() {
        let proxy = Url::parse("http://user:p%40ss@egress.example:3128").unwrap();
        let egress = Egress::through(&proxy);
        for url in ["http://registry.example/a b", "https://registry.example/", "http://127.0.0.1:1/"] {
            let found = egress.proxy_of(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(found.as_str(), "http://user:p%40ss@egress.example:3128/");
        }
        assert!(!Egress::direct().covers(&proxy));
    }

    #[test]
    fn exceptions_go_straight() {
        let matcher = Matcher::builder().https("http://egress.example:3128").no("internal.example,10.0.0.0/8").build();
        let egress = Egress(Arc::new(matcher));
        for (url, covered) in [
            ("https://registry.example/", true),
            ("http://registry.example/", false),
            ("https://internal.example/", false),
            ("https://a.internal.example/", false),
            ("https://10.1.2.3/", false),
        ] {
            assert_eq!(egress.covers(&Url::parse(url).unwrap()), covered, "{url}");
        }
    }
}
