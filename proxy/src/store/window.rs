//! The part of a body that the disk did not take: a bounded queue in memory that moves on with its slowest reader.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::spool::NobodyReads;

/// Bytes held for readers that are behind.
pub(super) const LIMIT: u64 = 4 << 20;
/// A reader that keeps the window full this long is left behind.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes between the end of the file and the end of what has arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Window(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Held>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// Where the window began, once it was needed.
    begins: Option<u64>,
    chunks: VecDeque<(u64, Bytes)>,
    bytes: u64,
    dropped: bool,
    readers: HashMap<u64, u64>,
    next_reader: u64,
}

impl Held {
    /// Drops what every reader has had.
    fn trim(&mut self) {
        let slowest = self.readers.values().min().copied();
        while let Some((offset, bytes)) = self.chunks.front() {
            let end = offset + bytes.len() as u64;
            if self.bytes <= LIMIT && slowest.is_none_or(|position| position < end) {
                break;
            }
            if slowest.is_some_and(|position| position < end) {
                break;
            }
            self.bytes -= bytes.len() as u64;
            self.dropped = true;
            self.chunks.pop_front();
        }
    }
}

impl Window {
    /// Adds bytes; waits until there is room.
    pub(super) async fn push(&self, offset: u64, bytes: Bytes) -> Result<(), NobodyReads> {
        {
            let mut held = self.0.held.lock();
            held.begins.get_or_insert(offset);
            held.bytes += bytes.len() as u64;
            held.chunks.push_back((offset, bytes));
        }
        loop {
            let moved = self.0.moved.notified();
            {
                let mut held = self.0.held.lock();
                if held.bytes > LIMIT && held.readers.is_empty() {
                    return Err(NobodyReads);
                }
                held.trim();
                if held.bytes <= LIMIT {
                    return Ok(());
                }
            }
            if tokio::time::timeout(PATIENCE, moved).await.is_err() {
                // Whoever has not read for this long loses its place; the others go on.
                let mut held = self.0.held.lock();
                let slowest = held.readers.values().min().copied();
                held.readers.retain(|_, position| Some(*position) != slowest);
            }
        }
    }

    /// Where the window begins: everything before lies in the file.
    pub(super) fn begins(&self) -> Option<u64> {
        self.0.held.lock().begins
    }

    /// Whether nothing has been dropped.
    pub(super) fn is_whole(&self) -> bool {
        !self.0.held.lock().dropped
    }

    /// The bytes from `position` on, up to `available`, of one chunk.
    pub(super) fn at(&self, position: u64, available: u64) -> Option<Bytes> {
        let held = self.0.held.lock();
        let (offset, bytes) =
            held.chunks.iter().find(|(offset, bytes)| (*offset..*offset + bytes.len() as u64).contains(&position))?;
        let end = (available - offset).min(bytes.len() as u64);
        Some(bytes.slice((position - offset) as usize..end as usize))
    }

    /// Registers a reader.
    pub(super) fn enter(&self, position: u64) -> Slot {
        let mut held = self.0.held.lock();
        let number = held.next_reader;
        held.next_reader += 1;
        held.readers.insert(number, position);
        Slot { window: self.clone(), number }
    }
}

/// A reader's place.
#[derive(Debug)]
pub(super) struct Slot {
    window: Window,
    number: u64,
}

impl Slot {
    /// Notes how far the reader has come.
    pub(super) fn advance(&self, position: u64) {
        let mut held = self.window.0.held.lock();
        if let Some(place) = held.readers.get_mut(&self.number) {
            *place = position;
        }
        if held.begins.is_some() {
            self.window.0.moved.notify_one();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.window.0.held.lock().readers.remove(&self.number);
        self.window.0.moved.notify_one();
    }
}
