//! The files of one version, asked of a registry with two addresses whose bytes differ.

use std::time::Duration;

use bytes::Bytes;
use crds::{CacheSettings, Ecosystem, FallbackOn, FallbackSettings, Settings, UpstreamSettings};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::*;
use crate::cache::{Engine, Served};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::error::Error;
use crate::fetch::fallback::{Fallback, Fallbacks};
use crate::fetch::{Ask, BoxFuture, Fetch, FetchError, Reply};
use crate::intent::{Key, Source as Place};
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::upstream_path::UpstreamPath;
use crate::workshop::Workshop;

/// An address that answers each request with one status and its own name.
struct Registry {
    name: &'static str,
    status: Mutex<u16>,
}

impl Registry {
    fn new(name: &'static str, status: u16) -> Arc<Self> {
        Arc::new(Self { name, status: Mutex::new(status) })
    }

    fn answers(&self, status: u16) {
        *self.status.lock() = status;
    }
}

impl Fetch for Registry {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        let body = Bytes::from_static(self.name.as_bytes());
        let reply = Reply {
            status: StatusCode::from_u16(*self.status.lock()).unwrap(),
            headers: HeaderMap::new(),
            url: ask.url,
            framed: true,
            fallback: None,
            body: Box::pin(stream::iter([Ok(body)])),
        };
        Box::pin(std::future::ready(Ok(reply)))
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn cache(first: &Arc<Registry>, second: &Arc<Registry>, root: &std::path::Path) -> Arc<Cache> {
    let (base, other) = (url("https://registry.example/"), url("https://mirror.example/"));
    let options = store::Options { root: root.to_owned(), durable: false, max_size: 1 << 20, memory: 1 << 20 };
    let engine = Engine {
        store: Arc::new(Store::open(options)),
        clock: Clock::start(),
        metrics: Metrics::new(),
        memory: Budget::new(1 << 20),
        workshop: Workshop::default(),
    };
    let mut upstream = UpstreamSettings::at(base.clone());
    upstream.fallbacks.push(FallbackSettings { url: other.clone(), auth: None, trust: None, on: FallbackOn::NotFound });
    let settings = Settings {
        name: "npm".into(),
        namespace: None,
        generation: None,
        ecosystem: Ecosystem::Npm,
        owner: "default".into(),
        external_url: None,
        upstream,
        cache: CacheSettings { negative_ttl: Duration::ZERO, ..CacheSettings::default() },
    };
    let second = Fallback { base: other, on: FallbackOn::NotFound, fetch: Arc::clone(second) as Arc<dyn Fetch> };
    let fallbacks = Fallbacks::new(base, Arc::clone(first) as Arc<dyn Fetch>, vec![second], Duration::ZERO);
    Arc::new(Cache::new(Arc::new(engine), Arc::new(settings), Arc::new(fallbacks)))
}

/// A file of a version whose files belong together.
fn file(name: &str) -> Artifact {
    let siblings = |key: &Key| ["pom", "jar", "sources"].map(|file| Key { file: file.into(), ..key.clone() }).into();
    let place = Place::Layout(UpstreamPath::from_segments([name]));
    Artifact { follows: siblings, ..Artifact::at(Key::file("a", "1", name, "file"), place, "text/plain") }
}

async fn get(cache: &Arc<Cache>, artifact: &Artifact) -> Result<Vec<u8>, Error> {
    match cache.artifact(artifact).await? {
        Served::Stored { blob, .. } => Ok(blob.read_all().unwrap().to_vec()),
        // As a request is answered: what is verified is as good as stored.
        Served::Filling { fill, .. } if let Some((_, blob)) = fill.finished_blob() => {
            Ok(blob.read_all().unwrap().to_vec())
        }
        Served::Filling { body, .. } => {
            Ok(body.map(|piece| piece.unwrap().to_vec()).collect::<Vec<_>>().await.concat())
        }
    }
}

async fn settle(cache: &Cache) {
    while cache.under_way() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_files_of_a_version_come_from_one_address() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (Registry::new("first", 404), Registry::new("second", 200));
    let cache = cache(&first, &second, root.path());
    assert_eq!(get(&cache, &file("pom")).await.unwrap(), b"second");
    settle(&cache).await;
    // The first has the version now too: another one, perhaps.
    first.answers(200);
    assert_eq!(get(&cache, &file("jar")).await.unwrap(), b"second");
    assert_eq!(get(&cache, &Artifact { follows: |_| Vec::new(), ..file("alone") }).await.unwrap(), b"first");
    settle(&cache).await;
    for (status, expected) in [(503, 502), (404, 404)] {
        second.answers(status);
        let error = get(&cache, &file("sources")).await.unwrap_err();
        assert_eq!(crate::respond::status_of(&error).0.as_u16(), expected, "{error}");
    }
    // A digest tells whether another address has the same file.
    second.answers(503);
    let known = |name: &str| Artifact { expect: Some(Digest::sha256(name.as_bytes())), ..file("sources") };
    assert_eq!(get(&cache, &known("first")).await.unwrap(), b"first");
}
