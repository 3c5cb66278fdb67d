//! Gradle: with the proxy in place of its default repository, and with its build cache.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::{Manifest, Resource, Rig, Upstream};

use super::java;
use super::machine::{self, client, tests_folder};
use super::maven::printed_file;
use super::scenario::{Run, Scenario, copy};
use super::scratch::Scratch;

/// Where Gradle looks for scripts that come before a build's own, below its home.
const SCRIPTS: &str = "gradle/init.d";

#[test]
#[ignore = "installs from this machine's registries: tests/run"]
fn gradle_resolves_ranges_and_copies_files() {
    let scenario = Scenario {
        name: "gradle files",
        application: "gradle/library",
        proxy: "maven",
        never_asked: "never/asked/maven-metadata.xml",
        except: &[],
    };
    java::gets_nothing(scenario.application, |run| {
        let mut gradle = gradle(run);
        java::confine(&mut gradle).arg("files");
        gradle
    });
    let tree = scenario.run(|run| {
        let mut gradle = gradle(run);
        if let Some(base) = run.registry {
            // The proxy is all that Gradle reaches; else what the proxy lacks could come from the registry.
            java::confine(&mut gradle);
            script(run.home, "maven", &by_name(base), "packageproxy.gradle");
        }
        machine::run(gradle.arg("files"));
        run.project.join("files")
    });
    assert!(tree.count(".jar") >= 9, "{} jars", tree.count(".jar"));
}

/// An entry that a build wrote to the upstream is what another build gets through the proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Gradle: tests/run"]
async fn a_build_takes_what_another_one_made() {
    let folder = Scratch::new("gradle-build-cache");
    let (project, home) = (folder.join("project"), folder.join("home"));
    let build = |script: &dyn Fn(&Path)| {
        let _ = fs::remove_dir_all(&home);
        let _ = fs::remove_dir_all(&project);
        copy(&tests_folder().join("clients/gradle/library"), &project);
        fs::create_dir_all(home.join(SCRIPTS)).expect("a folder of scripts");
        script(&home);
        let run = Run { registry: None, project: &project, home: &home };
        let printed = tokio::task::block_in_place(|| machine::run(gradle(&run).args(["--build-cache", "made"])));
        assert_eq!(fs::read_to_string(project.join("files/made.txt")).expect("an output"), "made");
        printed
    };
    let upstream = Upstream::start().await;
    let writing = format!(
        "gradle.settingsEvaluated {{ it.buildCache {{ local {{ enabled = false }}; remote(HttpBuildCache) {{ url = '{}'; \
         push = true }} }} }}\n",
        upstream.url("/cache/")
    );
    build(&|home| fs::write(home.join(SCRIPTS).join("writing.gradle"), &writing).expect("a script"));
    let written = upstream.requests().into_iter().find(|request| request.method == "PUT").expect("an entry is written");
    upstream.set(&written.path(), Resource::file(written.body));

    let rig = Rig::serve([Manifest::at("gradle", "gradle", &upstream.url("/cache/"))]).await;
    let base = by_name(&format!("http://{}/gradle/", rig.data()));
    let reading = |home: &Path| script(home, "gradle", &base, "packageproxy-cache.gradle");
    for _ in 0..2 {
        let printed = build(&reading);
        assert!(printed.contains(":made FROM-CACHE"), "{printed}");
    }
    assert_eq!(upstream.requests_of(&written.target).iter().filter(|request| request.method == "GET").count(), 2);
    // An entry that nobody has is made by the build itself.
    upstream.stop().await;
    let empty = Rig::serve([Manifest::at("gradle", "gradle", "http://registry.example/").with("upstream", ())]).await;
    let base = format!("http://{}/gradle/", empty.data());
    let printed = build(&|home| script(home, "gradle", &base, "packageproxy-cache.gradle"));
    assert!(printed.contains(":made\n") && !printed.contains("disabled"), "{printed}");
}

/// The address with a host of which Gradle has to be told that plain http is meant.
fn by_name(base: &str) -> String {
    base.replace("127.0.0.1", "localhost")
}

/// Gradle with an empty home.
fn gradle(run: &Run<'_>) -> Command {
    let mut gradle = client("gradle", run.home);
    gradle.current_dir(run.project).env("GRADLE_USER_HOME", run.home.join("gradle"));
    gradle.args(["--no-daemon", "--console=plain"]);
    gradle
}

/// Puts the script that `packageproxy client` prints where Gradle finds it.
fn script(home: &Path, proxy: &str, base: &str, name: &str) {
    let folder = home.join(SCRIPTS);
    fs::create_dir_all(&folder).expect("a folder of scripts");
    let text = printed_file(proxy, base, &format!(".gradle/init.d/{name}"));
    fs::write(folder.join(name), text).expect("a script");
}
