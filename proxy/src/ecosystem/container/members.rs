//! What a document is to readers in other languages. Most registries are written in Go, whose reader takes the name of
//! a member in any case, and the last of several: a manifest with `layers` and `LAYERS` names other blobs to them than
//! to us, and theirs are the ones that they have looked for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The members that tell which blobs a manifest names.
const READ: [&str; 9] =
    ["schemaVersion", "mediaType", "config", "layers", "blobs", "manifests", "digest", "size", "urls"];

/// Whether no member has nearly the name of one that is read.
pub(super) fn are_plain(document: &[u8]) -> bool {
    serde_json::from_slice::<Plain>(document).is_ok()
}

/// Whether Go takes a name for another one, which it is not.
fn is_another(name: &str) -> bool {
    !READ.contains(&name) && READ.iter().any(|read| read.chars().map(folded).eq(name.chars().map(folded)))
}

/// As Go's `encoding/json` folds: of other alphabets there are these two (Unicode, simple case folding).
const fn folded(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// A value whose members are plain, which is looked at and not kept.
struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            // Whoever made the image writes there what they like.
            if name == "annotations" {
                members.next_value::<IgnoredAny>()?;
            } else if is_another(&name) {
                return Err(A::Error::custom("a name that is nearly another"));
            } else {
                members.next_value::<Self>()?;
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_nearly_others() {
        for (document, expected) in [
            (r#"{"schemaVersion":2,"layers":[{"digest":"x","size":1,"urls":null}],"more":[true,1.5,-1,"Layers"]}"#, true),
            (r#"{"annotations":{"Digest":"x"},"layers":[]}"#, true),
            (r#"{"LAYERS":[]}"#, false),
            (r#"{"layer\u017f":[]}"#, false),
            (r#"{"layers":[{"digest":"x","Digest":"y"}]}"#, false),
            (r#"{"config":{"mediatype":"x"}}"#, false),
            (r#"{"manifests":[{"platform":{"os":"linux"}}]}"#, true),
            ("{", false),
        ] {
            assert_eq!(are_plain(document.as_bytes()), expected, "{document}");
        }
    }
}
