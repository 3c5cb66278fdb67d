//! What the cache did, in the words of RFC 9211; the access log and the metrics use them too.

use std::fmt;

/// How a response came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStatus {
    /// From the store.
    Hit {
        /// Seconds of freshness left; negative while a revalidation runs.
        ttl: i64,
    },
    /// Fetched now.
    Miss {
        /// Whether it is kept.
        stored: bool,
        /// Whether another request had started the fetch.
        collapsed: bool,
    },
    /// Was stale and has been confirmed or replaced.
    Revalidated {
        /// The upstream's status.
        status: u16,
    },
    /// Was stale and is served because the upstream fails.
    Stale {
        /// The upstream's status, if it gave one.
        status: Option<u16>,
    },
    /// Never kept.
    Bypass,
    /// Answered without an upstream and without the store.
    #[default]
    Local,
}

impl CacheStatus {
    /// An artifact from the store: as good for a year as for ever.
    pub const IMMUTABLE: Self = Self::Hit { ttl: 31_536_000 };

    /// A label of metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit { ttl } if ttl < 0 => "stale-while-revalidate",
            Self::Hit { .. } => "hit",
            Self::Miss { collapsed: true, .. } => "collapsed",
            Self::Miss { .. } => "miss",
            Self::Revalidated { .. } => "revalidated",
            Self::Stale { .. } => "stale-if-error",
            Self::Bypass => "bypass",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("packageproxy")?;
        match self {
            Self::Hit { ttl } => write!(formatter, "; hit; ttl={ttl}"),
            Self::Miss { stored, collapsed } => {
                formatter.write_str("; fwd=uri-miss")?;
                formatter.write_str(if *stored { "; stored" } else { "" })?;
                formatter.write_str(if *collapsed { "; collapsed" } else { "" })
            }
            Self::Revalidated { status } => write!(formatter, "; fwd=stale; fwd-status={status}"),
            Self::Stale { status: Some(status) } => {
                write!(formatter, "; fwd=stale; fwd-status={status}; detail=stale-if-error")
            }
            Self::Stale { status: None } => formatter.write_str("; fwd=stale; detail=stale-if-error"),
            Self::Bypass => formatter.write_str("; fwd=bypass"),
            Self::Local => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (status, text) in [
            (CacheStatus::Hit { ttl: 7 }, "packageproxy; hit; ttl=7"),
            (CacheStatus::Hit { ttl: -3 }, "packageproxy; hit; ttl=-3"),
            (CacheStatus::Miss { stored: true, collapsed: false }, "packageproxy; fwd=uri-miss; stored"),
            (CacheStatus::Miss { stored: true, collapsed: true }, "packageproxy; fwd=uri-miss; stored; collapsed"),
            (CacheStatus::Revalidated { status: 304 }, "packageproxy; fwd=stale; fwd-status=304"),
            (
                CacheStatus::Stale { status: Some(503) },
                "packageproxy; fwd=stale; fwd-status=503; detail=stale-if-error",
            ),
            (CacheStatus::Bypass, "packageproxy; fwd=bypass"),
        ] {
            assert_eq!(status.to_string(), text);
        }
    }
}
