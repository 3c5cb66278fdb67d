//! Reading HTML by a real tokenizer: each anchor is handed on as it is met, and what else is kept of a document has a
//! bound.

use std::cell::{Cell, RefCell};

use html5ever::Attribute;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer};

use super::tags;
use crate::intent::Unexpected;

/// The most attributes of a tag. Those of index pages have seven.
const ATTRIBUTES: usize = 256;
/// The document is tokenized in pieces of this size.
const PIECE: usize = 16 << 10;
/// The longest tag or comment in bytes, give or take a piece.
const LONGEST: usize = 64 << 10;
/// Bytes kept of a title, and of the text of an anchor.
const TEXT: usize = 4 << 10;
/// Notes kept.
const NOTES: usize = 256;

/// What a document says besides its anchors.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// `<meta name="pypi:...">`, without the prefix.
    pub(super) notes: Vec<(String, String)>,
    /// The first `<base href>`.
    pub(super) base: Option<String>,
    /// The text of title and headings.
    title: String,
}

impl Outline {
    /// Whether the document says of itself that it is a page of an index. One without any file must: a login page and
    /// an error with status 200 have none either.
    pub(super) fn is_index(&self) -> bool {
        let titles = ["links for", "simple index", "simple list"];
        let own = self.title.to_ascii_lowercase();
        self.notes.iter().any(|(name, _)| name == "repository-version")
            || titles.iter().any(|title| own.contains(title))
    }
}

/// One `<a>`.
#[derive(Debug)]
pub(super) struct Anchor {
    attributes: Vec<Attribute>,
    /// The text inside.
    pub(super) text: String,
}

impl Anchor {
    /// An attribute's value; empty for one without a value.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        value(&self.attributes, name)
    }
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// Scans a document; `each` gets its anchors, in order.
pub(super) fn scan(bytes: &[u8], each: &mut dyn FnMut(&Anchor)) -> Result<Outline, Unexpected> {
    if tags::exceed(bytes, ATTRIBUTES) {
        return Err(Unexpected(format!("a tag of the document has more than {ATTRIBUTES} attributes")));
    }
    let sink = Sink { tokens: Cell::new(0), scan: RefCell::new(Scan::new(each)) };
    let tokenizer = Tokenizer::new(sink, html5ever::tokenizer::TokenizerOpts::default());
    let input = BufferQueue::default();
    let document = String::from_utf8_lossy(bytes);
    let (mut rest, mut unfinished) = (&*document, 0);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        let before = tokenizer.sink.tokens.get();
        input.push_back(StrTendril::from_slice(piece));
        let _ = tokenizer.feed(&input);
        unfinished = if tokenizer.sink.tokens.get() == before { unfinished + piece.len() } else { 0 };
        if unfinished > LONGEST {
            return Err(Unexpected(format!("a tag of the document is longer than {LONGEST} bytes")));
        }
        rest = after;
    }
    tokenizer.end();
    let mut scan = tokenizer.sink.scan.into_inner();
    scan.anchor_ends();
    Ok(scan.outline)
}

/// Where the base of the document's links is, if it gives one: before any link is resolved, wherever it stands.
pub(super) fn base(bytes: &[u8]) -> Result<Option<String>, Unexpected> {
    let begins_base = |at: usize| bytes[at + 1..].get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"base"));
    if memchr::memchr_iter(b'<', bytes).any(begins_base) {
        return scan(bytes, &mut |_| {}).map(|outline| outline.base);
    }
    Ok(None)
}

struct Sink<'a> {
    /// How many there were but for errors, of which a single tag may have many.
    tokens: Cell<usize>,
    scan: RefCell<Scan<'a>>,
}

impl TokenSink for Sink<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        if matches!(token, Token::ParseError(_)) {
            return TokenSinkResult::Continue;
        }
        self.tokens.set(self.tokens.get() + 1);
        let scan = &mut *self.scan.borrow_mut();
        match token {
            Token::TagToken(tag) => return scan.tag(tag),
            Token::CharacterTokens(text) => scan.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

struct Scan<'a> {
    outline: Outline,
    in_title: bool,
    /// The anchor that has begun.
    anchor: Option<Anchor>,
    each: &'a mut dyn FnMut(&Anchor),
}

impl<'a> Scan<'a> {
    fn new(each: &'a mut dyn FnMut(&Anchor)) -> Self {
        Self { outline: Outline::default(), in_title: false, anchor: None, each }
    }

    fn text(&mut self, text: &str) {
        let title = self.in_title.then_some(&mut self.outline.title);
        for kept in title.into_iter().chain(self.anchor.as_mut().map(|anchor| &mut anchor.text)) {
            kept.push_str(&text[..text.floor_char_boundary(TEXT.saturating_sub(kept.len()))]);
        }
    }

    fn anchor_ends(&mut self) {
        if let Some(anchor) = self.anchor.take() {
            (self.each)(&anchor);
        }
    }

    fn tag(&mut self, tag: Tag) -> TokenSinkResult<()> {
        let starts = tag.kind == TagKind::StartTag;
        let attribute = |name: &str| value(&tag.attrs, name);
        match &*tag.name {
            "a" => {
                self.anchor_ends();
                self.anchor = starts.then(|| Anchor { attributes: tag.attrs, text: String::new() });
            }
            "title" => {
                self.in_title = starts;
                if starts {
                    return TokenSinkResult::RawData(RawKind::Rcdata);
                }
            }
            "h1" => self.in_title = starts,
            "base" if starts && self.outline.base.is_none() => {
                self.outline.base = attribute("href").map(str::to_owned);
            }
            "meta" if starts && self.outline.notes.len() < NOTES => {
                if let Some(name) = attribute("name").unwrap_or_default().strip_prefix("pypi:") {
                    let content = attribute("content").unwrap_or_default();
                    self.outline.notes.push((name.to_owned(), content.to_owned()));
                }
            }
            "script" if starts => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "noscript" | "iframe" | "xmp" | "noframes" | "noembed" if starts => {
                return TokenSinkResult::RawData(RawKind::Rawtext);
            }
            "textarea" if starts => return TokenSinkResult::RawData(RawKind::Rcdata),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(document: &str) -> Result<usize, Unexpected> {
        let mut anchors = 0;
        scan(document.as_bytes(), &mut |_| anchors += 1).map(|_| anchors)
    }

    #[test]
    fn hostile_tags_are_refused_before_they_cost_anything() {
        let attributes =
            |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(" a");
        assert_eq!(anchors(&format!("<a a{}>", attributes(ATTRIBUTES))).unwrap(), 1);
        for count in [ATTRIBUTES + 1, 200_000] {
            for hidden in ["", "<a x='", "<script><a x='</script>", "<!--<a x=\"-->", "<title><a x='</title>"] {
                let document = format!("{hidden}<a a{}>'\">", attributes(count));
                assert!(anchors(&document).unwrap_err().0.contains("256 attributes"), "{count} {hidden}");
            }
        }
        let long = "x".repeat(LONGEST + 2 * PIECE);
        for document in [format!("<a href='{long}'>"), format!("<a{long}>"), format!("<!--{long}-->")] {
            assert!(anchors(&document).unwrap_err().0.contains("longer than"), "{}", &document[..10]);
        }
        assert_eq!(anchors(&format!("<a>{long}</a><script>{long}</script><a>é{long}")).unwrap(), 2);
    }

    #[test]
    fn little_is_kept_of_what_is_no_anchor() {
        let meta = "<meta name=pypi:tracks content=x>".repeat(2 * NOTES);
        let title = format!("<title>{}</title>", "é".repeat(TEXT));
        let outline = scan(format!("{meta}{title}").as_bytes(), &mut |_| {}).unwrap();
        assert_eq!((outline.notes.len(), outline.title.len()), (NOTES, TEXT));
    }

    #[test]
    fn the_base_is_found_wherever_it_stands() {
        for (document, expected) in [
            ("<a href=x>", None),
            ("<a href=x><BASE href=/y><base href=/z>", Some("/y")),
            ("<!-- <base href=/y> -->", None),
            ("<bas", None),
        ] {
            assert_eq!(base(document.as_bytes()).unwrap().as_deref(), expected, "{document}");
        }
    }
}
