//! The registry protocol of npm, pnpm and Yarn: packuments in two forms, version manifests, tags, tarballs, and the
//! calls that are passed through.

use std::time::Duration;

use crds::UpstreamSettings;
use http::{Method, StatusCode};
use url::form_urlencoded;

use super::Ecosystem;
use super::accept::wish;
use crate::client::{ClientSetup, Endpoint};
use crate::intent::{
    Answer, Artifact, Forward, Intent, Key, Lifetime, Metadata, ReadDocument, Refusal, Rewrite, Source,
};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;
use document::ABBREVIATED;
use name::{Package, is_file, is_version_or_tag};

mod abbreviate;
mod clients;
mod document;
mod name;
#[cfg(test)]
mod tests;

const JSON: &str = "application/json";
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Largest audit request: a whole lock file's tree in the oldest form.
const AUDIT_LIMIT: usize = 16 << 20;
const READ_ONLY: &str = "this proxy only reads; publish, log in and manage tokens at the registry itself, \
     with --registry";
/// The parameters of a search that the protocol knows.
const SEARCH: &[&str] = &["text", "size", "from", "quality", "popularity", "maintenance"];

/// The protocol.
#[derive(Debug)]
pub struct Npm;

impl Ecosystem for Npm {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        let path = call.path();
        match path.as_slice() {
            ["-", "npm", "v1", "security", "advisories", "bulk"]
            | ["-", "npm", "v1", "security", "audits"]
            | ["-", "npm", "v1", "security", "audits", "quick"] => audit(call, &path),
            _ if !call.is_read() => Err(Refusal::Method(READ_ONLY.to_owned())),
            ["-", "ping"] => Ok(answer(StatusCode::OK, b"{}".to_vec())),
            ["-", "whoami"] => Ok(answer(StatusCode::UNAUTHORIZED, error_body("nobody is logged in at this proxy"))),
            // A client asks so for what it will change and write back.
            _ if call.parameter("write") == Some("true") => Err(Refusal::Method(READ_ONLY.to_owned())),
            _ if call.trailing_slash => Err(not_found("no address of this registry ends in a slash")),
            ["-", "v1", "search"] => Ok(search(call)),
            ["-", "npm", "v1", "keys"] => Ok(Intent::Metadata(of_registry("keys", &path))),
            ["-", "npm", "v1", "attestations", subject @ ..] => attestations(subject),
            ["-", "package", rest @ ..] => match Package::take(rest) {
                Some((package, ["dist-tags"])) => Ok(Intent::Metadata(tags(package))),
                _ => Err(not_found("no such list of tags")),
            },
            path => in_package(call, path),
        }
    }

    fn error(&self, _status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        (JSON, error_body(message))
    }

    fn encoded_scope_slash(&self) -> bool {
        true
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

/// What lies below a package's name.
fn in_package(call: &Call, path: &[&str]) -> Result<Intent, Refusal> {
    let Some((package, rest)) = Package::take(path) else {
        return Err(not_found("no package can have this name"));
    };
    match rest {
        [] => Ok(Intent::Metadata(packument(package, wants_abbreviated(&call.accept)))),
        ["-", file] if is_file(file) => Ok(Intent::Artifact(tarball(package, file))),
        // `-` is a package too, but below it are the services of the registry.
        [version] if package.bare() != "-" && is_version_or_tag(version) => {
            Ok(Intent::Metadata(manifest(package, version)))
        }
        _ => Err(not_found("no such address below a package")),
    }
}

/// Clients that name the abbreviated form and do not prefer JSON at large get it. Yarn sends no `Accept` at all and
/// expects the full form.
fn wants_abbreviated(accept: &str) -> bool {
    let abbreviated = wish(accept, ABBREVIATED);
    let full = wish(accept, JSON);
    abbreviated.named && abbreviated.weight > 0 && (!full.named || abbreviated.weight >= full.weight)
}

fn metadata(key: Key, from: UpstreamPath, read: ReadDocument) -> Metadata {
    Metadata::verbatim(key, from, read, JSON)
}

fn key(package: Package<'_>, version: &str, file: &str, representation: &'static str) -> Key {
    Key::file(package.name(), version, file, representation)
}

fn packument(package: Package<'_>, abbreviated: bool) -> Metadata {
    let from = package.document(&[], &[]);
    let common = if abbreviated {
        Metadata {
            // Some registries answer 406 to the abbreviated type alone.
            accept: Some("application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"),
            content_type: ABBREVIATED,
            ..metadata(key(package, "", "", "abbreviated"), from, document::read_abbreviated)
        }
    } else {
        metadata(key(package, "", "", "full"), from, document::read_full)
    };
    Metadata { rewrite: Rewrite::Edits, varies_by_accept: true, ..common }
}

fn manifest(package: Package<'_>, version: &str) -> Metadata {
    let from = package.document(&[], &[version]);
    let common = metadata(key(package, version, "", "manifest"), from, document::read_manifest);
    Metadata { rewrite: Rewrite::Edits, ..common }
}

fn tags(package: Package<'_>) -> Metadata {
    let from = package.document(&["-", "package"], &["dist-tags"]);
    metadata(key(package, "", "", "dist-tags"), from, document::read_tags)
}

fn of_registry(document: &'static str, path: &[&str]) -> Metadata {
    let common = metadata(Key::file("", "", document, document), UpstreamPath::from_segments(path), document::read_array);
    Metadata { lifetime: Lifetime::AtLeast(HOUR), ..common }
}

/// `NAME@VERSION`, where the name may have a scope.
fn attestations(subject: &[&str]) -> Result<Intent, Refusal> {
    let refused = || not_found("no such attestations");
    let (last, scope) = subject.split_last().ok_or_else(refused)?;
    let (bare, version) = last.rsplit_once('@').ok_or_else(refused)?;
    let name = scope.iter().copied().chain([bare]).collect::<Vec<_>>();
    match Package::take(&name) {
        Some((package, [])) if is_version_or_tag(version) => {
            let from = package.attestations(version);
            let common = metadata(key(package, version, "", "attestations"), from, document::read_array);
            Ok(Intent::Metadata(Metadata { lifetime: Lifetime::AtLeast(DAY), ..common }))
        }
        _ => Err(refused()),
    }
}

fn tarball(package: Package<'_>, file: &str) -> Artifact {
    let version = package.version_of(file);
    let key = key(package, version.unwrap_or_default(), file, "tarball");
    let common = Artifact::at(key, Source::Layout(package.tarball(file)), "application/octet-stream");
    Artifact { listed_by: listings, magic: &[0x1f, 0x8b], ..common }
}

/// The documents that name a tarball.
fn listings(tarball: &Key, _: &UpstreamSettings) -> Vec<Metadata> {
    let package = Package::of(&tarball.package);
    // Full and abbreviated packuments name the same tarballs; the shorter one is the cheaper authority.
    let mut listings = vec![packument(package, true), packument(package, false)];
    if !tarball.version.is_empty() {
        listings.push(manifest(package, &tarball.version));
    }
    listings
}

fn search(call: &Call) -> Intent {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in SEARCH {
        if let Some(value) = call.parameter(name) {
            query.append_pair(name, value);
        }
    }
    let query = Some(query.finish()).filter(|query| !query.is_empty());
    let to = UpstreamPath::from_segments(["-", "v1", "search"]);
    let method = call.method.clone();
    Intent::Forward(Forward { base: None, method, to, query, accept: Some(JSON), body_limit: 0, content_type: JSON })
}

fn audit(call: &Call, path: &[&str]) -> Result<Intent, Refusal> {
    if call.method != Method::POST {
        return Err(Refusal::Method("an audit is asked for with POST".to_owned()));
    }
    Ok(Intent::Forward(Forward {
        base: None,
        method: Method::POST,
        to: UpstreamPath::from_segments(path),
        query: None,
        accept: Some(JSON),
        body_limit: AUDIT_LIMIT,
        content_type: JSON,
    }))
}

fn answer(status: StatusCode, body: Vec<u8>) -> Intent {
    Intent::Answer(Answer { status, content_type: JSON, body, location: None })
}

fn error_body(message: &str) -> Vec<u8> {
    serde_json::json!({ "error": message }).to_string().into_bytes()
}

fn not_found(what: &str) -> Refusal {
    Refusal::NotFound(what.to_owned())
}
