//! Maven: a Spring Boot application with its plug-ins, checksums enforced.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::java;
use super::machine::{self, client};
use super::proxy::program;
use super::scenario::{Run, Scenario};

/// What Maven writes into its local repository about where and when it got a file.
const NOTES: &[&str] = &["_remote.repositories", "resolver-status.properties", "*.lastUpdated"];

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn maven_builds_an_application_with_strict_checksums() {
    let scenario = Scenario {
        name: "mvn package",
        application: "maven/application",
        proxy: "maven",
        never_asked: "never/asked/maven-metadata.xml",
        except: NOTES,
    };
    java::gets_nothing(scenario.application, |run| {
        let mut mvn = mvn(run);
        java::confine(&mut mvn).arg("package");
        mvn
    });
    let tree = scenario.run(|run| {
        let mut mvn = mvn(run);
        if run.registry.is_some() {
            // The proxy is all that Maven reaches; else what the proxy lacks could come from the registry.
            java::confine(&mut mvn);
        }
        machine::run(mvn.arg("package"));
        assert!(run.project.join("target/application-1.0.0.jar").exists());
        run.home.join("repository")
    });
    assert!(tree.count(".jar") >= 150 && tree.count(".pom") >= 300, "{} jars", tree.count(".jar"));
    assert_eq!(tree.count(".jar") + tree.count(".pom"), tree.count(".sha1"), "each file was compared with its digest");
}

/// Maven with an empty local repository, which refuses files without a right checksum.
fn mvn(run: &Run<'_>) -> Command {
    let mut mvn = client("mvn", run.home);
    mvn.current_dir(run.project).args(["--batch-mode", "--quiet", "--strict-checksums"]);
    mvn.arg(format!("-Dmaven.repo.local={}", run.home.join("repository").display()));
    if let Some(base) = run.registry {
        mvn.arg("--settings").arg(settings(run, base));
    }
    mvn
}

/// The settings as `packageproxy client` prints them.
fn settings(run: &Run<'_>, base: &str) -> PathBuf {
    let path = run.home.join("settings.xml");
    fs::write(&path, printed_file("maven", base, ".m2/settings.xml")).expect("a settings file");
    path
}

/// The file of a client that `packageproxy client` prints for the proxy at `base`.
pub(super) fn printed_file(proxy: &str, base: &str, file: &str) -> String {
    let server = base.trim_end_matches(&format!("{proxy}/"));
    let printed = machine::run(Command::new(program()).args(["client", proxy, "--base", server]));
    let (_, rest) =
        printed.split_once(&format!("# or, in {file}\n")).unwrap_or_else(|| panic!("no {file} in {printed}"));
    rest.split("\n\n").next().expect("a file").to_owned()
}
