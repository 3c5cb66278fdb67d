//! Files go from the page cache to the socket by sendfile(2), without passing through this process. hyper knows bytes
//! only: a body hands it a stand-in of the same length, and what that stands for to the lane of its connection. When
//! the stand-in is to be written, the file is sent in its place.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::store::Blob;
use crate::store::body::{self, BodyError, STAYS_AT_HAND};
use crate::store::buffer::Buffer;

/// Bytes that a body hands over at once.
const PIECE: usize = 1 << 20;
/// What hyper holds instead of a file's bytes: its address is what counts. Zeros of a program take no memory.
static STAND_IN: [u8; PIECE] = [0; PIECE];

/// The files that a connection is about to send, in order.
#[derive(Clone, Debug, Default)]
pub struct Lane(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces.
    length: usize,
}

#[derive(Debug)]
struct Piece {
    blob: Blob,
    range: Range<u64>,
    /// When it was read for this: where the kernel cannot say what it has in memory, that is not done each time.
    loaded: Option<Instant>,
}

/// A stand-in was lost on its way through hyper, or came twice. Nothing can be sent then but wrong bytes.
#[derive(Debug, thiserror::Error)]
#[error("{found} bytes stand for files of which {expected} are to be sent")]
struct Lost {
    found: usize,
    expected: usize,
}

impl Lane {
    /// The next bytes of `range`, which begins after them then, for the body of a response on the connection of this
    /// lane, and on no other: a stand-in. Nothing is read before it is the turn of a piece to be sent.
    pub fn send(&self, blob: &Blob, range: &mut Range<u64>) -> Option<Bytes> {
        let piece = range.start..range.end.min(range.start + PIECE as u64);
        range.start = piece.end;
        (!piece.is_empty()).then(|| self.push(blob.clone(), piece))
    }

    fn push(&self, blob: Blob, range: Range<u64>) -> Bytes {
        let length = (range.end - range.start) as usize;
        let mut queue = self.0.lock();
        queue.length += length;
        queue.pieces.push_back(Piece { blob, range, loaded: None });
        Bytes::from_static(&STAND_IN[..length])
    }
}

impl Queue {
    /// Sends of the first piece what the socket takes.
    fn poll_send(
        &mut self,
        stream: &mut TcpStream,
        loading: &mut Option<Loading>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(piece) = self.pieces.front_mut() else { return Poll::Ready(Ok(0)) };
        let is_loaded = piece.loaded.is_some_and(|at| at.elapsed() < STAYS_AT_HAND);
        if loading.is_none() && !is_loaded && !body::is_at_hand(&piece.blob, &piece.range) {
            let (blob, range) = (piece.blob.clone(), piece.range.clone());
            *loading = Some(Box::pin(async move { body::load(&blob, range).await }));
        }
        if let Some(under_way) = loading {
            let loaded = ready!(under_way.as_mut().poll(context));
            *loading = None;
            loaded.map_err(io::Error::other)?;
            piece.loaded = Some(Instant::now());
        }
        let sent = ready!(piece.poll_send(stream, context))?;
        piece.range.start += sent as u64;
        self.length -= sent;
        if piece.range.is_empty() {
            self.pieces.pop_front();
        }
        Poll::Ready(Ok(sent))
    }
}

impl Piece {
    fn poll_send(&self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(file) = self.blob.as_file() else { return self.poll_copy(stream, context) };
        let count = (self.range.end - self.range.start) as usize;
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_io(Interest::WRITABLE, || sendfile(stream, file, self.range.start, count)) {
                Ok(0) => return Poll::Ready(Err(self.failed(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_unsupported(&error) => return self.poll_copy(stream, context),
                Err(error) => return Poll::Ready(Err(self.failed(error))),
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// The same through this process, where the file system, or the machine, knows no better. The bytes were loaded.
    fn poll_copy(&self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = Buffer::take();
        let wanted = buffer.space().len().min((self.range.end - self.range.start) as usize);
        let count = self.blob.read_at(self.range.start, &mut buffer.space()[..wanted])?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Pin::new(stream).poll_write(context, &buffer.space()[..count])
    }

    /// The kernel does not say which side failed. If it was the file, reading it tells, and has it removed.
    fn failed(&self, error: io::Error) -> io::Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut) {
            return error;
        }
        let (blob, start) = (self.blob.clone(), self.range.start);
        tokio::task::spawn_blocking(move || {
            let _ = blob.read_at(start, Buffer::take().space());
        });
        error
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn is_stand_in(slice: &IoSlice<'_>) -> bool {
    STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

/// A read of what the page cache has lost meanwhile.
type Loading = Pin<Box<dyn Future<Output = Result<(), BodyError>> + Send>>;

/// A connection that sends files in place of their stand-ins.
pub(super) struct SendFile {
    stream: TcpStream,
    lane: Lane,
    loading: Option<Loading>,
    /// Whether the client has closed its side.
    has_ended: bool,
}

impl SendFile {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, lane: Lane::default(), loading: None, has_ended: false }
    }

    /// Where its bodies put their files.
    pub(super) fn lane(&self) -> Lane {
        self.lane.clone()
    }
}

impl AsyncRead for SendFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.has_ended |= before > 0 && buffer.remaining() == before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SendFile {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, lane, loading, .. } = self.get_mut();
        let mut queue = lane.0.lock();
        // hyper writes all that it holds, so that every piece must be in sight. If one was copied, its zeros would go
        // out for bytes of the file: rather the connection ends.
        let found = slices.iter().filter(|slice| is_stand_in(slice)).map(|slice| slice.len()).sum();
        if found != queue.length {
            let lost = Lost { found, expected: queue.length };
            tracing::error!(error = %lost, "a response is cut: this is a fault of the program");
            return Poll::Ready(Err(io::Error::other(lost)));
        }
        match slices.iter().position(is_stand_in) {
            Some(0) => queue.poll_send(stream, loading, context),
            // MSG_MORE would save a packet and costs half as much again: the pages that follow are joined to a copy.
            before => Pin::new(stream).poll_write_vectored(context, &slices[..before.unwrap_or(slices.len())]),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Where nobody sends any more, closing the socket says the same and follows at once.
        if self.has_ended { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_shutdown(context) }
    }
}

#[cfg(target_os = "linux")]
fn sendfile(stream: &TcpStream, file: &File, start: u64, count: usize) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(stream, file, Some(&mut { start }), count)?)
}

#[cfg(not(target_os = "linux"))]
fn sendfile(_: &TcpStream, _: &File, _: u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
