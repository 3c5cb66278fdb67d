//! One answer as a list of steps: what is sent, what is waited for, and how it ends.

use std::time::Duration;

use bytes::Bytes;

use super::Gate;

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes of the body.
    Send(Bytes),
    /// Waits this long.
    Sleep(Duration),
    /// Waits until the test opens the gate.
    Hold(Gate),
    /// Ends the connection with a TCP reset.
    Reset,
    /// Ends the connection in an orderly way, whatever was promised.
    Cut,
}

/// How the end of a body is marked (RFC 9112 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `Content-Length`, as long as the steps are.
    Length,
    /// A `Content-Length` that need not be true.
    Claimed(u64),
    /// Chunks; the last, empty one is sent or not.
    Chunked {
        /// Whether the last chunk is sent.
        finished: bool,
    },
    /// The end of the connection.
    Close,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) before_head: Vec<Step>,
    pub(super) body: Vec<Step>,
    pub(super) framing: Framing,
}

impl Reply {
    /// An answer without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), before_head: Vec::new(), body: Vec::new(), framing: Framing::Length }
    }

    /// 200 with a body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::new(200).bytes(body)
    }

    /// 302 to this text, verbatim.
    pub fn redirect(location: &str) -> Self {
        Self::new(302).header("Location", location)
    }

    /// Adds a header line, verbatim: the value may be something that no server should send.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends bytes of the body.
    #[must_use]
    pub fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    /// Sends a text as the body, labelled as such.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.header("Content-Type", "text/plain").bytes(text.to_owned())
    }

    /// Sends a body in pieces of this size with a pause after each.
    #[must_use]
    pub fn dripping(mut self, body: &Bytes, piece: usize, pause: Duration) -> Self {
        let mut rest = body.clone();
        while !rest.is_empty() {
            let next = rest.split_to(piece.min(rest.len()));
            self = self.bytes(next).sleep(pause);
        }
        self
    }

    /// Waits inside the body.
    #[must_use]
    pub fn sleep(self, time: Duration) -> Self {
        self.step(Step::Sleep(time))
    }

    /// Waits inside the body until the test opens the gate.
    #[must_use]
    pub fn hold(self, gate: &Gate) -> Self {
        self.step(Step::Hold(gate.clone()))
    }

    /// Waits before the head until the test opens the gate.
    #[must_use]
    pub fn hold_head(mut self, gate: &Gate) -> Self {
        self.before_head.push(Step::Hold(gate.clone()));
        self
    }

    /// Never answers, on an open connection.
    #[must_use]
    pub fn stall_head(self) -> Self {
        self.hold_head(&Gate::shut())
    }

    /// Stops inside the body for good, on an open connection.
    #[must_use]
    pub fn stall(self) -> Self {
        self.hold(&Gate::shut())
    }

    /// Resets the connection at this place of the body.
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// Resets the connection instead of answering.
    #[must_use]
    pub fn reset_head(mut self) -> Self {
        self.before_head.push(Step::Reset);
        self
    }

    /// Closes the connection at this place of the body.
    #[must_use]
    pub fn cut(self) -> Self {
        self.step(Step::Cut)
    }

    /// Says this length, whatever the body has.
    #[must_use]
    pub fn claims(mut self, length: usize) -> Self {
        self.framing = Framing::Claimed(length as u64);
        self
    }

    /// Sends the body in chunks.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked { finished: true };
        self
    }

    /// Sends the body in chunks and closes the connection without the last one.
    #[must_use]
    pub fn unfinished_chunks(mut self) -> Self {
        self.framing = Framing::Chunked { finished: false };
        self
    }

    /// Ends the body with the connection.
    #[must_use]
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.body.push(step);
        self
    }

    /// Bytes that the steps send.
    pub(super) fn length(&self) -> u64 {
        self.body.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() as u64 } else { 0 }).sum()
    }
}
