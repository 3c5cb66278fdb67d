//! What this crate says of each example.

use super::*;
use crate::{Problem, ProblemKind, rules};

fn problems(example: &Example) -> Vec<Problem> {
    match example.document["kind"].as_str() {
        Some(CLASS_KIND) => crate::class::read(&example.document).problems,
        _ => crate::read(&example.document).problems,
    }
}

#[test]
fn each_example_has_its_verdict() {
    for example in examples().iter().filter(|example| example.before.is_none()) {
        let (name, problems) = (example.name, problems(example));
        let (field, message) = match &example.verdict {
            Verdict::Admitted => {
                assert_eq!(problems, [], "{name}");
                continue;
            }
            Verdict::RefusedBySchema { field, message }
            | Verdict::RefusedByRule { field, message }
            | Verdict::NotAccepted { field, message } => (*field, *message),
        };
        let [problem] = problems.as_slice() else { panic!("{name}: {problems:?}") };
        assert_eq!(problem.path, field, "{name}");
        match &example.verdict {
            Verdict::RefusedByRule { .. } => assert_eq!(problem.message, message, "{name}"),
            _ => assert!(problem.message.contains(message), "{name}: {}", problem.message),
        }
        let missing = matches!(example.verdict, Verdict::NotAccepted { .. });
        assert_eq!(problem.kind == ProblemKind::UpstreamMissing, missing, "{name}");
        assert!(!problem.remedy.is_empty(), "{name} has no remedy");
    }
}

/// Whatever the API server refuses for its change is good by itself.
#[test]
fn both_sides_of_a_change_are_good() {
    for example in examples() {
        let Some(before) = &example.before else { continue };
        for document in [before, &example.document] {
            assert_eq!(crate::read(document).problems, [], "{}", example.name);
        }
    }
}

#[test]
fn every_rule_is_broken_by_an_example() {
    let examples = examples();
    for rule in rules::of_proxy().iter().chain(rules::of_class()) {
        let broken = examples.iter().any(
            |example| matches!(&example.verdict, Verdict::RefusedByRule { message, .. } if *message == rule.message),
        );
        assert!(broken, "{}: {}", rule.place, rule.message);
    }
}

/// The manifests that the project ships, each with the class that it names.
#[test]
fn the_shipped_manifests_are_good() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        documents.extend(text.split("\n---\n").map(|text| serde_yaml::from_str::<Value>(text).unwrap()));
    }
    let of_kind = |kind: &'static str| documents.iter().filter(move |document| document["kind"] == kind);
    let classes: Vec<_> = of_kind(CLASS_KIND).map(crate::class::read).collect();
    assert_eq!(classes.iter().map(|reading| reading.problems.len()).collect::<Vec<_>>(), [0]);
    let class = classes[0].class.as_ref().unwrap();
    assert!(class.is_default());
    let readings: Vec<_> = of_kind(KIND)
        .map(|document| match document["spec"]["className"].as_str() {
            Some(name) => {
                assert_eq!(name, class.metadata.name);
                crate::class::read_proxy(document, &class.spec, None)
            }
            None => crate::read(document),
        })
        .collect();
    assert!(readings.len() > 3 && readings.iter().all(|reading| reading.problems.is_empty()), "{readings:?}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = examples().iter().map(|example| example.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// Prints the examples for a test against an API server: `cargo test -p crds examples_as_json -- --ignored --nocapture`.
#[test]
#[ignore = "prints"]
fn examples_as_json() {
    for Example { name, before, document, verdict } in examples() {
        let (kind, field, message) = match verdict {
            Verdict::Admitted => ("Admitted", "", ""),
            Verdict::RefusedBySchema { field, message } => ("Schema", field, message),
            Verdict::RefusedByRule { field, message } => ("Rule", field, message),
            Verdict::NotAccepted { field, message } => ("NotAccepted", field, message),
        };
        println!(
            "{}",
            json!({"name": name, "before": before, "document": document, "kind": kind, "field": field, "message": message})
        );
    }
}
