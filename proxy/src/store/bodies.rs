//! Small blobs that were served lately, in memory.

use bytes::Bytes;

use super::BlobId;

/// Blobs by digest. Bytes that two owners have are one here: who may have them is decided by the records.
pub(super) type Bodies = quick_cache::sync::Cache<BlobId, Bytes, ByLength>;

/// Weighs a blob in memory by its length.
#[derive(Clone, Debug)]
pub(super) struct ByLength;

impl quick_cache::Weighter<BlobId, Bytes> for ByLength {
    fn weight(&self, _: &BlobId, body: &Bytes) -> u64 {
        body.len() as u64 + 64
    }
}

/// Room for this many bytes of blobs.
pub(super) fn bodies(memory: u64) -> Bodies {
    let items = (memory / (32 << 10)).max(16) as usize;
    quick_cache::sync::Cache::with_weighter(items, memory, ByLength)
}
