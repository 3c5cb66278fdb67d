//! The definitions as the API server understands them, and the operator's own ports.

use crds::examples::{Example, Verdict, examples};
use serde_json::json;
use tests::cluster::{Scene, condition_of, of};
use tests::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn kubectl_shows_what_matters_and_scales() {
    let scene = Scene::new("kubectl").await;
    let operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let object = scene.converged(&proxy).await;
    let kubectl = |arguments: &[&str]| scene.cluster().kubectl(&[&["-n", scene.namespace()][..], arguments].concat());

    let table = kubectl(&["get", "pkgp"]);
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().expect("a head").split_whitespace().collect();
    assert_eq!(head, ["NAME", "ECOSYSTEM", "URL", "READY", "STATUS", "CACHED", "AGE"]);
    let row: Vec<&str> = lines.next().expect("a row").split_whitespace().collect();
    let url = format!("http://npm.{}.svc.cluster.local", scene.namespace());
    assert!(row[2].starts_with(&url), "{table}");
    assert_eq!([row[0], row[1], row[3], row[4]], ["npm", "npm", "True", "ScaledToZero"], "{table}");
    assert!(kubectl(&["get", "packageproxies", "-o", "wide"]).contains("HITS%"));
    println!("{table}");

    // Every condition is there from the first visit.
    for kind in [
        "Accepted",
        "ResourcesApplied",
        "StorageReady",
        "Available",
        "UpstreamReachable",
        "CredentialsResolved",
        "ClientConfigPublished",
        "ConfigurationLoaded",
        "Ready",
    ] {
        let found = condition_of(&object, kind);
        assert!(!found.reason.is_empty() && !found.message.is_empty(), "{kind}: {found:?}");
    }
    kubectl(&["wait", "--for=condition=Ready", "--timeout=30s", "pkgp/npm"]);
    assert_eq!(kubectl(&["get", "pkgp", "--field-selector", "spec.ecosystem=pypi", "-o", "name"]), "");
    assert!(kubectl(&["get", "pkgp", "--field-selector", "spec.ecosystem=npm", "-o", "name"]).contains("/npm"));

    kubectl(&["scale", "pkgp/npm", "--replicas=2"]);
    until("the Deployment to be scaled", || async {
        let deployment = scene.api.get(&tests::cluster::at("Deployment", scene.namespace(), "npm")).await;
        (deployment["spec"]["replicas"] == 2).then_some(())
    })
    .await;
    let scale = scene.api.get(&of(&proxy.0).sub("scale")).await;
    let selector = scale["status"]["selector"].as_str().expect("a selector for autoscalers");
    assert!(selector.contains("app.kubernetes.io/instance=npm"), "{selector}");
    until("an event", || async { kubectl(&["events", "--for", "packageproxy/npm"]).contains("Applied").then_some(()) })
        .await;

    let metrics = operator.metrics().await;
    for name in ["packageproxy_reconcile_total", "packageproxy_leader", "packageproxy_objects"] {
        assert!(metrics.has(name), "{name} in {}", metrics.text());
    }
    let pairs = metrics.labels();
    assert!(!pairs.iter().any(|(name, _)| name == "error" || name == "message"), "no texts in labels: {pairs:?}");
}

/// The status is the operator's: what a person writes there is put right, and `spec` is never written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn the_spec_stays_as_it_was_written() {
    let scene = Scene::new("spec").await;
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    let before = scene.apply(&proxy).await;
    let after = scene.converged(&proxy).await;
    assert_eq!(before["spec"], after["spec"]);
    assert_eq!(after["metadata"]["generation"], 1);
    assert_eq!(before["metadata"]["annotations"], after["metadata"]["annotations"]);
    let managers = after["metadata"]["managedFields"].as_array().expect("managers");
    let ours = managers.iter().filter(|entry| entry["manager"] == "packageproxy.dev/operator");
    for entry in ours {
        assert_eq!(entry["subresource"], "status", "{entry}");
    }
}

/// A default class fills what a proxy leaves out, and a change of it reaches every proxy that uses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_class_fills_what_a_proxy_leaves_out() {
    let scene =
        Scene::plan("class").value("/defaultClass/upstreams/npm", "https://registry.example/built-in/").start().await;
    let _operator = scene.operator().await;
    let mut plain = scene.proxy("plain");
    plain.0["spec"].as_object_mut().expect("a spec").remove("upstream");
    scene.apply(&plain).await;
    let object = scene.converged(&plain).await;
    assert_eq!(object["status"]["upstream"]["url"], "https://registry.example/built-in/");

    let name = scene.namespace().to_owned();
    let class = |port: i32| {
        json!({"apiVersion": crds::API_VERSION, "kind": crds::CLASS_KIND,
        "metadata": {"name": name}, "spec": {"defaults": {"service": {"port": port}}}})
    };
    scene.api.apply(&class(8080)).await;
    let named = scene.proxy("named").spec("/className", name.clone());
    scene.apply(&named).await;
    scene.converged(&named).await;
    let port = || async {
        scene.api.get(&tests::cluster::at("Service", scene.namespace(), "named")).await["spec"]["ports"][0]["port"]
            .as_i64()
    };
    assert_eq!(port().await, Some(8080));
    scene.api.apply(&class(8081)).await;
    until("the class to reach its proxy", || async { (port().await == Some(8081)).then_some(()) }).await;
    scene.api.delete(&of(&class(0))).await;
    scene.until(&named, "Accepted", "False", "ClassNotFound").await;
    assert_eq!(port().await, Some(8081), "children stay as they are");
}

/// Pods never come without a node, as with an image that nobody can pull: a better one reaches all that are stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_class_that_is_corrected_reaches_every_proxy_that_is_stuck() {
    let scene = Scene::new("stuck").await;
    let _operator = scene.operator().await;
    let class = |image: &str| {
        json!({"apiVersion": crds::API_VERSION, "kind": crds::CLASS_KIND,
            "metadata": {"name": scene.namespace()}, "spec": {"image": image}})
    };
    scene.lend(&class("registry.example/absent:1")).await;
    let names = ["a", "b"];
    for name in names {
        let proxy = scene.proxy(name).spec("/replicas", 1).spec("/className", scene.namespace());
        scene.apply(&proxy).await;
        scene.until(&proxy, "ResourcesApplied", "True", "Applied").await;
    }
    scene.lend(&class("registry.example/better:1")).await;
    for name in names {
        until(&format!("the better image of {name}"), || async {
            let deployment = scene.api.get(&tests::cluster::at("Deployment", scene.namespace(), name)).await;
            let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
            (image == "registry.example/better:1").then_some(())
        })
        .await;
    }
}

/// The API server's verdict of each example, and of `packageproxy check`, are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn every_example_is_admitted_or_refused_as_it_says() {
    let scene = Scene::new("examples").await;
    let mut wrong = Vec::new();
    let mut checked = 0;
    for Example { name, before, mut document, verdict } in examples() {
        let ours = document["kind"] == crds::KIND;
        if ours {
            document["metadata"]["namespace"] = scene.namespace().into();
        }
        let answer = match before {
            None => scene.api.rehearse(&document).await,
            Some(mut before) => {
                if ours {
                    before["metadata"]["namespace"] = scene.namespace().into();
                }
                // A name of its own, since what is before is kept.
                for side in [&mut before, &mut document] {
                    side["metadata"]["name"] = format!("change-{checked}").into();
                }
                scene.api.apply(&before).await;
                scene.api.try_apply(&document).await
            }
        };
        checked += 1;
        let (field, message) = match &verdict {
            Verdict::Admitted | Verdict::NotAccepted { .. } => {
                if let Err(refusal) = answer {
                    wrong.push(format!("{name}: refused: {refusal:?}"));
                }
                continue;
            }
            // The API server has its own words for the form, and the same for the rules.
            Verdict::RefusedBySchema { field, .. } => (*field, ""),
            Verdict::RefusedByRule { field, message } => (*field, *message),
        };
        let field = if field.starts_with("metadata") { "" } else { field };
        match answer {
            Ok(_) => wrong.push(format!("{name}: admitted, although {field}: {message}")),
            Err(refusal) if !(refusal.message.contains(field) && refusal.message.contains(message)) => {
                wrong.push(format!("{name}: {field}: {message}: in other words: {}", refusal.message));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {checked} examples:\n{}", wrong.len(), wrong.join("\n"));
    println!("{checked} examples");
}
