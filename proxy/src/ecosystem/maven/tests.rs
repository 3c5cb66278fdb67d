//! Requests and documents of a repository, in tables.

use http::Method;
use proptest::prelude::*;

use super::{Maven, layout};
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{Intent, Key};

#[test]
fn what_requests_mean() {
    let boot = "org/springframework/boot";
    for (target, expected) in [
        ("org/lab/tiny/1.0/tiny-1.0.jar".to_owned(), "artifact file|org.lab:tiny|1.0|tiny-1.0.jar in "),
        ("junit/junit/4.13/junit-4.13.pom".to_owned(), "artifact file|junit:junit|4.13|junit-4.13.pom in "),
        (
            format!("{boot}/{}/3.5.7/{}-3.5.7.pom", "org.springframework.boot.gradle.plugin", "m"),
            "artifact file|org.springframework.boot:org.springframework.boot.gradle.plugin|3.5.7|m-3.5.7.pom in ",
        ),
        (
            "org/lab/tiny/1.0/tiny-1.0-sources.jar.asc".to_owned(),
            "artifact file|org.lab:tiny|1.0|tiny-1.0-sources.jar.asc in ",
        ),
        (
            "org/lab/tiny/maven-metadata.xml.asc".to_owned(),
            "metadata signature|org.lab:tiny||maven-metadata.xml.asc < org/lab/tiny/maven-metadata.xml.asc",
        ),
        ("org/lab/tiny/1.0/tiny-1.0.module".to_owned(), "artifact file|org.lab:tiny|1.0|tiny-1.0.module in "),
        ("org/lab/tiny/1.0%2Bb/tiny-1.0+b.jar".to_owned(), "artifact file|org.lab:tiny|1.0+b|tiny-1.0+b.jar in "),
        ("org/lab/tiny/1.0/tiny-1.0.jar.sha1".to_owned(), "sha1 of artifact file|org.lab:tiny|1.0|tiny-1.0.jar in "),
        (
            "org/lab/tiny/1.0/tiny-1.0.jar.asc.sha512".to_owned(),
            "sha512 of artifact file|org.lab:tiny|1.0|tiny-1.0.jar.asc in ",
        ),
        (
            "org/lab/tiny/1-SNAPSHOT/tiny-1-20261120.101010-2.jar".to_owned(),
            "artifact file|org.lab:tiny|1-SNAPSHOT|tiny-1-20261120.101010-2.jar in ",
        ),
        (
            "org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT-tests.jar".to_owned(),
            "metadata snapshot|org.lab:tiny|1-SNAPSHOT|tiny-1-SNAPSHOT-tests.jar < \
             org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT-tests.jar",
        ),
        (
            "org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT.jar.md5".to_owned(),
            "md5 of metadata snapshot|org.lab:tiny|1-SNAPSHOT|tiny-1-SNAPSHOT.jar < \
             org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT.jar",
        ),
        (
            "org/lab/tiny/maven-metadata.xml".to_owned(),
            "metadata metadata|org.lab:tiny||maven-metadata.xml < org/lab/tiny/maven-metadata.xml",
        ),
        (
            "org/lab/tiny/1-SNAPSHOT/maven-metadata.xml".to_owned(),
            "metadata metadata|org.lab:tiny|1-SNAPSHOT|maven-metadata.xml < org/lab/tiny/1-SNAPSHOT/maven-metadata.xml",
        ),
        ("lab/maven-metadata.xml".to_owned(), "metadata metadata|lab/||maven-metadata.xml < lab/maven-metadata.xml"),
        (
            "org/lab/tiny/maven-metadata.xml.sha256".to_owned(),
            "sha256 of metadata metadata|org.lab:tiny||maven-metadata.xml < org/lab/tiny/maven-metadata.xml",
        ),
        ("archetype-catalog.xml".to_owned(), "metadata metadata|/||archetype-catalog.xml < archetype-catalog.xml"),
        (".meta/prefixes.txt".to_owned(), "metadata metadata|.meta/||prefixes.txt < .meta/prefixes.txt"),
    ] {
        assert_eq!(meaning(&Maven, &target), expected, "{target}");
    }
    for target in [
        "",
        "org/lab/tiny/1.0/",
        "org/lab/tiny/1.0/tiny",
        "org/lab/tiny/.jar",
        ".index/a/b/c.gz",
        "maven-metadata.xml",
        "a.jar",
        "org/a.jar",
        "org/lab/tiny/1.0/tiny-1.0.jar.sha1.sha1",
        "org/lab/tiny/1.0/.sha1",
        "archetype-catalog.xml/x",
    ] {
        assert_eq!(meaning(&Maven, target), "not found", "{target}");
    }
    for target in ["org/%2e%2e/a/1/a.jar", "org/lab%2f..%2f/a/1/a.jar", "org//a/1/a.jar", "a/b/1/%252e.jar"] {
        assert_eq!(meaning(&Maven, target), "bad", "{target}");
    }
    for target in ["org/lab/tiny/1.0/tiny-1.0.jar", "org/lab/tiny/1.0/tiny-1.0.jar.sha1", "maven-metadata.xml"] {
        assert_eq!(described(&ask(&Maven, &Method::PUT, target, None)), "method", "{target}");
    }
}

#[test]
fn the_pom_of_a_file() {
    for (target, expected) in [
        ("org/lab/tiny/1.0/tiny-1.0-sources.jar.asc", &["tiny-1.0.pom"][..]),
        ("org/lab/tiny/1.0/tiny-1.0.pom", &["tiny-1.0.pom"]),
        ("org/lab/tiny/1-SNAPSHOT/tiny-1-20261120.101010-21-tests.jar", &["tiny-1-20261120.101010-21.pom"]),
        ("org/lab/tiny/1-SNAPSHOT/other-1-20261120.101010-21.jar", &[]),
        ("org/lab/tiny/1-SNAPSHOT/tiny-1-x.jar", &[]),
        ("a.b/c/tiny/1.0/tiny-1.0.jar", &["tiny-1.0.pom"]),
        ("org/lab/sbt-y_2.12_1.0/1.0/sbt-y-1.0.jar", &["sbt-y_2.12_1.0-1.0.pom", "sbt-y-1.0.pom"]),
        ("org/lab/sbt-y_3_2/1-SNAPSHOT/sbt-y-1-20261120.101010-2.jar", &["sbt-y-1-20261120.101010-2.pom"]),
        ("org/lab/tiny_2.13/1.0/tiny_2.13-1.0.jar", &["tiny_2.13-1.0.pom"]),
        ("org/lab/a_b_1.0/1.0/a_b_1.0-1.0.jar", &["a_b_1.0-1.0.pom"]),
        ("org/lab/_2.12_1.0/1.0/a-1.0.jar", &["_2.12_1.0-1.0.pom"]),
    ] {
        let artifact = artifact(&Maven, target);
        let found: Vec<Key> = layout::description(&artifact.key);
        assert_eq!(found.iter().map(|key| key.file.as_str()).collect::<Vec<_>>(), expected, "{target}");
        assert!(found.iter().all(|key| key.package == artifact.key.package && key.version == artifact.key.version));
    }
}

#[test]
fn documents_are_told_from_pages() {
    let read = |target: &str, body: &str| Fetched::new(metadata(&Maven, target, None), "text/xml", body).read();
    for body in [
        "<metadata/>",
        "<metadata modelVersion=\"1.1.0\"/>\n",
        "<?xml version=\"1.0\"?>\n<!-- a > comment -->\n<metadata>\n<versioning/></metadata>",
        "\u{feff}<metadata xmlns=\"x\"><a/></metadata>",
    ] {
        assert!(read("org/lab/tiny/maven-metadata.xml", body).is_ok(), "{body}");
    }
    for body in [
        "",
        "<html><metadata/></html>",
        "<!DOCTYPE html><html>login</html>",
        "<metadata><versioning>",
        "<metadata",
        "<metadatax/>",
        "{\"metadata\":1}",
        "<!-- <metadata/> ",
    ] {
        assert!(read("org/lab/tiny/maven-metadata.xml", body).is_err(), "{body}");
    }
    for (updated, revision) in [("20220102030405", Some(20_220_102_030_405)), (" 7 ", Some(7)), ("", None), ("soon", None)] {
        let body = format!("<metadata><versioning><lastUpdated>{updated}</lastUpdated></versioning></metadata>");
        assert_eq!(read("org/lab/tiny/maven-metadata.xml", &body).unwrap().revision, revision, "{updated}");
    }
    assert!(read("archetype-catalog.xml", "<archetype-catalog></archetype-catalog>").is_ok());
    assert!(read("archetype-catalog.xml", "<metadata/>").is_err());
    assert!(read(".meta/prefixes.txt", "## repository-prefixes/2.0\n/org/lab\n\n").is_ok());
    for body in ["", "\n", "<html>", "## repository-prefixes/2.0\nlogin"] {
        assert!(read(".meta/prefixes.txt", body).is_err(), "{body}");
    }
}

#[test]
fn a_file_that_may_change_is_not_read() {
    assert!(metadata(&Maven, "org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT.jar", None).read.is_none());
    assert!(metadata(&Maven, "org/lab/tiny/maven-metadata.xml", None).read.is_some());
}

proptest! {
    #[test]
    fn equal_keys_mean_equal_upstream_addresses(one in path(), other in path()) {
        let key = |target: &str| match ask(&Maven, &Method::GET, target, None) {
            Ok(Intent::Metadata(metadata)) => Some(metadata.key),
            Ok(Intent::Artifact(artifact)) => Some(artifact.key),
            _ => None,
        };
        if let (Some(key), Some(other_key)) = (key(&one), key(&other)) {
            prop_assert_eq!(key == other_key, one == other, "{} {}", one, other);
        }
    }
}

/// Paths in which everything that separates stands everywhere.
fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "a.b", "a:b", ":", "b:", "1", "1-SNAPSHOT"]);
    let file = prop::sample::select(vec!["maven-metadata.xml", "a.jar", "a-1-SNAPSHOT.jar"]);
    (prop::collection::vec(name, 1..5), file).prop_map(|(folder, file)| format!("{}/{file}", folder.join("/")))
}
