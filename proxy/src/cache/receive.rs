//! Takes a document's body to a file as it arrives: content coding undone where it is to be read, length bounded, digest
//! computed.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::stream::Fuse;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header;

use super::fill::content_length;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::fetch::{BodyStream, FetchError, Reply};
use crate::intent::Unexpected;
use crate::memory::{Budget, Patience, busy};
use crate::store::sink::{NoMemory, PastLimit};
use crate::store::{Blob, Sink, Staging, Store};

/// Bytes handed to the disk in one piece.
pub(super) const BATCH: usize = 256 << 10;
/// Bytes of a document that is taken to memory because the disk takes none.
const MEMORY: u64 = 32 << 20;
/// A coded body is expected to grow by this factor.
const GROWTH: u64 = 8;
/// A coded body may grow by this factor ...
const RATIO: u64 = 200;
/// ... once it is larger than this.
const RATIO_FROM: u64 = 10 << 20;

/// A document that has arrived.
pub(super) struct Received {
    /// Its bytes.
    pub blob: Blob,
    /// The file to commit; `None` while the disk takes none.
    pub staging: Option<Staging>,
    /// Its digests under the algorithms that were asked for.
    pub digests: Vec<Digest>,
}

/// What becomes of a content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coded {
    /// It is undone, whether it was asked for or not.
    Undone,
    /// Some stores label a file so that is compressed itself. Its bytes are kept as they come.
    Kept,
}

impl Coded {
    /// Of a file of this name, which is only passed on.
    pub(super) fn of_file(name: &str) -> Self {
        let end = name.rsplit('.').next().unwrap_or_default();
        let is_compressed = ["gz", "tgz", "xz", "txz", "bz2", "tbz2", "zst", "lzma"].contains(&end);
        if is_compressed { Self::Kept } else { Self::Undone }
    }
}

/// Takes a whole body. `patience` is what to do where the disk takes none and memory is short.
pub(super) async fn receive(
    reply: Reply,
    coded: Coded,
    store: &Arc<Store>,
    budget: &Budget,
    patience: Patience,
    limit: u64,
    algorithms: &[Algorithm],
) -> Result<Received, Error> {
    let upstream = reply.url.origin();
    let coding = reply.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let gzip = match coding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => false,
        _ if coded == Coded::Kept => false,
        "gzip" | "x-gzip" => true,
        other => {
            let reason = Unexpected(format!("a document in the content coding {other:?}, which was not asked for"));
            return Err(Error::Unexpected { upstream, reason });
        }
    };
    let (opening, memory) = (Arc::clone(store), budget.clone());
    let opened = tokio::task::spawn_blocking(move || Sink::bounded(&opening, limit, MEMORY, &memory)).await;
    let mut plain = opened.map_err(|_| Error::Abandoned)?.hashing(algorithms);
    if plain.is_in_memory() || store.fault().is_some() {
        // Of this body nothing is held yet: this is when to wait. A disk that is full opens a file, and fails later.
        let growth = if gzip { GROWTH } else { 1 };
        let announced = content_length(&reply).map_or(MEMORY, |announced| announced.saturating_mul(growth));
        plain.hold(budget.take_with(patience, announced.min(limit).min(MEMORY) * 2).await?);
    }
    let mut sink =
        if gzip { Decoder::Gzip(Box::new(MultiGzDecoder::new(plain))) } else { Decoder::Plain(Box::new(plain)) };
    let mut body = Batches::new(reply.body);
    let mut arrived: u64 = 0;
    while let Some(batch) = body.next().await? {
        arrived += batch.len() as u64;
        let (back, result) = tokio::task::spawn_blocking(move || {
            let result = sink.write_all(&batch);
            (sink, result)
        })
        .await
        .map_err(|_| Error::Abandoned)?;
        sink = back;
        result.map_err(|error| failed(&error, &upstream, limit, gzip))?;
        let length = sink.plain().length();
        if gzip && length > RATIO_FROM && length / arrived > RATIO {
            let reason = Unexpected("a compressed document that grows without end".to_owned());
            return Err(Error::Unexpected { upstream, reason });
        }
    }
    let finish = tokio::task::spawn_blocking(move || sink.finish()).await.map_err(|_| Error::Abandoned)?;
    let plain = finish.map_err(|error| failed(&error, &upstream, limit, gzip))?;
    let digests = if algorithms.is_empty() { Vec::new() } else { plain.digests().of(algorithms) };
    let (blob, staging) = plain.finish();
    Ok(Received { blob, staging, digests })
}

/// A body in pieces that are worth a call to the disk.
pub(super) struct Batches {
    body: Fuse<BodyStream>,
    failed: Option<FetchError>,
}

impl Batches {
    pub(super) fn new(body: BodyStream) -> Self {
        Self { body: body.fuse(), failed: None }
    }

    /// What has arrived, in one piece of about [`BATCH`] bytes; `None` at the end. Waits for the first bytes only.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(first) = self.body.next().await.transpose()? else { return Ok(None) };
        let mut batch: Option<Vec<u8>> = None;
        let mut length = first.len();
        while length < BATCH {
            match self.body.next().now_or_never() {
                Some(Some(Ok(more))) => {
                    length += more.len();
                    batch.get_or_insert_with(|| first.to_vec()).extend_from_slice(&more);
                }
                // What arrived before it goes first.
                Some(Some(Err(error))) => {
                    self.failed = Some(error);
                    break;
                }
                Some(None) | None => break,
            }
        }
        Ok(Some(batch.map_or(first, Bytes::from)))
    }
}

fn failed(error: &io::Error, upstream: &str, limit: u64, gzip: bool) -> Error {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<PastLimit>) {
        return Error::TooLarge { upstream: upstream.to_owned(), limit };
    }
    if NoMemory::is_in(error) {
        return busy();
    }
    if gzip
        && matches!(
            error.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        )
    {
        let reason = Unexpected(format!("a gzip stream that cannot be read: {error}"));
        return Error::Unexpected { upstream: upstream.to_owned(), reason };
    }
    Error::Storage(Arc::new(io::Error::new(error.kind(), error.to_string())))
}

/// Undoes the content coding on the way to the sink.
enum Decoder {
    Plain(Box<Sink>),
    Gzip(Box<MultiGzDecoder<Sink>>),
}

impl Decoder {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn plain(&self) -> &Sink {
        match self {
            Self::Plain(plain) => plain,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn finish(self) -> io::Result<Sink> {
        match self {
            Self::Plain(plain) => Ok(*plain),
            Self::Gzip(decoder) => decoder.finish(),
        }
    }
}
