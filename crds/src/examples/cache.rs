//! Examples of `spec.cache`.

use serde_json::{Value, json};

use super::{Example, admitted, proxy, rule, schema};

pub(super) fn examples() -> Vec<Example> {
    [good(), cache(), storage()].concat()
}

fn storage_of(storage: Value) -> Value {
    proxy(json!({"cache": {"storage": storage}}))
}

fn claim(members: Value) -> Value {
    storage_of(json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": members}))
}

fn good() -> Vec<Example> {
    vec![
        admitted(
            "a new claim",
            claim(json!({"size": "20Gi", "storageClassName": "fast", "retentionPolicy": "Delete"})),
        ),
        admitted("a claim that exists", claim(json!({"existingClaimName": "cache"}))),
    ]
}

fn cache() -> Vec<Example> {
    let mut examples = vec![
        schema(
            "a size with a wrong suffix",
            proxy(json!({"cache": {"maxSize": "10GiB"}})),
            "spec.cache.maxSize",
            "is not a size",
        ),
        rule(
            "a duration beyond all bounds",
            proxy(json!({"cache": {"metadataTTL": "999999h"}})),
            "spec.cache.metadataTTL",
            "`metadataTTL` must be between '0s' and '720h'",
        ),
    ];
    for (name, members, field, message) in [
        (
            "a long negativeTTL",
            json!({"negativeTTL": "2h"}),
            "spec.cache.negativeTTL",
            "`negativeTTL` must be between '0s' and '1h'",
        ),
        (
            "a long staleWhileRevalidate",
            json!({"staleWhileRevalidate": "61m"}),
            "spec.cache.staleWhileRevalidate",
            "`staleWhileRevalidate` must be between '0s' and '1h'",
        ),
        (
            "a long staleIfError",
            json!({"staleIfError": "8761h"}),
            "spec.cache.staleIfError",
            "`staleIfError` must be between '0s' and '8760h'",
        ),
        (
            "a long revalidationWait",
            json!({"revalidationWait": "2m"}),
            "spec.cache.revalidationWait",
            "`revalidationWait` must be between '0s' and '1m'",
        ),
        (
            "a small maxSize",
            json!({"maxSize": "1Ki"}),
            "spec.cache.maxSize",
            "`maxSize` must be between '1Mi' and '4Pi'",
        ),
        (
            "an absurd maxSize",
            json!({"maxSize": "99999999999999Pi"}),
            "spec.cache.maxSize",
            "`maxSize` must be between '1Mi' and '4Pi'",
        ),
        (
            "a small maxMetadataSize",
            json!({"maxMetadataSize": "1"}),
            "spec.cache.maxMetadataSize",
            "`maxMetadataSize` must be between '1Ki' and '4Gi'",
        ),
    ] {
        examples.push(rule(name, proxy(json!({ "cache": members })), field, message));
    }
    examples
}

fn storage() -> Vec<Example> {
    let at = "spec.cache.storage.persistentVolumeClaim";
    let exactly = "`persistentVolumeClaim` must have exactly one of `size` and `existingClaimName`";
    let one = "`replicas` must be at most 1 if `cache.storage.type` is 'PersistentVolumeClaim'";
    let new = json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"size": "5Gi"}});
    vec![
        schema("storage of no type", storage_of(json!({"ephemeral": {}})), "spec.cache.storage.type", "is required"),
        schema(
            "a number for a size",
            claim(json!({"size": 5})),
            "spec.cache.storage.persistentVolumeClaim.size",
            "a string",
        ),
        rule(
            "a directory of the type claim",
            storage_of(
                json!({"type": "PersistentVolumeClaim", "ephemeral": {}, "persistentVolumeClaim": {"size": "5Gi"}}),
            ),
            "spec.cache.storage.ephemeral",
            "`ephemeral` must be absent unless `type` is 'Ephemeral'",
        ),
        rule(
            "the type claim without one",
            storage_of(json!({"type": "PersistentVolumeClaim"})),
            at,
            "`persistentVolumeClaim` must be set if `type` is 'PersistentVolumeClaim'",
        ),
        rule(
            "a claim of the type Ephemeral",
            storage_of(json!({"type": "Ephemeral", "persistentVolumeClaim": {"size": "5Gi"}})),
            at,
            "`persistentVolumeClaim` must be absent unless `type` is 'PersistentVolumeClaim'",
        ),
        rule("a claim of no size", claim(json!({})), at, exactly),
        rule("a claim both new and old", claim(json!({"size": "5Gi", "existingClaimName": "a"})), at, exactly),
        rule(
            "another's claim of a storage class",
            claim(json!({"existingClaimName": "a", "storageClassName": "fast"})),
            "spec.cache.storage.persistentVolumeClaim.storageClassName",
            "`storageClassName` must be absent unless `size` is set",
        ),
        rule(
            "another's claim of an access mode",
            claim(json!({"existingClaimName": "a", "accessMode": "ReadWriteMany"})),
            "spec.cache.storage.persistentVolumeClaim.accessMode",
            "`accessMode` must be absent unless `size` is set",
        ),
        rule(
            "another's claim that is deleted",
            claim(json!({"existingClaimName": "a", "retentionPolicy": "Delete"})),
            "spec.cache.storage.persistentVolumeClaim.retentionPolicy",
            "`retentionPolicy` must be absent unless `size` is set",
        ),
        rule(
            "a tiny claim",
            claim(json!({"size": "1"})),
            "spec.cache.storage.persistentVolumeClaim.size",
            "`size` must be between '1Mi' and '4Pi'",
        ),
        rule(
            "a huge directory",
            storage_of(json!({"type": "Ephemeral", "ephemeral": {"sizeLimit": "5Pi"}})),
            "spec.cache.storage.ephemeral.sizeLimit",
            "`sizeLimit` must be between '1Mi' and '4Pi'",
        ),
        rule(
            "more than the directory holds",
            proxy(
                json!({"cache": {"maxSize": "2Gi", "storage": {"type": "Ephemeral", "ephemeral": {"sizeLimit": "1Gi"}}}}),
            ),
            "spec.cache.maxSize",
            "`maxSize` must not be larger than `storage.ephemeral.sizeLimit`",
        ),
        rule(
            "more than the claim holds",
            proxy(json!({"cache": {"maxSize": "6000Mi", "storage": new}})),
            "spec.cache.maxSize",
            "`maxSize` must not be larger than `storage.persistentVolumeClaim.size`",
        ),
        rule(
            "two replicas with a claim",
            proxy(json!({"replicas": 2, "cache": {"storage": new}})),
            "spec.replicas",
            one,
        ),
    ]
}
