//! Has the ecosystem read a document, once: what it names, what clients get in its place.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::cache::Cache;
use crate::cache::fill::BEGINNING;
use crate::cache::receive::Received;
use crate::cache::revalidate;
use crate::cache::table::{self, Table};
use crate::cache::write::Finished;
use crate::error::Error;
use crate::intent::{Key, Metadata, Raw, Reading, Reference, Unexpected, is_page_type};
use crate::memory::Permit;
use crate::store::{Blob, BlobId, Document, Store};

/// A document that has been read.
pub(super) struct Understood {
    /// The bytes that are kept.
    pub(super) raw: Blob,
    /// What was read of them.
    pub(super) table: Option<Table>,
    /// What has to be committed.
    pub(super) files: Vec<Finished>,
    /// Another key of the same document.
    pub(super) other_key: Option<Key>,
    /// The artifacts that it names.
    pub(super) references: Vec<Reference>,
    /// What is there since this document is.
    pub(super) present: Vec<Key>,
}

impl Cache {
    /// Has the ecosystem read the document, in memory that the budget grants.
    pub(super) async fn read_document(
        self: &Arc<Self>,
        metadata: &Metadata,
        document: &mut Document,
        received: Received,
        is_vouched_for: bool,
        headers: &HeaderMap,
        upstream: String,
    ) -> Result<Understood, Error> {
        let Some(read) = metadata.read else {
            if !is_vouched_for && !is_file(metadata, &document.content_type, &received.blob).await? {
                let reason = Unexpected("a page, an error or nothing where a file was asked for".to_owned());
                return Err(Error::Unexpected { upstream, reason });
            }
            return Ok(take_opaque(received));
        };
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
            let read = read(raw);
            if matches!(&read, Ok(reading) if reading.absent) {
                return Err(Error::Missing { status: 404, upstream, text: "".into() });
            }
            let mut reading: Reading = read.map_err(|reason| Error::Unexpected { upstream, reason })?;
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

/// Whether bytes of which nothing is understood, and no digest is known, may be the file that was asked for: their label
/// and their beginning tell a web page.
async fn is_file(metadata: &Metadata, content_type: &str, blob: &Blob) -> Result<bool, Error> {
    if is_page_type(content_type) || blob.length() == 0 {
        return Ok(false);
    }
    let blob = blob.clone();
    let read = move || {
        let mut beginning = vec![0; BEGINNING];
        let count = blob.read_at(0, &mut beginning)?;
        beginning.truncate(count);
        Ok(beginning)
    };
    let beginning = tokio::task::spawn_blocking(read).await.map_err(|_| Error::Abandoned)?;
    let beginning = beginning.map_err(|error: std::io::Error| Error::Storage(Arc::new(error)))?;
    Ok((metadata.may_begin)(&beginning))
}

/// Takes a document of which nothing is understood.
fn take_opaque(received: Received) -> Understood {
    let files = received.staging.map(|staging| Finished::new(staging, received.blob.id())).into_iter().collect();
    let (references, present) = (Vec::new(), Vec::new());
    Understood { raw: received.blob, table: None, files, other_key: None, references, present }
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
