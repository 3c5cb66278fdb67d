//! The body of a response, and what is counted of it.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::cache_status::CacheStatus;
use crate::memory::Permit;
use crate::server::Lane;
use crate::store::{Blob, BodyError, ByteStream, body};

/// What is handed over at once of bytes that are held: what is with the connection is no longer counted.
const PIECE: usize = 64 << 10;

/// What is called when a body ends or is given up: bytes sent, and whether all of it was.
type AtEnd = Box<dyn FnOnce(u64, bool) + Send>;

/// The bytes of a response.
#[derive(Default)]
pub struct Body {
    bytes: Source,
    cache: CacheStatus,
    sent: u64,
    at_end: Option<AtEnd>,
    ended: bool,
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    Full(Bytes),
    Held(Bytes, #[expect(dead_code, reason = "held for its drop")] Permit),
    Blob(Blob, Range<u64>),
    /// The kernel sends it.
    Sent(Lane, Blob, Range<u64>),
    Stream(ByteStream),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::default()
    }

    /// These bytes.
    pub fn full(bytes: Bytes) -> Self {
        Self::of(Source::Full(bytes))
    }

    /// The bytes of `range` of a blob.
    pub fn blob(blob: &Blob, range: Range<u64>) -> Self {
        match blob.in_memory() {
            Some(bytes) => Self::full(bytes.slice(range.start as usize..range.end as usize)),
            None => Self::of(Source::Blob(blob.clone(), range)),
        }
    }

    /// Bytes as they are made, or as they arrive.
    pub fn stream(stream: ByteStream) -> Self {
        Self::of(Source::Stream(stream))
    }

    /// These bytes, together with the part of a budget that they take: it is free again when the last of them has
    /// been handed over.
    pub fn held(bytes: Bytes, permit: Permit) -> Self {
        Self::of(Source::Held(bytes, permit))
    }

    fn of(bytes: Source) -> Self {
        Self { bytes, cache: CacheStatus::default(), sent: 0, at_end: None, ended: false }
    }

    /// The same, with the word how it came about.
    #[must_use]
    pub fn served(mut self, cache: CacheStatus) -> Self {
        self.cache = cache;
        self
    }

    /// How it came about.
    pub fn cache(&self) -> CacheStatus {
        self.cache
    }

    /// Has `at_end` called when the body ends or is dropped.
    #[must_use]
    pub fn when_done(mut self, at_end: impl FnOnce(u64, bool) + Send + 'static) -> Self {
        self.at_end = Some(Box::new(at_end));
        self
    }

    /// Has the kernel send what is a file. The body must go to the connection of this lane then.
    #[must_use]
    pub fn by(mut self, lane: &Lane) -> Self {
        if let Source::Blob(blob, range) = &self.bytes {
            self.bytes = Source::Sent(lane.clone(), blob.clone(), range.clone());
        }
        self
    }

    fn finish(&mut self, complete: bool) {
        self.ended = true;
        if let Some(at_end) = self.at_end.take() {
            at_end(self.sent, complete);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Source::Blob(blob, range) = &this.bytes {
            this.bytes = Source::Stream(body::send(blob, range.clone()));
        }
        let next = match &mut this.bytes {
            Source::Empty | Source::Blob(..) => None,
            Source::Full(bytes) if bytes.is_empty() => None,
            Source::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Source::Held(bytes, _) if bytes.is_empty() => None,
            Source::Held(bytes, _) => Some(Ok(bytes.split_to(bytes.len().min(PIECE)))),
            Source::Sent(lane, blob, range) => lane.send(blob, range).map(Ok),
            Source::Stream(stream) => std::task::ready!(stream.as_mut().poll_next(context)),
        };
        Poll::Ready(match next {
            Some(Ok(bytes)) => {
                this.sent += bytes.len() as u64;
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => {
                tracing::debug!(error = %error, "a response was cut");
                this.finish(false);
                Some(Err(error))
            }
            None => {
                this.finish(true);
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.bytes {
            Source::Empty => true,
            Source::Full(bytes) | Source::Held(bytes, _) => bytes.is_empty(),
            Source::Blob(_, range) => range.is_empty(),
            // Asked for once more, the body stays until what it handed over has been sent: its time counts.
            Source::Sent(..) | Source::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.bytes {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) | Source::Held(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Source::Blob(_, range) | Source::Sent(_, _, range) => SizeHint::with_exact(range.end - range.start),
            Source::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // A body in one piece is done once it has been handed over; hyper does not ask for its end.
        let complete = self.ended || self.is_whole();
        self.finish(complete);
    }
}

impl Body {
    fn is_whole(&self) -> bool {
        http_body::Body::is_end_stream(self)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Body").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use parking_lot::Mutex;

    use super::*;
    use crate::memory::Budget;
    use crate::store::BlobId;

    #[tokio::test(start_paused = true)]
    async fn held_bytes_give_back_their_memory_with_the_last_piece() {
        let budget = Budget::new(1 << 20);
        let permit = budget.take(1 << 20).await.unwrap();
        let mut body = Body::held(Bytes::from(vec![7; PIECE + 1]), permit);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(PIECE as u64 + 1));
        for expected in [PIECE, 1] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), expected);
            let free = tokio::time::timeout(Duration::from_secs(1), budget.take(1)).await.is_ok();
            assert!(!free, "the body is still there");
        }
        assert!(http_body::Body::is_end_stream(&body));
        drop(body);
        assert!(budget.take(1 << 20).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_is_done_when_it_is_sent_and_not_when_its_last_piece_is_handed_over() {
        let done = Arc::new(Mutex::new(None));
        let file = tempfile::tempfile().unwrap();
        file.set_len(5).unwrap();
        let blob = Blob::file(BlobId::of(b""), 5, file);
        let told = Arc::clone(&done);
        let body = Body::blob(&blob, 0..5).by(&Lane::default());
        let mut body = body.when_done(move |bytes, complete| *told.lock() = Some((bytes, complete)));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 5);
        assert!(!http_body::Body::is_end_stream(&body) && done.lock().is_none());
        assert!(body.frame().await.is_none());
        assert_eq!(*done.lock(), Some((5, true)));
    }
}
