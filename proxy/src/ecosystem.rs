//! The registry protocols: one file each, pure and synchronous. None knows of fetching, storing or HTTP clients.

use crds::Ecosystem as Kind;
use http::StatusCode;

use crate::blob_id::BlobId;
use crate::client::{ClientSetup, Endpoint};
use crate::intent::{Intent, Key, Refusal};
use crate::request::Call;

mod accept;
mod gathered;
#[cfg(test)]
mod testing;

/// One registry protocol.
pub trait Ecosystem: Send + Sync + 'static {
    /// Says what a request means.
    fn parse(&self, call: &Call) -> Result<Intent, Refusal>;

    /// The body of an error, as this ecosystem's client prints it: `Content-Type` and bytes.
    fn error(&self, _status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        ("text/plain; charset=utf-8", format!("{message}\n").into_bytes())
    }

    /// The status of an error, where clients of this ecosystem take the usual one for something else.
    fn status(&self, status: StatusCode) -> StatusCode {
        status
    }

    /// The same where the path below the proxy tells more than the status.
    fn error_at(&self, _path: &str, status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        self.error(status, message)
    }

    /// Headers of every answer, and of one that carries what a key names. `sha256`: its digest, where that is known
    /// already.
    fn headers(&self, _content: Option<(&Key, Option<BlobId>)>) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether its registries send clients to a token server.
    fn uses_tokens(&self) -> bool {
        false
    }

    /// Whether `@scope%2fname` in a path is read as the two segments `@scope` and `name`. Everywhere else an encoded
    /// slash is refused.
    fn encoded_scope_slash(&self) -> bool {
        false
    }

    /// Whether names may hold a percent sign, which clients write as `%25`. Everywhere else that is refused: a second
    /// layer of escapes names nothing in any other registry.
    fn percent_in_names(&self) -> bool {
        false
    }

    /// Whether clients write segments `.` into their paths that mean nothing. Everywhere else they are refused.
    fn has_dot_segments(&self) -> bool {
        false
    }

    /// What each client of this ecosystem needs to use the proxy there. The first one is the line that `serve` prints.
    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup>;
}

/// Declares the files of this folder and the table from the API's value to the protocol. A variant of
/// [`crds::Ecosystem`] without a line here does not compile.
macro_rules! ecosystems {
    ($($variant:ident => $module:ident :: $protocol:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The protocol of an API value.
        pub fn of(kind: Kind) -> &'static dyn Ecosystem {
            match kind {
                $(Kind::$variant => &$module::$protocol,)+
            }
        }
    };
}

ecosystems! {
    Cargo => cargo::Cargo,
    Container => container::Container,
    Debian => debian::Debian,
    Go => go::Go,
    Gradle => gradle::Gradle,
    Maven => maven::Maven,
    Npm => npm::Npm,
    Pypi => pypi::Pypi,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_client_is_told_the_base_and_nothing_invalid() {
        for &kind in Kind::ALL {
            for base in ["http://127.0.0.1:8080/x/", "http://x.team.svc/", "https://x.team.svc/x/"] {
                let clients = of(kind).clients(Endpoint::new(base, Some("/ca.crt")));
                assert!(!clients.is_empty(), "{kind}");
                for setup in clients {
                    assert!(setup.command.contains(base) && !setup.command.contains('\n'), "{setup:?}");
                    let is_variable = |name: &str| {
                        name.starts_with(|first: char| first.is_ascii_alphabetic())
                            && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
                    };
                    assert!(setup.environment.iter().all(|(name, _)| is_variable(name)), "{setup:?}");
                    let mut own = setup.environment.iter().filter(|(_, value)| value != "/ca.crt");
                    assert!(own.next().is_none_or(|(_, value)| value.contains(base)), "{setup:?}");
                    assert!(
                        setup.files.iter().all(|(_, text)| text.contains(base) && text.ends_with('\n')),
                        "{setup:?}"
                    );
                    let tells = |text: &str| setup.environment.iter().any(|(name, _)| name.contains(text));
                    let is_remote_and_plain = base == "http://x.team.svc/";
                    assert_eq!(tells("TRUSTED_HOST"), setup.client == "pip" && is_remote_and_plain, "{setup:?}");
                    assert_eq!(tells("WHITELIST"), setup.client == "yarn" && base.starts_with("http:"), "{setup:?}");
                }
            }
        }
    }

    /// Every source file below a folder, seen from that of this crate.
    fn sources(folder: &str) -> Vec<(String, String)> {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    found.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn no_ecosystem_does_io_or_reads_a_clock() {
        let sources = sources("src/ecosystem");
        assert!(sources.len() > Kind::ALL.len());
        for (path, text) in
            sources.into_iter().filter(|(path, _)| !path.ends_with("/tests.rs") && !path.ends_with("/testing.rs"))
        {
            let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for word in
                ["std::fs", "std::net", "std::io", "std::time::Instant", "SystemTime", "tokio", "reqwest", "hyper"]
            {
                assert!(!program.contains(word), "{word} in {path}");
            }
            let others =
                program.split("crate::").skip(1).map(|rest| rest.split([':', ';', ',']).next().unwrap_or_default());
            for module in others {
                let engine = ["cache", "fetch", "store", "clock", "server", "handle", "resolve", "respond"];
                assert!(!engine.contains(&module), "crate::{module} in {path}");
            }
        }
    }

    #[test]
    fn the_guide_shows_what_is_in_the_sources() {
        let without_space = |text: &str| text.split_whitespace().collect::<String>();
        let all: String = ["src", "../crds/src", "../tests/src", "../tests/tests"]
            .into_iter()
            .flat_map(sources)
            .map(|(_, text)| without_space(&text))
            .collect();
        let guide =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ecosystems.md")).unwrap();
        let blocks: Vec<&str> =
            guide.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
        assert!(blocks.len() >= 8);
        for block in blocks {
            assert!(all.contains(&without_space(block)), "not in the sources any more:\n{block}");
        }
        let smallest = &sources("src/ecosystem").into_iter().find(|(path, _)| path.ends_with("/gradle.rs")).unwrap().1;
        assert!(smallest.lines().count() < 120);
        assert!(without_space(&guide).contains(&without_space(smallest.split("#[cfg(test)]").next().unwrap())));
    }
}
