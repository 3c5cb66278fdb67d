//! What the upstream remembers of a request: everything that came over the wire.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// The request target, byte for byte, query included.
    pub target: String,
    /// Every header line in order, names as they were spelled.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// When its head was complete.
    pub at: Instant,
    /// Which connection it came on, counted from 1.
    pub connection: usize,
}

impl Logged {
    /// The path, percent-decoded, without query.
    pub fn path(&self) -> String {
        decoded(&self.target)
    }

    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a text occurs anywhere: in the target, a header or the body.
    pub fn mentions(&self, text: &str) -> bool {
        self.target.contains(text)
            || self.headers.iter().any(|(name, value)| name.contains(text) || value.contains(text))
            || String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// A target's path, percent-decoded, without query: the name under which answers are found.
pub(super) fn decoded(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}
