//! Ivy: a tree of dependencies from a Maven repository, whose poms it turns into its own files.

use std::fs;
use std::process::Command;

use super::java;
use super::machine::{self, client};
use super::scenario::{Run, Scenario};

/// Debian's package.
const PROGRAM: &str = "/usr/share/java/ivy.jar";
/// Where and when Ivy got things, which it writes beside them and into its report.
const NOTES: &[&str] = &["*.properties", "*.properties.registry", "lab-application-default.xml"];

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn ivy_resolves_a_tree_of_dependencies() {
    let scenario = Scenario {
        name: "ivy retrieve",
        application: "ivy/application",
        proxy: "maven",
        never_asked: "never/asked/maven-metadata.xml",
        except: NOTES,
    };
    java::gets_nothing(scenario.application, |run| ivy(run, true));
    let tree = scenario.run(|run| {
        machine::run(&mut ivy(run, run.registry.is_some()));
        // What Ivy makes of a pom says when it did.
        let mut undated = Command::new("find");
        undated.arg(run.project.join("cache")).args(["-name", "*.xml", "-exec", "sed", "--in-place"]);
        machine::run(undated.args([r#"s/\bpublication="[0-9]*"//"#, "{}", "+"]));
        run.project.to_owned()
    });
    let (jars, poms) = (tree.count(".jar"), tree.count(".original"));
    // In the cache and where the build wants them; and the range was looked up.
    assert!(jars >= 80 && jars % 2 == 0 && poms >= 60, "{jars} jars, {poms} poms");
    // To Ivy 3.14.0 is more than 3.14.
    assert!(tree.count("/commons-lang3-3.13.0.jar") == 2, "the newest of the range");
}

/// Ivy with an empty cache, which compares each file with its checksum; confined to this machine or not.
fn ivy(run: &Run<'_>, confined: bool) -> Command {
    // Without a root the resolver has its own.
    let root = run.registry.map_or_else(String::new, |base| format!(" root=\"{base}\""));
    let settings = run.home.join("ivysettings.xml");
    let text = format!(
        "<ivysettings><settings defaultResolver=\"registry\"/><resolvers><ibiblio name=\"registry\" \
         m2compatible=\"true\"{root}/></resolvers></ivysettings>\n"
    );
    fs::write(&settings, text).expect("a settings file");
    let mut command = client("java", run.home);
    command.current_dir(run.project);
    if confined {
        java::confine(&mut command);
    }
    // Else it would ask whether there are sources, which it does not fetch: no cache of files can tell.
    command.args(["-Divy.maven.lookup.sources=false", "-Divy.maven.lookup.javadoc=false"]);
    command.args(["-jar", PROGRAM, "-settings"]).arg(settings);
    command.args(["-cache", "cache", "-ivy", "ivy.xml", "-retrieve", "files/[artifact]-[revision].[ext]"]);
    command
}
