//! Rules over `spec.cache`: the bounds of its durations and sizes.

use super::node::Node;
use crate::problem::Problem;
use crate::values::{ByteSize, GoDuration};

pub(super) fn check(cache: &Node<'_>, problems: &mut Vec<Problem>) {
    for (field, least, most) in [
        ("metadataTTL", "0s", "720h"),
        ("negativeTTL", "0s", "1h"),
        ("staleWhileRevalidate", "0s", "1h"),
        ("staleIfError", "0s", "8760h"),
        ("revalidationWait", "0s", "1m"),
    ] {
        cache.get(field).within::<GoDuration>(least, most, problems);
    }
    cache.get("maxSize").within::<ByteSize>("1Mi", "4Pi", problems);
    cache.get("maxMetadataSize").within::<ByteSize>("1Ki", "4Gi", problems);
}
