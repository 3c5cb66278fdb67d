//! Command lines, and the commands that only print.

use std::fs;

use clap::CommandFactory as _;
use crds::spec::LogLevel;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(std::iter::once("packageproxy").chain(line.split_whitespace())).map(Cli::into_command)
}

fn serve(line: &str) -> ServeArguments {
    match parse(line).unwrap() {
        Command::Serve(arguments) => arguments,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn serve_is_the_default_command() {
    let defaults = serve("");
    assert_eq!(defaults, serve("serve"));
    assert_eq!((defaults.listen.to_string().as_str(), defaults.admin.port()), ("127.0.0.1:8080", 8081));
    assert_eq!((defaults.max_size.0, defaults.metadata_memory.0), (10 << 30, 160 << 20));
    let line = "-f a.yaml --file b --listen [::]:80 --admin 127.0.0.1:0 --storage s --secrets d --root \
                --base http://a.example --base https://b.example/c --log-format json --log-level Debug --max-size 1Gi \
                --metadata-memory 64Mi --unknown-fields warn";
    let given = serve(line);
    assert_eq!(given, serve(&format!("serve {line}")));
    assert_eq!(given.config.files, [PathBuf::from("a.yaml"), PathBuf::from("b")]);
    assert_eq!(given.config.unknown_fields, UnknownFieldsArgument::Warn);
    assert_eq!((given.base.len(), given.root, given.log_level), (2, true, Some(LogLevel::Debug)));
    assert_eq!(given.storage(), Some(PathBuf::from("s")));
}

#[test]
fn bad_command_lines_say_what_is_wrong() {
    for (line, message) in [
        ("--listen 8080", "invalid value '8080' for '--listen <ADDRESS>'"),
        ("--max-size 1GB", "a size such as '500M'"),
        ("--base ftp://a.example", "not an http(s) address"),
        ("--log-level loud", "use error, warn, info"),
        ("chek -f a", "check"),
        ("client", "<NAME>"),
        ("purge --proxy npm", "--package <NAME>"),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(message), "{line}: {error}");
    }
}

/// What a command prints, and whether it succeeds.
fn output(command: impl FnOnce(&mut dyn Write) -> io::Result<ExitCode>) -> (String, bool) {
    let mut out = Vec::new();
    let code = command(&mut out).unwrap();
    (String::from_utf8(out).unwrap(), code == ExitCode::SUCCESS)
}

const MANIFEST: &str = "apiVersion: packageproxy.dev/v1alpha1\nkind: PackageProxy\nmetadata:\n  name: corp\nspec:\n  \
                        ecosystem: npm\n  upstream:\n    url: https://registry.example/\n";

fn check(text: &str) -> (String, bool) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, text).unwrap();
    let config = ConfigArguments { files: vec![file], ..ConfigArguments::default() };
    let (text, success) = output(|out| check::run(&CheckArguments { config }, out));
    (text.replace(&format!("{}/", directory.path().display()), ""), success)
}

#[test]
fn check_prints_every_problem() {
    let ok = "OK: corp (npm, https://registry.example/)\n";
    assert_eq!(check(MANIFEST), (ok.to_owned(), true));
    let bad = MANIFEST.replace("npm", "nmp").replace("https", "ftp");
    let (text, success) = check(&bad);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("a.yaml:6: spec.ecosystem: 'nmp' is not a known value; use one of"), "{text}");
    assert!(lines[1].starts_with("a.yaml:8: spec.upstream.url: `url` must be an http(s) address"), "{text}");
    assert_eq!((lines[2], success), ("2 problems", false));
}

#[test]
fn check_refuses_a_missing_secret_and_only_advises_on_an_open_port() {
    let auth = format!("{MANIFEST}    auth: {{type: Bearer, secretRef: {{name: t}}}}\n");
    let (text, success) = check(&auth);
    assert!(text.contains("a.yaml:9: spec.upstream.auth.secretRef: 't' does not exist; add"), "{text}");
    assert!(text.ends_with("1 problem\n") && !success, "{text}");
    let (text, success) =
        check(&format!("{auth}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: t}}\nstringData: {{token: x}}\n"));
    assert!(text.starts_with("advice: a.yaml:9: spec.upstream.auth: the data port asks no one"), "{text}");
    assert!(success, "{text}");
}

#[test]
fn client_names_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, MANIFEST).unwrap();
    let known = crds::Ecosystem::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    for (line, expected) in [
        ("client nmp".to_owned(), format!("there is no proxy 'nmp'; there is: {known}\n")),
        (format!("client npm -f {}", file.display()), "there is no proxy 'npm'; there is: corp\n".to_owned()),
    ] {
        let Ok(Command::Client(arguments)) = parse(&line) else { panic!("{line}") };
        assert_eq!(output(|out| client::run(&arguments, out)), (expected, false));
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let code = print(|_| Err(io::ErrorKind::BrokenPipe.into()));
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(print(|_| Err(io::ErrorKind::StorageFull.into())), ExitCode::FAILURE);
}
