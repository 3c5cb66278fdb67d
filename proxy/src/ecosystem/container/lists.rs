//! Lists of tags and of referrers, page by page.

use serde::Deserialize;

use super::manifest::OCI_INDEX;
use super::name::is_tag;
use super::{JSON, below};
use crate::digest::Digest;
use crate::intent::{Key, Metadata, Raw, Reading, Refusal, ServedAs, Unexpected};
use crate::request::Call;

/// Longest value of a query parameter.
const LONGEST: usize = 255;
/// Most entries of a page that are asked for.
const MOST: u32 = 10_000;

/// The tags of a repository, or one page of them.
pub(super) fn tags(name: &str, call: &Call) -> Result<Metadata, Refusal> {
    let number = call.parameter("n").map(page_size).transpose()?;
    let last = call.parameter("last").map(|last| {
        if is_tag(last) { Ok(last) } else { Err(Refusal::Bad("`last` is a tag".to_owned())) }
    });
    let query = encoded(&[("n", number), ("last", last.transpose()?.map(str::to_owned))]);
    let key = Key::file(name, "", query.as_deref().unwrap_or_default(), "tags");
    Ok(Metadata { query, ..Metadata::verbatim(key, below(name, &["tags", "list"]), read_tags, JSON) })
}

/// What refers to a manifest, or one page of it.
pub(super) fn referrers(name: &str, digest: &Digest, call: &Call) -> Result<Metadata, Refusal> {
    let number = call.parameter("n").map(page_size).transpose()?;
    let kept = ["artifactType", "last", "next", "nextToken"].map(|parameter| {
        let value = call.parameter(parameter).filter(|value| value.len() <= LONGEST && value.is_ascii());
        (parameter, value.map(str::to_owned))
    });
    let query = encoded(&[&[("n", number)], kept.as_slice()].concat());
    let digest = digest.to_string();
    let key = Key::file(name, &digest, query.as_deref().unwrap_or_default(), "referrers");
    Ok(Metadata { query, ..Metadata::verbatim(key, below(name, &["referrers", &digest]), read_referrers, OCI_INDEX) })
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
    _tags: Option<Vec<String>>,
}

fn read_tags(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let _: Tags = serde_json::from_slice(raw.bytes)
        .map_err(|error| Unexpected(format!("no list of tags where one was asked for ({error})")))?;
    Ok(Reading { served: ServedAs { next: next_page(&raw), ..ServedAs::default() }, ..Reading::default() })
}

#[derive(Deserialize)]
struct Index {
    #[serde(rename = "manifests")]
    _manifests: Vec<serde::de::IgnoredAny>,
}

fn read_referrers(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    const FILTERS: &str = "oci-filters-applied";
    let _: Index = serde_json::from_slice(raw.bytes)
        .map_err(|error| Unexpected(format!("no list of referrers where one was asked for ({error})")))?;
    // Without it a client filters by itself, so only the one filter that there is passes.
    let filtered = raw.headers.and_then(|headers| headers.get(FILTERS)).is_some_and(|value| value == "artifactType");
    let headers = filtered.then(|| (FILTERS.to_owned(), "artifactType".to_owned())).into_iter().collect();
    Ok(Reading { served: ServedAs { next: next_page(&raw), headers, content_type: None }, ..Reading::default() })
}

/// The query of the next page, if the upstream's `Link` (RFC 8288) leads to a page of the same list.
fn next_page(raw: &Raw<'_>) -> Option<String> {
    let link = raw.headers?.get(http::header::LINK)?.to_str().ok()?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').map(|part| part.trim().replace('"', "")).any(|part| part == "rel=next");
    let target = raw.url.join(target).ok().filter(|target| is_next && target.path() == raw.url.path())?;
    let value = |name: &str| {
        let found = target.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        found.filter(|value| value.len() <= LONGEST && value.is_ascii() && !value.contains(char::is_control))
    };
    // What a request for that page may hold here.
    encoded(&["n", "artifactType", "last", "next", "nextToken"].map(|name| (name, value(name))))
}
