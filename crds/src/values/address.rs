//! Addresses: of HTTP servers, and of networks.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

use super::{has_form, text_value};

/// The form of an `http` or `https` address without user info, query and fragment: a host name whose last label is no
/// number, or an address of version 4 or 6; a port; a path. As strict as the URL parser, for an API server that has
/// only this form to go by. International names are written in their ASCII form.
pub(crate) const HTTP_URL: &str = concat!(
    r"^https?://((([A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?\.?)",
    r"|((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])|\[[0-9A-Fa-f:.]+\])",
    r"(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/([^?#%\s]|%[0-9A-Fa-f]{2})*)?$",
);

/// An `http` or `https` address without user info, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(pub Url);

impl HttpUrl {
    fn parse(text: &str) -> Option<Self> {
        has_form(text, HTTP_URL).then(|| Url::parse(text).ok())?.filter(Url::has_host).map(Self)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl std::str::FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text may hold a password, so it is not repeated.
        Self::parse(text).ok_or_else(|| "not an http(s) address without user info, query and fragment".to_owned())
    }
}

impl<'de> serde::Deserialize<'de> for HttpUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for HttpUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for HttpUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpUrl".into()
    }

    // The form is a rule and not a pattern: the message of a rule can say what to do, and repeats no password.
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "title": "an address such as 'https://registry.example/path/'",
            "minLength": 8,
            "maxLength": 2048,
        })
    }
}

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

text_value!(Cidr, "a network such as '10.0.0.0/8' or 'fd00::/8'", 4..=43, r"^[0-9A-Fa-f.:]+/(0|[1-9][0-9]{0,2})$");

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        // The standard library's address is as strict as the API server's.
        let (address, length) = text.split_once('/')?;
        let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
        // A network of version 4 in the form of version 6 would match nothing.
        let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        IpNet::new(address, length).ok().filter(|_| !mapped).map(Self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in [
            "https://registry.example",
            "http://registry.example:8080/a/b/",
            "https://my_registry/",
            "https://10.0.0.1:65535/npm/",
            "http://[fd00::1]:80/",
            "https://registry.example./",
        ] {
            assert!(text.parse::<HttpUrl>().is_ok(), "{text}");
        }
        for text in [
            "https://",
            "https:///path",
            "https://registry.example:65536/",
            "https://registry.example:/",
            "https://1.2.3.256/",
            "https://1.2.3/",
            "https://0x7f.1/",
            "http://[::zz]/",
            "https://-a.example/",
            "https://user@registry.example/",
            "https://registry.example/?q",
            "https://registry.example/#f",
            "https://registry.example/a b",
            "https://registry.example/%zz",
        ] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        for text in ["10.0.0.0/8", "10.0.0.1/8", "0.0.0.0/0", "fd00::/8", "::1/128"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "01.0.0.0/8", "10.0.0/8", "::ffff:10.0.0.0/104", "fd00::/129", "a/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
