//! Examples of changes. Only the API server compares with what was there before.

use serde_json::{Value, json};

use super::{Example, Verdict, proxy};

fn claim(members: Value) -> Value {
    proxy(json!({"cache": {"storage": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": members}}}))
}

pub(super) fn examples() -> Vec<Example> {
    let change =
        |name, before: Value, document: Value, verdict| Example { name, before: Some(before), document, verdict };
    let refused = |field, message| Verdict::RefusedByRule { field, message };
    let fast = |size: &str| claim(json!({"size": size, "storageClassName": "fast"}));
    let shared = json!({"size": "5Gi", "accessMode": "ReadWriteMany"});
    vec![
        change(
            "another ecosystem",
            proxy(json!({})),
            proxy(json!({"ecosystem": "cargo"})),
            refused("spec.ecosystem", "`ecosystem` must not be changed"),
        ),
        change("a claim grows", fast("5Gi"), fast("6Gi"), Verdict::Admitted),
        change("a claim in another spelling", fast("5Gi"), fast("5120Mi"), Verdict::Admitted),
        change(
            "a claim shrinks",
            fast("5Gi"),
            fast("5G"),
            refused("spec.cache.storage.persistentVolumeClaim.size", "`size` must not shrink"),
        ),
        change(
            "another storage class",
            fast("5Gi"),
            claim(json!({"size": "5Gi", "storageClassName": "slow"})),
            refused(
                "spec.cache.storage.persistentVolumeClaim.storageClassName",
                "`storageClassName` must not be changed",
            ),
        ),
        change(
            "no storage class any more",
            fast("5Gi"),
            claim(json!({"size": "5Gi"})),
            refused(
                "spec.cache.storage.persistentVolumeClaim.storageClassName",
                "`storageClassName` must not be changed",
            ),
        ),
        change("a storage class is named", claim(json!({"size": "5Gi"})), fast("5Gi"), Verdict::Admitted),
        change(
            "another access mode",
            claim(json!({"size": "5Gi"})),
            claim(shared.clone()),
            refused("spec.cache.storage.persistentVolumeClaim.accessMode", "`accessMode` must not be changed"),
        ),
        change(
            "the default access mode is named",
            claim(json!({"size": "5Gi"})),
            claim(json!({"size": "5Gi", "accessMode": "ReadWriteOnce"})),
            Verdict::Admitted,
        ),
        change("another's claim instead", claim(shared), claim(json!({"existingClaimName": "a"})), Verdict::Admitted),
        change("a claim instead of a directory", proxy(json!({})), fast("5Gi"), Verdict::Admitted),
        change("a directory instead of a claim", fast("5Gi"), proxy(json!({})), Verdict::Admitted),
    ]
}
