//! The sparse registry protocol of cargo: `config.json`, index files, crate files, and the web API's search.

use std::time::Duration;

use http::StatusCode;
use url::form_urlencoded;

use super::Ecosystem;
use crate::client::{ClientSetup, Endpoint};
use crate::intent::{
    Artifact, Forward, Intent, Key, Lifetime, Metadata, OtherBase, Refusal, Render, Rewrite, Source, Template,
};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;
use name::{file, indexed, is_crate, is_version, prefix};

mod clients;
mod config;
mod index;
mod name;
#[cfg(test)]
mod tests;

const JSON: &str = "application/json";
const READ_ONLY: &str = "this proxy only reads; publish, yank and manage owners at the registry itself, with --registry";
/// The parameters of a search that the protocol knows.
const SEARCH: &[&str] = &["q", "per_page", "page", "sort"];

/// The protocol.
#[derive(Debug)]
pub struct Cargo;

impl Ecosystem for Cargo {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        let path = call.path();
        if !call.is_read() {
            return Err(Refusal::Method(READ_ONLY.to_owned()));
        }
        if call.trailing_slash {
            return Err(not_found("no address of this registry ends in a slash"));
        }
        match path.as_slice() {
            ["config.json"] => Ok(Intent::Metadata(config_file())),
            ["api", "v1", "crates"] => Ok(web_api(call, &path, SEARCH)),
            ["api", "v1", "crates", name, "owners"] if is_crate(name) => Err(Refusal::Method(READ_ONLY.to_owned())),
            ["api", "v1", "crates", name, version, "download"] if is_crate(name) && is_version(version) => {
                Ok(Intent::Artifact(crate_file(name, version)))
            }
            ["api", "v1", "crates", name] if is_crate(name) => Ok(web_api(call, &path, &[])),
            ["api", "v1", "crates", name, version] if is_crate(name) && is_version(version) => {
                Ok(web_api(call, &path, &[]))
            }
            path => match indexed(path) {
                Some(name) => Ok(Intent::Metadata(index_file(name))),
                None => Err(not_found("no index file has this path; names are lower case there")),
            },
        }
    }

    /// Cargo prints the `detail` of a refusal by the web API, and elsewhere the whole body.
    fn error(&self, _status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        (JSON, serde_json::json!({ "errors": [{ "detail": message }] }).to_string().into_bytes())
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

fn config_file() -> Metadata {
    let from = UpstreamPath::from_segments(["config.json"]);
    Metadata {
        accept: None,
        lifetime: Lifetime::AtLeast(Duration::from_hours(1)),
        rewrite: Rewrite::Render(Render { form: "config-1", uses_base: true, with: config::render }),
        ..Metadata::verbatim(Key::file("", "", "config.json", "config"), from, config::read, JSON)
    }
}

/// `name` is lower case.
fn index_file(name: &str) -> Metadata {
    let from = UpstreamPath::from_segments(prefix(name).split('/').chain([name]));
    let key = Key::document(name, "index");
    Metadata {
        accept: Some("text/plain"),
        ..Metadata::verbatim(key, from, index::read, "text/plain; charset=utf-8")
    }
}

/// `name` has its true case, which the index file's table confirms: another spelling is not listed.
fn crate_file(name: &str, version: &str) -> Artifact {
    let source = Source::Template(Box::new(Template {
        document: config_file,
        build: config::download,
        needs_listing: config::needs_listing,
    }));
    Artifact {
        listed_by: |key, _| vec![index_file(&key.package.to_ascii_lowercase())],
        magic: &[0x1f, 0x8b],
        ..Artifact::at(Key::file(name, version, file(name, version), "crate"), source, "application/gzip")
    }
}

/// A call of the web API, which may be on another host than the index.
fn web_api(call: &Call, path: &[&str], parameters: &[&str]) -> Intent {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for name in parameters {
        if let Some(value) = call.parameter(name) {
            query.append_pair(name, value);
        }
    }
    Intent::Forward(Forward {
        base: Some(Box::new(OtherBase { document: config_file(), find: config::api })),
        method: call.method.clone(),
        to: UpstreamPath::from_segments(path),
        query: Some(query.finish()).filter(|query| !query.is_empty()),
        accept: Some(JSON),
        body_limit: 0,
        content_type: JSON,
    })
}

fn not_found(what: &str) -> Refusal {
    Refusal::NotFound(what.to_owned())
}
