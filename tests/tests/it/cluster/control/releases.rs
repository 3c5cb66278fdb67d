//! Releases of the chart side by side and one after the other: who has the definitions, and what becomes of the objects.
//! The definitions belong to the whole cluster, so these scenarios run alone.

use serde_json::{Value, json};
use tests::cluster::{Definition, Scene, of, workspace};

/// Installs a release of the chart without pods, whose definitions are part of it.
fn install(scene: &Scene, release: &str, flags: &[&str]) -> Result<String, String> {
    let chart = workspace().join("charts/packageproxy").display().to_string();
    let arguments = ["install", release, &chart, "--namespace", scene.namespace()];
    let values = ["--set", "replicaCount=0,crds.enabled=true,rbac.aggregate=false"];
    scene.cluster().run("helm", &[&arguments[..], &values, flags].concat())
}

fn release_of(scene: &Scene, definition: &str) -> Option<String> {
    let printed = scene.cluster().kubectl(&["get", "crd", definition, "-o", "json"]);
    let object: Value = serde_json::from_str(&printed).expect("JSON");
    object["metadata"]["annotations"]["meta.helm.sh/release-name"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn the_definitions_outlive_their_release_and_another_takes_them_over() {
    // The scene's own release has crds.enabled=false: it works beside the one that has the definitions.
    let scene = Scene::plan("releases").alone().start().await;
    let _kept = [crds::KIND, crds::CLASS_KIND].map(|kind| Definition::kept(kind, &scene));
    let (first, second) = (format!("{}-a", scene.release()), format!("{}-b", scene.release()));
    let names = ["packageproxies.packageproxy.dev", "packageproxyclasses.packageproxy.dev"];
    let owners = || names.map(|name| release_of(&scene, name).unwrap_or_default());

    let refused = install(&scene, &first, &[]).expect_err("the definitions are there and not Helm's");
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    let notes = install(&scene, &first, &["--take-ownership"]).expect("a release that takes the definitions over");
    assert!(notes.contains("STATUS: deployed"), "{notes}");
    assert_eq!(owners(), [first.as_str(); 2]);

    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    let before = scene.converged(&proxy).await;
    let same = |now: &Value| {
        for member in ["uid", "generation", "creationTimestamp"] {
            assert_eq!(now["metadata"][member], before["metadata"][member], "{member}");
        }
        assert_eq!(now["spec"], before["spec"]);
    };

    scene.cluster().helm(&["uninstall", &first, "--namespace", scene.namespace(), "--wait"]);
    same(&scene.api.get(&of(&proxy.0)).await);
    assert_eq!(owners(), [first.as_str(); 2], "kept, with the name of the release that had them");

    let refused = install(&scene, &second, &[]).expect_err("they are those of another release");
    assert!(refused.contains("invalid ownership metadata") && refused.contains(&second), "{refused}");
    install(&scene, &second, &["--take-ownership"]).expect("another release takes them over");
    assert_eq!(owners(), [second.as_str(); 2]);
    same(&scene.api.get(&of(&proxy.0)).await);
    // The operator of the scene did not notice: a change of a proxy has its effect as before.
    let changed = proxy.spec("/cache/metadataTTL", "7m");
    scene.apply(&changed).await;
    scene.converged(&changed).await;

    // The same name in the same namespace needs no flag.
    scene.cluster().helm(&["uninstall", &second, "--namespace", scene.namespace(), "--wait"]);
    install(&scene, &second, &[]).expect("the same release comes back");
    scene.cluster().helm(&["uninstall", &second, "--namespace", scene.namespace(), "--wait"]);
    assert!(scene.api.try_apply(&json!(changed.0)).await.is_ok(), "the kinds are still there");
}
