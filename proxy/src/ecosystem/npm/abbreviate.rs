//! Makes the abbreviated form of a full packument: the members that an installation needs, byte for byte and in their
//! order.

use serde::de::MapAccess;

use super::document::Outline;
use crate::intent::Unexpected;
use crate::rewrite::json::{self, Member, Members};

/// What the abbreviated form keeps of a version, as the registry's documentation lists it.
const KEPT: &[&str] = &[
    "name",
    "version",
    "deprecated",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bundledDependencies",
    "acceptDependencies",
    "bin",
    "directories",
    "dist",
    "engines",
    "os",
    "cpu",
    "libc",
    "funding",
    "hasInstallScript",
    "_hasShrinkwrap",
];

/// The abbreviated form of a full packument.
pub(super) fn abbreviate(document: &str) -> Result<String, Unexpected> {
    let mut full = Full::default();
    json::read(document, &mut full)?;
    full.outline.check()?;
    if full.modified.is_none() {
        full.modified = full.time.modified;
    }
    let mut out = Written::default();
    for (name, value) in [("name", full.name), ("modified", full.modified), ("dist-tags", full.tags)] {
        if let Some(value) = value {
            out.member(name, value);
        }
    }
    if full.outline.versions == Some(true) {
        out.member("versions", &full.versions.finish());
    }
    Ok(out.finish())
}

/// The text of an object, member after member.
#[derive(Default)]
struct Written(String);

impl Written {
    fn member(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        if name.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
            self.0.push_str(&serde_json::Value::from(name).to_string());
        } else {
            self.0.push('"');
            self.0.push_str(name);
            self.0.push('"');
        }
        self.0.push(':');
        self.0.push_str(value);
    }

    fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

#[derive(Default)]
struct Full<'de> {
    outline: Outline,
    name: Option<&'de str>,
    modified: Option<&'de str>,
    tags: Option<&'de str>,
    time: Time<'de>,
    versions: Written,
}

impl<'de> Members<'de> for Full<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "name" => {
                let raw = value.raw()?;
                self.outline.has_name = raw.starts_with('"');
                self.name = Some(raw);
            }
            "modified" => self.modified = Some(value.raw()?),
            "dist-tags" => self.tags = Some(value.raw()?),
            "time" => drop(value.object(&mut self.time)?),
            "error" => {
                self.outline.has_error = true;
                value.skip()?;
            }
            "versions" => {
                let written = &mut self.versions;
                let each = |version: &str, entry: Version| written.member(version, &entry.finish());
                self.outline.versions = Some(value.objects_by_name(each)?);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Time<'de> {
    modified: Option<&'de str>,
}

impl<'de> Members<'de> for Time<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "modified" => self.modified = Some(value.raw()?),
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Version {
    written: Written,
    scripts: Scripts,
    says_so: bool,
}

impl Version {
    /// The registry says in this form only whether there is a script that an installation runs.
    fn finish(mut self) -> String {
        if self.scripts.install && !self.says_so {
            self.written.member("hasInstallScript", "true");
        }
        self.written.finish()
    }
}

impl<'de> Members<'de> for Version {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        match key {
            "scripts" => drop(value.object(&mut self.scripts)?),
            kept if KEPT.contains(&kept) => {
                self.says_so |= kept == "hasInstallScript";
                self.written.member(kept, value.raw()?);
            }
            _ => value.skip()?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Scripts {
    install: bool,
}

impl<'de> Members<'de> for Scripts {
    fn member<A: MapAccess<'de>>(&mut self, key: &str, value: Member<'_, A>) -> Result<(), A::Error> {
        let text = value.text()?.and_then(json::Text::value);
        let names_a_command = text.is_some_and(|text| !text.is_empty());
        self.install |= names_a_command && matches!(key, "preinstall" | "install" | "postinstall");
        Ok(())
    }
}
