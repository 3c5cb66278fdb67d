//! What a client gets of a stored document: links with the right base, in a content coding that it takes. Encoded
//! and rendered forms are made on first use and kept; the plain spliced form is made while it is sent.

use std::io::{Read, Write};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use sha2::Digest as _;
use tokio::sync::watch;

use super::document::StoredDocument;
use super::splice::Spliced;
use super::table::{Edits, Table};
use super::{Cache, EcosystemLabel};
use crate::body::Body;
use crate::clock::http_date;
use crate::error::Error;
use crate::intent::{Metadata, Raw, Rewrite};
use crate::links::Chosen;
use crate::memory::{Budget, busy};
use crate::store::body::BodyError;
use crate::store::buffer::Buffer;
use crate::store::sink::NoMemory;
use crate::store::{Blob, Sink, Staging, Store, Variant};

/// Changes whenever the same document would be spliced or encoded to other bytes.
const VERSION: u8 = 1;
/// Smaller documents are not worth coding.
const WORTH_CODING: u64 = 1024;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// The value of `Content-Encoding`, unless there is none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The form of a document that one client gets.
#[derive(Clone, Debug)]
pub struct Form<'a> {
    metadata: &'a Metadata,
    document: &'a StoredDocument,
    base: &'a str,
    coding: Coding,
    fingerprint: [u8; 16],
    etag: String,
    last_modified: Option<String>,
    /// Whether it is worth keeping.
    kept: bool,
}

impl<'a> Form<'a> {
    /// The form for this base, in the first of `codings` that is worth it. A form that is not worth keeping is not
    /// worth coding either.
    pub fn new(metadata: &'a Metadata, document: &'a StoredDocument, chosen: &'a Chosen, codings: &[Coding]) -> Self {
        let stored = document.record.document();
        let length = stored.map_or(0, |stored| stored.length);
        let base = if uses_base(metadata) { chosen.base.as_str() } else { "" };
        let kept = chosen.kept || base.is_empty();
        let is_text = metadata.read.is_some() && !metadata.content_addressed;
        let coding = match codings.first() {
            Some(coding) if length >= WORTH_CODING && kept && is_text => *coding,
            _ => Coding::Identity,
        };
        let form = match metadata.rewrite {
            Rewrite::Render(render) => render.form,
            Rewrite::Edits => "edits",
            Rewrite::Verbatim => "verbatim",
        };
        let mut hasher = sha2::Sha256::new().chain_update([VERSION]);
        hasher.update(stored.map_or(&[0; 32], |stored| stored.raw.as_bytes()));
        for part in [form, base, coding.name().unwrap_or("identity")] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hasher.finalize()[..16]);
        let etag = match stored.filter(|_| metadata.content_addressed) {
            Some(stored) => format!("\"sha256:{}\"", stored.raw),
            None => ["\"", &HEXLOWER.encode(&fingerprint), "\""].concat(),
        };
        let last_modified = stored.map(|stored| http_date(stored.changed));
        Self { metadata, document, base, coding, fingerprint, etag, last_modified, kept }
    }

    /// The strong entity tag of exactly these bytes. Known without making them.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// When the document last changed, if it is one.
    pub fn last_modified(&self) -> Option<&str> {
        self.last_modified.as_deref()
    }

    /// The content coding.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Whether the bytes are made as a whole, and not while they are sent.
    fn is_made(&self) -> bool {
        self.coding != Coding::Identity || matches!(self.metadata.rewrite, Rewrite::Render(_))
    }
}

fn uses_base(metadata: &Metadata) -> bool {
    match metadata.rewrite {
        Rewrite::Verbatim => false,
        Rewrite::Edits => true,
        Rewrite::Render(render) => render.uses_base,
    }
}

/// Bytes to send.
pub struct Content {
    /// How many.
    pub length: u64,
    /// They themselves.
    pub body: Body,
}

impl From<&Blob> for Content {
    fn from(blob: &Blob) -> Self {
        Self { length: blob.length(), body: Body::blob(blob, 0..blob.length()) }
    }
}

/// A variant that is being made.
#[derive(Debug, Default)]
pub(super) struct Build(watch::Sender<Option<Result<Blob, Error>>>);

impl Cache {
    /// The bytes of a form. `None` if what is stored of the document is gone from the disk.
    pub async fn content(self: &Arc<Self>, form: &Form<'_>) -> Result<Option<Content>, Error> {
        if form.is_made() {
            return Ok(self.variant(form).await?.as_ref().map(Content::from));
        }
        let Some(raw) = self.raw(form.document).await else { return Ok(None) };
        if matches!(form.metadata.rewrite, Rewrite::Verbatim) {
            return Ok(Some(Content::from(&raw)));
        }
        match self.table(form.document).await {
            Err(_) => Ok(None),
            Ok(None) => Ok(Some(Content::from(&raw))),
            Ok(Some(table)) => Ok(Some(spliced(raw, &table, form.base))),
        }
    }

    /// A kept form, made now if need be, once for everyone who asks meanwhile.
    async fn variant(self: &Arc<Self>, form: &Form<'_>) -> Result<Option<Blob>, Error> {
        let Some(stored) = form.document.record.document() else { return Ok(None) };
        let fingerprint = HEXLOWER.encode(&form.fingerprint);
        let kept = stored.variants.iter().find(|variant| variant.fingerprint == fingerprint);
        if let Some(variant) = kept
            && let Some(blob) = self.engine.store.blob(&self.space, variant.blob, variant.length).await
        {
            return Ok(Some(blob));
        }
        let Some(raw) = self.raw(form.document).await else { return Ok(None) };
        let Ok(table) = self.table(form.document).await else { return Ok(None) };
        let id = self.space.record_id(&form.metadata.key);
        let recipe = Recipe {
            raw,
            edits: table.as_ref().map_or_else(Edits::none, Table::edits),
            base: form.base.to_owned(),
            coding: form.coding,
            metadata: form.metadata.clone(),
            content_type: stored.content_type.clone(),
            url: stored.url.clone(),
        };
        if !form.kept {
            // Its file is gone as soon as the last client has it.
            return Box::pin(self.make(recipe)).await.map(|(blob, _)| Some(blob));
        }
        let of = stored.raw;
        let base = form.base.to_owned();
        let run = |build: Arc<Build>| {
            let cache = Arc::clone(self);
            async move {
                let (blob, staging) = match cache.make(recipe).await {
                    Ok(made) => made,
                    Err(error) => {
                        build.0.send_replace(Some(Err(error)));
                        return;
                    }
                };
                let variant = Variant { base, fingerprint, blob: blob.id(), length: blob.length() };
                build.0.send_replace(Some(Ok(blob)));
                // The document's own record may still be on its way to the disk.
                cache.state.unwritten.settled(id).await;
                if let Some(staging) = staging {
                    cache.state.writer.add_variant(id, of, variant, staging).await;
                }
            }
        };
        let short = form.fingerprint.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte));
        let (build, _) = self.state.variants.join((id, short), |_| true, Build::default, run);
        let mut outcome = build.0.subscribe();
        drop(build);
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| Error::Abandoned)?;
        outcome.clone().unwrap_or(Err(Error::Abandoned)).map(Some)
    }

    async fn make(&self, recipe: Recipe) -> Result<(Blob, Option<Staging>), Error> {
        // A rendered form is made in memory from the whole document; a spliced one takes none worth counting.
        let (memory, length) = (&self.engine.memory, recipe.raw.length() * 2);
        let permit = match recipe.metadata.rewrite {
            // It has taken as much already, and nobody waits for memory while holding some.
            Rewrite::Render(_) if recipe.raw.permit().is_some() => None,
            Rewrite::Render(_) => Some(memory.take_with(recipe.edits.patience(), length).await?),
            _ => None,
        };
        let memory = memory.clone();
        let store = Arc::clone(&self.engine.store);
        let upstream = self.upstream();
        let work = move || {
            let _permit = permit;
            recipe.make(&store, &memory, &upstream)
        };
        self.engine.workshop.run(work).await?
    }

    /// The label of this cache's ecosystem.
    pub fn ecosystem_label(&self) -> EcosystemLabel {
        self.label()
    }
}

/// A document with its links replaced, made while it is sent.
fn spliced(raw: Blob, table: &Table, base: &str) -> Content {
    let length = table.spliced_length(raw.length(), base.len());
    if raw.in_memory().is_some() && raw.permit().is_none() && table.is_in_memory() {
        let mut bytes = Vec::with_capacity(length as usize);
        // Both are in memory, where nothing fails but damage; the length tells.
        let _ = Spliced::new(raw, table.edits(), base.to_owned()).read_to_end(&mut bytes);
        return Content { length, body: Body::full(bytes.into()) };
    }
    let reader = Spliced::new(raw, table.edits(), base.to_owned());
    let body = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let piece = tokio::task::spawn_blocking(move || {
            let mut buffer = Buffer::take();
            let result = reader.read(buffer.space()).map(|count| buffer.freeze(count));
            (reader, result)
        })
        .await;
        match piece {
            Ok((_, Ok(bytes))) if bytes.is_empty() => None,
            Ok((reader, Ok(bytes))) => Some((Ok(bytes), Some(reader))),
            Ok((_, Err(error))) => Some((Err(BodyError::Read(Arc::new(error))), None)),
            Err(error) => Some((Err(BodyError::Read(Arc::new(std::io::Error::other(error)))), None)),
        }
    });
    Content { length, body: Body::stream(Box::pin(body)) }
}

/// All that is needed to make a variant on another thread.
struct Recipe {
    raw: Blob,
    edits: Edits,
    base: String,
    coding: Coding,
    metadata: Metadata,
    content_type: String,
    url: url::Url,
}

impl Recipe {
    /// Makes it. Blocks on the disk and takes long for large documents.
    fn make(self, store: &Store, memory: &Budget, upstream: &str) -> Result<(Blob, Option<Staging>), Error> {
        let storage = |error| if NoMemory::is_in(&error) { busy() } else { Error::Storage(Arc::new(error)) };
        // As large as the document, or smaller: that has taken as much for it, if it is in memory for want of a disk.
        let sink = Sink::new(store, u64::MAX, memory).granted(self.raw.permit(), self.raw.length());
        let plain: Box<dyn Read> = match self.metadata.rewrite {
            Rewrite::Render(render) => {
                let bytes = self.raw.read_all().map_err(storage)?;
                let raw = Raw {
                    bytes: &bytes,
                    content_type: &self.content_type,
                    url: &self.url,
                    key: &self.metadata.key,
                    headers: None,
                };
                let rendered = (render.with)(raw, &self.base)
                    .map_err(|reason| Error::Unexpected { upstream: upstream.to_owned(), reason })?;
                Box::new(std::io::Cursor::new(rendered))
            }
            Rewrite::Edits => Box::new(Spliced::new(self.raw, self.edits, self.base)),
            Rewrite::Verbatim => Box::new(Spliced::new(self.raw, Edits::none(), self.base)),
        };
        encode(plain, self.coding, sink).map_err(storage)
    }
}

/// Encodes a stream into a new file, or into memory while the disk takes none.
fn encode(mut plain: Box<dyn Read>, coding: Coding, sink: Sink) -> std::io::Result<(Blob, Option<Staging>)> {
    let sink = match coding {
        Coding::Identity => {
            let mut sink = sink;
            copy(&mut plain, &mut sink)?;
            sink
        }
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(sink, Compression::new(6));
            copy(&mut plain, &mut encoder)?;
            encoder.finish()?
        }
        Coding::Zstd => {
            let mut encoder = zstd::Encoder::new(sink, 3)?;
            copy(&mut plain, &mut encoder)?;
            encoder.finish()?
        }
    };
    Ok(sink.finish())
}

/// `io::copy` with a buffer worth the call.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}
