//! The values that a manifest spells as text: durations, sizes, addresses. Each parses when it is read, says its form
//! to the schema, and is written back as it is understood.

use std::cell::RefCell;
use std::collections::HashMap;

use regex_lite::Regex;

mod address;
mod duration;
mod quantity;
mod size;

pub(crate) use address::HTTP_URL;
pub use address::{Cidr, HttpUrl};
pub use duration::GoDuration;
pub(crate) use quantity::Quantity;
pub use size::ByteSize;

thread_local! {
    /// The patterns that were used, compiled: all of them are our own, so there are few.
    static FORMS: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
}

/// Whether a text matches a pattern of ours. Each is compiled once a thread, which takes longer than to match it.
pub(crate) fn has_form(text: &str, pattern: &str) -> bool {
    FORMS.with_borrow_mut(|forms| {
        if !forms.contains_key(pattern) {
            forms.insert(pattern.to_owned(), Regex::new(pattern).ok());
        }
        forms.get(pattern).and_then(Option::as_ref).is_some_and(|form| form.is_match(text))
    })
}

/// Implements the traits of a value that is text in a manifest: `$parse` is a `fn(&str) -> Option<$name>`, and
/// `Display` gives the text.
macro_rules! text_value {
    ($name:ident, $title:literal, $least:literal..=$most:literal, $pattern:expr) => {
        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text).ok_or_else(|| format!("'{text}' is not {}", $title))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "title": $title,
                    "minLength": $least,
                    "maxLength": $most,
                    "pattern": $pattern,
                })
            }
        }
    };
}
pub(crate) use text_value;
