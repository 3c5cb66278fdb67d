//! The seconds that each installation took, on standard output and in `target/clients.md`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// The seconds of one application's installations.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// From the registry itself.
    pub(super) direct: Duration,
    /// Through a proxy that holds nothing.
    pub(super) cold: Duration,
    /// Through the same proxy again.
    pub(super) warm: Duration,
    /// Through the proxy while no registry can be reached.
    pub(super) offline: Duration,
}

/// The build output of the workspace: this program is `target/<profile>/deps/it-<hash>`.
pub(super) fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    program.ancestors().nth(3).expect("target/<profile>/deps").to_owned()
}

/// Adds one row to the table; the first row of a file brings its head.
pub(super) fn row(name: &str, files: usize, times: &Times) {
    let path = target_folder().join("clients.md");
    let mut table = OpenOptions::new().create(true).append(true).open(&path).expect("target/clients.md");
    let head =
        "| installation | files | direct s | cold proxy s | warm proxy s | offline s |\n|---|--:|--:|--:|--:|--:|\n";
    if table.metadata().expect("metadata").len() == 0 {
        table.write_all(head.as_bytes()).expect("a writable table");
    }
    let [direct, cold, warm, offline] =
        [times.direct, times.cold, times.warm, times.offline].map(|time| format!("{:.1}", time.as_secs_f64()));
    let row = format!("| {name} | {files} | {direct} | {cold} | {warm} | {offline} |\n");
    table.write_all(row.as_bytes()).expect("a writable table");
    println!("{head}{row}");
}
