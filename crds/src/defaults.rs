//! The one place where a manifest's gaps are filled.

use url::Url;

use crate::problem::{Problem, ProblemKind};
use crate::spec::{AuthSpec, AuthType, BreakerSpec, CacheSpec, FallbackSpec, FallbackTrigger, RetrySpec, TrustSpec};
use crate::values::{ByteSize, GoDuration, HttpUrl};
use crate::{
    AuthKind, AuthSettings, BreakerSettings, CacheSettings, FallbackOn, FallbackSettings, PackageProxy, RetrySettings,
    Settings, TrustSettings, UpstreamSettings, UpstreamSpec,
};

impl Settings {
    /// Applies every default. The manifest has passed [`crate::read`]'s checks; the one thing that may still be
    /// missing is the upstream, which a class may give before this is called.
    pub fn from_manifest(manifest: &PackageProxy) -> Result<Self, Problem> {
        let spec = &manifest.spec;
        let upstream = spec.upstream.clone().unwrap_or_default();
        let upstream = if let Some(HttpUrl(url)) = upstream.url.clone() {
            upstream_settings(UpstreamSettings::at(with_slash(url)), upstream)
        } else if spec.ecosystem.needs_upstream() {
            let message = "UpstreamMissing: no registry is named, and none is built in";
            let remedy = "set spec.upstream.url; `packageproxy init` prints what this machine's clients use";
            return Err(Problem::invalid("spec.upstream.url", message, remedy).of_kind(ProblemKind::UpstreamMissing));
        } else {
            UpstreamSettings::none()
        };
        let namespace = manifest.metadata.namespace.clone();
        Ok(Self {
            name: manifest.metadata.name.clone(),
            generation: manifest.metadata.generation,
            ecosystem: spec.ecosystem,
            owner: spec.owner.clone().or_else(|| namespace.clone()).unwrap_or_else(|| "default".to_owned()),
            namespace,
            external_url: spec.external_url.clone().map(|HttpUrl(url)| url),
            upstream,
            cache: cache_settings(&spec.cache.clone().unwrap_or_default()),
        })
    }
}

fn upstream_settings(base: UpstreamSettings, spec: UpstreamSpec) -> UpstreamSettings {
    let duration = |given: Option<GoDuration>, default| given.map_or(default, |GoDuration(value)| value);
    UpstreamSettings {
        namespace: spec.namespace,
        auth: spec.auth.map(auth_settings),
        allow_plaintext_auth: spec.allow_plaintext_auth.unwrap_or(base.allow_plaintext_auth),
        trust: spec.trust.and_then(trust_settings),
        checksum_database: spec.checksum_database,
        fallbacks: spec.fallbacks.into_iter().map(fallback_settings).collect(),
        proxy_url: spec.proxy_url.map(|HttpUrl(url)| url),
        link_hosts: spec.link_hosts,
        allowed_cidrs: spec.allowed_cidrs.into_iter().map(|cidr| cidr.0).collect(),
        connect_timeout: duration(spec.connect_timeout, base.connect_timeout),
        read_timeout: duration(spec.read_timeout, base.read_timeout),
        idle_timeout: duration(spec.idle_timeout, base.idle_timeout),
        minimum_rate: spec.minimum_rate.map_or(base.minimum_rate, |ByteSize(rate)| rate),
        max_concurrent_requests: number(spec.max_concurrent_requests, base.max_concurrent_requests),
        queue_timeout: duration(spec.queue_timeout, base.queue_timeout),
        retry: retry_settings(&spec.retry.unwrap_or_default()),
        breaker: breaker_settings(&spec.breaker.unwrap_or_default()),
        url: base.url,
    }
}

fn auth_settings(spec: AuthSpec) -> AuthSettings {
    let kind = match spec.kind {
        AuthType::Basic => AuthKind::Basic,
        AuthType::Bearer => AuthKind::Bearer,
        AuthType::Header => AuthKind::Header(spec.header_name.unwrap_or_default().to_lowercase()),
        AuthType::ClientCertificate => AuthKind::ClientCertificate,
    };
    AuthSettings { kind, secret: spec.secret_ref.name }
}

fn trust_settings(spec: TrustSpec) -> Option<TrustSettings> {
    let reference = spec.config_map_ref.or(spec.secret_ref)?;
    Some(TrustSettings { name: reference.name, key: reference.key })
}

fn fallback_settings(spec: FallbackSpec) -> FallbackSettings {
    FallbackSettings {
        url: with_slash(spec.url.0),
        auth: spec.auth.map(auth_settings),
        trust: spec.trust.and_then(trust_settings),
        on: match spec.when {
            None | Some(FallbackTrigger::Unavailable) => FallbackOn::Unavailable,
            Some(FallbackTrigger::NotFound) => FallbackOn::NotFound,
        },
    }
}

fn retry_settings(spec: &RetrySpec) -> RetrySettings {
    let base = RetrySettings::default();
    RetrySettings {
        attempts: number(spec.attempts, base.attempts),
        base: spec.base_delay.map_or(base.base, |GoDuration(value)| value),
        cap: spec.max_delay.map_or(base.cap, |GoDuration(value)| value),
    }
}

fn breaker_settings(spec: &BreakerSpec) -> BreakerSettings {
    let base = BreakerSettings::default();
    BreakerSettings {
        failures: number(spec.failures, base.failures),
        open: spec.open_duration.map_or(base.open, |GoDuration(value)| value),
        cap: spec.max_open_duration.map_or(base.cap, |GoDuration(value)| value),
    }
}

fn cache_settings(spec: &CacheSpec) -> CacheSettings {
    let base = CacheSettings::default();
    let duration = |given: Option<GoDuration>, default| given.map_or(default, |GoDuration(value)| value);
    CacheSettings {
        metadata_ttl: duration(spec.metadata_ttl, base.metadata_ttl),
        negative_ttl: duration(spec.negative_ttl, base.negative_ttl),
        stale_while_revalidate: duration(spec.stale_while_revalidate, base.stale_while_revalidate),
        stale_if_error: duration(spec.stale_if_error, base.stale_if_error),
        revalidation_wait: duration(spec.revalidation_wait, base.revalidation_wait),
        max_size: spec.max_size.map(|ByteSize(bytes)| bytes).or(base.max_size),
        max_metadata_size: spec.max_metadata_size.map_or(base.max_metadata_size, |ByteSize(bytes)| bytes),
    }
}

/// A bounded count of the manifest, which has signed numbers only.
fn number<T: TryFrom<i32>>(given: Option<i32>, default: T) -> T {
    given.and_then(|given| T::try_from(given).ok()).unwrap_or(default)
}

/// A base address ends in a slash, so that paths can be appended.
fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}
