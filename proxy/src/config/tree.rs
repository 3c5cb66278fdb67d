//! YAML text to JSON values that remember the line of each field. Bounded: no alias is expanded, nesting ends at
//! [`DEPTH_LIMIT`].

use std::collections::BTreeMap;

use crds::problem::{item, member};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};

use super::scalar;

/// Deepest nesting of lists and mappings.
const DEPTH_LIMIT: usize = 32;

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// Its content.
    pub(super) value: Value,
    /// The line on which each path begins: a key's own line, not that of its value.
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// The line of a field, or of the nearest field around it that exists.
    pub(super) fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            let Some(end) = path.rfind(['.', '[']) else { return self.lines.get("").copied().unwrap_or(0) };
            path = &path[..end];
        }
    }
}

/// Something that is wrong with the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Its line, from 1.
    pub(super) line: usize,
    /// The field, if it is in one.
    pub(super) path: String,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// The documents of a text up to the first syntax error, and every mistake. Empty documents are left out.
pub(super) fn parse(text: &str) -> (Vec<Document>, Vec<Mistake>) {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let events = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { events, lines: BTreeMap::new(), mistakes: Vec::new() };
    let mut documents = Vec::new();
    while let Some((event, span)) = builder.next() {
        if matches!(event, Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd) {
            continue;
        }
        builder.lines = BTreeMap::from([(String::new(), span.start.line())]);
        let Some(value) = builder.node(event, &span, "") else { break };
        if !value.is_null() {
            documents.push(Document { value, lines: std::mem::take(&mut builder.lines) });
        }
    }
    (documents, builder.mistakes)
}

struct Builder<Events> {
    events: Events,
    lines: BTreeMap<String, usize>,
    mistakes: Vec<Mistake>,
}

impl<'text, Events: Iterator<Item = Result<(Event<'text>, Span), ScanError>>> Builder<Events> {
    /// The next event; `None` at the end and after a syntax error, which is noted.
    fn next(&mut self) -> Option<(Event<'text>, Span)> {
        match self.events.next()? {
            Ok(event) => Some(event),
            Err(error) => {
                let message = format!("not valid YAML: {}", error.info());
                let line = error.marker().line();
                let remedy = "correct the text around this line";
                self.mistakes.push(Mistake { line, path: String::new(), message, remedy });
                None
            }
        }
    }

    fn mistake(&mut self, span: &Span, path: &str, message: impl Into<String>, remedy: &'static str) {
        let line = span.start.line();
        self.mistakes.push(Mistake { line, path: path.to_owned(), message: message.into(), remedy });
    }

    /// The node that begins with `event`, all its events consumed. `None`: the text ends in a syntax error.
    fn node(&mut self, event: Event<'text>, span: &Span, path: &str) -> Option<Value> {
        match event {
            Event::Scalar(text, style, _, tag) => Some(self.scalar(&text, style, tag.as_deref(), span, path)),
            Event::SequenceStart(..) => self.sequence(path),
            Event::MappingStart(..) => self.mapping(path),
            Event::Alias(_) => {
                self.mistake(span, path, "YAML aliases are not supported", "write the value out");
                Some(Value::Null)
            }
            _ => {
                self.mistake(span, path, "a value is expected here", "correct the text around this line");
                None
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span, path: &str) -> Value {
        match tag {
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => Value::String(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.handle() == "!" && tag.suffix().is_empty() => {
                Value::String(text.to_owned())
            }
            Some(_) => {
                self.mistake(span, path, "YAML tags other than !!str are not supported", "remove the tag");
                Value::Null
            }
        }
    }

    fn sequence(&mut self, path: &str) -> Option<Value> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Some(Value::Array(items));
            }
            let path = item(path, items.len());
            self.lines.insert(path.clone(), span.start.line());
            items.push(self.node(event, &span, &path)?);
        }
    }

    fn mapping(&mut self, path: &str) -> Option<Value> {
        let mut members = Map::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Some(Value::Object(members)),
                Event::Scalar(key, ..) => key,
                event => {
                    self.mistake(&span, path, "a key must be plain text", "write the key as text");
                    self.node(event, &span, path)?;
                    "".into()
                }
            };
            let (event, value_span) = self.next()?;
            let path = member(path, &key);
            if members.contains_key(key.as_ref()) {
                let first = self.lines.get(&path).copied().unwrap_or_default();
                let message = format!("`{key}` stands here a second time, after line {first}");
                self.mistake(&span, &path, message, "remove one of the two");
                // Consumed under a path of its own, so that the lines of the first one stay.
                self.node(event, &value_span, &format!("{path}[again]"))?;
            } else {
                self.lines.insert(path.clone(), span.start.line());
                let value = self.node(event, &value_span, &path)?;
                members.insert(key.into_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_and_lines() {
        let text =
            "# comment\n---\na: 1\nb:\n  - x\n  - y: 'on'\n    \"a.b\": [1, 2]\n---\n# nothing\n---\nc: |\n  text\n";
        let (documents, mistakes) = parse(text);
        assert_eq!(mistakes, []);
        assert_eq!(documents[0].value, json!({"a": 1, "b": ["x", {"y": "on", "a.b": [1, 2]}]}));
        assert_eq!(documents[1].value, json!({"c": "text\n"}));
        assert_eq!(documents.len(), 2);
        for (path, line) in [
            ("", 3),
            ("a", 3),
            ("b", 4),
            ("b[0]", 5),
            ("b[1].y", 6),
            ("b[1][a.b]", 7),
            ("b[1][a.b][1]", 7),
            ("b[1].missing.deeper", 6),
            ("missing", 3),
        ] {
            assert_eq!(documents[0].line(path), line, "{path}");
        }
        assert_eq!(documents[1].line("c"), 11);
    }

    #[test]
    fn json_is_read_too() {
        let (documents, mistakes) = parse("{\n\t\"a\": {\"b\": [true, null, 1.5, \"\\u00e9\"]}\n}\n");
        assert_eq!(mistakes, []);
        assert_eq!(documents[0].value, json!({"a": {"b": [true, null, 1.5, "\u{e9}"]}}));
        assert_eq!(documents[0].line("a.b"), 2);
    }

    #[test]
    fn mistakes() {
        for (text, line, path, message) in [
            ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 5, "b.c", "a second time, after line 3"),
            ("a: &x 1\nb: *x\n", 2, "b", "aliases are not supported"),
            ("a: 1\nb: !!binary aGk=\n", 2, "b", "tags other than !!str"),
            ("a: 1\n[b, c]: 2\n", 2, "", "must be plain text"),
            ("a: 1\nb: [1\nc: 2\n", 0, "", "not valid YAML"),
            ("a: *missing\n", 1, "", "not valid YAML"),
        ] {
            let (_, mistakes) = parse(text);
            let [mistake] = mistakes.as_slice() else { panic!("{text}: {mistakes:?}") };
            assert!(line == 0 || mistake.line == line, "{text}: {mistake:?}");
            assert_eq!(mistake.path, path, "{text}");
            assert!(mistake.message.contains(message), "{text}: {}", mistake.message);
        }
        assert_eq!(parse("a: !!str 1\n").0[0].value, json!({"a": "1"}));
    }

    #[test]
    fn hostile_texts_end_quickly() {
        for text in [
            "[".repeat(100_000),
            "a:\n".to_owned() + &(0..1000).map(|n| " ".repeat(n) + "- \n").collect::<String>(),
            "- ".repeat(100_000),
            "{a: ".repeat(1000),
            "\u{feff}\0".to_owned(),
        ] {
            let (_, mistakes) = parse(&text);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        }
    }
}
