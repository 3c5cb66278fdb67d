//! Takes a new document: its body to a file, what the ecosystem reads of it, and what has to be written.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};

use super::{Afterwards, Refreshed, StoredDocument, header_text};
use crate::cache::Cache;
use crate::cache::checksum::Beside;
use crate::cache::policy;
use crate::cache::purges::Since;
use crate::cache::receive::{self, Received};
use crate::cache::revalidate;
use crate::cache::table::{self, Table};
use crate::cache::write::Finished;
use crate::clock::Millis;
use crate::date;
use crate::error::Error;
use crate::fetch::Reply;
use crate::intent::{Key, Metadata, Raw, Reading, Reference, ServedAs, Unexpected};
use crate::memory::Permit;
use crate::store::{Blob, BlobId, Document, Record, RecordId, State, Store};

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
        let framed = reply.framed;
        let most = self.settings.cache.max_metadata_size;
        let limit = match metadata.read {
            Some(_) => metadata.limit.map_or(most, |limit| limit.min(most)),
            None => most.max(self.engine.store.inventory().max_size()),
        };
        let algorithms = metadata.checksum_siblings.map_or(&[][..], |siblings| siblings.served);
        let received = receive::receive(reply, &self.engine.store, &self.engine.memory, limit, algorithms)
            .await
            .map_err(|error| within_protocol(error, metadata.limit.filter(|limit| *limit <= most)))?;
        self.engine.metrics.bytes_from_upstream.get_or_create(&self.label()).inc_by(received.blob.length());
        let other = self.compare_beside(metadata, beside, &received.digests).await?;
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
        if let Some(other) = other {
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
        {
            // The same bytes again, without a 304: what was read and made of them still holds.
            let record = self.state.writer.confirm(id, now, &held.record, &document, since);
            self.state.unwritten.renew(id, &record);
            let document = StoredDocument { record, ..held.clone() };
            return Ok((Refreshed { document, status: 200 }, Afterwards::Persist));
        }
        let Understood { raw, table, mut files, other_key, references, present } =
            self.read_document(metadata, &mut document, received, &headers, upstream).await?;
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
            signature = self.fetch_signature(id, metadata, of, document.received, &mut files).await?;
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

    /// Has the ecosystem read the document, in memory that the budget grants.
    async fn read_document(
        self: &Arc<Self>,
        metadata: &Metadata,
        document: &mut Document,
        received: Received,
        headers: &HeaderMap,
        upstream: String,
    ) -> Result<Understood, Error> {
        let Some(read) = metadata.read else { return take_opaque(&document.content_type, received, upstream) };
        // The document once, and once more for what may be made of it. One that is in memory for want of a disk has
        // taken as much already: nobody waits for memory while holding some.
        let permit = match received.blob.permit() {
            Some(permit) => Arc::clone(permit),
            None => Arc::new(self.engine.memory.take(received.blob.length() * 2).await?),
        };
        let (asked, headers) = (metadata.clone(), headers.clone());
        let (content_type, url) = (document.content_type.clone(), document.url.clone());
        let store = Arc::clone(&self.engine.store);
        let work = move || {
            revalidate::verify(&asked, &headers, &received.blob, &upstream)?;
            let bytes = received.blob.read_all().map_err(|error| Error::Storage(Arc::new(error)))?;
            let headers = Some(&headers);
            let raw = Raw { bytes: &bytes, content_type: &content_type, url: &url, key: &asked.key, headers };
            let mut reading: Reading = read(raw).map_err(|reason| Error::Unexpected { upstream, reason })?;
            let named = (std::mem::take(&mut reading.references), std::mem::take(&mut reading.present));
            let said = (std::mem::take(&mut reading.served), reading.also.take(), named);
            let mut files = Vec::new();
            let raw = match reading.replacement.take() {
                None => {
                    files.extend(received.staging.map(|staging| Finished::new(staging, received.blob.id())));
                    received.blob
                }
                Some(replacement) => {
                    drop(bytes);
                    stage(&store, &permit, replacement.into(), &mut files)
                }
            };
            let facts = (reading.by_digest, reading.valid_until, reading.revision);
            let extract = table::encode(reading).map(|bytes| stage(&store, &permit, bytes.into(), &mut files));
            Ok::<_, Error>((raw, extract, files, said, facts))
        };
        let (raw, extract, files, said, (by_digest, valid_until, revision)) = self.engine.workshop.run(work).await??;
        let (served, other_key, (references, present)) = said;
        document.served = served;
        document.by_digest = by_digest;
        (document.valid_until, document.revision) = (valid_until, revision);
        document.raw = raw.id();
        document.length = raw.length();
        document.reading = extract.as_ref().map(|extract| (extract.id(), extract.length()));
        let table = extract.map(|extract| Table::open(extract).ok_or(Error::Abandoned)).transpose()?;
        Ok(Understood { raw, table, files, other_key, references, present })
    }
}

/// A document that has been read.
struct Understood {
    /// The bytes that are kept.
    raw: Blob,
    /// What was read of them.
    table: Option<Table>,
    /// What has to be committed.
    files: Vec<Finished>,
    /// Another key of the same document.
    other_key: Option<Key>,
    /// The artifacts that it names.
    references: Vec<Reference>,
    /// What is there since this document is.
    present: Vec<Key>,
}

/// Takes a document of which nothing is understood; its label tells a web page.
fn take_opaque(content_type: &str, received: Received, upstream: String) -> Result<Understood, Error> {
    if content_type.starts_with("text/html") || received.blob.length() == 0 {
        let reason = Unexpected("a web page or nothing where a file was asked for".to_owned());
        return Err(Error::Unexpected { upstream, reason });
    }
    let files = received.staging.map(|staging| Finished::new(staging, received.blob.id())).into_iter().collect();
    let (references, present) = (Vec::new(), Vec::new());
    Ok(Understood { raw: received.blob, table: None, files, other_key: None, references, present })
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

/// Small bytes are served from memory until their file is committed, rather than read back.
const SMALL: usize = 64 << 10;

/// Puts bytes into a file that is still to be committed; where the disk fails they stay in memory, as part of what
/// was taken for those that they are made of. Blocks on the disk.
pub(in crate::cache) fn stage(
    store: &Arc<Store>,
    permit: &Arc<Permit>,
    bytes: Bytes,
    files: &mut Vec<Finished>,
) -> Blob {
    let id = BlobId::of(&bytes);
    match store.stage().and_then(|staging| staging.write_at(0, &bytes).map(|()| staging)) {
        Ok(staging) => {
            let file = Arc::clone(staging.file());
            files.push(Finished::new(staging, id));
            let length = bytes.len() as u64;
            if bytes.len() <= SMALL { Blob::memory(id, bytes) } else { Blob::file(id, length, file) }
        }
        Err(_) => Blob::held(id, bytes, Arc::clone(permit)),
    }
}
