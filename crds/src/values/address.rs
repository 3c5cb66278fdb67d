//! Addresses: of HTTP servers, and of networks.

use std::fmt;

use ipnet::IpNet;
use url::Url;

use super::text_value;

/// The form of an `http` or `https` address without user info, query and fragment.
const HTTP_URL: &str = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$";

/// An `http` or `https` address without user info, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(pub Url);

impl HttpUrl {
    fn parse(text: &str) -> Option<Self> {
        let form = regex_lite::Regex::new(HTTP_URL).ok()?;
        form.is_match(text).then(|| Url::parse(text).ok())?.filter(Url::has_host).map(Self)
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

text_value!(Cidr, "a network such as '10.0.0.0/8' or 'fd00::/8'", 4..=43, r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$");

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}
