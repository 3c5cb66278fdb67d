//! Weighs the addresses that a client names: the first one that can be an upstream is taken, and why the others
//! cannot is remembered.

use std::net::{IpAddr, SocketAddr};

use crds::Ecosystem;
use crds::PackageProxySpec;
use crds::manifest::{API_VERSION, KIND, Metadata, PackageProxy};
use crds::spec::{FallbackSpec, FallbackTrigger};
use crds::values::HttpUrl;
use url::{Host, Url};

use super::Discovery;
use crate::fetch::fallback::LIMIT;

/// A registry that a client of this machine uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its protocol.
    pub ecosystem: Ecosystem,
    /// The name of its proxy: that of the ecosystem.
    pub name: String,
    /// Its base, as `spec.upstream.url`; without user info, query and fragment.
    pub url: Url,
    /// Where the address was read, for people.
    pub read_from: String,
    /// The host in the names of images, where it is not that of the address.
    pub namespace: Option<String>,
    /// Other addresses of the registry, and when they are asked.
    pub fallbacks: Vec<(Url, FallbackTrigger)>,
    /// The checksum database of Go modules.
    pub checksum_database: Option<String>,
    /// What a person should know of it: credentials that were left out, addresses that were passed over.
    pub notes: Vec<String>,
}

/// No registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// The protocol.
    pub ecosystem: Ecosystem,
    /// What to set.
    pub remedy: String,
    /// Addresses that were passed over, and why.
    pub notes: Vec<String>,
}

impl Found {
    /// The manifest of a proxy for this registry.
    pub fn manifest(&self) -> PackageProxy {
        let mut spec = PackageProxySpec::at(self.ecosystem, HttpUrl(self.url.clone()));
        if let Some(upstream) = &mut spec.upstream {
            upstream.namespace.clone_from(&self.namespace);
            upstream.checksum_database.clone_from(&self.checksum_database);
            upstream.fallbacks = self.fallbacks.iter().map(|(url, when)| fallback(url, *when)).collect();
        }
        PackageProxy {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata { name: self.name.clone(), ..Metadata::default() },
            spec,
            status: None,
        }
    }
}

fn fallback(url: &Url, when: FallbackTrigger) -> FallbackSpec {
    FallbackSpec { url: HttpUrl(url.clone()), auth: None, trust: None, when: Some(when) }
}

/// One search, for one ecosystem.
pub(super) struct Search<'a> {
    ecosystem: Ecosystem,
    own: &'a [SocketAddr],
    found: Option<Found>,
    further: Vec<Found>,
    notes: Vec<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(ecosystem: Ecosystem, own: &'a [SocketAddr]) -> Self {
        Self { ecosystem, own, found: None, further: Vec::new(), notes: Vec::new() }
    }

    /// Something that a person should know.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Takes an address if it can be an upstream; `read_from` says where it was read. Returns whether it was taken.
    pub(super) fn offer(&mut self, address: &str, read_from: &str) -> bool {
        let Some(url) = self.usable(address, read_from) else { return false };
        self.found = Some(Found {
            ecosystem: self.ecosystem,
            name: self.ecosystem.name().to_owned(),
            url,
            read_from: read_from.to_owned(),
            namespace: None,
            fallbacks: Vec::new(),
            checksum_database: None,
            notes: Vec::new(),
        });
        true
    }

    /// Takes a further address of what was found.
    pub(super) fn offer_fallback(&mut self, address: &str, when: FallbackTrigger, read_from: &str) {
        let Some(url) = self.usable(address, read_from) else { return };
        let Some(found) = &mut self.found else { return };
        if found.fallbacks.len() < LIMIT {
            found.fallbacks.push((url, when));
        }
    }

    /// Takes the checksum database of what was found.
    pub(super) fn checksum_database(&mut self, name: &str) {
        if let Some(found) = &mut self.found {
            found.checksum_database = Some(name.to_owned());
        }
    }

    /// An address that can be an upstream, without what does not belong into a manifest.
    fn usable(&mut self, address: &str, read_from: &str) -> Option<Url> {
        let Some(mut url) = Url::parse(address.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
        else {
            self.note(format!("passed over {read_from}: not an http(s) address"));
            return None;
        };
        if is_own(&url, self.own) {
            self.note(format!("passed over {read_from}: it names this proxy itself"));
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            self.note(format!(
                "{read_from} also holds a credential, which is left out here: put it into a Secret and name it in \
                 spec.upstream.auth"
            ));
        }
        // Fails only for addresses without a host, which http does not have.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Some(url)
    }

    /// Takes an address beside those that were taken, for clients that use several registries at once. The proxy of
    /// each but the first is named with `suffix`. One that was taken before is not taken again. Returns what was taken.
    pub(super) fn offer_another(&mut self, address: &str, read_from: &str, suffix: &str) -> Option<&mut Found> {
        let before = self.found.take();
        let taken = self.offer(address, read_from).then(|| self.found.take()).flatten();
        let Some(first) = before else {
            self.found = taken;
            return self.found.as_mut();
        };
        let is_new = |found: &Found| self.further.iter().chain([&first]).all(|known| known.url != found.url);
        let taken = taken.filter(is_new);
        self.found = Some(first);
        let mut name = format!("{}-{suffix}", self.ecosystem);
        let is_used = |name: &str| self.further.iter().any(|known| known.name == name);
        if is_used(&name) {
            let mut numbered = (2..=self.further.len() + 2).map(|number| format!("{name}-{number}"));
            name = numbered.find(|name| !is_used(name)).unwrap_or_default();
        }
        self.further.push(Found { name, ..taken? });
        self.further.last_mut()
    }

    /// The outcome; `remedy` says what to set if nothing was taken.
    pub(super) fn finish(self, remedy: &str) -> Vec<Discovery> {
        let Self { ecosystem, found, further, notes, .. } = self;
        match found {
            Some(found) => {
                let all = std::iter::once(Found { notes, ..found }).chain(further);
                all.map(Discovery::Found).collect()
            }
            None => vec![Discovery::NotFound(NotFound { ecosystem, remedy: remedy.to_owned(), notes })],
        }
    }
}

/// A part of a proxy's name that is made of a text; it may be empty.
pub(super) fn label(text: &str) -> String {
    let letters =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    letters.take(20).collect::<String>().trim_matches('-').to_owned()
}

/// Whether an address leads to one of our own ports on this machine.
fn is_own(url: &Url, own: &[SocketAddr]) -> bool {
    let is_here = |address: &SocketAddr| match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified() || IpAddr::V4(ip) == address.ip(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified() || IpAddr::V6(ip) == address.ip(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    own.iter().any(|address| url.port_or_known_default() == Some(address.port()) && is_here(address))
}
