//! The distribution protocol of container images and other OCI artifacts, for pulls (OCI distribution specification).
//! Everything immutable is named by its digest; only tags and lists change. No body is ever altered.

use http::StatusCode;
use serde_json::json;

use super::Ecosystem;
use crate::client::{ClientSetup, Endpoint};
use crate::digest::Digest;
use crate::intent::{Answer, Artifact, Intent, Key, Lifetime, Metadata, Refusal, Revalidate, Source};
use crate::request::Call;
use crate::blob_id::BlobId;
use crate::upstream_path::UpstreamPath;

mod clients;
mod lists;
mod manifest;
mod members;
mod name;
#[cfg(test)]
mod tests;

const JSON: &str = "application/json";
const MANIFEST: &str = "manifest";
const BLOB: &str = "blob";
/// What the upstream says of the bytes that it sends.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Registries take no larger manifest.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// Images and other artifacts of a registry.
#[derive(Debug)]
pub struct Container;

impl Ecosystem for Container {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        let path = call.path();
        let ["v2", path @ ..] = path.as_slice() else {
            return Err(Refusal::NotFound("the addresses of this protocol begin with v2/".to_owned()));
        };
        if !call.is_read() {
            return Err(Refusal::Method("images are only pulled here: push them to the registry itself".to_owned()));
        }
        match path {
            [] => Ok(Intent::Answer(Answer {
                status: StatusCode::OK,
                content_type: JSON,
                body: b"{}".to_vec(),
                location: None,
            })),
            _ if call.trailing_slash => Err(unknown()),
            // From the end: a name may have segments like these.
            [name @ .., "manifests", reference] => Ok(Intent::Metadata(manifest(&name::joined(name)?, reference)?)),
            [name @ .., "blobs", digest] => Ok(Intent::Artifact(blob(&name::joined(name)?, name::digest(digest)?))),
            [name @ .., "tags", "list"] => Ok(Intent::Metadata(lists::tags(&name::joined(name)?, call)?)),
            [name @ .., "referrers", digest] => {
                Ok(Intent::Metadata(lists::referrers(&name::joined(name)?, &name::digest(digest)?, call)?))
            }
            // The catalogue would tell of everything that the account of this proxy may see.
            _ => Err(unknown()),
        }
    }

    fn error(&self, status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        self.error_at("", status, message)
    }

    fn error_at(&self, path: &str, status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        let error = json!({"errors": [{"code": code(path, status), "message": message, "detail": null}]});
        (JSON, error.to_string().into_bytes())
    }

    fn headers(&self, content: Option<(&Key, Option<BlobId>)>) -> Vec<(&'static str, String)> {
        let Some((key, sha256)) = content else {
            return vec![("docker-distribution-api-version", "registry/2.0".to_owned())];
        };
        let digest = match key.representation {
            MANIFEST | BLOB if name::digest(&key.version).is_ok() => Some(key.version.clone()),
            MANIFEST => sha256.map(|sha256| format!("sha256:{sha256}")),
            _ => None,
        };
        digest.map(|digest| (CONTENT_DIGEST, digest)).into_iter().collect()
    }

    fn uses_tokens(&self) -> bool {
        true
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

/// The code of an error (distribution specification, Error Codes; the last two are those of its first
/// implementation).
fn code(path: &str, status: StatusCode) -> &'static str {
    let about = |what: &str| path.rsplit('/').nth(1) == Some(what);
    match status.as_u16() {
        400 if about("blobs") || about("referrers") => "DIGEST_INVALID",
        400 | 414 => "NAME_INVALID",
        401 => "UNAUTHORIZED",
        403 | 451 => "DENIED",
        // Of a referrers list that is not there clients go on to the tag that is made of the digest, but not of a name.
        404 | 410 if about("manifests") || about("referrers") => "MANIFEST_UNKNOWN",
        404 | 410 if about("blobs") => "BLOB_UNKNOWN",
        404 | 410 => "NAME_UNKNOWN",
        405 => "UNSUPPORTED",
        429 => "TOOMANYREQUESTS",
        500..=599 => "UNAVAILABLE",
        _ => "UNKNOWN",
    }
}

fn unknown() -> Refusal {
    Refusal::NotFound("manifests, blobs, tags/list and referrers of a repository are served here".to_owned())
}

/// An address of a repository at the upstream.
fn below(name: &str, rest: &[&str]) -> UpstreamPath {
    UpstreamPath::from_segments(std::iter::once("v2").chain(name.split('/')).chain(rest.iter().copied()))
}

fn manifest_key(name: &str, reference: &str) -> Key {
    Key::file(name, reference, "", MANIFEST)
}

/// The key of a blob as one repository has it: another's is another, whose readers may be others.
fn blob_key(name: &str, digest: &Digest) -> Key {
    Key::file(name, &digest.to_string(), "", BLOB)
}

fn manifest(name: &str, reference: &str) -> Result<Metadata, Refusal> {
    let key = manifest_key(name, reference);
    let from = below(name, &["manifests", reference]);
    let manifest = Metadata {
        accept: Some(manifest::ACCEPT),
        limit: Some(MANIFEST_LIMIT),
        content_addressed: true,
        ..Metadata::verbatim(key, from, manifest::read, manifest::OCI_MANIFEST)
    };
    if reference.contains(':') {
        let digest = name::digest(reference)?;
        return Ok(Metadata { lifetime: Lifetime::Forever, expect: Some(digest), ..manifest });
    }
    if name::is_tag(reference) {
        // Registries count the manifests that they send, and not those that they are asked about.
        return Ok(Metadata { revalidate: Revalidate::Digest(CONTENT_DIGEST), ..manifest });
    }
    Err(Refusal::NotFound("that is neither a tag nor a digest".to_owned()))
}

fn blob(name: &str, digest: Digest) -> Artifact {
    let from = below(name, &["blobs", &digest.to_string()]);
    let key = blob_key(name, &digest);
    Artifact { expect: Some(digest), ..Artifact::at(key, Source::Layout(from), "application/octet-stream") }
}
