//! Takes a new document: its body to a file, then what has to be written, unless it is the one that is held, or older.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use super::understand::Understood;
use super::{Afterwards, Refreshed, StoredDocument, header_text};
use crate::cache::Cache;
use crate::cache::checksum::{Beside, Compared};
use crate::cache::generation::Head;
use crate::cache::policy;
use crate::cache::purges::Since;
use crate::cache::receive::{self, Coded};
use crate::clock::Millis;
use crate::date;
use crate::error::Error;
use crate::fetch::Reply;
use crate::intent::{Metadata, ServedAs, Unexpected};
use crate::memory::Patience;
use crate::store::{Document, Record, RecordId, State};

/// Milliseconds within which a document may change twice without a trace.
const YOUNG: Millis = 60_000;

impl Cache {
    /// Takes a new body, reads it and says what has to be written.
    pub(super) async fn take_document(
        self: &Arc<Self>,
        id: RecordId,
        metadata: &Metadata,
        reply: Reply,
        held: Option<StoredDocument>,
        beside: Beside,
        since: Since,
    ) -> Result<(Refreshed, Afterwards), Error> {
        let upstream = reply.url.origin();
        let final_url = reply.url.expose().clone();
        let headers = reply.headers.clone();
        let (framed, source) = (reply.framed, reply.fallback.clone());
        let most = self.settings.cache.max_metadata_size;
        let (limit, coded) = match metadata.read {
            Some(_) => (metadata.limit.map_or(most, |limit| limit.min(most)), Coded::Undone),
            None => (most.max(self.engine.store.inventory().max_size()), Coded::of_file(&metadata.key.file)),
        };
        let algorithms = metadata.checksum_siblings.map_or(&[][..], |siblings| siblings.served);
        let (store, memory) = (&self.engine.store, &self.engine.memory);
        let received = receive::receive(reply, coded, store, memory, Patience::Wait, limit, algorithms)
            .await
            .map_err(|error| within_protocol(error, metadata.limit.filter(|limit| *limit <= most)))?;
        self.engine.metrics.bytes_from_upstream.get_or_create(&self.label()).inc_by(received.blob.length());
        let compared = self.compare_beside(metadata, beside, &received.digests).await?;
        let now = self.now();
        let text = |name: HeaderName| header_text(&headers, name);
        let mut document = Document {
            received: received.blob.id(),
            raw: received.blob.id(),
            length: received.blob.length(),
            reading: None,
            content_type: text(header::CONTENT_TYPE).unwrap_or_default(),
            url: final_url,
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            served: ServedAs::default(),
            changed: later_than(held.as_ref(), now),
            variants: Vec::new(),
            digests: received.digests.clone(),
            revision: None,
            older_since: None,
            valid_until: None,
            by_digest: false,
            signature: None,
        };
        if metadata.generation.is_some() && is_too_young(&headers, now) {
            (document.etag, document.last_modified) = (None, None);
        }
        let is_vouched_for = compared == Compared::Equal;
        if let Compared::Other(other) = compared {
            // Without validators it comes again and is compared again.
            (document.etag, document.last_modified) = (None, None);
            if metadata.read.is_none() {
                // Nobody has understood these bytes: whether to take them is left to the client, as without a proxy.
                document.digests = vec![other];
            }
        }
        if let Some(held) = &held
            && let Some(before) = held.record.document()
            && before.received == document.received
            && before.content_type == document.content_type
            && before.url == document.url
            && before.digests == document.digests
            && self.is_still_signed(id, metadata, held, source.clone()).await
        {
            // The same bytes again, without a 304: what was read and made of them still holds.
            let record = self.state.writer.confirm(id, now, &held.record, &document, since);
            self.state.unwritten.renew(id, &record);
            let document = StoredDocument { record, ..held.clone() };
            return Ok((Refreshed { document, status: 200 }, Afterwards::Persist));
        }
        let Understood { raw, table, mut files, other_key, references, present } =
            match self.read_document(metadata, &mut document, received, is_vouched_for, &headers, upstream).await {
                // A page for what was here a moment ago is one of somebody on the way.
                Err(Error::Missing { upstream, .. }) if held.is_some() => {
                    let reason = Unexpected("a page where a document was asked for".to_owned());
                    return Err(Error::Unexpected { upstream, reason });
                }
                understood => understood?,
            };
        if let Some(held) = held
            && let Some(before) = held.record.document()
            && policy::outranks(before, document.revision, metadata.lifetime, &self.settings.cache, now)
        {
            tracing::debug!(proxy = %self.settings.name, package.name = %metadata.key.package,
                "the upstream sent an older revision: one of its servers lags behind");
            let before = Document { older_since: Some(before.older_since.unwrap_or(now).min(now)), ..before.clone() };
            let record = self.state.writer.confirm(id, now, &held.record, &before, since);
            self.state.unwritten.renew(id, &record);
            let document = StoredDocument { record, ..held };
            return Ok((Refreshed { document, status: 200 }, Afterwards::Persist));
        }
        // Before any client has the document and can ask for what it names.
        for key in present {
            self.state.absent.lift(self.space.record_id(&key));
        }
        self.note_references(references, since).await;
        let mut parts = 1 + usize::from(table.is_some());
        let mut signature = None;
        if let Some(of) = metadata.generation.and_then(|generation| generation.signature) {
            let arrived = Head { id, metadata, received: document.received, source };
            signature = self.fetch_signature(&arrived, of, raw.patience(), &mut files).await?;
            document.signature = signature.as_ref().map(|signature| (signature.id(), signature.length()));
            parts += usize::from(signature.is_some());
        }
        // A record must not promise what only memory holds, nor keep a document of which nothing says that it is whole.
        let whole = framed && files.len() == parts;
        let afterwards = if whole { Afterwards::Commit { files, other_key } } else { Afterwards::Nothing };
        let record = Arc::new(Record::new(&metadata.key, now, State::Document(document)));
        let document = StoredDocument { record, raw: Some(raw), extract: table.into(), signature };
        Ok((Refreshed { document, status: 200 }, afterwards))
    }
}

/// A document that is longer than its protocol allows: no setting helps there.
fn within_protocol(error: Error, limit: Option<u64>) -> Error {
    match (error, limit) {
        (Error::TooLarge { upstream, .. }, Some(limit)) => {
            let reason =
                Unexpected(format!("a document of more than {limit} bytes, which its protocol does not allow"));
            Error::Unexpected { upstream, reason }
        }
        (error, _) => error,
    }
}

/// When new bytes were seen, as clients are told: later than what they were told of the ones before, to the second,
/// since that is what they compare.
fn later_than(held: Option<&StoredDocument>, now: Millis) -> Millis {
    let before = held.and_then(|held| held.record.document()).map(|document| document.changed / 1000 * 1000 + 1000);
    before.map_or(now, |next| now.max(next))
}

/// Whether a document was changed so shortly before it was sent that its validators may be the same after the next
/// change: both are often made of a time in seconds (RFC 9110 §8.8.2.2).
fn is_too_young(headers: &HeaderMap, now: Millis) -> bool {
    let date = |name| header_text(headers, name).and_then(|text| date::of_mail(&text));
    let sent = date(header::DATE).unwrap_or(now);
    date(header::LAST_MODIFIED).is_some_and(|changed| sent.saturating_sub(changed) < YOUNG)
}
