//! HEAD of an artifact that is not stored: the upstream is asked with HEAD too, and nothing is fetched.

use std::sync::Arc;

use crds::Ecosystem;
use http::{Method, StatusCode};

use super::body::{content_length, is_odd};
use crate::cache::Cache;
use crate::cache::lately::Asked;
use crate::ecosystem;
use crate::error::Error;
use crate::fetch::{Purpose, SafeUrl, Wanted};
use crate::intent::Artifact;

impl Cache {
    /// What the upstream says of an artifact that is not stored: its length, if it gives one.
    pub async fn head(self: &Arc<Self>, artifact: &Artifact) -> Result<Option<u64>, Error> {
        let since = self.since();
        if let Some((status, text)) = self.state.absent.word(self.absence(artifact), Asked::Head) {
            return Err(Error::Missing { status, upstream: self.upstream(), text });
        }
        // In a task of its own: a client that leaves takes no place, token request or probe of others with it.
        let (cache, asked) = (Arc::clone(self), artifact.clone());
        let head = tokio::spawn(async move { cache.head_of_upstream(&asked).await });
        let head = head.await.unwrap_or(Err(Error::Abandoned));
        if let Err(error) = &head {
            self.note_absence(artifact, error, Asked::Head, since).await;
        }
        head
    }

    async fn head_of_upstream(self: &Arc<Self>, artifact: &Artifact) -> Result<Option<u64>, Error> {
        let id = self.space.record_id(&artifact.key);
        let mut target = self.resolve(artifact, false).await?;
        let asking = |method, url: SafeUrl, source| {
            let mut ask = self.get(id, url, Purpose::Artifact);
            ask.source = source;
            ask.passive = artifact.passive;
            ask.method = method;
            self.ask(ask)
        };
        let head = async |url: SafeUrl, source: Option<Wanted>| {
            let reply = asking(Method::HEAD, url.clone(), source.clone()).await?;
            // What a GET begins to send is not read.
            if knows_no_head(reply.status, self.settings.ecosystem) {
                asking(Method::GET, url, source).await
            } else {
                Ok(reply)
            }
        };
        let source = self.wanted(id, artifact, &target).await;
        let mut reply = head(target.url.clone(), source).await;
        if self.may_be_elsewhere(&reply, artifact)
            && let Some(elsewhere) = self.resolve_elsewhere(artifact, &target).await?
        {
            reply = head(elsewhere.url.clone(), None).await;
            target = elsewhere;
        }
        let reply = reply?;
        if is_odd(&reply, artifact) {
            let expected = self.expected_after_head(id, artifact, &target.url, target.expected, &reply);
            target.expected = expected.certain().await?;
        }
        Ok(content_length(&self.check_head(artifact, &target, reply).await?))
    }
}

/// Whether a status may mean that only the method is refused: some registries answer a HEAD of a file with these, and
/// some of those that give tokens with 401.
fn knows_no_head(status: StatusCode, ecosystem: Ecosystem) -> bool {
    match status.as_u16() {
        400 | 403 | 405 | 501 => true,
        401 => ecosystem::of(ecosystem).uses_tokens(),
        _ => false,
    }
}
