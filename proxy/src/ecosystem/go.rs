//! The module proxy protocol of Go, and the checksum database that a module proxy mirrors.

use std::time::Duration;

use crds::UpstreamSettings;

use super::Ecosystem;
use crate::client::{ClientSetup, Endpoint};
use crate::intent::{Artifact, Intent, Key, Lifetime, Metadata, OnceGone, Refusal, Shape, Source, is_no_page, is_no_page_or_json};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;
use name::{escape, is_canonical, is_module, is_version, unescape};

mod clients;
mod document;
mod name;
mod sumdb;
#[cfg(test)]
mod tests;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
/// The files of a version, in the order in which they decide where the others come from.
const FILES: [&str; 3] = ["info", "mod", "zip"];
/// A record of a checksum database never changes; only the tree around it grows.
const RECORD: Lifetime = Lifetime::AtLeast(Duration::from_hours(24 * 365));

/// The protocol.
#[derive(Debug)]
pub struct Go;

impl Ecosystem for Go {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        if !call.is_read() {
            return Err(Refusal::Method("a module proxy only reads".to_owned()));
        }
        let path = call.path();
        if call.trailing_slash {
            return Err(not_found("no address of a module proxy ends in a slash"));
        }
        match path.as_slice() {
            ["sumdb", database, rest @ ..] => sumdb::parse(database, rest, &path),
            [module @ .., "@latest"] if is_module(module) => {
                let key = Key::document(&unescaped(module)?, "latest");
                let document = Metadata::verbatim(key, below(&path), document::read_version, JSON);
                Ok(of_module(document, call.passive))
            }
            [module @ .., "@v", "list"] if is_module(module) => {
                let key = Key::document(&unescaped(module)?, "list");
                let document = Metadata::verbatim(key, below(&path), document::read_list, TEXT);
                Ok(of_module(document, call.passive))
            }
            [module @ .., "@v", file] if is_module(module) => of_version(&unescaped(module)?, file, call.passive),
            _ => Err(not_found("no address of a module proxy has this form")),
        }
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

/// A document about the versions of a module. These do not go when its repository does: whoever has them in a `go.sum`
/// needs them, and asks which there are.
fn of_module(document: Metadata, passive: bool) -> Intent {
    Intent::Metadata(Metadata { once_gone: OnceGone::Served, passive, ..document })
}

/// A file of a version, or the version that a branch, a commit or a short form means now.
fn of_version(module: &str, file: &str, passive: bool) -> Result<Intent, Refusal> {
    let parts = file.rsplit_once('.').filter(|(version, kind)| FILES.contains(kind) && is_version(version));
    let Some((version, kind)) = parts else { return Err(not_found("a version has the files .info, .mod and .zip")) };
    let version = unescape(version).ok_or_else(capitals)?;
    if is_canonical(&version) {
        return Ok(Intent::Artifact(Artifact { passive, ..version_file(module, &version, kind) }));
    }
    if kind != "info" {
        return Err(not_found("only a canonical version has files; ask for .info to learn which one this is"));
    }
    let from = place(module, &version, kind);
    let key = Key::file(module, &version, "", "query");
    Ok(Intent::Metadata(Metadata { passive, ..Metadata::verbatim(key, from, document::read_version, JSON) }))
}

fn version_file(module: &str, version: &str, kind: &str) -> Artifact {
    let key = file_key(module, version, kind);
    let (content_type, magic, shape): (_, &[u8], _) = match kind {
        "zip" => ("application/zip", b"PK", Shape::ZipOf(|key| format!("{}@{}/", key.package, key.version))),
        "info" => (JSON, b"", Shape::Text(document::is_of_version)),
        _ => (TEXT, b"", Shape::Opaque),
    };
    Artifact {
        listed_by: if kind == "info" { |_, _| Vec::new() } else { recorded_in },
        follows: |key| FILES.map(|kind| file_key(&key.package, &key.version, kind)).into(),
        magic,
        may_begin: if kind == "info" { is_no_page } else { is_no_page_or_json },
        shape,
        ..Artifact::at(key, Source::Layout(place(module, version, kind)), content_type)
    }
}

/// The record of a version in the checksum database, if the upstream mirrors one.
fn recorded_in(key: &Key, upstream: &UpstreamSettings) -> Vec<Metadata> {
    let database = upstream.checksum_database.as_deref();
    database.map(|database| sumdb::record(database, &key.package, &key.version)).into_iter().collect()
}

/// Package and version are as people write them, which tells exactly as much as the escaped form.
fn file_key(module: &str, version: &str, kind: &str) -> Key {
    Key::file(module, version, format!("{version}.{kind}"), "file")
}

fn place(module: &str, version: &str, kind: &str) -> UpstreamPath {
    let (module, file) = (escape(module), format!("{}.{kind}", escape(version)));
    UpstreamPath::from_segments(module.split('/').chain(["@v", &file]))
}

/// The same place at the upstream, in the one spelling that [`UpstreamPath`] gives it.
fn below(path: &[&str]) -> UpstreamPath {
    UpstreamPath::from_segments(path)
}

fn unescaped(module: &[&str]) -> Result<String, Refusal> {
    unescape(&module.join("/")).ok_or_else(capitals)
}

fn capitals() -> Refusal {
    not_found("in paths and versions each capital letter is written as ! and the small letter")
}

fn not_found(what: &str) -> Refusal {
    Refusal::NotFound(what.to_owned())
}
