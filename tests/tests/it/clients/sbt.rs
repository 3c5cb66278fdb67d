//! sbt: itself, the compilers, a plug-in whose name holds the versions that it is for, and an application.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::java;
use super::machine::{self, client, sbt_launcher};
use super::maven::printed_file;
use super::scenario::{Run, Scenario};

/// How sbt knew a file's digest: the proxy says it with the file, where others have it beside. It compares either.
const TOLD: &[&str] = &["*.sha1", "*.sha1.checked", "*__md5", "*__sha1", "*__sha256", "*__sha512"];

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn sbt_compiles_an_application_with_a_plug_in() {
    let scenario = Scenario {
        name: "sbt compile",
        application: "sbt/application",
        proxy: "maven",
        never_asked: "never/asked/maven-metadata.xml",
        except: TOLD,
    };
    java::gets_nothing(scenario.application, |run| sbt(run, true));
    let tree = scenario.run(|run| {
        machine::run(&mut sbt(run, run.registry.is_some()));
        assert!(run.project.join("target/scala-2.13/classes/Main.class").exists());
        let fetched = run.project.join("fetched");
        fs::rename(repository(&run.home.join(".cache/coursier/v1")), &fetched).expect("a folder");
        fetched
    });
    assert!(tree.count(".jar") >= 80 && tree.count(".pom") >= 90, "{} jars", tree.count(".jar"));
    let compared = tree.count("__sha1.computed");
    assert_eq!(tree.count(".jar") + tree.count(".pom"), compared, "each file was compared with its digest");
    assert!(tree.count("sbt-assembly_2.12_1.0-2.3.1.jar") == 1, "the plug-in");
}

/// sbt with empty caches and nothing but the registry; confined to this machine or not.
fn sbt(run: &Run<'_>, confined: bool) -> Command {
    let own = || "[repositories]\nlocal\nmaven-central\n".to_owned();
    let text = run.registry.map_or_else(own, |base| printed_file("maven", base, ".sbt/repositories"));
    let settings = run.home.join(".sbt");
    fs::create_dir_all(&settings).expect("a folder");
    fs::write(settings.join("repositories"), text).expect("a settings file");
    let mut command = client("java", run.home);
    command.current_dir(run.project);
    if confined {
        java::confine(&mut command);
    }
    command.arg(format!("-Duser.home={}", run.home.display()));
    command.args(["-Dsbt.override.build.repos=true", "-Dsbt.server.autostart=false", "-Dsbt.supershell=false"]);
    command.arg("-jar").arg(sbt_launcher()).arg("compile");
    command
}

/// The files of the only repository in sbt's cache, in which they lie below folders of its address.
fn repository(cache: &Path) -> PathBuf {
    let inside: Vec<PathBuf> =
        fs::read_dir(cache).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    match &inside[..] {
        [only] => repository(only),
        _ => cache.to_owned(),
    }
}
