//! The example manifests pass the check that each of them names, and show every ecosystem.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crds::Ecosystem;

/// The line of a comment that says how a file is checked.
const CHECK: &str = "# Check:  packageproxy ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace").to_owned()
}

/// The name and text of each file.
fn examples() -> Vec<(String, String)> {
    let files = std::fs::read_dir(root().join("examples")).expect("a folder of examples");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a text");
        (format!("examples/{}", path.file_name().unwrap().to_string_lossy()), text)
    };
    files.map(|file| read(file.unwrap().path())).collect()
}

/// Runs the program where the examples' own commands are meant to be run.
fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(tests::rig::program()).args(arguments).current_dir(root()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn every_example_passes_its_own_check() {
    let examples = examples();
    let mut shown = BTreeSet::new();
    for (name, text) in &examples {
        let command = text.lines().find_map(|line| line.strip_prefix(CHECK)).expect("a line that says how to check it");
        let arguments: Vec<&str> = command.split_ascii_whitespace().collect();
        assert!(arguments.first() == Some(&"check") && arguments.contains(&name.as_str()), "{name}: {command}");
        let (is_good, printed) = run(&arguments);
        assert!(is_good, "{name}: {printed}");
        shown.extend(
            text.lines()
                .filter_map(|line| line.trim().strip_prefix("ecosystem: "))
                .map(|rest| rest.split_ascii_whitespace().next().expect("a name").to_owned()),
        );
    }
    let all: BTreeSet<String> = Ecosystem::ALL.iter().map(|ecosystem| ecosystem.name().to_owned()).collect();
    assert_eq!(shown, all);
    assert_eq!(all.len(), 8);
}

/// The check is one: what no proxy may say does not pass it.
#[test]
fn an_example_with_a_mistake_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in examples().iter().filter(|(_, text)| text.contains("kind: PackageProxy\n")) {
        let broken = folder.path().join("broken.yaml");
        std::fs::write(&broken, text.replace("  ecosystem: ", "  ecosystm: ")).unwrap();
        let (is_good, printed) = run(&["check", "-f", &broken.display().to_string()]);
        assert!(!is_good, "{name}: {printed}");
    }
}
