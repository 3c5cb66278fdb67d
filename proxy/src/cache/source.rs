//! Which address of a registry gives a file, where it has several: the one that gave what belongs together with it. A
//! version's description from one registry and its archive from another would be a package that nobody published.

use std::sync::Arc;

use url::Url;

use super::{Cache, Fill};
use crate::fetch::{Instead, Wanted};
use crate::intent::Artifact;
use crate::resolve::Target;
use crate::store::{Record, RecordId};

/// Where something came from: the base of a fallback, or `None` for the first address.
type Source = Option<Url>;

impl Cache {
    /// The address that is to give an artifact: the one that gave it before, else the one that gave what it follows.
    pub(super) async fn wanted(self: &Arc<Self>, id: RecordId, artifact: &Artifact, target: &Target) -> Option<Wanted> {
        if !self.has_fallbacks() {
            return None;
        }
        // Bytes that are compared with a digest or a pin may come from anywhere.
        if let Some(fallback) = self.source_on_disk(id).await {
            return Some(Wanted { fallback, instead: Instead::Anyone });
        }
        let fallback = self.source_of_siblings(artifact).await?;
        let instead = if target.expected.is_certain() { Instead::Anyone } else { Instead::SameRegistry };
        Some(Wanted { fallback, instead })
    }

    async fn source_of_siblings(self: &Arc<Self>, artifact: &Artifact) -> Option<Source> {
        for key in artifact.siblings() {
            let id = self.space.record_id(&key);
            let on_its_way = || self.state.fills.find(id).and_then(|fill| fill.source());
            if let Some(source) = self.source_on_disk(id).await.or_else(on_its_way) {
                return Some(source);
            }
        }
        None
    }

    async fn source_on_disk(&self, id: RecordId) -> Option<Source> {
        let record = self.record(id).await;
        record.as_deref().and_then(Record::artifact).map(|artifact| artifact.source.clone())
    }
}

impl Fill {
    /// Notes where it comes from.
    pub(super) fn set_source(&self, source: Source) {
        let _ = self.source.set(source);
    }

    /// Where it comes from, once that is known.
    fn source(&self) -> Option<Source> {
        self.source.get().cloned()
    }
}

#[cfg(test)]
mod tests;
