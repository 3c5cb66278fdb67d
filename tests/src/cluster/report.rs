//! The table of what was measured, written beside those of the other suites.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// One line of the table: what was measured, and what came of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What.
    pub what: String,
    /// How much.
    pub value: String,
}

impl Row {
    /// A line.
    pub fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self { what: what.into(), value: value.into() }
    }
}

/// Prints the lines and adds them to `cluster.md` in the target folder.
pub fn report(scenario: &str, rows: &[Row]) {
    let program = std::env::current_exe().expect("a running test has a path");
    // TARGET/PROFILE/deps/test-hash
    let target = program.ancestors().nth(3).map(PathBuf::from).expect("tests lie below the target folder");
    let path = target.join("cluster.md");
    let mut text = String::new();
    if !path.exists() {
        text.push_str("| scenario | measured | value |\n|---|---|---|\n");
    }
    for Row { what, value } in rows {
        let _ = writeln!(text, "| {scenario} | {what} | {value} |");
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a writable target folder");
    file.write_all(text.as_bytes()).expect("a writable target folder");
    #[expect(clippy::print_stderr, reason = "a scenario says what it measured")]
    {
        eprint!("{text}");
    }
}
