//! Rules over the change of a manifest. Only the API server sees what was there before.

use super::rule::Rule;

/// What cannot be changed, because what it stands for cannot.
pub(super) fn rules() -> Vec<Rule> {
    let claim = "spec.cache.storage.persistentVolumeClaim";
    // Another claim may be taken at any time, and an own one made: the rules are about one that stays.
    let own = "!has(self.size) || !has(oldSelf.size)";
    let mode = |claim| format!("has({claim}.accessMode) ? {claim}.accessMode : 'ReadWriteOnce'");
    vec![
        Rule::on_change("spec.ecosystem", "`ecosystem` must not be changed", "self == oldSelf"),
        Rule::on_change(
            claim,
            "`size` must not shrink",
            format!("{own} || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0"),
        )
        .field("size"),
        Rule::on_change(
            claim,
            "`storageClassName` must not be changed",
            format!(
                "{own} || !has(oldSelf.storageClassName) || \
                 (has(self.storageClassName) && self.storageClassName == oldSelf.storageClassName)"
            ),
        )
        .field("storageClassName"),
        Rule::on_change(
            claim,
            "`accessMode` must not be changed",
            format!("{own} || ({}) == ({})", mode("self"), mode("oldSelf")),
        )
        .field("accessMode"),
    ]
}
