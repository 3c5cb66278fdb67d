//! From the texts of a snapshot to settings: each document to its kind, names once, every problem with its line.

use std::collections::BTreeMap;
use std::path::Path;

use crds::{ProblemKind, Settings, spec::LogLevel};

use super::classes::Classes;
use super::objects::{self, Kind};
use super::snapshot::Snapshot;
use super::tree::{self, Document, Mistake};
use super::{Loaded, Problem, Refused, Severity, UnknownFields, references};
use crate::secrets::Secrets;

/// Says what a snapshot means.
pub(super) fn interpret(snapshot: Snapshot, unknown: UnknownFields) -> Result<Loaded, Refused> {
    let sha256 = snapshot.sha256();
    let documents: Vec<(&Path, Vec<Document>, Vec<Mistake>)> = snapshot
        .files
        .iter()
        .map(|(path, text)| {
            let (documents, mistakes) = tree::parse(text);
            (path.as_path(), documents, mistakes)
        })
        .collect();
    let mut reader = Reader::new(unknown, snapshot.problems);
    reader.warnings = snapshot.secret_problems;
    for (file, documents, mistakes) in &documents {
        for mistake in mistakes {
            reader.mistake(file, mistake);
        }
        // What a manifest says depends on its class, wherever that stands.
        for document in documents {
            reader.class(Place { file, document });
        }
    }
    for (file, documents, _) in &documents {
        for document in documents {
            reader.document(Place { file, document });
        }
    }
    if let (true, Some((path, _))) = (reader.proxies.is_empty() && reader.errors.is_empty(), snapshot.files.first()) {
        let remedy = "`packageproxy init` prints manifests for the registries that this machine uses";
        reader.errors.push(Problem::of_file(path, "no document of kind PackageProxy was found", remedy));
    }
    // What is mounted is current; a document beside the manifest is at best a copy of it.
    let mut mounted = Secrets::default();
    for (name, key, value) in snapshot.secrets {
        reader.secrets.insert(&name, &key, value.clone());
        mounted.insert(&name, &key, value);
    }
    reader.references();
    // Stable: problems of one line stay in the order in which they were found.
    let order = |problem: &Problem| (documents.iter().position(|(file, ..)| *file == problem.file), problem.line);
    reader.errors.sort_by_key(order);
    reader.warnings.sort_by_key(order);
    if !reader.errors.is_empty() {
        let generations = documents.iter().flat_map(|(_, documents, _)| documents).filter_map(generation);
        return Err(Refused { problems: reader.errors, generation: generations.max(), sha256, secrets: mounted });
    }
    Ok(Loaded {
        settings: reader.proxies.into_iter().map(|(_, settings)| settings).collect(),
        secrets: reader.secrets,
        log_level: reader.log_level,
        warnings: reader.warnings,
        sha256,
        fingerprint: snapshot.fingerprint,
    })
}

/// `metadata.generation` of a manifest, whatever else is wrong with it.
fn generation(document: &Document) -> Option<i64> {
    let value = &document.value;
    (value["kind"] == crds::KIND).then(|| value["metadata"]["generation"].as_i64()).flatten()
}

/// A document and its file.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    document: &'a Document,
}

impl Place<'_> {
    fn problem(self, problem: crds::Problem, severity: Severity) -> Problem {
        let line = self.document.line(&problem.path);
        let crds::Problem { path: field, message, remedy, kind: _ } = problem;
        Problem { file: self.file.to_owned(), line, field, message, remedy, severity }
    }
}

struct Reader<'a> {
    unknown: UnknownFields,
    classes: Classes,
    proxies: Vec<(Place<'a>, Settings)>,
    secrets: Secrets,
    log_level: Option<LogLevel>,
    /// Kind and name of what was read, with its place.
    names: BTreeMap<(String, String), Place<'a>>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(unknown: UnknownFields, errors: Vec<Problem>) -> Self {
        Self {
            unknown,
            classes: Classes::default(),
            proxies: Vec::new(),
            secrets: Secrets::default(),
            log_level: None,
            names: BTreeMap::new(),
            errors,
            warnings: Vec::new(),
        }
    }

    fn mistake(&mut self, file: &Path, mistake: &Mistake) {
        let mut problem = Problem::of_file(file, mistake.message.as_str(), mistake.remedy);
        problem.line = mistake.line;
        problem.field.clone_from(&mistake.path);
        self.errors.push(problem);
    }

    fn document(&mut self, place: Place<'a>) {
        let value = &place.document.value;
        let mut problems = Vec::new();
        match value["kind"].as_str() {
            Some(crds::KIND) => {
                let reading = self.classes.read(value);
                problems = reading.problems;
                self.log_level = self.log_level.max(reading.log_level);
                let name = value["metadata"]["name"].as_str().unwrap_or_default();
                self.named(place, crds::KIND, name);
                self.proxies.extend(reading.settings.map(|settings| (place, settings)));
            }
            Some(crds::CLASS_KIND) => {}
            Some("Secret") => self.object(place, Kind::Secret, &mut problems),
            Some("ConfigMap") => self.object(place, Kind::ConfigMap, &mut problems),
            other => {
                let message = other.map_or_else(
                    || "`kind` is missing".to_owned(),
                    |other| format!("the kind '{other:.60}' is not known here"),
                );
                let remedy = "use one of PackageProxy, PackageProxyClass, Secret, ConfigMap";
                problems.push(crds::Problem::invalid("kind", message, remedy));
            }
        }
        self.report(place, problems);
    }

    /// Takes note of a class.
    fn class(&mut self, place: Place<'a>) {
        let value = &place.document.value;
        if value["kind"] == crds::CLASS_KIND {
            let reading = crds::class::read(value);
            self.named(place, crds::CLASS_KIND, value["metadata"]["name"].as_str().unwrap_or_default());
            self.report(place, reading.problems);
            self.classes.add(reading.class);
        }
    }

    fn report(&mut self, place: Place<'a>, problems: Vec<crds::Problem>) {
        for problem in problems {
            if problem.kind == ProblemKind::UnknownField && self.unknown == UnknownFields::Warn {
                self.warnings.push(place.problem(problem, Severity::Advice));
            } else {
                self.errors.push(place.problem(problem, Severity::Error));
            }
        }
    }

    fn object(&mut self, place: Place<'a>, kind: Kind, problems: &mut Vec<crds::Problem>) {
        if let Some(name) = objects::read(&place.document.value, kind, &mut self.secrets, problems) {
            // One name space: a reference does not say which of the two a directory was.
            self.named(place, "Secret or ConfigMap", &name);
        }
    }

    /// Refuses a name that another document of the same kind has.
    fn named(&mut self, place: Place<'a>, kind: &str, name: &str) {
        if let Some(first) = self.names.get(&(kind.to_owned(), name.to_owned())) {
            let line = first.document.line("metadata.name");
            let message = format!("a {kind} named '{name}' is already in {}:{line}", first.file.display());
            let problem =
                crds::Problem::invalid("metadata.name", message, "give it another name, or remove one of them");
            self.errors.push(place.problem(problem, Severity::Error));
        } else if !name.is_empty() {
            self.names.insert((kind.to_owned(), name.to_owned()), place);
        }
    }

    /// Checks what the manifests refer to, once all documents are known.
    fn references(&mut self) {
        for (place, settings) in &self.proxies {
            let missing = references::missing(settings, &self.secrets).into_iter();
            self.warnings.extend(missing.map(|problem| place.problem(problem, Severity::Error)));
            let advice = references::advice(settings).into_iter();
            self.warnings.extend(advice.map(|problem| place.problem(problem, Severity::Advice)));
        }
    }
}
