//! Container clients know a host and no path: the version of their protocol is at the root of the port for all
//! container proxies together.

use std::sync::Arc;

use crds::Ecosystem as Kind;

use super::{Routed, Site, Sites, Unrouted};
use crate::ecosystem;

/// The first segment of all addresses of the distribution protocol.
pub(super) const VERSION: &str = "v2";
/// The parameter by which a client that was set to use a mirror says whose (distribution specification, Registry
/// Proxying).
const NAMESPACE: &str = "ns";

impl Sites {
    /// The container proxies.
    pub(super) fn registries(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.by_name.values().filter(|site| site.settings.ecosystem == Kind::Container)
    }

    /// The proxy that a raw path below `/v2/` means: that of the registry which `ns` names, else the one that the first
    /// segment names, else the only one.
    pub(super) fn registry(&self, rest: &str, query: Option<&str>) -> Result<Routed<'static>, Unrouted> {
        let namespace = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find(|(name, _)| name == NAMESPACE)
            .map(|(_, value)| value.into_owned());
        let routed = |site: &Arc<Site>, rest: &str, namespace: Option<String>| {
            Ok(Routed { site: Arc::clone(site), path: format!("{VERSION}/{rest}").into(), namespace })
        };
        if let Some(namespace) = namespace {
            // Only what is configured: a client never names a host that is then asked.
            return match self.registries().find(|site| site.settings.upstream.is_named(&namespace)) {
                Some(site) => routed(site, rest, Some(namespace)),
                None => Err(self.unknown("no proxy here is for that registry")),
            };
        }
        let (first, below) = rest.split_once('/').unwrap_or((rest, ""));
        // At the root no address begins with a proxy's name: it is a part of the repository's.
        if let Some(site) = self.registries().find(|site| !self.at_root && site.settings.name == first) {
            return routed(site, below, None);
        }
        let mut all = self.registries();
        match (all.next(), all.next()) {
            (Some(only), None) => routed(only, rest, None),
            // Whether this is a registry at all is asked before any name is.
            (Some(any), _) if rest.is_empty() => routed(any, rest, None),
            _ => Err(self.unknown("several registries are served here, and the name begins with none of them")),
        }
    }

    fn unknown(&self, reason: &str) -> Unrouted {
        let names: Vec<String> = self
            .registries()
            .map(|site| format!("{} ({})", site.settings.name, site.settings.upstream.namespace()))
            .collect();
        let protocol = Some(ecosystem::of(Kind::Container));
        Unrouted { reason: format!("{reason}; there are: {}", names.join(", ")), protocol }
    }
}
