//! Whether what a manifest refers to exists, and what a person should know about its credentials.

use crds::{AuthKind, AuthSettings, Problem, Settings, TrustSettings};

use crate::secrets::Secrets;

/// The keys that a Secret must have for a form of credential.
pub(super) const fn keys(kind: &AuthKind) -> &'static [&'static str] {
    match kind {
        AuthKind::Basic => &["username", "password"],
        AuthKind::Bearer | AuthKind::Header(_) => &["token"],
        AuthKind::ClientCertificate => &["tls.crt", "tls.key"],
    }
}

/// Every Secret or key that is missing or empty.
pub(super) fn missing(settings: &Settings, secrets: &Secrets) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, auth, trust) in origins(settings) {
        if let Some(auth) = auth {
            for key in keys(&auth.kind) {
                problems.extend(absent(&format!("{path}.auth.secretRef"), &auth.secret, key, secrets));
            }
        }
        if let Some(trust) = trust {
            problems.extend(absent(&format!("{path}.trust"), &trust.name, &trust.key, secrets));
        }
    }
    // Without the Secret one line says it all.
    problems.dedup_by(|one, other| one.path == other.path && one.message == other.message);
    problems
}

/// The warning that a credential on an open port is a credential for everyone.
pub(super) fn advice(settings: &Settings) -> Vec<Problem> {
    let message = "the data port asks no one who they are: everyone who reaches it reads what this account may read";
    let remedy = "let only those reach the port who may read that, or use an account that may read little";
    let with_auth = origins(settings).into_iter().filter(|(_, auth, _)| auth.is_some());
    with_auth.map(|(path, ..)| Problem::invalid(format!("{path}.auth"), message, remedy)).collect()
}

type Origin<'a> = (String, Option<&'a AuthSettings>, Option<&'a TrustSettings>);

/// The upstream and its fallbacks, with their paths in the manifest.
fn origins(settings: &Settings) -> Vec<Origin<'_>> {
    let upstream = &settings.upstream;
    let first = ("spec.upstream".to_owned(), upstream.auth.as_ref(), upstream.trust.as_ref());
    let rest = upstream.fallbacks.iter().enumerate().map(|(index, fallback)| {
        (format!("spec.upstream.fallbacks[{index}]"), fallback.auth.as_ref(), fallback.trust.as_ref())
    });
    std::iter::once(first).chain(rest).collect()
}

fn absent(path: &str, name: &str, key: &str, secrets: &Secrets) -> Option<Problem> {
    let message = match secrets.get(name, key) {
        None if !secrets.contains(name) => format!("'{name}' does not exist"),
        None => format!("'{name}' has no key '{key}'"),
        Some(value) if value.trim_ascii().is_empty() => format!("the key '{key}' of '{name}' is empty"),
        Some(_) => return None,
    };
    let remedy = if secrets.contains(name) {
        format!("set the key '{key}' of '{name}'")
    } else {
        format!("add a document of that name, or the file {name}/{key} below the directory given by --secrets")
    };
    Some(Problem::invalid(path, message, remedy))
}
