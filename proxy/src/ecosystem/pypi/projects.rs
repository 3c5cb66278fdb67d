//! The list of all projects of an index, in both forms. It names no addresses, so JSON passes byte for byte.

use std::fmt::Write as _;

use serde::de::MapAccess;

use super::name::normalised;
use super::page::{is_json, unmarked};
use super::scan::scan;
use super::{html, page};
use crate::intent::{Raw, Reading, Unexpected};
use crate::rewrite::json::{self, Member, Members, Text};

/// Checks that the document is a list of projects.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    names(raw, &mut |_| {}).map(|()| Reading::default())
}

/// The list as JSON.
pub(super) fn render_json(raw: Raw<'_>, _base: &str) -> Result<Vec<u8>, Unexpected> {
    if is_json(raw.bytes) {
        return Ok(unmarked(raw.bytes).to_vec());
    }
    let mut list = r#"{"meta":{"api-version":"1.0"},"projects":["#.to_owned();
    let mut separator = "";
    names(raw, &mut |name| {
        let _ = write!(list, "{separator}{{\"name\":{}}}", serde_json::Value::from(name));
        separator = ",";
    })?;
    list.push_str("]}");
    Ok(list.into_bytes())
}

/// The list as HTML.
pub(super) fn render_html(raw: Raw<'_>, _base: &str) -> Result<Vec<u8>, Unexpected> {
    let mut body = String::new();
    names(raw, &mut |name| {
        if let Some(project) = normalised(name) {
            let _ = writeln!(body, "    <a href=\"{project}/\">{}</a><br>", html::escaped(name));
        }
    })?;
    Ok(html::document("Simple index", "1.0", &[], &body).into_bytes())
}

/// Hands the names on one by one: a whole index has a million.
fn names(raw: Raw<'_>, each: &mut dyn FnMut(&str)) -> Result<(), Unexpected> {
    if is_json(raw.bytes) {
        let mut list = List { has_projects: false, each };
        json::read(json::text(unmarked(raw.bytes))?, &mut list)?;
        return if list.has_projects {
            Ok(())
        } else {
            Err(Unexpected("the document is JSON, but has no `projects`".to_owned()))
        };
    }
    let mut has_projects = false;
    let outline = scan(raw.bytes, &mut |anchor| {
        let link = anchor.attribute("href").and_then(|link| page::resolve(link, raw.url));
        let is_project = link.is_some_and(|url| url.path().contains("/simple/") && url.path().ends_with('/'));
        let name = anchor.text.trim();
        if is_project && normalised(name).is_some() {
            has_projects = true;
            each(name);
        }
    })?;
    if outline.is_index() || has_projects {
        Ok(())
    } else {
        Err(Unexpected("the document is no list of projects".to_owned()))
    }
}

struct List<'a> {
    has_projects: bool,
    each: &'a mut dyn FnMut(&str),
}

impl<'de> Members<'de> for List<'_> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "projects" => {
                let each = |project: Project<'de>| {
                    if let Some(name) = project.name.and_then(Text::value) {
                        (self.each)(&name);
                    }
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
