//! What the clients that run on Java have in common: a virtual machine that can be kept on this machine.

use std::fs;
use std::process::{Command, Output};

use super::machine::tests_folder;
use super::proxy::closed_address;
use super::scenario::{Run, copy};
use super::scratch::Scratch;

/// Java's settings that send whatever is not on this machine to a port on which nothing listens. What a client has in
/// the end then came from the proxy.
fn closed() -> impl Iterator<Item = String> {
    let nobody = closed_address();
    ["http", "https"].into_iter().flat_map(move |scheme| {
        [
            format!("-D{scheme}.proxyHost={}", nobody.ip()),
            format!("-D{scheme}.proxyPort={}", nobody.port()),
            format!("-D{scheme}.nonProxyHosts=127.0.0.1|localhost"),
        ]
    })
}

/// Closes a client's way out, by its own options.
pub(super) fn confine(command: &mut Command) -> &mut Command {
    command.args(closed())
}

/// Shows that what [`confine`] sets is heeded: a client without the proxy gets nothing.
///
/// # Panics
/// If it does, or fails for another reason.
pub(super) fn gets_nothing(application: &str, client: impl FnOnce(&Run<'_>) -> Command) {
    let folder = Scratch::new(&format!("confined/{application}"));
    let (project, home) = (folder.join("project"), folder.join("home"));
    fs::create_dir_all(&home).expect("a home");
    copy(&tests_folder().join("clients").join(application), &project);
    let mut command = client(&Run { registry: None, project: &project, home: &home });
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!status.success(), "{command:?} reached the registry: {printed}");
    assert!(printed.contains("refused"), "{command:?}: {printed}");
}
