//! Definitions that are not those of this version: older ones drop fields, looser ones let in what is no manifest. They
//! belong to the whole cluster, so these scenarios run alone.

use std::time::Duration;

use serde_json::{Value, json};
use tests::cluster::{Definition, Proxy, Row, Scene, at, condition_of, of, report};
use tests::wait::until;

/// A version of the definition that does not know two fields yet, of which one matters for safety.
fn older() -> Definition {
    Definition::changed(crds::KIND, |schema| {
        let spec = schema["properties"]["spec"]["properties"].as_object_mut().expect("fields of spec");
        assert!(spec.remove("networkPolicy").is_some());
        let upstream = spec["upstream"]["properties"].as_object_mut().expect("fields of the upstream");
        assert!(upstream.remove("allowedCIDRs").is_some());
        // The rules that speak of them.
        schema.as_object_mut().expect("a schema").remove("x-kubernetes-validations");
        for part in ["spec", "spec/properties/upstream"] {
            let place = format!("/properties/{part}");
            let part = schema.pointer_mut(&place).and_then(Value::as_object_mut).expect("a part of the schema");
            part.remove("x-kubernetes-validations");
        }
    })
}

/// The user's fields are not seen any more, and still there: they come back as soon as the definition does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_older_definition_stops_the_operator_before_anything_is_lost() {
    let scene = Scene::plan("older").alone().start().await;
    let operator = scene.setup("first").flag("--resync", "2s").start();
    scene.leads(&operator).await;
    let strict = |name: &str| {
        let proxy = scene.proxy(name).spec("/networkPolicy", "Strict");
        proxy.spec("/upstream/allowedCIDRs", json!(["10.0.0.0/8"]))
    };
    let proxies: Vec<Proxy> = (0..5).map(|number| strict(&format!("p{number}"))).collect();
    for proxy in &proxies {
        scene.apply(proxy).await;
        scene.converged(proxy).await;
    }
    scene.quiet(Duration::from_secs(2)).await;
    let policy = at("NetworkPolicy", scene.namespace(), "p0");
    let before = scene.api.get(&policy).await["spec"].clone();
    let mark = scene.relay.mark();

    let mut older = older();
    older.install(&scene);
    let says = |line: &str| line.contains("PackageProxy.spec.networkPolicy") && line.contains("kubectl apply");
    until("a word on the definition", || async { operator.logs().iter().any(|line| says(line)).then_some(()) }).await;
    assert_eq!(operator.probe("/readyz").await, Some(503), "it says that it waits");
    assert!(operator.metrics().await.text().contains("packageproxy_crd_outdated{crd=\"PackageProxy\"} 1"));
    assert!(scene.api.get(&of(&proxies[0].0)).await["spec"]["networkPolicy"].is_null(), "dropped by the API server");
    // Something to repair, and time for several looks.
    scene.api.delete(&at("Service", scene.namespace(), "p1")).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let writes = scene.relay.writes_since(mark);
    assert!(writes.is_empty(), "{} writes under an older definition: {writes:#?}", writes.len());
    assert_eq!(scene.api.get(&policy).await["spec"], before);

    drop(older);
    until("the operator to go on", || async { scene.api.find(&at("Service", scene.namespace(), "p1")).await }).await;
    operator.ready().await;
    for proxy in &proxies {
        let object = scene.converged(proxy).await;
        assert_eq!(object["spec"], proxy_spec(proxy), "as it was written");
        assert_eq!(object["metadata"]["generation"], 1);
    }
    assert_eq!(scene.api.get(&policy).await["spec"], before);
    let about = scene.relay.writes_since(mark).iter().filter(|call| !call.is_about("p1")).count();
    assert_eq!(about, 0, "the others were as they should be all the time");
}

fn proxy_spec(proxy: &Proxy) -> Value {
    proxy.0["spec"].clone()
}

/// An operator of a newer version waits before it leads, so that an upgrade stops with the old one at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_operator_does_not_lead_under_an_older_definition() {
    let scene = Scene::plan("early").alone().start().await;
    let mut older = older();
    older.install(&scene);
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let operator = scene.setup("first").start();
    let says = |line: &str| line.contains("waiting for") && line.contains("PackageProxy.spec.upstream.allowedCIDRs");
    until("a word on the definition", || async { operator.logs().iter().any(|line| says(line)).then_some(()) }).await;
    assert_eq!(operator.probe("/readyz").await, Some(503));
    assert_eq!(operator.probe("/healthz").await, Some(200), "waiting is no reason to be restarted");
    assert_eq!(scene.leader().await.filter(|holder| !holder.is_empty()), None);
    drop(older);
    scene.leads(&operator).await;
    scene.converged(&proxy).await;
}

/// A status that the definition knows only in part is written once and not again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_status_that_the_definition_does_not_know_whole_is_no_loop() {
    let scene = Scene::plan("status").alone().start().await;
    let mut older = Definition::changed(crds::KIND, |schema| {
        let status = schema["properties"]["status"]["properties"].as_object_mut().expect("fields of status");
        for field in ["owner", "selector", "image"] {
            assert!(status.remove(field).is_some(), "{field}");
        }
    });
    older.install(&scene);
    let operator = scene.setup("first").flag("--resync", "1s").start();
    scene.leads(&operator).await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let object = scene.converged(&proxy).await;
    assert!(object["status"]["owner"].is_null() && !object["status"]["url"].is_null(), "{}", object["status"]);
    scene.quiet(Duration::from_secs(3)).await;
    let mark = scene.relay.mark();
    // Longer than a write is waited for to come back by the watch.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let writes = scene.relay.writes_since(mark);
    assert!(writes.is_empty(), "{} writes at rest: {writes:#?}", writes.len());
    report("definitions", &[Row::new("writes in 10 s with a status known in part", writes.len().to_string())]);
}

/// What a looser definition let in is no manifest any more: that is said, and the others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn an_object_that_no_longer_parses_is_told_so_and_holds_up_none() {
    let scene = Scene::plan("looser").alone().start().await;
    let mut looser = Definition::changed(crds::KIND, |schema| {
        schema.as_object_mut().expect("a schema").remove("x-kubernetes-validations");
        let spec = &mut schema["properties"]["spec"];
        // Fields to select by must be described.
        let described =
            json!({"ecosystem": spec["properties"]["ecosystem"], "className": spec["properties"]["className"]});
        *spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": described});
    });
    looser.install(&scene);
    // What still has the right types gets a condition; of the others the API server takes no write but a correction.
    let odd = [
        ("rule", scene.proxy("rule").spec("/upstream/url", "nowhere"), "upstream.url"),
        ("word", scene.proxy("word").spec("/networkPolicy", "Sometimes"), "networkPolicy"),
    ];
    let untyped = [
        ("number", scene.proxy("number").spec("/cache/metadataTTL", 5), "metadataTTL"),
        ("list", scene.proxy("list").spec("/upstream", json!(["https://registry.example/"])), "upstream"),
    ];
    let good = scene.proxy("good");
    for (_, proxy, _) in odd.iter().chain(&untyped) {
        scene.apply(proxy).await;
    }
    scene.apply(&good).await;
    drop(looser);
    let operator = scene.setup("first").flag("--resync", "2s").start();
    scene.leads(&operator).await;
    scene.converged(&good).await;
    for (name, proxy, word) in &odd {
        let object = scene.until(proxy, "Accepted", "False", "InvalidConfiguration").await;
        let message = condition_of(&object, "Accepted").message;
        assert!(message.contains(word), "{name}: {word} in {message}");
        println!("{name}: {message}");
    }
    for (name, _, word) in &untyped {
        let note = until("an event", || async {
            let events = scene.api.list(&at("Event", scene.namespace(), ""), "").await;
            let about = |event: &&Value| event["regarding"]["name"] == *name;
            events.iter().find(about).map(|event| event["note"].as_str().unwrap_or_default().to_owned())
        })
        .await;
        assert!(note.contains(word) && note.contains("kubectl edit"), "{name}: {word} in {note}");
        println!("{name}: {note}");
    }
    for (name, proxy, _) in odd.iter().chain(&untyped) {
        assert_eq!(scene.api.get(&of(&proxy.0)).await["spec"], proxy.0["spec"], "{name}: as it was written");
        assert!(scene.children(proxy).await.is_empty(), "{name}: no children");
    }
    scene.quiet(Duration::from_secs(3)).await;
    let mark = scene.relay.mark();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let taken = |call: &&tests::relay::Call| call.status.is_some_and(|status| status < 300);
    assert_eq!(scene.relay.writes_since(mark).iter().filter(taken).count(), 0, "{:#?}", scene.relay.writes_since(mark));
    // A person repairs one of them.
    scene.api.patch(&of(&untyped[0].1.0), &json!({"spec": {"cache": {"metadataTTL": "5s"}}})).await;
    scene.converged(&scene.proxy("number")).await;
}
