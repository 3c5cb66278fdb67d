//! The name service that this machine is configured to use, asked without the C library.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Answer, Lookup, LookupError};
use crate::fetch::BoxFuture;

/// How often the configuration is read again: laptops change networks, and `/etc/hosts` is edited.
const REREAD: Duration = Duration::from_mins(1);

/// Looks names up as `/etc/resolv.conf` and `/etc/hosts` say.
#[derive(Default)]
pub struct SystemLookup {
    current: Mutex<Option<(TokioResolver, Instant)>>,
}

impl SystemLookup {
    /// The resolver in use. A configuration that cannot be read leaves the one before it in force, and a process that
    /// never had one starts all the same.
    fn current(&self) -> Result<TokioResolver, LookupError> {
        let mut current = self.current.lock();
        if let Some((resolver, read)) = &*current
            && read.elapsed() < REREAD
        {
            return Ok(resolver.clone());
        }
        match Self::read() {
            Ok(resolver) => {
                *current = Some((resolver.clone(), Instant::now()));
                Ok(resolver)
            }
            Err(error) => current.as_ref().map(|(resolver, _)| resolver.clone()).ok_or(error),
        }
    }

    fn read() -> Result<TokioResolver, LookupError> {
        let unusable = |error| LookupError(format!("the configuration of the name service is not usable: {error}"));
        let mut builder = TokioResolver::builder_tokio().map_err(unusable)?;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map_err(unusable)
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer, LookupError>> {
        Box::pin(async move {
            let found = self.current()?.lookup_ip(name).await;
            let found = found.map_err(|error| LookupError(format!("{name}: {error}")))?;
            let records = found.as_lookup().answers();
            let lifetime = records.iter().map(|record| record.ttl).min().unwrap_or_default();
            let addresses = found.iter().collect();
            Ok(Answer { addresses, lifetime: Duration::from_secs(lifetime.into()) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_file_is_honoured() {
        let answer = SystemLookup::default().lookup("localhost").await.unwrap();
        assert!(answer.addresses.iter().all(std::net::IpAddr::is_loopback), "{answer:?}");
        assert!(!answer.addresses.is_empty());
    }
}
