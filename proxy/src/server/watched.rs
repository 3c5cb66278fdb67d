//! A connection whose client may not keep us waiting: for its first byte, for the rest of a header block, for its next
//! request, or for room to send to.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::Limits;
use super::activity::Activity;

/// How HTTP/2 begins (RFC 9113 §3.4). From then on bytes may arrive that are no request.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Room for the first bytes: most requests fit.
const FIRST: usize = 2048;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1, or the one before.
    Http1,
    /// HTTP/2, by prior knowledge or as TLS agreed on.
    Http2,
}

/// A stream with its limits.
pub(super) struct Watched<T> {
    stream: T,
    /// Bytes that told what the client speaks, for whoever speaks it.
    first: BytesMut,
    activity: Arc<Activity>,
    limits: Limits,
    /// Requests begun when we last looked.
    requests: u64,
    opening: Opening,
    /// Whether bytes of the next request have arrived.
    begun: bool,
    waiting: Option<Wait>,
    /// When the wait ends.
    deadline: Instant,
    /// Runs out at the deadline or before it: most waits are over long before, and cost no change of a timer.
    read_timer: Pin<Box<Sleep>>,
    /// Runs while the client takes nothing; made when that first happens.
    write_timer: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    /// Whether what was written waits in a layer below us, as with TLS.
    flushing: bool,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// So many bytes of the preface so far.
    Preface(usize),
    Http1,
    Http2,
}

/// What the client's turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    FirstByte,
    Head,
    Idle,
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, activity: Arc<Activity>, limits: Limits) -> Self {
        Self {
            stream,
            first: BytesMut::new(),
            activity,
            limits,
            requests: 0,
            opening: Opening::Preface(0),
            begun: false,
            waiting: None,
            deadline: Instant::now() + limits.first_byte,
            read_timer: Box::pin(sleep(limits.first_byte)),
            write_timer: None,
            stalled: false,
            flushing: false,
        }
    }

    /// Waits for bytes that tell what the client speaks.
    pub(super) async fn opening(&mut self) -> io::Result<Protocol>
    where
        T: AsyncRead + Unpin,
    {
        let mut first = BytesMut::with_capacity(FIRST);
        while matches!(self.opening, Opening::Preface(_)) && self.read_buf(&mut first).await? > 0 {}
        self.first = first;
        Ok(if self.opening == Opening::Http2 { Protocol::Http2 } else { Protocol::Http1 })
    }

    /// A request that was understood ends the wait for its header block.
    fn look(&mut self) {
        let requests = self.activity.begun();
        if self.requests != requests {
            self.requests = requests;
            self.begun = false;
            self.waiting = None;
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.look();
        if let Opening::Preface(seen) = self.opening {
            let rest = &PREFACE[seen..];
            let compared = bytes.len().min(rest.len());
            self.opening = if bytes[..compared] != rest[..compared] {
                Opening::Http1
            } else if compared == rest.len() {
                Opening::Http2
            } else {
                Opening::Preface(seen + compared)
            };
        }
        // While a request is being answered bytes are its body, or come ahead of their turn.
        self.begun = self.opening != Opening::Http2 && !self.activity.is_busy();
    }

    /// Nothing has arrived: how long may that last?
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look();
        // A body that is handed over may still be on its way.
        if self.activity.is_busy() || self.stalled {
            self.waiting = None;
            return Poll::Pending;
        }
        let (wait, limit) = if self.begun {
            (Wait::Head, self.limits.head)
        } else if self.opening == Opening::Preface(0) {
            (Wait::FirstByte, self.limits.first_byte)
        } else {
            (Wait::Idle, self.limits.idle)
        };
        if self.waiting != Some(wait) {
            self.waiting = Some(wait);
            self.deadline = Instant::now() + limit;
            if self.deadline < self.read_timer.deadline() {
                self.read_timer.as_mut().reset(self.deadline);
            }
        }
        loop {
            ready!(self.read_timer.as_mut().poll(context));
            if Instant::now() >= self.deadline {
                break;
            }
            self.read_timer.as_mut().reset(self.deadline);
        }
        Poll::Ready(match wait {
            Wait::Head => Err(io::Error::new(io::ErrorKind::TimedOut, "the header block did not end in time")),
            // As if the client had closed it: nothing is lost.
            Wait::FirstByte | Wait::Idle => Ok(()),
        })
    }

    /// The same for what lies in a layer below us. A socket has nothing to flush: that it is ready says nothing of the
    /// client, unless it was not ready before.
    fn emptied(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        let was_flushing = std::mem::replace(&mut self.flushing, outcome.is_pending());
        if outcome.is_ready() && !was_flushing { outcome } else { self.progress(context, outcome) }
    }

    /// Gives up a client that takes nothing.
    fn progress<R>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.stalled = false;
            return outcome;
        }
        let limit: Duration = self.limits.stalled;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.stalled {
            self.stalled = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(count));
            if self.first.is_empty() {
                self.first = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                let arrived = &buffer.filled()[before..];
                if !arrived.is_empty() {
                    self.heard(arrived);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => self.wait(context),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.progress(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.emptied(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.emptied(context, outcome)
    }
}
