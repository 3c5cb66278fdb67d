//! The HTML form of a project's page (PEP 503): read by a real tokenizer, and always written anew from what was
//! understood, so that no markup of an upstream reaches a client.

use std::cell::RefCell;
use std::fmt::Write as _;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer};

use super::name::{is_distribution, is_file};
use super::page::{File, Hashes, Page, check_version, last_segment, link, provenance, resolve};
use crate::intent::{Raw, Unexpected};

/// What a document holds of anchors and notes.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The anchors: attributes with decoded values, and the text inside.
    pub(super) anchors: Vec<Anchor>,
    /// `<meta name="pypi:...">`, without the prefix.
    notes: Vec<(String, String)>,
    /// The first `<base href>`.
    base: Option<String>,
    /// The text of title and first heading, lower case.
    title: String,
    in_title: bool,
    in_anchor: bool,
}

/// One `<a>`.
#[derive(Debug, Default)]
pub(super) struct Anchor {
    attributes: Vec<(String, String)>,
    /// The text inside.
    pub(super) text: String,
}

impl Anchor {
    /// An attribute's value; empty for one without a value.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Scans a document.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(&String::from_utf8_lossy(bytes)));
    let tokenizer = Tokenizer::new(Sink(RefCell::default()), html5ever::tokenizer::TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner()
}

impl Scan {
    /// Whether the document says of itself that it is a page of an index. One without any file must: a login page and
    /// an error with status 200 have none either.
    pub(super) fn is_index(&self) -> bool {
        let titles = ["links for", "simple index", "simple list"];
        self.notes.iter().any(|(name, _)| name == "repository-version")
            || titles.iter().any(|title| self.title.contains(title))
    }
}

struct Sink(RefCell<Scan>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let scan = &mut *self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => return scan.tag(&tag),
            Token::CharacterTokens(text) => {
                if scan.in_title {
                    scan.title.push_str(&text.to_ascii_lowercase());
                }
                if let Some(anchor) = scan.anchors.last_mut().filter(|_| scan.in_anchor) {
                    anchor.text.push_str(&text);
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Scan {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let starts = tag.kind == TagKind::StartTag;
        let attributes = || tag.attrs.iter().map(|one| (one.name.local.to_string(), one.value.to_string()));
        let attribute = |name: &str| attributes().find(|(key, _)| key == name).map(|(_, value)| value);
        match &*tag.name {
            "a" => {
                self.in_anchor = starts;
                if starts {
                    self.anchors.push(Anchor { attributes: attributes().collect(), text: String::new() });
                }
            }
            "title" => {
                self.in_title = starts;
                if starts {
                    return TokenSinkResult::RawData(RawKind::Rcdata);
                }
            }
            "h1" => self.in_title = starts,
            "base" if starts && self.base.is_none() => self.base = attribute("href"),
            "meta" if starts => {
                let name = attribute("name").unwrap_or_default();
                if let Some(name) = name.strip_prefix("pypi:") {
                    self.notes.push((name.to_owned(), attribute("content").unwrap_or_default()));
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

/// Reads a project's page.
pub(super) fn parse(raw: Raw<'_>) -> Result<Page, Unexpected> {
    let scan = scan(raw.bytes);
    let base = scan.base.as_deref().and_then(|href| resolve(href, raw.url)).unwrap_or_else(|| raw.url.clone());
    let mut page = Page { api_version: "1.0".to_owned(), ..Page::default() };
    for anchor in &scan.anchors {
        let Some(mut url) = anchor.attribute("href").and_then(|href| resolve(href, &base)) else { continue };
        let name = last_segment(&url);
        if !is_file(&name) || !is_distribution(&name) {
            continue;
        }
        let hashes = fragment_hashes(url.fragment().unwrap_or_default());
        url.set_fragment(None);
        let attribute = |name| anchor.attribute(name).map(str::to_owned);
        let metadata = anchor.attribute("data-core-metadata").or_else(|| anchor.attribute("data-dist-info-metadata"));
        page.files.push(File {
            name,
            url: url.into(),
            hashes,
            requires_python: attribute("data-requires-python"),
            yanked: attribute("data-yanked"),
            core_metadata: metadata.and_then(advertised),
            gpg_sig: anchor.attribute("data-gpg-sig").and_then(|value| value.parse().ok()),
            provenance: attribute("data-provenance").filter(|value| !value.is_empty()),
            size: None,
        });
    }
    if page.files.is_empty() && !scan.is_index() {
        return Err(Unexpected("the document is no page of a package index".to_owned()));
    }
    for (name, value) in scan.notes {
        if name == "repository-version" {
            check_version(&value)?;
            page.api_version = value;
        } else {
            page.notes.push((name, value));
        }
    }
    Ok(page)
}

/// `true`, or the digest of the metadata.
fn advertised(value: &str) -> Option<Hashes> {
    let hashes = fragment_hashes(value);
    (value.is_empty() || value == "true" || !hashes.is_empty()).then_some(hashes)
}

/// Whether a digest is one that clients may meet in a link.
fn is_hash(name: &str, hex: &str) -> bool {
    matches!(name, "md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512" | "blake2b" | "blake2s")
        && !hex.is_empty()
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The digests in `name=hex`, several separated by `&`.
fn fragment_hashes(text: &str) -> Hashes {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, hex)| is_hash(name, hex)).map(|(name, hex)| (name.to_owned(), hex.to_owned())).collect()
}

/// Writes a project's page.
pub(super) fn write(page: &Page, raw: Raw<'_>, base: &str) -> String {
    let title = format!("Links for {}", raw.key.package);
    let mut body = String::with_capacity(page.files.len() * 300);
    for file in &page.files {
        body.push_str("    <a");
        let fragment = preferred(&file.hashes).map_or(String::new(), |hash| format!("#{hash}"));
        push_attribute(&mut body, "href", &format!("{}{fragment}", link(&raw.key.package, &file.name)));
        if let Some(range) = &file.requires_python {
            push_attribute(&mut body, "data-requires-python", range);
        }
        if let Some(hashes) = &file.core_metadata {
            let value = preferred(hashes).unwrap_or_else(|| "true".to_owned());
            push_attribute(&mut body, "data-dist-info-metadata", &value);
            push_attribute(&mut body, "data-core-metadata", &value);
        }
        if let Some(signed) = file.gpg_sig {
            push_attribute(&mut body, "data-gpg-sig", if signed { "true" } else { "false" });
        }
        if let Some(reason) = &file.yanked {
            push_attribute(&mut body, "data-yanked", reason);
        }
        if let Some(address) = provenance(file, raw, base) {
            push_attribute(&mut body, "data-provenance", &address);
        }
        let _ = writeln!(body, ">{}</a><br>", escaped(&file.name));
    }
    document(&title, &page.api_version, &page.notes, &body)
}

/// A whole document of the index.
pub(super) fn document(title: &str, api_version: &str, notes: &[(String, String)], body: &str) -> String {
    let mut head = String::new();
    let version = ("repository-version".to_owned(), api_version.to_owned());
    for (name, value) in std::iter::once(&version).chain(notes) {
        head.push_str("    <meta");
        push_attribute(&mut head, "name", &format!("pypi:{name}"));
        push_attribute(&mut head, "content", value);
        head.push_str(">\n");
    }
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n{head}    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n{body}  </body>\n</html>\n"
    )
}

/// The digest that a link can hold one of: SHA-256, which every client knows, else what comes first.
fn preferred(hashes: &Hashes) -> Option<String> {
    let mut usable = hashes.iter().filter(|(name, hex)| is_hash(name, hex));
    let (name, hex) = usable.clone().find(|(name, _)| name == "sha256").or_else(|| usable.next())?;
    Some(format!("{name}={hex}"))
}

fn push_attribute(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, " {name}=\"{}\"", escaped(value));
}

/// Text as it may stand in an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
