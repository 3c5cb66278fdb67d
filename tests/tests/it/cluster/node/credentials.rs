//! Secrets: used without a right to read them, rotated without a restart, missed by name.

use serde_json::{Value, json};
use tests::Client;
use tests::cluster::{Loop, Row, Scene, authority, condition_of, of, report};
use tests::fixture::{LARGE, SMALL};
use tests::wait::until;
use tokio::time::Instant;

use super::Stage;

fn secret(scene: &Scene, values: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "account", "namespace": scene.namespace()},
        "stringData": values})
}

/// Both accounts are valid for a while; a loop installs throughout.
async fn rotate(kind: &str, old: (Value, &str), new: (Value, &str)) {
    let stage = Stage::new(&format!("rotate-{}", kind.to_lowercase())).await;
    let (scene, upstream) = (&stage.scene, &stage.upstream);
    upstream.require(&[old.1]);
    scene.api.apply(&secret(scene, &old.0)).await;
    let proxy = stage.asking().spec("/upstream/auth", json!({"type": kind, "secretRef": {"name": "account"}}));
    scene.apply(&proxy).await;
    let pods = scene.serving(&proxy).await;
    scene.until(&proxy, "CredentialsResolved", "True", "Resolved").await;
    let paths = vec![stage.metadata(), stage.artifact(SMALL), stage.artifact(LARGE)];
    let installing = Loop::start(scene.service("npm").await, paths);
    installing.further(30).await;

    upstream.require(&[old.1, new.1]);
    let rotated = Instant::now();
    scene.api.apply(&secret(scene, &new.0)).await;
    until("the new account to be used", || async {
        let last = upstream.requests_of(&stage.fixture.upstream_metadata()).pop();
        last.filter(|request| request.header("authorization") == Some(new.1))
    })
    .await;
    let took = rotated.elapsed();
    upstream.require(&[new.1]);
    installing.further(30).await;
    let requests = installing.end().await;
    assert_eq!(scene.serving(&proxy).await, pods, "neither restarted nor replaced");
    let rows = [
        Row::new(format!("{kind}: new credential in use after"), format!("{:.1} s", took.as_secs_f64())),
        Row::new(format!("{kind}: requests meanwhile, none failed"), requests.to_string()),
    ];
    report("rotation", &rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_password_is_rotated_without_a_failed_install() {
    let (old, new) = (authority("ci", "old"), authority("ci", "new"));
    let account = |password: &str| json!({"username": "ci", "password": password});
    rotate("Basic", (account("old"), &old), (account("new"), &new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_token_is_rotated_without_a_failed_install() {
    rotate("Bearer", (json!({"token": "old"}), "Bearer old"), (json!({"token": "new"}), "Bearer new")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_deleted_secret_is_named_and_its_last_value_stays_in_use() {
    let stage = Stage::new("lost").await;
    let (scene, upstream) = (&stage.scene, &stage.upstream);
    upstream.require(&["Bearer t"]);
    let token = secret(scene, &json!({"token": "t"}));
    let proxy = stage.asking().spec("/upstream/auth", json!({"type": "Bearer", "secretRef": {"name": "account"}}));
    scene.apply(&proxy).await;
    // Before there is one.
    let object = scene.until(&proxy, "CredentialsResolved", "False", "SecretNotFound").await;
    assert!(condition_of(&object, "CredentialsResolved").message.contains("account"));
    scene.api.apply(&token).await;
    scene.until(&proxy, "CredentialsResolved", "True", "Resolved").await;
    let pods = scene.serving(&proxy).await;
    let client = Client::new(scene.service("npm").await);
    client.get(&stage.metadata()).await.expect_status(200);

    scene.api.delete(&of(&token)).await;
    let object = scene.until(&proxy, "CredentialsResolved", "False", "SecretNotFound").await;
    assert!(condition_of(&object, "CredentialsResolved").message.contains("account"));
    client.get(&stage.metadata()).await.expect_status(200);
    client.get(&stage.artifact(SMALL)).await.expect_status(200);
    let last = upstream.requests().pop().expect("requests");
    assert_eq!(last.header("authorization"), Some("Bearer t"));

    scene.api.apply(&secret(scene, &json!({"tokn": "t"}))).await;
    let object = scene.until(&proxy, "CredentialsResolved", "False", "KeyMissing").await;
    assert!(condition_of(&object, "CredentialsResolved").message.contains("token"), "{object}");
    scene.api.delete(&of(&token)).await;
    scene.api.apply(&token).await;
    scene.until(&proxy, "CredentialsResolved", "True", "Resolved").await;
    assert_eq!(scene.serving(&proxy).await, pods);
}
