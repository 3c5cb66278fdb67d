//! What Maven, Gradle and sbt need to use the proxy. None of them takes a repository from the environment.

use crate::client::{ClientSetup, Endpoint, gradle_insecure, is_loopback, java_trusts, plain_host};

/// The set-ups. A certificate authority is no setting of these clients: the files say how Java learns of it.
pub(super) fn clients(Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
    let is_plain = plain_host(base).is_some_and(|host| !is_loopback(host));
    let mut all = vec![maven(base), gradle(base), sbt(base, is_plain)];
    if let Some(authority) = authority {
        for (setup, (begin, end)) in all.iter_mut().zip([("<!-- ", " -->"), ("// ", ""), ("# ", "")]) {
            for (_, text) in &mut setup.files {
                let import = java_trusts(authority);
                *text = format!("{begin}{import}{end}\n{text}");
            }
        }
    }
    all
}

/// A mirror of `central` only: other repositories are other proxies. Maven blocks plain http but for mirrors that are
/// named.
fn maven(base: &str) -> ClientSetup {
    let mirror = format!("<mirror><id>packageproxy</id><mirrorOf>central</mirrorOf><url>{base}</url></mirror>");
    let settings = format!("<settings><mirrors>{mirror}</mirrors></settings>");
    ClientSetup {
        client: "mvn",
        command: format!("echo '{settings}' > packageproxy-settings.xml && mvn -s packageproxy-settings.xml verify"),
        environment: Vec::new(),
        files: vec![(
            ".m2/settings.xml",
            format!("<settings>\n  <mirrors>\n    {mirror}\n  </mirrors>\n</settings>\n"),
        )],
    }
}

/// Takes the place of `mavenCentral()` wherever a build names it, for plug-ins too.
fn gradle(base: &str) -> ClientSetup {
    let insecure = gradle_insecure(base);
    let script = format!(
        "def packageproxy = {{ if (it instanceof MavenArtifactRepository && it.name.startsWith('MavenRepo')) it.with {{ \
         url = '{base}'{insecure} }} }}\n\
         gradle.settingsEvaluated {{ it.pluginManagement.repositories.all(packageproxy); if \
         (it.hasProperty('dependencyResolutionManagement')) \
         it.dependencyResolutionManagement.repositories.all(packageproxy) }}\n\
         allprojects {{ buildscript.repositories.all(packageproxy); repositories.all(packageproxy) }}\n"
    );
    let one_line = script.trim_end().replace('\n', "; ");
    ClientSetup {
        client: "gradle",
        command: format!("echo \"{one_line}\" > packageproxy.gradle && gradle --init-script packageproxy.gradle build"),
        environment: Vec::new(),
        files: vec![(".gradle/init.d/packageproxy.gradle", script)],
    }
}

/// With `-Dsbt.override.build.repos=true` builds use it too, and not only sbt itself.
fn sbt(base: &str, is_plain: bool) -> ClientSetup {
    let insecure = if is_plain { ", allowInsecureProtocol" } else { "" };
    let line = format!("packageproxy: {base}{insecure}");
    ClientSetup {
        client: "sbt",
        command: format!(
            "printf '[repositories]\\nlocal\\n{line}\\n' > packageproxy.repositories && sbt \
             -Dsbt.repository.config=packageproxy.repositories -Dsbt.override.build.repos=true compile"
        ),
        environment: Vec::new(),
        files: vec![(".sbt/repositories", format!("[repositories]\nlocal\n{line}\n"))],
    }
}
