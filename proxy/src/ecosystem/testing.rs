//! What the tests of all protocols need: a request from a line, a document as if it had been fetched.

use crds::UpstreamSettings;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use super::Ecosystem;
use crate::intent::{Artifact, Checked, Intent, Key, Metadata, Raw, Reading, Refusal, Render, Rewrite, Unexpected};
use crate::request::{Call, Spelling, without_dot_segments};

/// Parses `PATH[?QUERY]` as a request.
pub(super) fn ask(
    protocol: &dyn Ecosystem,
    method: &Method,
    target: &str,
    accept: Option<&'static str>,
) -> Result<Intent, Refusal> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    if let Some(accept) = accept {
        headers.insert(http::header::ACCEPT, HeaderValue::from_static(accept));
    }
    let path = if protocol.has_dot_segments() { without_dot_segments(path) } else { path.into() };
    let call = Call::read(method, &path, query, &headers, Spelling::of(protocol))?;
    protocol.parse(&call)
}

/// One line that says what a request means, for tables.
pub(super) fn meaning(protocol: &dyn Ecosystem, target: &str) -> String {
    described(&ask(protocol, &Method::GET, target, None))
}

/// One line that says what was understood.
pub(super) fn described(intent: &Result<Intent, Refusal>) -> String {
    match intent {
        Ok(Intent::Metadata(metadata)) => format!("metadata {} < {}", key(&metadata.key), metadata.from.as_str()),
        Ok(Intent::Artifact(artifact)) => {
            let listings =
                artifact.listings(&upstream()).iter().map(|listing| listing.key.representation).collect::<Vec<_>>();
            format!("artifact {} in {}", key(&artifact.key), listings.join(" "))
        }
        Ok(Intent::Checksum(checksum)) => {
            let of = match &checksum.of {
                Checked::Metadata(metadata) => Intent::Metadata(metadata.clone()),
                Checked::Artifact(artifact) => Intent::Artifact(artifact.clone()),
            };
            format!("{} of {}", checksum.algorithm.name(), described(&Ok(of)))
        }
        Ok(Intent::Indexed(indexed)) => {
            let within =
                indexed.within.iter().map(|within| format!("{} of {}", within.name, within.heads[0].from.as_str()));
            format!("indexed {}", within.collect::<Vec<_>>().join(", "))
        }
        Ok(Intent::Signature(head)) => format!("signature of {}", head.from.as_str()),
        Ok(Intent::Forward(forward)) => {
            let query = forward.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
            format!("forward {} {}{query}", forward.method, forward.to.as_str())
        }
        Ok(Intent::Answer(answer)) => {
            format!("answer {} {}", answer.status.as_u16(), answer.location.as_deref().unwrap_or_default())
        }
        Err(Refusal::NotFound(_)) => "not found".to_owned(),
        Err(Refusal::Bad(_)) => "bad".to_owned(),
        Err(Refusal::Method(_)) => "method".to_owned(),
        Err(Refusal::TooLong { .. }) => "too long".to_owned(),
    }
}

/// An upstream with everything that a listing may depend on.
fn upstream() -> UpstreamSettings {
    let checksum_database = Some("sum.registry.example".to_owned());
    UpstreamSettings { checksum_database, ..UpstreamSettings::at(Url::parse("https://registry.example/").unwrap()) }
}

fn key(key: &Key) -> String {
    [key.representation, &key.package, &key.version, &key.file].join("|")
}

/// The metadata that a GET means.
pub(super) fn metadata(protocol: &dyn Ecosystem, target: &str, accept: Option<&'static str>) -> Metadata {
    match ask(protocol, &Method::GET, target, accept) {
        Ok(Intent::Metadata(metadata)) => metadata,
        other => panic!("{target} is {other:?}"),
    }
}

/// The artifact that a GET means.
pub(super) fn artifact(protocol: &dyn Ecosystem, target: &str) -> Artifact {
    match ask(protocol, &Method::GET, target, None) {
        Ok(Intent::Artifact(artifact)) => artifact,
        other => panic!("{target} is {other:?}"),
    }
}

/// A document below `https://registry.example/` as the upstream sent it.
pub(super) struct Fetched {
    /// What was asked for.
    pub(super) metadata: Metadata,
    /// The body.
    pub(super) bytes: Vec<u8>,
    content_type: &'static str,
    url: Url,
}

impl Fetched {
    /// The answer to a request for `metadata`.
    pub(super) fn new(metadata: Metadata, content_type: &'static str, body: impl AsRef<[u8]>) -> Self {
        let url = metadata.from.below(&Url::parse("https://registry.example/").unwrap());
        Self { metadata, bytes: body.as_ref().to_vec(), content_type, url }
    }

    /// As the functions of the metadata take it.
    pub(super) fn raw(&self) -> Raw<'_> {
        Raw {
            bytes: &self.bytes,
            content_type: self.content_type,
            url: &self.url,
            key: &self.metadata.key,
            headers: None,
        }
    }

    /// What the document says.
    pub(super) fn read(&self) -> Result<Reading, Unexpected> {
        self.metadata.read.map_or_else(|| Ok(Reading::default()), |read| read(self.raw()))
    }

    /// What a client is served that has `base`.
    pub(super) fn served(&self, base: &str) -> String {
        let reading = self.read().unwrap();
        let body = match self.metadata.rewrite {
            Rewrite::Verbatim => self.bytes.clone(),
            Rewrite::Edits => {
                let stored = reading.replacement.as_deref().unwrap_or(&self.bytes);
                crate::rewrite::apply(stored, &reading.edits, base)
            }
            Rewrite::Render(Render { with, .. }) => with(self.raw(), base).unwrap(),
        };
        String::from_utf8(body).unwrap()
    }
}
