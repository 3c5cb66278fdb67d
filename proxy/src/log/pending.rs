//! Lines that wait for a thread of their own: whoever logs never waits for whoever reads the log. When too many wait,
//! further ones are counted instead.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Most lines that wait.
const LINES: usize = 8192;
/// How long the end of the process waits for the log.
const FLUSH: Duration = Duration::from_secs(2);

/// The lines that wait.
#[derive(Clone, Debug)]
pub struct Pending(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    dropped: u64,
    /// Whether the thread is writing what it has taken.
    writing: bool,
}

impl Waiting {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && !self.writing
    }
}

impl Pending {
    /// Has a thread write to `out`. `json`: how it says that lines were dropped.
    pub(super) fn to(out: impl Write + Send + 'static, json: bool) -> Self {
        let queue = Arc::new(Queue::default());
        let pending = Self(Arc::clone(&queue));
        let thread = std::thread::Builder::new().name("log".to_owned());
        // Without the thread there is no log, and still a proxy.
        let _ = thread.spawn(move || queue.write_to(out, json));
        pending
    }

    /// Waits until all lines are written, but not for ever.
    pub fn flush(&self) {
        let mut waiting = self.0.waiting.lock();
        let _ = self.0.written.wait_while_for(&mut waiting, |waiting| !waiting.is_idle(), FLUSH);
    }
}

/// One call is one line.
impl Write for Pending {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting.lock();
        if waiting.lines.len() < LINES {
            waiting.lines.push_back(line.to_vec());
        } else {
            waiting.dropped += 1;
        }
        drop(waiting);
        self.0.arrived.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn write_to(&self, mut out: impl Write, json: bool) {
        let mut waiting = self.waiting.lock();
        loop {
            while waiting.is_idle() {
                self.arrived.wait(&mut waiting);
            }
            let lines = std::mem::take(&mut waiting.lines);
            let dropped = std::mem::take(&mut waiting.dropped);
            waiting.writing = true;
            drop(waiting);
            for line in lines {
                // Nobody reads it any more: that is no reason to stop.
                let _ = out.write_all(&line);
            }
            if dropped > 0 {
                let _ = out.write_all(notice(dropped, json).as_bytes());
            }
            let _ = out.flush();
            waiting = self.waiting.lock();
            waiting.writing = false;
            if waiting.is_idle() {
                self.written.notify_all();
            }
        }
    }
}

fn notice(dropped: u64, json: bool) -> String {
    if json {
        format!("{{\"level\":\"WARN\",\"message\":\"log lines were dropped\",\"lines\":{dropped}}}\n")
    } else {
        format!("WARN {dropped} log lines were dropped: the log is read too slowly\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Writes only after being let through, and then keeps what was written.
    struct Gate {
        open: mpsc::Receiver<()>,
        reached: mpsc::Sender<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.reached.send(());
            // An error means that the gate stays open.
            let _ = self.open.recv();
            self.written.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_the_reader_and_what_is_lost_is_counted() {
        let (open, gate) = mpsc::channel();
        let (reached, at_gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut pending = Pending::to(Gate { open: gate, reached, written: Arc::clone(&written) }, true);
        pending.write_all(b"first\n").unwrap();
        at_gate.recv().unwrap();
        // The thread is stuck with the first line: of these, as many as may wait are kept.
        for _ in 0..LINES + 5 {
            pending.write_all(b"line\n").unwrap();
        }
        drop(open);
        pending.flush();
        let text = String::from_utf8(written.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), LINES + 2);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["lines"], 5);
    }

    #[test]
    fn a_flush_ends_although_nobody_reads() {
        let (_open, gate) = mpsc::channel();
        let (reached, _at_gate) = mpsc::channel();
        let mut pending = Pending::to(Gate { open: gate, reached, written: Arc::default() }, false);
        pending.write_all(b"line\n").unwrap();
        pending.flush();
    }
}
