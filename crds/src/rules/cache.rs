//! Rules over `cache`: the bounds of its durations and sizes, and where it lies.

use super::node::Node;
use super::rule::Rule;
use crate::values::ByteSize;

const CLAIM: &str = "PersistentVolumeClaim";

/// The rules of a `cache` at this place.
pub(super) fn rules(at: &str) -> Vec<Rule> {
    let duration = |field, most| Rule::duration(format!("{at}.{field}"), "0s", most);
    let size = |field, least, most| Rule::size(format!("{at}.{field}"), least, most);
    let mut rules = vec![
        duration("metadataTTL", "720h"),
        duration("negativeTTL", "1h"),
        duration("staleWhileRevalidate", "1h"),
        duration("staleIfError", "8760h"),
        duration("revalidationWait", "1m"),
        size("maxSize", "1Mi", "4Pi"),
        size("maxMetadataSize", "1Ki", "4Gi"),
        size("storage.ephemeral.sizeLimit", "1Mi", "4Pi"),
        size("storage.persistentVolumeClaim.size", "1Mi", "4Pi"),
        fits(at, "ephemeral.sizeLimit"),
        fits(at, "persistentVolumeClaim.size"),
    ];
    rules.extend(union(&format!("{at}.storage")));
    rules.extend(claim(&format!("{at}.storage.persistentVolumeClaim")));
    rules
}

/// The members of `storage` go with its type.
fn union(storage: &str) -> [Rule; 3] {
    let is_claim = |storage: &Node<'_>| storage.get("type").text() == Some(CLAIM);
    [
        Rule::at(
            storage,
            "`ephemeral` must be absent unless `type` is 'Ephemeral'",
            "self.type == 'Ephemeral' || !has(self.ephemeral)",
            move |storage| !is_claim(storage) || !storage.get("ephemeral").is_set(),
        )
        .field("ephemeral")
        .remedy("remove `ephemeral`, or use type: Ephemeral"),
        Rule::at(
            storage,
            "`persistentVolumeClaim` must be set if `type` is 'PersistentVolumeClaim'",
            format!("self.type != '{CLAIM}' || has(self.persistentVolumeClaim)"),
            move |storage| !is_claim(storage) || storage.get("persistentVolumeClaim").is_set(),
        )
        .field("persistentVolumeClaim")
        .remedy("give persistentVolumeClaim a size, or the name of a claim that exists"),
        Rule::at(
            storage,
            "`persistentVolumeClaim` must be absent unless `type` is 'PersistentVolumeClaim'",
            format!("self.type == '{CLAIM}' || !has(self.persistentVolumeClaim)"),
            |storage| storage.get("type").text() != Some("Ephemeral") || !storage.get("persistentVolumeClaim").is_set(),
        )
        .field("persistentVolumeClaim")
        .remedy("remove `persistentVolumeClaim`, or use type: PersistentVolumeClaim"),
    ]
}

/// A claim is either made or taken as it is.
fn claim(claim: &str) -> Vec<Rule> {
    let mut rules = vec![
        Rule::at(
            claim,
            "`persistentVolumeClaim` must have exactly one of `size` and `existingClaimName`",
            "has(self.size) != has(self.existingClaimName)",
            |claim| claim.object().is_none() || claim.get("size").is_set() != claim.get("existingClaimName").is_set(),
        )
        .remedy("say how large the new claim is, or which claim is used"),
    ];
    for field in ["storageClassName", "accessMode", "retentionPolicy"] {
        rules.push(
            Rule::at(
                claim,
                format!("`{field}` must be absent unless `size` is set"),
                format!("has(self.size) || !has(self.{field})"),
                move |claim| claim.get("size").is_set() || !claim.get(field).is_set(),
            )
            .field(field)
            .remedy(format!("remove `{field}`: a claim that exists stays as it is")),
        );
    }
    rules
}

/// What is kept must fit into the volume.
fn fits(cache: &str, volume: &'static str) -> Rule {
    let (member, field) = volume.split_once('.').unwrap_or((volume, ""));
    let at = format!("self.storage.{member}");
    Rule::at(
        cache,
        format!("`maxSize` must not be larger than `storage.{volume}`"),
        format!(
            "!has(self.maxSize) || !has(self.storage) || !has({at}) || !has({at}.{field}) || \
             quantity(self.maxSize).compareTo(quantity({at}.{field})) <= 0"
        ),
        move |cache| {
            let volume = cache.get("storage").get(member).get(field).parsed::<ByteSize>();
            match (cache.get("maxSize").parsed::<ByteSize>(), volume) {
                (Some(most), Some(volume)) => most <= volume,
                _ => true,
            }
        },
    )
    .field("maxSize")
    .remedy("leave `maxSize` out: it then follows the volume")
}

/// Two processes may share a volume only while one of them leaves.
pub(super) fn one_replica_with_a_claim() -> Rule {
    Rule::at(
        "spec",
        "`replicas` must be at most 1 if `cache.storage.type` is 'PersistentVolumeClaim'",
        format!(
            "!has(self.replicas) || self.replicas <= 1 || !has(self.cache) || !has(self.cache.storage) || \
             self.cache.storage.type != '{CLAIM}'"
        ),
        |spec| {
            spec.get("replicas").number().is_none_or(|replicas| replicas <= 1)
                || spec.get("cache").get("storage").get("type").text() != Some(CLAIM)
        },
    )
    .field("replicas")
    .remedy("a claim means 1 replica: use it, or storage of the type Ephemeral")
}
