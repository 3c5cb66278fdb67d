//! Types that cannot be logged by mistake: addresses without user info and query, secrets without anything.

use std::fmt;

use url::Url;

/// An address whose `Display` and `Debug` leave out user info, query and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(Url);

impl SafeUrl {
    /// The whole address, for the request itself.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// `scheme://host:port`, with the port that the scheme implies.
    pub fn origin(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port_or_known_default().unwrap_or_default();
        format!("{}://{host}:{port}", self.0.scheme())
    }
}

impl From<Url> for SafeUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let had_query = url.query().is_some();
        url.set_query(None);
        url.set_fragment(None);
        write!(formatter, "{url}{}", if had_query { "?..." } else { "" })
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Text that must not be seen: no `Display`, no `Serialize`, no `PartialEq`, and a `Debug` that shows nothing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the header or handshake that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let url = SafeUrl::from(Url::parse("https://user:canary@registry.example/a?token=canary#canary").unwrap());
        assert_eq!(format!("{url} {url:?}"), "https://registry.example/a?... https://registry.example/a?...");
        assert_eq!(url.origin(), "https://registry.example:443");
        assert_eq!(format!("{:?}", Secret::new("canary".into())), "Secret(..)");
    }
}
