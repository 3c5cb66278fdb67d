//! The list of all projects of an index, in both forms. It names no addresses, so JSON passes byte for byte.

use std::fmt::Write as _;

use serde::de::MapAccess;

use super::name::normalised;
use super::page::is_json;
use super::{html, page};
use crate::intent::{Raw, Reading, Unexpected};
use crate::rewrite::json::{self, Member, Members, Text};

/// Checks that the document is a list of projects.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    names(raw).map(|_| Reading::default())
}

/// The list as JSON.
pub(super) fn render_json(raw: Raw<'_>, _base: &str) -> Result<Vec<u8>, Unexpected> {
    if is_json(raw.bytes) {
        return Ok(raw.bytes.to_vec());
    }
    let projects = names(raw)?.into_iter().map(|name| serde_json::json!({ "name": name })).collect::<Vec<_>>();
    let list = serde_json::json!({ "meta": { "api-version": "1.0" }, "projects": projects });
    Ok(list.to_string().into_bytes())
}

/// The list as HTML.
pub(super) fn render_html(raw: Raw<'_>, _base: &str) -> Result<Vec<u8>, Unexpected> {
    let names = names(raw)?;
    let mut body = String::with_capacity(names.len() * 48);
    for name in names {
        if let Some(project) = normalised(&name) {
            let _ = writeln!(body, "    <a href=\"{project}/\">{}</a><br>", html::escaped(&name));
        }
    }
    Ok(html::document("Simple index", "1.0", &[], &body).into_bytes())
}

fn names(raw: Raw<'_>) -> Result<Vec<String>, Unexpected> {
    if is_json(raw.bytes) {
        let mut list = List::default();
        json::read(json::text(raw.bytes)?, &mut list)?;
        return if list.has_projects {
            Ok(list.names)
        } else {
            Err(Unexpected("the document is JSON, but has no `projects`".to_owned()))
        };
    }
    let scan = html::scan(raw.bytes);
    let is_list = scan.is_index();
    let linked = scan.anchors.into_iter().filter(|anchor| {
        let link = anchor.attribute("href").and_then(|link| page::resolve(link, raw.url));
        link.is_some_and(|url| url.path().contains("/simple/") && url.path().ends_with('/'))
    });
    let names = linked.map(|anchor| anchor.text.trim().to_owned()).collect::<Vec<_>>();
    let names = names.into_iter().filter(|name| normalised(name).is_some()).collect::<Vec<_>>();
    if is_list || !names.is_empty() {
        Ok(names)
    } else {
        Err(Unexpected("the document is no list of projects".to_owned()))
    }
}

#[derive(Default)]
struct List {
    has_projects: bool,
    names: Vec<String>,
}

impl<'de> Members<'de> for List {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "projects" => {
                let each = |project: Project<'de>| {
                    self.names.extend(project.name.and_then(Text::value).map(std::borrow::Cow::into_owned));
                };
                self.has_projects |= value.array(each)?;
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Project<'de> {
    name: Option<Text<'de>>,
}

impl<'de> Members<'de> for Project<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "name" => self.name = value.text()?,
            _ => value.skip()?,
        }
        Ok(())
    }
}
