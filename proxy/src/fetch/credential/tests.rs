use super::*;

fn secrets(keys: &[(&str, &str)]) -> Secrets {
    let mut secrets = Secrets::default();
    for (key, value) in keys {
        secrets.insert("account", key, value.as_bytes().to_vec());
    }
    secrets
}

fn resolve(kind: AuthKind, base: &str, keys: &[(&str, &str)]) -> Result<Credential, CredentialError> {
    let auth = AuthSettings { kind, secret: "account".into() };
    Credential::resolve(&auth, &Url::parse(base).unwrap(), Rules::default(), &secrets(keys))
}

fn sent(credential: &Credential, url: &str) -> Option<(String, String)> {
    let mut headers = HeaderMap::new();
    credential.attach(&Url::parse(url).unwrap(), &mut headers);
    let (name, value) = headers.iter().next()?;
    assert!(value.is_sensitive());
    Some((name.to_string(), value.to_str().unwrap().to_owned()))
}

const BASE: &str = "https://registry.example/npm/";

#[test]
fn forms_on_the_wire() {
    for (kind, keys, name, value) in [
        (AuthKind::Basic, &[("username", "me"), ("password", "p:w\n")][..], "authorization", "Basic bWU6cDp3"),
        (AuthKind::Basic, &[("username", "t0ken"), ("password", "\n")], "authorization", "Basic dDBrZW46"),
        (AuthKind::Bearer, &[("token", "t0ken\r\n")], "authorization", "Bearer t0ken"),
        (AuthKind::Header("private-token".into()), &[("token", "t0ken")], "private-token", "t0ken"),
    ] {
        let credential = resolve(kind, BASE, keys).unwrap();
        assert_eq!(sent(&credential, "https://registry.example/npm/x"), Some((name.into(), value.into())));
        assert!(!format!("{credential:?}").contains("t0ken"));
    }
}

#[test]
fn what_is_missing_is_named_and_nothing_is_anonymous() {
    let missing = |key| CredentialError::KeyMissing { secret: "account".into(), key };
    let empty = |key| CredentialError::KeyEmpty { secret: "account".into(), key };
    for (kind, keys, expected) in [
        (AuthKind::Bearer, &[][..], CredentialError::SecretNotFound { secret: "account".into() }),
        (AuthKind::Bearer, &[("tokens", "x")], missing("token")),
        (AuthKind::Bearer, &[("token", "")], empty("token")),
        (AuthKind::Bearer, &[("token", " \t\r\n")], empty("token")),
        (AuthKind::Basic, &[("username", "me")], missing("password")),
        (AuthKind::Basic, &[("username", "\n"), ("password", "x")], empty("username")),
        (AuthKind::Basic, &[("username", ""), ("password", "")], empty("username")),
        (AuthKind::ClientCertificate, &[("tls.crt", "x")], missing("tls.key")),
        (AuthKind::Header("host".into()), &[("token", "x")], CredentialError::HeaderName { name: "host".into() }),
        (AuthKind::Header("a b".into()), &[("token", "x")], CredentialError::HeaderName { name: "a b".into() }),
    ] {
        assert_eq!(resolve(kind, BASE, keys).unwrap_err(), expected, "{keys:?}");
    }
    let error = resolve(AuthKind::Bearer, BASE, &[("token", "canary\ncanary")]).unwrap_err();
    assert!(matches!(error, CredentialError::KeyUnusable { key: "token", .. }));
    assert!(!error.to_string().contains("canary"));
}

#[test]
fn it_goes_below_its_base_and_nowhere_else() {
    let credential = resolve(AuthKind::Bearer, BASE, &[("token", "t")]).unwrap();
    for (url, goes) in [
        ("https://registry.example/npm/", true),
        ("https://registry.example/npm", true),
        ("https://registry.example:443/npm/a", true),
        ("https://REGISTRY.example/npm/a?b", true),
        ("https://registry.example/npm-evil/a", false),
        ("https://registry.example/npmx", false),
        ("https://registry.example/", false),
        ("https://registry.example/npm/../other", false),
        ("https://registry.example/npm/%2e%2e/other", false),
        ("https://registry.example:444/npm/a", false),
        ("http://registry.example/npm/a", false),
        ("http://registry.example:443/npm/a", false),
        ("https://registry.example.evil/npm/a", false),
        ("https://registry.example@evil.example/npm/a", false),
        ("https://x.registry.example/npm/a", false),
    ] {
        assert_eq!(sent(&credential, url).is_some(), goes, "{url}");
    }
}

#[test]
fn plain_http_must_be_allowed() {
    let auth = AuthSettings { kind: AuthKind::Bearer, secret: "account".into() };
    let base = Url::parse("http://registry.example/").unwrap();
    let secrets = secrets(&[("token", "t")]);
    let refused = Credential::resolve(&auth, &base, Rules::default(), &secrets).unwrap_err();
    assert_eq!(refused, CredentialError::Plaintext { secret: "account".into() });
    let allowed = Rules { plaintext: true, ..Rules::default() };
    assert!(Credential::resolve(&auth, &base, allowed, &secrets).is_ok());
}

#[test]
fn a_secret_limits_its_own_hosts() {
    for (hosts, allowed) in [
        ("registry.example", true),
        ("other.example, registry.example:443", true),
        ("other.example\nregistry.example\n", true),
        ("*.example", true),
        ("registry.example:8443", false),
        ("other.example", false),
        ("*.registry.example", false),
    ] {
        let found = resolve(AuthKind::Bearer, BASE, &[("token", "t"), ("hosts", hosts)]);
        assert_eq!(found.is_ok(), allowed, "{hosts:?}");
    }
    let empty = resolve(AuthKind::Bearer, BASE, &[("token", "t"), ("hosts", " ")]).unwrap_err();
    assert!(matches!(empty, CredentialError::KeyEmpty { key: "hosts", .. }));
}

#[test]
fn hosts_can_be_made_compulsory() {
    let auth = AuthSettings { kind: AuthKind::Bearer, secret: "account".into() };
    let base = Url::parse(BASE).unwrap();
    let rules = Rules { hosts: SecretHosts::Required, ..Rules::default() };
    for (keys, problem) in [
        (&[("token", "t")][..], Some(("KeyMissing", Some("hosts")))),
        (&[("token", "t"), ("hosts", "")], Some(("KeyEmpty", Some("hosts")))),
        (&[("token", "t"), ("hosts", "other.example")], Some(("SecretUnreadable", Some("hosts")))),
        (&[("hosts", "registry.example")], Some(("KeyMissing", Some("token")))),
        (&[("token", "t"), ("hosts", "registry.example")], None),
    ] {
        let found = Credential::resolve(&auth, &base, rules, &secrets(keys)).err();
        assert_eq!(found.map(|error| (error.reason(), error.key())), problem, "{keys:?}");
    }
}
