//! What people get wrong: each proxy says what and how to repair it, and the others do not notice.

use std::time::Duration;

use serde_json::{Value, json};
use tests::cluster::{Proxy, Row, Scene, condition_of, of, report};
use tests::wait::until_time;
use tokio::time::Instant;

/// A proxy with one thing wrong, the condition that says so, and the words that its message must have.
struct Wrong {
    name: &'static str,
    change: fn(Proxy, &str) -> Proxy,
    condition: (&'static str, &'static str),
    words: &'static [&'static str],
}

const WRONG: [Wrong; 7] = [
    Wrong {
        name: "unknown-class",
        change: |proxy, _| proxy.spec("/className", "absent"),
        condition: ("Accepted", "ClassNotFound"),
        words: &["absent"],
    },
    Wrong {
        name: "too-many-replicas",
        change: |proxy, class| proxy.spec("/className", class).spec("/replicas", 3),
        condition: ("Accepted", "ClassViolation"),
        words: &["replicas", "2"],
    },
    Wrong {
        name: "too-large",
        change: |proxy, class| {
            proxy
                .spec("/className", class)
                .spec("/cache/storage", json!({"type": "Ephemeral", "ephemeral": {"sizeLimit": "1Ti"}}))
        },
        condition: ("Accepted", "ClassViolation"),
        words: &["sizeLimit"],
    },
    Wrong {
        name: "other-host",
        change: |proxy, class| proxy.spec("/className", class).spec("/upstream/url", "https://elsewhere.example/"),
        condition: ("Accepted", "UpstreamNotAllowed"),
        words: &["upstream", "elsewhere.example"],
    },
    Wrong {
        name: "no-upstream",
        change: |proxy, _| proxy.spec("/upstream", Value::Null),
        condition: ("Accepted", "UpstreamMissing"),
        words: &["upstream.url"],
    },
    Wrong {
        name: "foreign-owner",
        change: |proxy, _| proxy.spec("/owner", "somebody-else"),
        condition: ("Accepted", "ClassViolation"),
        words: &["owner", "somebody-else"],
    },
    Wrong {
        name: "absent-storage-class",
        change: |proxy, _| {
            proxy.claim(&json!({"size": "1Gi", "storageClassName": "absent-class"})).spec("/replicas", 1)
        },
        condition: ("StorageReady", "ClaimPending"),
        words: &["absent-class"],
    },
];

fn class(name: &str) -> Value {
    json!({"apiVersion": crds::API_VERSION, "kind": crds::CLASS_KIND, "metadata": {"name": name}, "spec": {
        "limits": {"maxReplicas": 2, "maxStorage": "10Gi", "upstreamHosts": ["registry.example"]}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn every_mistake_is_a_condition_that_names_it_and_heals_once_repaired() {
    let scene = Scene::new("wrong").await;
    let _operator = scene.operator().await;
    let class = class(scene.namespace());
    scene.lend(&class).await;
    let right = |wrong: &Wrong| scene.proxy(wrong.name);
    for wrong in &WRONG {
        let mut proxy = (wrong.change)(right(wrong), scene.namespace());
        if proxy.0["spec"]["upstream"].is_null() {
            proxy.0["spec"].as_object_mut().unwrap().remove("upstream");
        }
        scene.apply(&proxy).await;
    }
    let good = scene.proxy("good");
    scene.apply(&good).await;
    scene.converged(&good).await;
    for wrong in &WRONG {
        let (kind, reason) = wrong.condition;
        let object = scene.until(&right(wrong), kind, "False", reason).await;
        let message = condition_of(&object, kind).message;
        for word in wrong.words {
            assert!(message.contains(word), "{}: {word} in {message}", wrong.name);
        }
        let ready = condition_of(&object, "Ready");
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason), "{}", wrong.name);
        if kind == "Accepted" {
            assert!(scene.children(&right(wrong)).await.is_empty(), "{}: no children", wrong.name);
        }
        println!("{}: {message}", wrong.name);
    }
    for wrong in WRONG.iter().filter(|wrong| wrong.condition.0 == "Accepted") {
        // As a person edits: the field goes, or gets the right value.
        scene.apply(&right(wrong)).await;
        scene.converged(&right(wrong)).await;
    }
}

/// What the API server itself refuses, with words for people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn what_no_class_could_allow_is_refused_by_the_api_server() {
    let scene = Scene::new("refuse").await;
    let refused = [
        ("bad-url", scene.proxy("npm").spec("/upstream/url", "registry.example"), "spec.upstream.url"),
        ("user-info", scene.proxy("npm").spec("/upstream/url", "https://a:b@registry.example/"), "spec.upstream.url"),
        ("ecosystem", scene.proxy("npm").spec("/ecosystem", "npmm"), "spec.ecosystem"),
        ("size", scene.proxy("npm").claim(&json!({"size": "100000Pi"})), "size"),
        ("tiny", scene.proxy("npm").spec("/cache/maxSize", "1"), "maxSize"),
        ("duration", scene.proxy("npm").spec("/cache/metadataTTL", "1y"), "metadataTTL"),
        ("replicas", scene.proxy("npm").spec("/replicas", 1000), "spec.replicas"),
        ("claim", scene.proxy("npm").claim(&json!({"size": "1Gi"})).spec("/replicas", 2), "replicas"),
        ("number", scene.proxy("npm").claim(&json!({"size": 5})), "size"),
        ("unknown", scene.proxy("npm").spec("/upstrem", json!({})), "upstrem"),
        ("digit", scene.proxy("1npm"), "metadata.name"),
        ("dot", scene.proxy("my.npm"), "metadata.name"),
        ("long", scene.proxy(&"n".repeat(41)), "metadata.name"),
        (
            "auth",
            scene
                .proxy("npm")
                .spec("/upstream/url", "http://registry.example/")
                .spec("/upstream/auth", json!({"type": "Bearer", "secretRef": {"name": "s"}})),
            "allowPlaintextAuth",
        ),
    ];
    for (name, proxy, word) in refused {
        match scene.api.try_apply(&proxy.0).await {
            Ok(object) => panic!("{name} was accepted: {object}"),
            Err(refusal) => {
                assert!(refusal.message.contains(word), "{name}: {word} in {}", refusal.message);
                assert!(matches!(refusal.code, 400 | 422 | 500), "{name}: {refusal:?}");
            }
        }
    }
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let changed = scene.api.try_patch(&of(&proxy.0), &json!({"spec": {"ecosystem": "pypi"}})).await;
    let message = changed.expect_err("the ecosystem cannot be changed").message;
    assert!(message.contains("`ecosystem` must not be changed"), "{message}");
}

/// One that cannot work among two hundred that can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn one_bad_proxy_among_two_hundred_holds_up_none() {
    let scene = Scene::new("one").await;
    let operator = scene.operator().await;
    let bad = scene.proxy("bad").spec("/className", "absent");
    scene.apply(&bad).await;
    let started = Instant::now();
    let proxies: Vec<_> = (0..199).map(|number| scene.proxy(&format!("p{number}"))).collect();
    for proxy in &proxies {
        scene.apply(proxy).await;
    }
    until_time(Duration::from_mins(4), "the others to be applied", || async {
        let objects = scene.api.list(&tests::cluster::at("PackageProxy", scene.namespace(), ""), "").await;
        let applied = |object: &&Value| {
            tests::cluster::condition(object, "ResourcesApplied").is_some_and(|found| found.status == "True")
        };
        (objects.iter().filter(applied).count() == 199).then_some(())
    })
    .await;
    let took = started.elapsed();
    scene.until(&bad, "Accepted", "False", "ClassNotFound").await;
    scene.quiet(Duration::from_secs(1)).await;
    let tries = scene.relay.writes().iter().filter(|call| call.is_about("bad")).count();
    assert!(tries <= 3, "the bad one was written about {tries} times: a condition and an event");
    let rows = [
        Row::new("199 good ones applied after", format!("{:.1} s", took.as_secs_f64())),
        Row::new("peak memory of the operator", format!("{} MiB", operator.peak_memory() >> 20)),
    ];
    report("1 bad among 200", &rows);
}
