//! Configurations that come and go: what is in force then, and what `/status` says of it.

use crds::{AuthKind, AuthSettings, CacheSettings, Ecosystem, TrustSettings, UpstreamSettings};
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::config::{self, UnknownFields};
use crate::digest::Digest;
use crate::fetch::credential::SecretHosts;
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::status;
use crate::store::{Options, Store};
use crate::workshop::Workshop;

struct Bench {
    app: App,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new(placement: Placement) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        let engine = Engine {
            store: Arc::new(Store::open(Options { root, durable: false, max_size: 1 << 20, memory: 1 << 20 })),
            clock: Clock::start(),
            metrics: Metrics::new(),
            memory: Budget::new(1 << 20),
            workshop: Workshop::default(),
        };
        Self { app: App::new(Arc::new(engine), placement), _directory: directory }
    }

    fn load(&self, settings: Settings, secrets: Secrets) {
        self.app.apply(Loaded::found(vec![settings], secrets)).unwrap();
    }

    fn status(&self) -> Value {
        status::of(&self.app)
    }

    /// Reason and key of each reference.
    fn references(&self) -> Vec<(String, Value)> {
        let status = self.status();
        let found = status["proxies"][0]["credentials"]["references"].as_array().unwrap().clone();
        found.iter().map(|one| (one["reason"].as_str().unwrap().to_owned(), one["key"].clone())).collect()
    }
}

fn settings() -> Settings {
    let url = Url::parse("https://registry.example/").unwrap();
    let auth = Some(AuthSettings { kind: AuthKind::Bearer, secret: "account".into() });
    let trust = Some(TrustSettings { name: "authority".into(), key: "ca.crt".into() });
    Settings {
        name: "npm".into(),
        namespace: None,
        generation: Some(7),
        ecosystem: Ecosystem::Npm,
        owner: "team".into(),
        external_url: None,
        upstream: UpstreamSettings { auth, trust, ..UpstreamSettings::at(url) },
        cache: CacheSettings::default(),
    }
}

fn secrets(objects: &[(&str, &str, &str)]) -> Secrets {
    let mut secrets = Secrets::default();
    for (name, key, value) in objects {
        secrets.insert(name, key, value.as_bytes().to_vec());
    }
    secrets
}

fn authority() -> String {
    rcgen::generate_simple_self_signed(["registry.example".to_owned()]).unwrap().cert.pem()
}

#[tokio::test]
async fn missing_objects_stop_nothing_and_heal() {
    let bench = Bench::new(Placement { at_root: true, ..Placement::default() });
    bench.load(settings(), Secrets::default());
    let missing = |reason: &str, key: Value| (reason.to_owned(), key);
    assert_eq!(bench.references(), [missing("SecretNotFound", Value::Null), missing("SecretNotFound", Value::Null)]);
    bench.load(settings(), secrets(&[("account", "token", ""), ("authority", "ca.crt", "nonsense")]));
    assert_eq!(bench.references(), [missing("KeyEmpty", json!("token")), missing("SecretUnreadable", json!("ca.crt"))]);
    let authority = authority();
    let good = secrets(&[("account", "token", "t"), ("authority", "ca.crt", &authority)]);
    bench.load(settings(), good.clone());
    assert_eq!(bench.references(), [missing("Resolved", Value::Null), missing("Resolved", Value::Null)]);
    // Gone by mistake: said, and no reason to stop.
    bench.load(settings(), Secrets::default());
    assert_eq!(bench.references(), [missing("SecretNotFound", Value::Null), missing("SecretNotFound", Value::Null)]);
    assert!(bench.app.sites().get("npm").unwrap().secrets == good);
    let uses: Vec<Value> = bench.status()["proxies"][0]["credentials"]["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["origin"], one["secret"], one["use"], one["resolved"]]))
        .collect();
    let origin = "https://registry.example:443";
    assert_eq!(uses, [json!([origin, "account", "auth", false]), json!([origin, "authority", "trust", false])]);
}

#[tokio::test]
async fn the_certificate_of_the_data_port_is_a_reference_too() {
    let bases = vec![Url::parse("https://npm.team.svc/").unwrap()];
    let bench = Bench::new(Placement { tls_secret: Some("tls".into()), bases, ..Placement::default() });
    let plain = || Settings { upstream: UpstreamSettings::at(settings().upstream.url), ..settings() };
    let made = rcgen::generate_simple_self_signed(["npm.team.svc".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (objects, reason, named) in [
        (vec![], "SecretNotFound", Value::Null),
        (vec![("tls", "tls.crt", chain.as_str())], "KeyMissing", json!("tls.key")),
        (vec![("tls", "tls.crt", &chain), ("tls", "tls.key", &key)], "Resolved", Value::Null),
    ] {
        bench.load(plain(), secrets(&objects));
        assert_eq!(bench.references(), [(reason.to_owned(), named)]);
    }
    let status = bench.status();
    let reference = &status["proxies"][0]["credentials"]["references"][0];
    assert_eq!(json!([reference["origin"], reference["use"]]), json!(["https://npm.team.svc:443", "tls"]));
}

#[tokio::test]
async fn compulsory_hosts_are_named() {
    let bench = Bench::new(Placement { secret_hosts: SecretHosts::Required, ..Placement::default() });
    let authority = authority();
    let mut objects = vec![("account", "token", "t"), ("authority", "ca.crt", authority.as_str())];
    bench.load(settings(), secrets(&objects));
    assert_eq!(bench.references()[0], ("KeyMissing".to_owned(), json!("hosts")));
    objects.push(("account", "hosts", "registry.example"));
    bench.load(settings(), secrets(&objects));
    assert_eq!(bench.references()[0], ("Resolved".to_owned(), Value::Null));
}

const MANIFEST: &str = "apiVersion: packageproxy.dev/v1alpha1\nkind: PackageProxy\nmetadata:\n  name: npm\n  \
                        generation: GENERATION\nspec:\n  ecosystem: npm\n  upstream:\n    \
                        url: https://registry.example/\n    auth: {type: Bearer, secretRef: {name: account}}\n";

/// What the watch hands over for a text beside mounted Secrets.
async fn change(text: &str, token: &str) -> Result<Loaded, Refused> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("manifest.yaml");
    std::fs::write(&file, text).unwrap();
    let secrets = directory.path().join("secrets");
    std::fs::create_dir_all(secrets.join("account")).unwrap();
    std::fs::write(secrets.join("account/token"), token).unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let on_change = move |change| sender.send(change).unwrap();
    let watch =
        config::watch(vec![file], Some(secrets), UnknownFields::Refuse, config::Fingerprint::default(), on_change);
    tokio::select! {
        change = receiver.recv() => change.unwrap(),
        () = watch => unreachable!("it watches for ever"),
    }
}

#[tokio::test]
async fn a_refused_manifest_is_named_and_holds_no_rotation_up() {
    let bench = Bench::new(Placement { at_root: true, ..Placement::default() });
    bench.app.take_over(change(&MANIFEST.replace("GENERATION", "3"), "first").await);
    let generations = |bench: &Bench| {
        let status = bench.status();
        json!([status["proxies"][0]["generation"], status["configuration"]["refusedGeneration"]])
    };
    let token =
        |bench: &Bench| bench.app.sites().get("npm").unwrap().secrets.get("account", "token").map(<[u8]>::to_vec);
    assert_eq!((generations(&bench), token(&bench)), (json!([3, null]), Some(b"first".to_vec())));
    let bad = MANIFEST.replace("GENERATION", "4").replace("https", "ftp");
    bench.app.take_over(change(&bad, "second").await);
    assert_eq!((generations(&bench), token(&bench)), (json!([3, 4]), Some(b"second".to_vec())));
    assert!(bench.status()["configuration"]["refused"][0].as_str().unwrap().contains("spec.upstream.url"));
    // Two proxies do not fit at the root.
    let two = MANIFEST.replace("GENERATION", "5");
    let two = format!("{two}---\n{}", two.replace("name: npm", "name: other"));
    bench.app.take_over(change(&two, "second").await);
    assert_eq!(generations(&bench), json!([3, 5]));
    bench.app.take_over(change("kind: [", "third").await);
    assert_eq!((generations(&bench), token(&bench)), (json!([3, null]), Some(b"third".to_vec())));
    bench.app.take_over(change(&MANIFEST.replace("GENERATION", "6"), "third").await);
    assert_eq!(generations(&bench), json!([6, null]));
    assert_eq!(bench.status()["configuration"]["refused"], json!([]));
}

/// Another file of the same generation, as a changed class makes it.
#[tokio::test]
async fn the_file_in_force_is_named_by_its_digest() {
    let bench = Bench::new(Placement { at_root: true, ..Placement::default() });
    let first = MANIFEST.replace("GENERATION", "3");
    let second = format!("{first}  cache: {{metadataTTL: 9m}}\n");
    let digest = |text: &str| Digest::sha256(text.as_bytes()).hex();
    let said = |bench: &Bench| {
        let configuration = &bench.status()["configuration"];
        json!([configuration["sha256"], configuration["refusedSha256"]])
    };
    bench.app.take_over(change(&first, "a").await);
    assert_eq!(said(&bench), json!([digest(&first), null]));
    bench.app.take_over(change(&second, "a").await);
    assert_eq!(said(&bench), json!([digest(&second), null]));
    let bad = second.replace("9m", "nine");
    bench.app.take_over(change(&bad, "a").await);
    assert_eq!(said(&bench), json!([digest(&second), digest(&bad)]));
    bench.app.take_over(change(&second, "b").await);
    assert_eq!(said(&bench), json!([digest(&second), null]), "a Secret is no manifest");
}

#[tokio::test]
async fn the_status_stays_small() {
    let bench = Bench::new(Placement { at_root: true, ..Placement::default() });
    bench.load(settings(), Secrets::default());
    let problems: Vec<_> = (0..1000)
        .map(|number| config::Problem {
            file: "a".into(),
            line: number,
            field: "ü".repeat(5000),
            message: String::new(),
            remedy: String::new(),
            severity: config::Severity::Error,
        })
        .collect();
    bench.app.take_over(Err(Refused {
        problems,
        generation: None,
        sha256: String::new(),
        secrets: Secrets::default(),
    }));
    let text = bench.status().to_string();
    assert!(text.len() < 64 << 10, "{}", text.len());
    assert!(text.contains("and 984 more: see the log"), "{text}");
}
