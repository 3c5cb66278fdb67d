//! Which heads clients were given a moment ago: they get the files of these, whatever has become current meanwhile.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Open;
use crate::server::Connection;
use crate::store::{BlobId, RecordId};

/// How long that counts.
const COUNTS: Duration = Duration::from_mins(1);
/// Clients remembered.
const CLIENTS: usize = 4096;

/// Who asks: an address, behind which there may be several, and a connection, behind which there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// The connection.
    pub connection: Connection,
}

/// A head that was given. It is open for as long as there is room: many names must not keep many files open.
#[derive(Clone, Debug)]
struct Given {
    open: Weak<Open>,
    raw: BlobId,
    at: Instant,
    /// Another one that was given to the same address before.
    before: Option<(Weak<Open>, Instant)>,
}

/// What was given to whom.
#[derive(Debug)]
pub(super) struct GivenAll {
    by_connection: quick_cache::sync::Cache<(Connection, RecordId), (Weak<Open>, Instant)>,
    by_address: quick_cache::sync::Cache<(IpAddr, RecordId), Given>,
}

fn counts(at: Instant) -> bool {
    at.elapsed() < COUNTS
}

impl Default for GivenAll {
    fn default() -> Self {
        Self {
            by_connection: quick_cache::sync::Cache::new(CLIENTS),
            by_address: quick_cache::sync::Cache::new(CLIENTS),
        }
    }
}

impl GivenAll {
    pub(super) fn note(&self, client: Client, head: RecordId, open: &Arc<Open>) {
        let at = Instant::now();
        self.by_connection.insert((client.connection, head), (Arc::downgrade(open), at));
        let before = self
            .by_address
            .get(&(client.address, head))
            .and_then(|last| if last.raw == open.raw { last.before } else { Some((last.open, last.at)) });
        self.by_address.insert((client.address, head), Given { open: Arc::downgrade(open), raw: open.raw, at, before });
    }

    /// What a client was given on its connection.
    pub(super) fn on_connection(&self, client: Client, head: RecordId) -> Option<Arc<Open>> {
        let (open, at) = self.by_connection.get(&(client.connection, head))?;
        open.upgrade().filter(|_| counts(at))
    }

    /// What a client was given: by its connection; else by its address, which may mean two.
    pub(super) fn to(&self, client: Client, head: RecordId) -> Vec<Arc<Open>> {
        if let Some(open) = self.on_connection(client, head) {
            return vec![open];
        }
        let Some(given) = self.by_address.get(&(client.address, head)).filter(|given| counts(given.at)) else {
            return Vec::new();
        };
        let before = given.before.filter(|(_, at)| counts(*at)).and_then(|(open, _)| open.upgrade());
        given.open.upgrade().into_iter().chain(before).collect()
    }

    pub(super) fn clear(&self) {
        self.by_connection.clear();
        self.by_address.clear();
    }
}
