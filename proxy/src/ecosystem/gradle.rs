//! The HTTP build cache of Gradle: outputs of tasks under the hash of their inputs. Read-only here: whoever may write
//! runs code in the builds of all who read, and clients cannot be told apart yet.

use http::StatusCode;

use super::Ecosystem;
use crate::client::{ClientSetup, Endpoint, gradle_insecure, java_trusts};
use crate::intent::{Artifact, Intent, Key, Refusal, Source};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;

const ENTRY: &str = "application/vnd.gradle.build-cache-artifact.v2";
const READ_ONLY: &str = "this build cache is read-only, since clients cannot prove who they are yet: set push = false, \
                         and fill the cache behind this proxy from CI";

/// The protocol.
#[derive(Debug)]
pub struct Gradle;

impl Ecosystem for Gradle {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        if !call.is_read() {
            return Err(Refusal::Method(READ_ONLY.to_owned()));
        }
        match call.path().as_slice() {
            [key] if is_key(key) && !call.trailing_slash => Ok(Intent::Artifact(entry(key))),
            _ => Err(Refusal::NotFound("a key is 32 to 128 lower-case hexadecimal digits".to_owned())),
        }
    }

    /// Any other error than a miss turns the cache off for the rest of the build.
    fn status(&self, status: StatusCode) -> StatusCode {
        if status == StatusCode::METHOD_NOT_ALLOWED { status } else { StatusCode::NOT_FOUND }
    }

    fn clients(&self, Endpoint { base, authority, .. }: Endpoint<'_>) -> Vec<ClientSetup> {
        let insecure = gradle_insecure(base);
        let script = format!(
            "gradle.settingsEvaluated {{ it.buildCache {{ remote(HttpBuildCache) {{ url = '{base}'; push = false{insecure} }} }} }}"
        );
        let trust = authority.map_or_else(String::new, |authority| format!("// {}\n", java_trusts(authority)));
        vec![ClientSetup {
            client: "gradle",
            command: format!("echo \"{script}\" > packageproxy-cache.gradle && gradle --init-script packageproxy-cache.gradle --build-cache build"),
            environment: Vec::new(),
            files: vec![(".gradle/init.d/packageproxy-cache.gradle", format!("{trust}{script}\n"))],
        }]
    }
}

/// Equal keys stand for outputs of equal inputs, so that the first bytes seen are as good as any that come later, and
/// those as good as the first: an archive of the same outputs has other times in it.
fn entry(key: &str) -> Artifact {
    let source = Source::Layout(UpstreamPath::from_segments([key]));
    Artifact { pinned: false, ..Artifact::at(Key::file("", "", key, "entry"), source, ENTRY) }
}

fn is_key(key: &str) -> bool {
    (32..=128).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::ecosystem::testing::{ask, described, meaning};

    #[test]
    fn what_requests_mean() {
        let (short, long) = ("0a".repeat(16), "f".repeat(128));
        for (target, expected) in [
            (short.as_str(), format!("artifact entry|||{short} in ")),
            (&long, format!("artifact entry|||{long} in ")),
            (&format!("{long}0"), "not found".to_owned()),
            (&short[1..], "not found".to_owned()),
            (&short.to_uppercase(), "not found".to_owned()),
            (&format!("{short}/"), "not found".to_owned()),
            (&format!("{short}/{short}"), "not found".to_owned()),
            ("", "not found".to_owned()),
            ("%2e%2e", "bad".to_owned()),
        ] {
            assert_eq!(meaning(&Gradle, target), expected, "{target}");
        }
        assert_eq!(described(&ask(&Gradle, &Method::PUT, &short, None)), "method");
    }

    #[test]
    fn trouble_is_a_miss() {
        for (status, expected) in [(502, 404), (503, 404), (401, 404), (400, 404), (404, 404), (405, 405)] {
            assert_eq!(Gradle.status(StatusCode::from_u16(status).unwrap()).as_u16(), expected);
        }
    }
}
