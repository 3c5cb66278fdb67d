//! Whole configurations in files: for each bad one the line, the field and the message.

use std::fs;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;

const GOOD: &str = "apiVersion: packageproxy.dev/v1alpha1
kind: PackageProxy
metadata:
  name: npm
spec:
  ecosystem: npm
  upstream:
    url: https://registry.example/
";

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn load_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    let directory = directory(&[("a.yaml", text)]);
    load(&[directory.path().join("a.yaml")], None, UnknownFields::Refuse)
}

/// The problems as `line: field: message`.
fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}: {}", problem.line, problem.field, problem.message)).collect()
}

fn auth(secret: &str) -> String {
    format!("{GOOD}    auth:\n      type: Basic\n      secretRef:\n        name: npm-account\n---\n{secret}")
}

#[test]
fn a_directory_of_documents() {
    let other = GOOD.replace("name: npm", "name: npm-two");
    let directory = directory(&[
        ("a.yaml", GOOD),
        ("b.yml", &format!("# a comment\n---\n---\n{other}")),
        (
            "c.json",
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": "pem"}}"#,
        ),
        ("notes.txt", "not a manifest"),
    ]);
    let loaded = load(&[directory.path().to_owned()], None, UnknownFields::Refuse).unwrap();
    let names: Vec<&str> = loaded.settings.iter().map(|settings| settings.name.as_str()).collect();
    assert_eq!(names, ["npm", "npm-two"]);
    assert_eq!(loaded.secrets.get("ca", "ca.crt"), Some(&b"pem"[..]));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_class_in_the_files_is_merged_wherever_it_stands() {
    let class = |members: &str| {
        format!(
            "apiVersion: packageproxy.dev/v1alpha1\nkind: PackageProxyClass\nmetadata:\n  name: standard\n{members}"
        )
    };
    let named = GOOD.replace("spec:", "spec:\n  className: standard");
    let spec =
        "spec:\n  defaults:\n    cache:\n      metadataTTL: 1m\n  limits:\n    upstreamHosts: [registry.example]\n";
    let default = format!("  annotations:\n    packageproxy.dev/is-default-class: 'true'\n{spec}");
    for (text, seconds) in [
        (format!("{named}---\n{}", class(spec)), 60),
        (format!("{}---\n{named}", class(spec)), 60),
        (format!("{GOOD}---\n{}", class(&default)), 60),
        (format!("{GOOD}---\n{}", class(spec)), 300),
        (named.clone(), 300),
    ] {
        let loaded = load_text(&text).unwrap();
        assert_eq!(loaded.settings[0].cache.metadata_ttl.as_secs(), seconds, "{text}");
    }
    let other = spec.replace("[registry.example]", "[other.example]");
    let problems = load_text(&format!("{named}---\n{}", class(&other))).unwrap_err();
    let expected = "9: spec.upstream.url: the host 'registry.example' is not in the class's `limits.upstreamHosts`: \
                    'other.example'";
    assert_eq!(lines(&problems), [expected]);
    let problems =
        load_text(&format!("{GOOD}---\n{}", class("spec:\n  upstreams:\n    nmp: https://a.example\n"))).unwrap_err();
    let known = crds::Ecosystem::ALL.iter().map(|ecosystem| format!("'{ecosystem}'")).collect::<Vec<_>>().join(", ");
    assert_eq!(lines(&problems), [format!("15: spec.upstreams: `upstreams` must have no keys but {known}")]);
}

#[test]
fn problems_have_lines() {
    for (text, expected) in [
        (GOOD.replace("ecosystem: npm", "ecosystem: nmp"), "6: spec.ecosystem: 'nmp' is not a known value"),
        (GOOD.replace("    url", "    uri"), "8: spec.upstream.uri: unknown field `uri`"),
        (GOOD.replace("  name: npm", "  labels: {}"), "3: metadata.name: is required"),
        (GOOD.replace("kind: PackageProxy", "kind: Deployment"), "2: kind: the kind 'Deployment' is not known here"),
        (GOOD.replace("kind: PackageProxy\n", ""), "1: kind: `kind` is missing"),
        (format!("{GOOD}    url: https://b.example/\n"), "9: spec.upstream.url: `url` stands here a second time"),
        (format!("{GOOD}  cache: {{metadataTTL: 5}}\n"), "9: spec.cache.metadataTTL: must be a string, not a number"),
        (format!("{GOOD}---\n{GOOD}"), "13: metadata.name: a PackageProxy named 'npm' is already in"),
        (format!("{GOOD}  - [\n"), "9: : not valid YAML"),
        ("# nothing\n".to_owned(), "0: : no document of kind PackageProxy was found"),
        (
            auth("apiVersion: v1\nkind: Secret\nmetadata:\n  name: npm-account\ndata:\n  password: '*'\n"),
            "19: data.password: is not base64",
        ),
        (
            auth("apiVersion: v1\nkind: Secret\nmetadata:\n  name: npm-account\nstringData:\n  password: 12345\n"),
            "19: stringData.password: must be a string, not a number",
        ),
    ] {
        let problems = load_text(&text).unwrap_err();
        let lines = lines(&problems);
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:?}");
        assert!(!problems.iter().any(|problem| problem.to_string().contains("12345")));
    }
}

#[test]
fn all_problems_at_once_in_the_order_of_lines() {
    let bad = GOOD.replace("name: npm", "name: Npm").replace("https", "ftp");
    let directory = directory(&[("a.yaml", &format!("{GOOD}  cach: {{}}\n")), ("b.yaml", &bad), ("c.yaml", "a: [")]);
    let problems = load(&[directory.path().to_owned()], None, UnknownFields::Refuse).unwrap_err();
    let found: Vec<(String, &str)> = problems
        .iter()
        .map(|problem| (problem.file.file_name().unwrap().to_string_lossy().into_owned(), problem.field.as_str()))
        .collect();
    let expected =
        [("a.yaml", "spec.cach"), ("b.yaml", "metadata.name"), ("b.yaml", "spec.upstream.url"), ("c.yaml", "")];
    assert_eq!(found, expected.map(|(file, field)| (file.to_owned(), field)));
    let text = problems[0].to_string();
    assert!(text.ends_with("a.yaml:9: spec.cach: unknown field `cach`; did you mean `cache`?"), "{text}");
}

#[test]
fn missing_files_are_problems() {
    let directory = directory(&[("empty/notes.txt", "")]);
    let missing = directory.path().join("missing.yaml");
    let sources = [missing, directory.path().join("empty")];
    let problems = load(&sources, None, UnknownFields::Refuse).unwrap_err();
    let messages = problems.iter().map(|problem| problem.message.split(':').next().unwrap());
    assert_eq!(messages.collect::<Vec<_>>(), ["cannot be read", "holds no *.yaml, *.yml or *.json file"]);
}

#[test]
fn an_unreadable_directory_of_secrets_does_not_keep_the_proxy_from_starting() {
    let directory = directory(&[("a.yaml", GOOD)]);
    let secrets = directory.path().join("missing");
    let loaded = load(&[directory.path().join("a.yaml")], Some(&secrets), UnknownFields::Refuse).unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.message.starts_with("cannot be listed"), "{warning}");
    assert_eq!(warning.severity, Severity::Error);
}

#[test]
fn what_a_file_holds_cannot_forge_a_line_of_a_log() {
    let long = "x".repeat(10_000);
    for text in [
        GOOD.replace("ecosystem: npm", "ecosystem: \"n\\npm: all is well\\e[2J\""),
        format!("{GOOD}  \"cach\\ne\": 1\n"),
        format!("{GOOD}  {}: 1\n", &long[..1000]),
        GOOD.replace("ecosystem: npm", &format!("ecosystem: {long}")),
    ] {
        for problem in load_text(&text).unwrap_err() {
            let line = problem.to_string();
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(problem.message.len() < 200, "{line}");
        }
    }
}

#[test]
fn a_large_file_is_refused() {
    let problems = load_text(&format!("# {}\n{GOOD}", "x".repeat(4 << 20))).unwrap_err();
    assert!(problems[0].message.contains("larger than 4194304 bytes"), "{problems:?}");
}

#[test]
fn unknown_fields_of_a_newer_version_are_ignored_where_asked() {
    let directory = directory(&[("a.yaml", &format!("{GOOD}  later: 1\n"))]);
    let loaded = load(&[directory.path().to_owned()], None, UnknownFields::Warn).unwrap();
    assert_eq!(loaded.settings.len(), 1);
    assert_eq!(lines(&loaded.warnings), ["9: spec.later: unknown field `later`"]);
    assert_eq!(loaded.warnings[0].severity, Severity::Advice);
}

#[test]
fn secrets_that_are_missing_or_empty_are_named() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: npm-account\n";
    let at = "11: spec.upstream.auth.secretRef: ";
    for (data, expected) in [
        ("data: {username: YQ==, password: Yg==}", vec![]),
        ("stringData: {username: a, password: b}", vec![]),
        ("stringData: {username: a}", vec!["'npm-account' has no key 'password'"]),
        (
            "stringData: {username: '', password: \" \\n\"}",
            vec!["the key 'username' of 'npm-account' is empty", "the key 'password' of 'npm-account' is empty"],
        ),
    ] {
        let loaded = load_text(&auth(&format!("{secret}{data}\n"))).unwrap();
        let errors: Vec<Problem> =
            loaded.warnings.iter().filter(|warning| warning.severity == Severity::Error).cloned().collect();
        let expected: Vec<String> = expected.iter().map(|message| format!("{at}{message}")).collect();
        assert_eq!(lines(&errors), expected, "{data}");
        assert!(loaded.warnings.iter().any(|warning| warning.message.contains("everyone who reaches it")));
    }
    let loaded = load_text(&auth("")).unwrap();
    assert_eq!(lines(&loaded.warnings)[1], format!("{at}'npm-account' does not exist"));
    assert_eq!(loaded.warnings.len(), 2);
}

#[cfg(unix)]
#[test]
fn mounted_secrets_are_read_through_their_links_and_win() {
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: npm-account\nstringData: {username: a, password: old}\n";
    let directory = directory(&[("a.yaml", &auth(secret)), ("s/npm-account/..2026/password", "new"), ("s/stray", "")]);
    let mount = directory.path().join("s/npm-account");
    std::os::unix::fs::symlink("..2026", mount.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/password", mount.join("password")).unwrap();
    let secrets = directory.path().join("s");
    let loaded = load(&[directory.path().join("a.yaml")], Some(&secrets), UnknownFields::Refuse).unwrap();
    assert_eq!(loaded.secrets.get("npm-account", "password"), Some(&b"new"[..]));
    assert_eq!(loaded.secrets.get("npm-account", "username"), Some(&b"a"[..]));
    assert_eq!(loaded.secrets.get("npm-account", "..data"), None);
}

#[cfg(feature = "server")]
/// Exchanges a file in one step: a watcher that looks while a file is written would see a third content.
fn replace(path: &Path, text: &str) {
    let other = path.with_extension("new");
    fs::write(&other, text).unwrap();
    fs::rename(other, path).unwrap();
}

#[cfg(feature = "server")]
#[tokio::test(start_paused = true)]
async fn changes_are_noticed_and_broken_ones_reported() {
    let directory = directory(&[("a.yaml", GOOD), ("s/npm/token", "one")]);
    let (file, secrets) = (directory.path().join("a.yaml"), directory.path().join("s"));
    let sources = vec![file.clone()];
    let loaded = load(&sources, Some(&secrets), UnknownFields::Refuse).unwrap();
    let (sender, mut changes) = mpsc::unbounded_channel();
    let on_change = move |change| sender.send(change).unwrap();
    let watching =
        tokio::spawn(watch(sources, Some(secrets.clone()), UnknownFields::Refuse, loaded.fingerprint, on_change));

    replace(&secrets.join("npm/token"), "two");
    let change = changes.recv().await.unwrap().unwrap();
    assert_eq!(change.secrets.get("npm", "token"), Some(&b"two"[..]));

    replace(&file, &GOOD[..40]);
    assert!(changes.recv().await.unwrap().is_err());

    replace(&file, &GOOD.replace("name: npm", "name: other"));
    assert_eq!(changes.recv().await.unwrap().unwrap().settings[0].name, "other");

    tokio::time::sleep(POLL_INTERVAL * 3).await;
    assert!(changes.try_recv().is_err(), "nothing changed");
    watching.abort();
}
