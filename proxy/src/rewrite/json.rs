//! Reading the few members of a large JSON document that matter, with their place in it, in one pass. Everything else
//! is skipped without being built.
//!
//! A type that implements [`Members`] is handed the members of one object one after the other, duplicates included,
//! and says for each what becomes of its value.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::intent::Unexpected;

/// Receives the members of an object in the order of the document.
pub trait Members<'de> {
    /// Takes one member. Every path through it must use `value` exactly once.
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error>;
}

/// The value of a member, not read yet.
#[derive(Debug)]
pub struct Member<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> Member<'_, A> {
    /// Passes over the value.
    pub fn skip(self) -> Result<(), A::Error> {
        self.0.next_value::<IgnoredAny>().map(drop)
    }

    /// The value's bytes as they are.
    pub fn raw(self) -> Result<&'de str, A::Error> {
        self.0.next_value::<&'de RawValue>().map(RawValue::get)
    }

    /// The value if it is a string.
    pub fn text(self) -> Result<Option<Text<'de>>, A::Error> {
        self.raw().map(Text::of)
    }

    /// Hands the members of an object to `into`; `false` for a value of another type.
    pub fn object<T: Members<'de>>(self, into: &mut T) -> Result<bool, A::Error> {
        self.0.next_value_seed(Object(into))
    }

    /// Reads an object of objects: `each` gets every key and what a fresh `T` made of its object. `false` for a value
    /// of another type; members of another type are passed over.
    pub fn objects_by_name<T: Members<'de> + Default>(self, each: impl FnMut(&str, T)) -> Result<bool, A::Error> {
        self.0.next_value_seed(Object(&mut ByName { each, kind: std::marker::PhantomData }))
    }

    /// Reads an array of objects. `false` for a value of another type; elements of another type are passed over.
    pub fn array<T: Members<'de> + Default>(self, each: impl FnMut(T)) -> Result<bool, A::Error> {
        self.0.next_value_seed(Array { each, kind: std::marker::PhantomData })
    }
}

/// A JSON string in the document, quotes included, escapes not decoded.
#[derive(Clone, Copy, Debug)]
pub struct Text<'de>(&'de str);

impl<'de> Text<'de> {
    /// A string, if the raw value is one.
    pub fn of(raw: &'de str) -> Option<Self> {
        raw.starts_with('"').then_some(Self(raw))
    }

    /// What the string says. `None` if its escapes make no text (a lone surrogate).
    pub fn value(self) -> Option<Cow<'de, str>> {
        let content = &self.0[1..self.0.len() - 1];
        if content.contains('\\') {
            serde_json::from_str::<String>(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(content))
        }
    }

    /// Bytes of the string's content in the document.
    pub fn length(self) -> usize {
        self.0.len() - 2
    }

    /// Where the string's content is in the document that it was read from, without the quotes.
    pub fn place(self, document: &str) -> Range<usize> {
        let start = self.0.as_ptr().addr() - document.as_ptr().addr() + 1;
        start..start + self.0.len() - 2
    }
}

/// Reads a whole document that must be an object, and nothing after it.
pub fn read<'de, T: Members<'de>>(document: &'de str, into: &mut T) -> Result<(), Unexpected> {
    let mut reader = serde_json::Deserializer::from_str(document);
    let is_object = Object(into).deserialize(&mut reader).and_then(|is_object| reader.end().map(|()| is_object));
    match is_object {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unexpected("the document is JSON, but not an object".to_owned())),
        Err(error) => Err(broken("the document", &error)),
    }
}

/// Says where a document is not what it should be. The parser's own words may quote the document, which is nobody's
/// business but the upstream's.
pub fn broken(what: &str, error: &serde_json::Error) -> Unexpected {
    let how = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Data => "has a value of an unexpected type",
        _ => "is not valid JSON",
    };
    Unexpected(format!("{what} {how} (line {}, column {})", error.line(), error.column()))
}

/// The document as text, which JSON must be (RFC 8259 §8.1).
pub fn text(bytes: &[u8]) -> Result<&str, Unexpected> {
    std::str::from_utf8(bytes).map_err(|_| Unexpected("the document is not UTF-8".to_owned()))
}

/// What is made of a value of another type than the one looked for: nothing, and the reading goes on.
macro_rules! other_types_are_passed_over {
    ($($visit:ident: $kind:ty),+) => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("any JSON value")
        }

        fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
            Ok(false)
        }

        $(fn $visit<E: de::Error>(self, _: $kind) -> Result<bool, E> {
            Ok(false)
        })+
    };
}

struct Object<'a, T>(&'a mut T);

impl<'de, T: Members<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Members<'de>> Visitor<'de> for Object<'_, T> {
    type Value = bool;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            self.0.member(&key, Member(&mut map))?;
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<bool, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    other_types_are_passed_over!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

struct Array<F, T> {
    each: F,
    kind: std::marker::PhantomData<T>,
}

impl<'de, F: FnMut(T), T: Members<'de> + Default> DeserializeSeed<'de> for Array<F, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(T), T: Members<'de> + Default> Visitor<'de> for Array<F, T> {
    type Value = bool;

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<bool, A::Error> {
        loop {
            let mut element = T::default();
            match sequence.next_element_seed(Object(&mut element))? {
                Some(true) => (self.each)(element),
                Some(false) => {}
                None => return Ok(true),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    other_types_are_passed_over!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

struct ByName<F, T> {
    each: F,
    kind: std::marker::PhantomData<T>,
}

impl<'de, F: FnMut(&str, T), T: Members<'de> + Default> Members<'de> for ByName<F, T> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        let mut entry = T::default();
        if value.object(&mut entry)? {
            (self.each)(key, entry);
        }
        Ok(())
    }
}

/// A member's name. Read as bytes, because a lone surrogate in a name that does not matter is no error to any client.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(String::from_utf8_lossy(bytes))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Urls<'de>(Vec<Text<'de>>);

    impl<'de> Members<'de> for Urls<'de> {
        fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
            match key {
                "url" => self.0.extend(value.text()?),
                "deep" => drop(value.object(self)?),
                "list" => drop(value.array(|urls: Urls<'de>| self.0.extend(urls.0))?),
                "named" => drop(value.objects_by_name(|_, urls: Urls<'de>| self.0.extend(urls.0))?),
                _ => value.skip()?,
            }
            Ok(())
        }
    }

    fn found(document: &str) -> Result<Vec<(&str, String)>, Unexpected> {
        let mut urls = Urls::default();
        read(document, &mut urls)?;
        let one = |text: Text<'_>| {
            (&document[text.place(document)], text.value().map_or("(none)".to_owned(), Cow::into_owned))
        };
        Ok(urls.0.into_iter().map(one).collect())
    }

    #[test]
    fn strings_are_found_where_the_structure_has_them() {
        let cases: [(&str, &[(&str, &str)]); 12] = [
            (r#"{"url":"a"}"#, &[("a", "a")]),
            (r#"{"url" : "a", "url":"b"}"#, &[("a", "a"), ("b", "b")]),
            (r#"{"\u0075rl":"a"}"#, &[("a", "a")]),
            (r#"{"url":"h:\/\/x\u0040y"}"#, &[(r"h:\/\/x\u0040y", "h://x@y")]),
            (r#"{"url":""}"#, &[("", "")]),
            (r#"{"url":"\ud800"}"#, &[(r"\ud800", "(none)")]),
            (r#"{"\ud800":1,"url":"a"}"#, &[("a", "a")]),
            (r#"{"x":"\"url\":\"no\"","y":["url","no"],"url":1,"deep":[{"url":"no"}],"list":{"url":"no"}}"#, &[]),
            (r#"{"deep":{"deep":{"url":"a"}},"deep":7,"deep":null}"#, &[("a", "a")]),
            (r#"{"list":[{"url":"a"},3,[{"url":"no"}],{"url":"b"}],"list":"no"}"#, &[("a", "a"), ("b", "b")]),
            (r#"{"named":{"k":{"url":"a"},"n":null,"k":{"url":"b"}}}"#, &[("a", "a"), ("b", "b")]),
            (r#"{"number":1e400,"big":123456789012345678901234567890,"url":"a"}"#, &[("a", "a")]),
        ];
        for (document, expected) in cases {
            let expected = expected.iter().map(|(raw, text)| (*raw, (*text).to_owned())).collect::<Vec<_>>();
            assert_eq!(found(document).unwrap(), expected, "{document}");
        }
    }

    #[test]
    fn broken_documents_are_refused() {
        let deep = format!("{}1{}", r#"{"deep":"#.repeat(1000), "}".repeat(1000));
        for document in ["", "[]", "\"url\"", "{", r#"{"url":"a"}x"#, r#"{"url":"a",}"#, "\u{feff}{}", "<html>", &deep]
        {
            assert!(found(document).is_err(), "{document}");
        }
        assert!(found(&format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000))).unwrap().is_empty());
        assert!(text(b"\xff").is_err());
        assert_eq!(
            found("{\"url\": secret}").unwrap_err().to_string(),
            "unexpected content: the document is not valid JSON (line 1, column 9)"
        );
    }
}
