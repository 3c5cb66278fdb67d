//! The manifests of released versions before a real API server: what was accepted is, and what was refused as well.

use std::fs;

use tests::cluster::{Row, Scene, report, workspace};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn manifests_of_released_versions_have_the_verdict_that_they_had() {
    let scene = Scene::new("released").await;
    let mut counts = [0; 2];
    for version in fs::read_dir(workspace().join("operator/tests/released")).expect("the manifests") {
        let version = version.expect("an entry").path();
        if !version.is_dir() {
            continue;
        }
        for (number, verdict) in ["accepted", "refused"].into_iter().enumerate() {
            for manifest in fs::read_dir(version.join(verdict)).expect("a folder of manifests") {
                let path = manifest.expect("an entry").path().display().to_string();
                let apply = ["apply", "--dry-run=server", "--namespace", scene.namespace(), "-f", &path];
                let answer = scene.cluster().run("kubectl", &apply);
                counts[number] += 1;
                if verdict == "accepted" {
                    assert!(answer.is_ok(), "{path}: {answer:?}");
                    continue;
                }
                let text = fs::read_to_string(&path).expect("a manifest");
                let field = text.lines().next().and_then(|line| line.strip_prefix("# refused because of "));
                let message = answer.expect_err(&path);
                assert!(message.contains(field.expect("the field in the first line")), "{path}: {message}");
            }
        }
    }
    let [accepted, refused] = counts;
    assert!(accepted >= 8 && refused >= 6, "{counts:?}");
    report("released versions", &[Row::new("manifests accepted, refused", format!("{accepted}, {refused}"))]);
}
