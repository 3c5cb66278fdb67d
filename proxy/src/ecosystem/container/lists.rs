//! Lists of tags and of referrers, page by page.

use std::borrow::Cow;

use serde::Deserialize;

use super::manifest::OCI_INDEX;
use super::{JSON, below};
use crate::digest::Digest;
use crate::intent::{Key, Metadata, Raw, Reading, Refusal, ServedAs, Unexpected};
use crate::request::Call;

/// Longest filter.
const LONGEST_FILTER: usize = 255;
/// Longest place where a page begins: some registries write there all that they have to know.
const LONGEST_CURSOR: usize = 2048;
/// Most entries of a page that are asked for.
const MOST: u32 = 10_000;

/// Where a page begins, in the words of registries: the last entry of the page before (OCI distribution), or what the
/// registry calls it by.
const CURSORS: [&str; 4] = ["last", "next", "nextToken", "next_page"];

/// The tags of a repository, or one page of them.
pub(super) fn tags(name: &str, call: &Call) -> Result<Metadata, Refusal> {
    let query = page(call, &[])?;
    let key = Key::file(name, "", query.as_deref().unwrap_or_default(), "tags");
    Ok(Metadata { query, ..Metadata::verbatim(key, below(name, &["tags", "list"]), read_tags, JSON) })
}

/// What refers to a manifest, or one page of it.
pub(super) fn referrers(name: &str, digest: &Digest, call: &Call) -> Result<Metadata, Refusal> {
    let query = page(call, &["artifactType"])?;
    let digest = digest.to_string();
    let key = Key::file(name, &digest, query.as_deref().unwrap_or_default(), "referrers");
    Ok(Metadata { query, ..Metadata::verbatim(key, below(name, &["referrers", &digest]), read_referrers, OCI_INDEX) })
}

/// The query of a page: its size, these parameters, and where it begins. Others mean nothing and are left out.
fn page(call: &Call, parameters: &[&'static str]) -> Result<Option<String>, Refusal> {
    let number = call.parameter("n").map(page_size).transpose()?;
    let mut kept = vec![("n", number)];
    for &parameter in parameters.iter().chain(&CURSORS) {
        let value = call.parameter(parameter);
        if value.is_some_and(|value| !is_value(parameter, value)) {
            let longest = longest(parameter);
            return Err(Refusal::Bad(format!("`{parameter}` is printable ASCII of at most {longest} bytes")));
        }
        kept.push((parameter, value.map(str::to_owned)));
    }
    Ok(encoded(&kept))
}

/// Whether a registry may have given this value: what is in it is the registry's affair.
fn is_value(parameter: &str, text: &str) -> bool {
    text.len() <= longest(parameter) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn longest(parameter: &str) -> usize {
    if CURSORS.contains(&parameter) { LONGEST_CURSOR } else { LONGEST_FILTER }
}

fn page_size(text: &str) -> Result<String, Refusal> {
    let number = text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.ok_or_else(|| Refusal::Bad("`n` is a number".to_owned()))?;
    Ok(number.min(MOST).to_string())
}

/// A query in the order of `parameters`, so that one question has one key.
fn encoded(parameters: &[(&str, Option<String>)]) -> Option<String> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    (!query.is_empty()).then_some(query)
}

#[derive(Deserialize)]
struct Tags {
    #[serde(rename = "name")]
    _name: String,
    /// Some registries write null where there is none.
    #[serde(rename = "tags")]
    _tags: Option<Vec<Tag>>,
}

/// A string that is looked at and not kept, so that however many there are take no memory.
struct Tag;

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self)
    }
}

impl serde::de::Visitor<'_> for Tag {
    type Value = Self;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a tag")
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

fn read_tags(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let _: Tags = serde_json::from_slice(raw.bytes)
        .map_err(|error| Unexpected(format!("no list of tags where one was asked for ({error})")))?;
    Ok(Reading { served: ServedAs { next: next_page(&raw, &[])?, ..ServedAs::default() }, ..Reading::default() })
}

#[derive(Deserialize)]
struct Index {
    /// Some registries write null where there is none.
    #[serde(rename = "manifests", deserialize_with = "Option::deserialize")]
    _manifests: Option<Vec<serde::de::IgnoredAny>>,
}

fn read_referrers(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    const FILTERS: &str = "oci-filters-applied";
    let _: Index = serde_json::from_slice(raw.bytes)
        .map_err(|error| Unexpected(format!("no list of referrers where one was asked for ({error})")))?;
    // Without it a client filters by itself, so only the one filter that there is passes.
    let filtered = raw.headers.and_then(|headers| headers.get(FILTERS)).is_some_and(|value| value == "artifactType");
    let headers = filtered.then(|| (FILTERS.to_owned(), "artifactType".to_owned())).into_iter().collect();
    Ok(Reading { served: ServedAs { next: next_page(&raw, &["artifactType"])?, headers, content_type: None }, ..Reading::default() })
}

/// The query of the next page, if the upstream's `Link` (RFC 8288) leads to one: what a request for that page may hold
/// here. Of a link that cannot be followed a client must hear: told nothing, it would take a part of the list for the
/// whole.
fn next_page(raw: &Raw<'_>, parameters: &[&'static str]) -> Result<Option<String>, Unexpected> {
    let Some(link) = next_link(raw) else { return Ok(None) };
    let unexpected = |reason: &str| Unexpected(format!("the link to the next page of the list {reason}"));
    // A registry behind another address writes its own: only the end is the same, and nothing but the query is used.
    let target = raw.url.join(link).ok().filter(|target| end(target) == end(raw.url));
    let target = target.ok_or_else(|| unexpected("leads to no such list"))?;
    let value = |name: &str| target.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if !CURSORS.iter().any(|cursor| value(cursor).is_some()) {
        return Err(unexpected(&format!("has none of {}", CURSORS.join(", "))));
    }
    let mut kept = Vec::new();
    for name in ["n"].iter().chain(parameters).chain(&CURSORS) {
        let value = value(name);
        if value.as_ref().is_some_and(|value| !is_value(name, value)) {
            let longest = longest(name);
            return Err(unexpected(&format!("has a `{name}` that is not printable ASCII of at most {longest} bytes")));
        }
        kept.push((*name, value));
    }
    Ok(encoded(&kept))
}

/// What an address of a list ends in: `tags/list`, `referrers/DIGEST`.
fn end(url: &url::Url) -> Option<Vec<Cow<'_, str>>> {
    let segments = url.path_segments()?.rev().take(2);
    segments.map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8().ok()).collect()
}

/// The target of the first link whose relation is `next`. Several links may stand in one header or in several.
fn next_link<'a>(raw: &Raw<'a>) -> Option<&'a str> {
    let headers = raw.headers?.get_all(http::header::LINK).into_iter().filter_map(|value| value.to_str().ok());
    Some(headers.flat_map(links).find(|(_, parameters)| is_next(parameters))?.0)
}

/// Target and parameters of each link: `<target>; rel="next", <target>; ...`.
fn links(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split('<').skip(1).filter_map(|link| link.split_once('>'))
}

/// Relations are several words in one parameter, in either case.
fn is_next(parameters: &str) -> bool {
    let mut parameters = parameters.split([';', ',']).filter_map(|parameter| parameter.split_once('='));
    parameters.any(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}
