//! The running process: what is configured now, and how a new configuration takes over without dropping a request.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use crds::Settings;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use url::Url;

use crate::cache::{Cache, Engine};
use crate::certificate::Certificate;
use crate::config::{Loaded, Refused};
use crate::ecosystem;
use crate::fetch::credential::SecretHosts;
use crate::fetch::probe::{Probe, probe};
use crate::fetch::stack::{self, BuildError, Shared};
use crate::fetch::{SafeUrl, references};
use crate::links::Bases;
use crate::secrets::Secrets;
use crate::server::Phase;
use crate::site::{Site, Sites};
use crate::store::Space;

/// What a process is told once, when it starts.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// Serve the one manifest at `/` instead of at `/name/`.
    pub at_root: bool,
    /// Addresses of this process for links, the first one for clients whose Host is on no list.
    pub bases: Vec<Url>,
    /// Whether every Secret must say where it may be sent.
    pub secret_hosts: SecretHosts,
    /// The Secret with the certificate of the data port; without it that speaks plain http.
    pub tls_secret: Option<String>,
}

/// The running process.
pub struct App {
    /// What all proxies share.
    pub engine: Arc<Engine>,
    /// What all upstreams share.
    pub shared: Arc<Shared>,
    /// The certificate of the data port, if that speaks TLS.
    pub certificate: Option<Certificate>,
    /// Where the process stands.
    pub phase: watch::Sender<Phase>,
    placement: Placement,
    sites: Arc<ArcSwap<Sites>>,
    /// What was last said of the configuration.
    reload: Mutex<Reload>,
    probes: Arc<Mutex<HashMap<String, (Probe, Timestamp)>>>,
}

/// The last change of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Reload {
    /// Why the newest one is not in force; empty if it is.
    pub refused: Vec<String>,
    /// `metadata.generation` of the refused one, if it could be read.
    pub refused_generation: Option<i64>,
    /// SHA-256 of the refused one; empty if it is in force.
    pub refused_sha256: String,
    /// SHA-256 of the manifests in force.
    pub sha256: String,
    /// What is in force and yet worth knowing.
    pub warnings: Vec<String>,
}

/// A configuration that cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// `--root` serves exactly one proxy.
    #[error("--root serves one PackageProxy and there are {0}")]
    NotOne(usize),
    /// An upstream cannot be set up.
    #[error("{proxy}: {source}")]
    Upstream {
        /// The proxy's name.
        proxy: String,
        /// Cause.
        source: BuildError,
    },
}

impl App {
    /// A process without proxies.
    pub fn new(engine: Arc<Engine>, placement: Placement) -> Self {
        Self {
            engine,
            shared: Arc::new(Shared::new().with_secret_hosts(placement.secret_hosts)),
            certificate: placement.tls_secret.clone().map(Certificate::of_secret),
            phase: watch::Sender::new(Phase::Serving),
            placement,
            sites: Arc::default(),
            reload: Mutex::default(),
            probes: Arc::default(),
        }
    }

    /// The proxies in force.
    pub fn sites(&self) -> Arc<Sites> {
        self.sites.load_full()
    }

    /// The address of the data port as clients know it.
    pub fn data_origin(&self) -> String {
        self.placement.bases.first().map(|base| SafeUrl::from(base.clone()).origin()).unwrap_or_default()
    }

    /// What was last said of the configuration.
    pub fn reload(&self) -> Reload {
        self.reload.lock().clone()
    }

    /// How the handshake with a proxy's upstream went when it was configured, and when it was over.
    pub fn probe_of(&self, name: &str) -> Option<(Probe, Timestamp)> {
        self.probes.lock().get(name).cloned()
    }

    /// Puts a configuration in force, all of it or nothing. Proxies that it does not change stay as they are;
    /// requests that are under way end with what they began with.
    pub fn apply(&self, loaded: Loaded) -> Result<(), ApplyError> {
        if self.placement.at_root && loaded.settings.len() != 1 {
            return Err(ApplyError::NotOne(loaded.settings.len()));
        }
        if let Some(certificate) = &self.certificate {
            certificate.renew(&loaded.secrets);
        }
        self.put_in_force(loaded.settings, &loaded.secrets)?;
        self.engine.metrics.reloads.inc();
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        *self.reload.lock() = Reload { sha256: loaded.sha256, warnings, ..Reload::default() };
        Ok(())
    }

    fn put_in_force(&self, all: Vec<Settings>, secrets: &Secrets) -> Result<(), ApplyError> {
        let before = self.sites();
        let mut sites = Vec::new();
        let mut changed = Vec::new();
        for settings in all {
            let present = secrets.only(&secret_names(&settings));
            let same = |site: &&Arc<Site>| *site.settings == settings && site.present == present;
            let older = before.get(&settings.name);
            if let Some(site) = older.filter(same) {
                sites.push(Arc::clone(site));
                continue;
            }
            let secrets = match older {
                Some(older) => references::with_last_good(&settings.upstream, &present, &older.secrets, &self.shared),
                None => present.clone(),
            };
            let site = Arc::new(self.build(settings, secrets, present, older.map(AsRef::as_ref))?);
            changed.push(Arc::clone(&site));
            sites.push(site);
        }
        let sites_now = Arc::new(Sites::new(sites, self.placement.at_root));
        self.sites.store(Arc::clone(&sites_now));
        for site in changed {
            self.start_probe(site);
        }
        let largest = sites_now.iter().filter_map(|site| site.settings.cache.max_size).max();
        self.engine.store.inventory().set_max_size(largest.unwrap_or(self.engine.store.options().max_size));
        self.start_survey();
        Ok(())
    }

    /// Takes over a changed configuration, or notes why it is refused; what was in force stays so, except for the
    /// Secrets that are mounted beside it.
    pub fn take_over(&self, change: Result<Loaded, Refused>) {
        let (problems, generation, sha256, secrets) = match change {
            Ok(loaded) => {
                let proxies = loaded.settings.len();
                let generation = loaded.settings.iter().filter_map(|settings| settings.generation).max();
                let (secrets, sha256) = (loaded.secrets.clone(), loaded.sha256.clone());
                match self.apply(loaded) {
                    Ok(()) => return tracing::info!(proxies, "the changed configuration is in force"),
                    Err(error) => (vec![error.to_string()], generation, sha256, secrets),
                }
            }
            Err(Refused { problems, generation, sha256, secrets }) => {
                (problems.iter().map(ToString::to_string).collect(), generation, sha256, secrets)
            }
        };
        for problem in &problems {
            tracing::error!(problem, "the changed configuration is refused; the one before stays in force");
        }
        self.engine.metrics.reloads_refused.inc();
        self.renew(&secrets);
        let mut reload = self.reload.lock();
        reload.refused = problems;
        reload.refused_generation = generation;
        reload.refused_sha256 = sha256;
    }

    /// The manifests in force with newer Secrets. None is taken away: what a refused configuration lacks may stand in
    /// the part of it that could not be read.
    fn renew(&self, newer: &Secrets) {
        if let Some(certificate) = self.certificate.as_ref().filter(|one| newer.contains(one.secret())) {
            certificate.renew(newer);
        }
        let sites = self.sites();
        let mut secrets = newer.clone();
        for site in sites.iter() {
            secrets.complete(&site.present);
        }
        let settings = sites.iter().map(|site| Settings::clone(&site.settings)).collect();
        if let Err(error) = self.put_in_force(settings, &secrets) {
            tracing::error!(%error, "the changed Secrets cannot be used");
        }
    }

    fn build(
        &self,
        settings: Settings,
        secrets: Secrets,
        present: Secrets,
        before: Option<&Site>,
    ) -> Result<Site, ApplyError> {
        let tokens = ecosystem::of(settings.ecosystem).uses_tokens();
        let fetch = stack::build(&settings.upstream, settings.cache.negative_ttl, &secrets, &self.shared, tokens)
            .map_err(|source| ApplyError::Upstream { proxy: settings.name.clone(), source })?;
        let path = if self.placement.at_root { String::new() } else { format!("/{}", settings.name) };
        let bases = Bases::new(settings.external_url.as_ref(), &self.placement.bases, &path);
        let cache = Cache::new(Arc::clone(&self.engine), Arc::new(settings), fetch);
        let cache = cache.continuing(before.map(|before| &*before.cache));
        if before.is_some_and(|before| before.secrets != secrets) {
            cache.credential_renewed();
            self.shared.origins.reconsider(&cache.upstream());
        }
        Ok(Site::new(Arc::new(cache), secrets, present, bases).continuing(before))
    }

    /// One handshake with the upstream, for `/status`. Nothing waits for it.
    fn start_probe(&self, site: Arc<Site>) {
        let (shared, probes, sites) = (Arc::clone(&self.shared), Arc::clone(&self.probes), Arc::clone(&self.sites));
        tokio::spawn(async move {
            let outcome = probe(&site.settings.upstream, &site.secrets, &shared).await;
            if let Some(message) = outcome.message() {
                tracing::warn!(proxy = %site.settings.name, reason = outcome.reason(), message,
                    "the upstream cannot be reached: what is cached is served");
            }
            // An older one may end after that of the settings which replaced it.
            let mut probes = probes.lock();
            if sites.load().iter().any(|current| Arc::ptr_eq(current, &site)) {
                probes.insert(site.settings.name.clone(), (outcome, Timestamp::now()));
            }
        });
    }

    /// Reads what lies on the volume. Nothing waits for it.
    fn start_survey(&self) {
        let (store, sites) = (Arc::clone(&self.engine.store), Arc::clone(&self.sites));
        tokio::task::spawn_blocking(move || {
            if let Some(found) = store.survey(|| spaces(&sites.load())) {
                tracing::info!(
                    blobs = found.blobs,
                    records = found.records,
                    swept = found.swept,
                    retired = found.retired,
                    "the volume is surveyed"
                );
            }
        });
    }

    /// The parts of the store that are in use by the proxies in force.
    pub fn spaces(&self) -> Vec<Space> {
        spaces(&self.sites())
    }
}

fn spaces(sites: &Sites) -> Vec<Space> {
    sites.iter().map(|site| site.cache.space().clone()).collect()
}

/// The Secrets and ConfigMaps that a manifest names.
fn secret_names(settings: &Settings) -> Vec<&str> {
    let upstream = &settings.upstream;
    let auths = std::iter::once(&upstream.auth).chain(upstream.fallbacks.iter().map(|fallback| &fallback.auth));
    let trusts = std::iter::once(&upstream.trust).chain(upstream.fallbacks.iter().map(|fallback| &fallback.trust));
    let auths = auths.flatten().map(|auth| auth.secret.as_str());
    let trusts = trusts.flatten().map(|trust| trust.name.as_str());
    auths.chain(trusts).collect()
}

#[cfg(test)]
mod tests;
