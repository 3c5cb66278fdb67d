//! What a path says: group, artifact and version, and whether the file may change.

use crate::intent::{Key, is_no_page, is_no_page_or_json};

/// A folder of a repository. Different folders are different places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `group:artifact`, or the folders as they are where they are no such thing.
    package: String,
    /// Empty for the folder of an artifact or a group.
    version: String,
}

impl Place {
    /// The folder of a file: of a version.
    pub(super) fn of_file(folder: &[&str]) -> Self {
        let (version, package) = folder.split_last().unwrap_or((&"", &[]));
        Self { package: package_of(package), version: (*version).to_owned() }
    }

    /// The folder of a document: of a group, of an artifact or, among versions, of a snapshot.
    pub(super) fn of_document(folder: &[&str]) -> Self {
        match folder {
            [_, _, .., version] if version.ends_with(SNAPSHOT) => Self::of_file(folder),
            _ => Self { package: package_of(folder), version: String::new() },
        }
    }

    /// The key of a file in it.
    pub(super) fn key(&self, name: &str, representation: &'static str) -> Key {
        Key::file(&self.package, &self.version, name, representation)
    }

    /// Whether a file in it may be replaced: that of a snapshot without a timestamp in its name.
    pub(super) fn changes(&self, name: &str) -> bool {
        self.version.ends_with(SNAPSHOT) && name.contains(&self.version)
    }
}

/// The end of a version that is not released yet.
const SNAPSHOT: &str = "SNAPSHOT";

/// `group:artifact`. Folders of a group have no dot in their names, and where they have one or another separator the
/// folders are left as they are, so that no two paths have one name.
fn package_of(folder: &[&str]) -> String {
    match folder.split_last() {
        Some((artifact, group)) if !group.is_empty() && !group.iter().any(|name| name.contains(['.', ':'])) => {
            format!("{}:{artifact}", group.join("."))
        }
        _ => format!("{}/", folder.join("/")),
    }
}

/// Whether a name is that of a file: it has an extension.
pub(super) fn is_file(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && !extension.is_empty())
}

/// The description of the version that a file is of: the pom beside it, which comes first.
pub(super) fn description(key: &Key) -> Vec<Key> {
    let artifact = key.package.trim_end_matches('/').rsplit([':', '/']).next().unwrap_or_default();
    let stem = |artifact: &str| match key.version.strip_suffix(SNAPSHOT) {
        // A-1.0-20261120.101010-1-sources.jar is of A-1.0-20261120.101010-1.pom.
        Some(version) => timestamped(&key.file, &format!("{artifact}-{version}")).map(str::to_owned),
        None => Some(format!("{artifact}-{}", key.version)),
    };
    let stems = [Some(artifact), of_any_scala(artifact)].into_iter().flatten().filter_map(stem);
    stems.map(|stem| Key { file: format!("{stem}.pom"), ..key.clone() }).collect()
}

/// The name of a plug-in of sbt without the versions of Scala and sbt in that of its folder, `NAME_2.12_1.0`: older ones
/// have it without these in the names of their files.
fn of_any_scala(artifact: &str) -> Option<&str> {
    let (rest, sbt) = artifact.rsplit_once('_')?;
    let (name, scala) = rest.rsplit_once('_')?;
    let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    (!name.is_empty() && is_version(scala) && is_version(sbt)).then_some(name)
}

/// `begin` with the date, the time and the number that follow it in a file's name.
fn timestamped<'a>(file: &'a str, begin: &str) -> Option<&'a str> {
    let rest = file.strip_prefix(begin)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (time, rest) = rest.split_once('-')?;
    let (day, second) = time.split_once('.')?;
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let end = begin.len() + time.len() + 1 + count;
    (is_number(day) && is_number(second) && count > 0).then(|| &file[..end])
}

fn extension(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// The type that a file is served as, by its extension.
pub(super) fn content_type(name: &str) -> &'static str {
    match extension(name) {
        "jar" | "war" | "ear" => "application/java-archive",
        "pom" | "xml" => super::XML,
        "module" => "application/vnd.org.gradle.module+json",
        "json" => "application/json",
        "asc" | "txt" => "text/plain; charset=utf-8",
        "zip" | "aar" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// How such a file may begin, see [`crate::intent::Artifact::may_begin`].
pub(super) fn may_begin(name: &str) -> fn(&[u8]) -> bool {
    if matches!(extension(name), "module" | "json") { is_no_page } else { is_no_page_or_json }
}

/// The first bytes of every such file: archives that nobody puts a script in front of, as is done with jars.
pub(super) fn magic(name: &str) -> &'static [u8] {
    if extension(name) == "aar" { b"PK" } else { &[] }
}
