//! Maven: a mirror in its settings, else the repository in the model that every project inherits from.

use std::path::{Path, PathBuf};

use super::machine::Machine;
use super::search::Search;

mod archive;
mod xml;

/// The name of the repository that projects use unless they say otherwise.
const CENTRAL: &str = "central";
/// Where the model lies in its archive.
const MODEL: &str = "org/apache/maven/model/pom-4.0.0.xml";

/// Offers the repository that Maven uses here.
pub(super) async fn find(machine: &Machine, search: &mut Search<'_>) -> &'static str {
    const REMEDY: &str = "install Maven, or write the address of a repository: what \
                          `mvn help:effective-settings` or `mvn help:effective-pom` prints where Maven works";
    let home = match machine.variable("MAVEN_HOME") {
        Some(home) => Some(PathBuf::from(home)),
        None => machine.run("mvn", &["--version"]).await.as_deref().and_then(maven_home),
    };
    let user = machine.home().map(|home| home.join(".m2/settings.xml"));
    let read = move || {
        let files = user.into_iter().chain(home.iter().map(|home| home.join("conf/settings.xml")));
        let mut found: Vec<(String, String)> = files.filter_map(|path| in_settings(&path)).collect();
        found.extend(home.as_deref().and_then(in_model));
        found
    };
    let Ok(found) = tokio::task::spawn_blocking(read).await else { return REMEDY };
    for (address, read_from) in found {
        if search.offer(&address, &read_from) {
            break;
        }
    }
    REMEDY
}

/// The folder in the line `Maven home: FOLDER`.
fn maven_home(version: &str) -> Option<PathBuf> {
    let home = version.lines().find_map(|line| line.strip_prefix("Maven home:"))?;
    Some(PathBuf::from(home.trim()))
}

/// The mirror that settings name for the default repository, or their own address of it.
fn in_settings(path: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = xml::without_comments(&text);
    let mirrors = xml::elements(&text, "mirror").into_iter();
    let mirror = mirrors.filter(|mirror| xml::text(mirror, "mirrorOf").is_some_and(|of| covers(&of, CENTRAL)));
    let repositories = xml::elements(&text, "repository").into_iter();
    let own = repositories.filter(|repository| xml::text(repository, "id").as_deref() == Some(CENTRAL));
    let address = mirror.chain(own).find_map(|element| xml::text(element, "url"))?;
    Some((address, path.display().to_string()))
}

/// Whether a mirror is for the repository of this name, which is asked over https.
fn covers(mirror_of: &str, name: &str) -> bool {
    let mut names = mirror_of.split(',').map(str::trim);
    let is_meant = |one: &str| one == name || one == "*" || one == "external:*";
    !names.clone().any(|one| one.strip_prefix('!') == Some(name)) && names.any(is_meant)
}

/// The repository of the model that this installation of Maven was built with.
fn in_model(home: &Path) -> Option<(String, String)> {
    let entries = std::fs::read_dir(home.join("lib")).ok()?.flatten().map(|entry| entry.path());
    let is_model = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("maven-model-builder-") && path.extension().is_some_and(|extension| extension == "jar")
    };
    let archive = entries.into_iter().find(is_model)?;
    let model = String::from_utf8(archive::entry(&archive, MODEL)?).ok()?;
    let model = xml::without_comments(&model);
    let repositories = xml::elements(&model, "repository").into_iter();
    let mut central = repositories.filter(|repository| xml::text(repository, "id").as_deref() == Some(CENTRAL));
    let address = xml::text(central.next()?, "url")?;
    Some((address, format!("Maven's own default, in {}", archive.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_of_everything_is_one_of_the_default() {
        for (mirror_of, expected) in [
            ("central", true),
            ("*", true),
            ("external:*", true),
            ("other, central", true),
            ("*,!central", false),
            ("external:http:*", false),
            ("other", false),
        ] {
            assert_eq!(covers(mirror_of, CENTRAL), expected, "{mirror_of}");
        }
    }

    #[test]
    fn settings_and_versions() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("settings.xml");
        let found = |text: &str| {
            std::fs::write(&path, text).unwrap();
            in_settings(&path).map(|(address, _)| address)
        };
        let blocker = "<mirror><id>b</id><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url></mirror>";
        let mirror = "<mirror>\n<url> https://registry.example/a?b&amp;c </url><mirrorOf>central</mirrorOf></mirror>";
        let mirrors = |text: &str| found(&format!("<?xml?><settings><mirrors>{blocker}{text}</mirrors></settings>"));
        assert_eq!(mirrors(mirror).as_deref(), Some("https://registry.example/a?b&c"));
        assert_eq!(mirrors(&format!("<!-- {mirror} -->")), None);
        let own = "<repository><id>central</id><url>https://registry.example/own</url></repository>";
        assert_eq!(
            found(&format!("<settings><x>{own}</x></settings>")).as_deref(),
            Some("https://registry.example/own")
        );
        let version = "\u{1b}[1mApache Maven 3.8.7\u{1b}[m\nMaven home: /usr/share/maven\nJava version: 17\n";
        assert_eq!(maven_home(version), Some(PathBuf::from("/usr/share/maven")));
        assert_eq!(in_model(root.path()), None);
    }
}
