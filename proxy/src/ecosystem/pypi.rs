//! The simple repository API of Python packages (PEP 503, 658, 691, 700, 714, 740) in both forms, its files, and the
//! older JSON API.

use std::time::Duration;

use http::StatusCode;

use super::Ecosystem;
use super::accept::wish;
use crate::client::{ClientSetup, Endpoint};
use crate::intent::{
    Answer, Artifact, Intent, Key, Lifetime, Metadata, ReadDocument, Refusal, Render, Rewrite, Source,
};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;
use name::{is_file, is_version, normalised};

mod api;
mod clients;
mod html;
mod name;
mod page;
mod projects;
mod scan;
mod simple_json;
mod tags;
#[cfg(test)]
mod tests;

const SIMPLE_JSON: &str = "application/vnd.pypi.simple.v1+json";
const SIMPLE_HTML: &str = "application/vnd.pypi.simple.v1+html";
const LATEST_JSON: &str = "application/vnd.pypi.simple.latest+json";
const LATEST_HTML: &str = "application/vnd.pypi.simple.latest+html";
const HTML: &str = "text/html";
/// One document serves both forms: JSON if the upstream has it, since HTML lacks sizes and times.
const PREFERRED: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.2, text/html; q=0.1";
const READ_ONLY: &str = "this proxy only reads; upload to the index itself";

/// The protocol.
#[derive(Debug)]
pub struct Pypi;

impl Ecosystem for Pypi {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        if !call.is_read() {
            return Err(Refusal::Method(READ_ONLY.to_owned()));
        }
        let path = call.path();
        match (path.as_slice(), call.trailing_slash) {
            (["simple"], true) => Ok(Intent::Metadata(project_list(Form::wanted(&call.accept)))),
            (["simple"], false) => Ok(moved("simple/".to_owned())),
            (["simple", name], true) => Ok(Intent::Metadata(project_page(&project(name)?, Form::wanted(&call.accept)))),
            (["simple", name], false) => Ok(moved(format!("{}/", project(name)?))),
            (["files", name, file], false) if is_file(file) => Ok(Intent::Artifact(distribution(&project(name)?, file))),
            (["pypi", name, "json"], false) => Ok(Intent::Metadata(about(&project(name)?, None))),
            (["pypi", name, version, "json"], false) if is_version(version) => {
                Ok(Intent::Metadata(about(&project(name)?, Some(version))))
            }
            (["integrity", name, version, file, "provenance"], false) if is_version(version) && is_file(file) => {
                Ok(Intent::Metadata(provenance(&project(name)?, version, file)))
            }
            _ => Err(Refusal::NotFound("no such address; the index is at simple/".to_owned())),
        }
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

/// The form in which a page is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    /// With the media type that the client knows.
    Html(&'static str),
}

impl Form {
    /// The form that an `Accept` header asks for. JSON only for clients that name it; whoever accepts anything, or
    /// nothing that there is, gets HTML, as PEP 691 advises.
    fn wanted(accept: &str) -> Self {
        let json = wish(accept, SIMPLE_JSON).max(wish(accept, LATEST_JSON));
        let named_html = wish(accept, SIMPLE_HTML).max(wish(accept, LATEST_HTML));
        let plain_html = wish(accept, HTML);
        if json.named && json.weight > 0 && json.weight >= named_html.weight.max(plain_html.weight) {
            Self::Json
        } else if named_html.named && named_html.weight > plain_html.weight {
            Self::Html(SIMPLE_HTML)
        } else {
            Self::Html("text/html; charset=utf-8")
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => SIMPLE_JSON,
            Self::Html(content_type) => content_type,
        }
    }
}

fn project(name: &str) -> Result<String, Refusal> {
    normalised(name).ok_or_else(|| Refusal::NotFound("no project can have this name".to_owned()))
}

fn metadata(key: Key, from: UpstreamPath, read: ReadDocument) -> Metadata {
    Metadata::verbatim(key, from, read, "application/json")
}

fn project_page(project: &str, form: Form) -> Metadata {
    let render = match form {
        Form::Json => Render { form: "json-1", uses_base: true, with: page::render_json },
        Form::Html(_) => Render { form: "html-1", uses_base: true, with: page::render_html },
    };
    let from = UpstreamPath::from_segments(["simple", project]).slash();
    Metadata {
        accept: Some(PREFERRED),
        rewrite: Rewrite::Render(render),
        content_type: form.content_type(),
        varies_by_accept: true,
        ..metadata(Key::document(project, "page"), from, page::read)
    }
}

fn project_list(form: Form) -> Metadata {
    let render = match form {
        Form::Json => Render { form: "json-1", uses_base: false, with: projects::render_json },
        Form::Html(_) => Render { form: "html-1", uses_base: false, with: projects::render_html },
    };
    Metadata {
        accept: Some(PREFERRED),
        lifetime: Lifetime::AtLeast(Duration::from_hours(1)),
        rewrite: Rewrite::Render(render),
        content_type: form.content_type(),
        varies_by_accept: true,
        ..metadata(Key::document("", "projects"), UpstreamPath::from_segments(["simple"]).slash(), projects::read)
    }
}

/// A distribution, its `.metadata` or its `.asc`: the project's page lists them all.
fn distribution(project: &str, file: &str) -> Artifact {
    let version = name::version(file, project).unwrap_or_default();
    Artifact {
        listed_by: |key, _| vec![project_page(&key.package, Form::Json)],
        magic: name::magic(file),
        ..Artifact::at(Key::file(project, version, file, "file"), Source::Listed, "application/octet-stream")
    }
}

fn about(project: &str, version: Option<&str>) -> Metadata {
    let from = UpstreamPath::from_segments(["pypi", project].into_iter().chain(version).chain(["json"]));
    let common = metadata(Key::file(project, version.unwrap_or_default(), "", "about"), from, api::read);
    Metadata { rewrite: Rewrite::Edits, ..common }
}

fn provenance(project: &str, version: &str, file: &str) -> Metadata {
    let from = UpstreamPath::from_segments(["integrity", project, version, file, "provenance"]);
    Metadata {
        accept: Some("application/vnd.pypi.integrity.v1+json"),
        lifetime: Lifetime::AtLeast(Duration::from_hours(24)),
        content_type: "application/vnd.pypi.integrity.v1+json",
        ..metadata(Key::file(project, version, file, "provenance"), from, api::read_provenance)
    }
}

fn moved(location: String) -> Intent {
    Intent::Answer(Answer {
        status: StatusCode::MOVED_PERMANENTLY,
        content_type: "text/plain; charset=utf-8",
        body: Vec::new(),
        location: Some(location),
    })
}
