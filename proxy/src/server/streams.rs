//! The streams of HTTP/2. Their clients say how much of each they take, apart from what the connection takes: one that
//! takes nothing of a stream for too long loses it, as it would lose a connection of HTTP/1.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes handed over at once: a slow client shows that it takes something with each of them.
const PIECE: usize = 16 << 10;

tokio::task_local! {
    /// Of the stream that this task answers.
    static PACE: Arc<Pace>;
}

/// Whose turn it is: odd while a piece waits for the client, another number with each piece.
#[derive(Debug, Default)]
struct Pace(AtomicU64);

impl Pace {
    fn turn(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The piece before has gone: it is our turn to bring the next.
    fn ours(&self) {
        let turn = self.turn();
        self.0.store(turn + turn % 2, Ordering::Release);
    }

    fn the_client_s(&self) {
        self.0.store(self.turn() | 1, Ordering::Release);
    }
}

/// Runs streams, each with this limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) stalled: Duration,
}

impl<F: Future + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let pace = Arc::new(Pace::default());
        let inner = PACE.scope(Arc::clone(&pace), stream);
        let limit = self.stalled;
        tokio::spawn(Limited { inner, pace, limit, turn: 0, deadline: Instant::now(), timer: None });
    }
}

pin_project! {
    /// A stream that ends when its client takes nothing. What ends before its end is reset, and what was queued of it is
    /// dropped.
    struct Limited<F> {
        #[pin]
        inner: TaskLocalFuture<Arc<Pace>, F>,
        pace: Arc<Pace>,
        limit: Duration,
        // The turn that the deadline belongs to.
        turn: u64,
        deadline: Instant,
        // Runs out at the deadline or before it; made when the client first has to be waited for.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.inner.poll(context).is_ready() {
            return Poll::Ready(());
        }
        let turn = this.pace.turn();
        if turn.is_multiple_of(2) {
            return Poll::Pending;
        }
        if *this.turn != turn {
            *this.turn = turn;
            *this.deadline = Instant::now() + *this.limit;
        }
        let deadline = *this.deadline;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(context));
            if Instant::now() >= deadline {
                tracing::debug!("a client took nothing of a stream, which is reset");
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

pin_project! {
    /// A body that tells its stream whose turn it is. Over HTTP/1 it is the body that it was.
    pub(super) struct Paced<B> {
        #[pin]
        body: B,
        pace: Option<Arc<Pace>>,
        // What is left of the last piece that the body gave.
        rest: Bytes,
    }
}

impl<B> Paced<B> {
    /// To be called by the task that answers.
    pub(super) fn new(body: B) -> Self {
        Self { body, pace: PACE.try_with(Arc::clone).ok(), rest: Bytes::new() }
    }
}

impl<B: Body<Data = Bytes>> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(pace) = this.pace else { return this.body.poll_frame(context) };
        pace.ours();
        if this.rest.is_empty() {
            match ready!(this.body.poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => *this.rest = bytes,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let mut piece = this.rest.split_to(this.rest.len().min(PIECE));
        if this.rest.is_empty() {
            // The last one may wait for its client when this is long gone: it must not hold all that it was a part of.
            *this.rest = Bytes::new();
            piece = Bytes::copy_from_slice(&piece);
        }
        pace.the_client_s();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    use super::PIECE;
    use crate::server::Limits;
    use crate::server::tests::in_memory;

    const RESET: u8 = 3;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        frame.extend_from_slice(payload);
        frame
    }

    /// The next frame, its kind and its payload; PING is answered.
    async fn next(client: &mut DuplexStream) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            client.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            client.read_exact(&mut payload).await.unwrap();
            match head[3] {
                6 if head[4] == 0 => client.write_all(&frame(6, 1, 0, &payload)).await.unwrap(),
                kind => return (kind, payload),
            }
        }
    }

    /// Asks for a megabyte with a window of `window` bytes.
    async fn asked(client: &mut DuplexStream, window: u8) {
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        client.write_all(&frame(4, 0, 0, &[0, 4, 0, 0, 0, window])).await.unwrap();
        client.write_all(&frame(1, 5, 1, b"\x82\x86\x04\x06/large\x01\x01x")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_takes_nothing_is_reset() {
        for window in [0, 1] {
            let (mut client, task) = in_memory(Limits::default());
            asked(&mut client, window).await;
            let (began, mut taken) = (Instant::now(), 0);
            let reset = async {
                loop {
                    match next(&mut client).await {
                        (0, data) => taken += data.len(),
                        (RESET, _) => break,
                        _ => {}
                    }
                }
            };
            tokio::time::timeout(Duration::from_mins(10), reset).await.expect("a stream is kept for ever");
            assert_eq!(began.elapsed().as_secs(), 60);
            assert_eq!(taken, usize::from(window));
            // The connection goes on: what it is asked next is answered.
            client.write_all(&frame(1, 5, 3, b"\x82\x86\x04\x02/a\x01\x01x")).await.unwrap();
            while next(&mut client).await.0 != 1 {}
            drop(client);
            task.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_is_slow_is_not() {
        let (mut client, _task) = in_memory(Limits::default());
        asked(&mut client, 0).await;
        let mut taken = 0;
        for round in 0..30 {
            let pause = tokio::time::sleep(Duration::from_secs(50));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    (kind, data) = next(&mut client) => {
                        assert_ne!(kind, RESET, "after {taken} bytes");
                        taken += if kind == 0 { data.len() } else { 0 };
                    }
                }
            }
            assert_eq!(taken, round * PIECE);
            // Room for the stream and for the connection.
            for stream in [0, 1] {
                client.write_all(&frame(8, 0, stream, &(PIECE as u32).to_be_bytes())).await.unwrap();
            }
        }
    }
}
