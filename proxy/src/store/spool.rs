//! The file that a fill writes and clients read while it grows.
//!
//! Every client, the first included, is a reader: one that leaves ends nothing, a slow one slows nobody. When the
//! disk fails, what was written stays readable and the rest goes through a bounded window in memory; then, and only
//! then, the slowest reader sets the pace.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::body::{self, BodyError, ByteStream};
use super::window::{self, Window};
use crate::memory::Permit;

/// Held back at the end of a body until it is verified, so that wrong bytes never arrive whole.
pub const HELD_BACK: u64 = 64 << 10;

/// Bytes of memory that a body takes at most once the disk fails: the window, and what is on its way to it.
pub const IN_MEMORY: u64 = window::LIMIT + (512 << 10);

/// How far a fill has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Length of the whole, once the upstream has said it or the end is reached.
    pub length: Option<u64>,
    /// Bytes that readers may have.
    pub released: u64,
    /// How it ended, if it has.
    pub end: Option<Result<(), String>>,
}

/// A body that is arriving.
#[derive(Debug)]
pub struct Spool {
    progress: watch::Sender<Progress>,
    /// The growing file, if the disk took one.
    file: Mutex<Option<Arc<File>>>,
    /// Bytes that did not go to the file.
    window: Window,
    /// What the budget has granted for the window.
    permit: OnceLock<Permit>,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            progress: watch::Sender::new(Progress::default()),
            file: Mutex::new(None),
            window: Window::default(),
            permit: OnceLock::new(),
        }
    }
}

impl Spool {
    /// Names the file in which the released bytes lie.
    pub fn set_file(&self, file: Arc<File>) {
        *self.file.lock() = Some(file);
    }

    /// Notes the length that the upstream announced.
    pub fn announce(&self, length: u64) {
        self.progress.send_modify(|progress| progress.length = Some(length));
    }

    /// Lets readers have the first `released` bytes, all of which lie in the file or in the window.
    pub fn release(&self, released: u64) {
        self.progress.send_if_modified(|progress| {
            let grows = released > progress.released;
            progress.released = progress.released.max(released);
            grows
        });
    }

    /// Counts its memory for as long as anybody reads it.
    pub fn hold(&self, permit: Permit) {
        let _ = self.permit.set(permit);
    }

    /// Whether its memory is counted.
    pub fn is_held(&self) -> bool {
        self.permit.get().is_some()
    }

    /// Passes bytes on in memory, because the disk fails: waits until the slowest reader has room. An error means
    /// that nobody is left to read them.
    pub async fn pass(&self, offset: u64, bytes: Bytes) -> Result<(), NobodyReads> {
        self.window.push(offset, bytes).await
    }

    /// The body is complete and right: everything is released.
    pub fn complete(&self, length: u64) {
        self.progress.send_modify(|progress| {
            progress.length = Some(length);
            progress.released = length;
            progress.end = Some(Ok(()));
        });
    }

    /// The body will never be complete.
    pub fn fail(&self, reason: String) {
        self.progress.send_modify(|progress| {
            if progress.end.is_none() {
                progress.end = Some(Err(reason));
            }
        });
    }

    /// How far it has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether a new reader would find every byte from the start.
    pub fn is_whole(&self) -> bool {
        self.window.is_whole()
    }

    /// Reads `range` of the body as it arrives; an open end means: to the end, wherever that is.
    pub fn read(self: &Arc<Self>, range: Range<u64>) -> ByteStream {
        let reader = Reader {
            slot: self.window.enter(range.start),
            progress: self.progress(),
            spool: Arc::clone(self),
            position: range.start,
            end: range.end,
        };
        Box::pin(stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

/// No reader is left for bytes that are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk does not take the body and no client reads it any more")]
pub struct NobodyReads;

/// One client's place in the body.
struct Reader {
    spool: Arc<Spool>,
    progress: watch::Receiver<Progress>,
    slot: super::window::Slot,
    position: u64,
    end: u64,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let (available, end) = {
                let progress = self.progress.borrow_and_update();
                (progress.released.min(self.end), progress.end.clone())
            };
            if self.position < available {
                let bytes = self.piece(available).await?;
                self.position += bytes.len() as u64;
                self.slot.advance(self.position);
                return Ok(Some(bytes));
            }
            if self.position >= self.end {
                return Ok(None);
            }
            match end {
                Some(Ok(())) => return Ok(None),
                Some(Err(reason)) => return Err(BodyError::Fill(reason)),
                None => {}
            }
            // A fill that vanished without a word has failed: it must not read as the end of the body.
            if self.progress.changed().await.is_err() {
                return Err(BodyError::Fill("the fill was abandoned".to_owned()));
            }
        }
    }

    async fn piece(&self, available: u64) -> Result<Bytes, BodyError> {
        let in_file = self.spool.window.begins().unwrap_or(u64::MAX);
        if self.position >= in_file {
            return self.spool.window.at(self.position, available).ok_or(BodyError::Lagging);
        }
        let file = self.spool.file.lock().clone();
        let Some(file) = file else { return Err(BodyError::Read(Arc::new(io::ErrorKind::NotFound.into()))) };
        body::read(&file, self.position, available.min(in_file)).await.map_err(|error| BodyError::Read(Arc::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::io::Write as _;

    fn spool_on_file() -> (Arc<Spool>, File) {
        let file = tempfile::tempfile().unwrap();
        let spool = Arc::new(Spool::default());
        spool.set_file(Arc::new(file.try_clone().unwrap()));
        (spool, file)
    }

    async fn collect(mut body: ByteStream) -> (Vec<u8>, Option<BodyError>) {
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            match piece {
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(error) => return (all, Some(error)),
            }
        }
        (all, None)
    }

    #[tokio::test]
    async fn readers_follow_the_writer_and_see_its_end() {
        let (spool, mut file) = spool_on_file();
        let early = tokio::spawn(collect(spool.read(0..u64::MAX)));
        file.write_all(b"hello ").unwrap();
        spool.release(6);
        file.write_all(b"world").unwrap();
        let ranged = tokio::spawn(collect(spool.read(3..8)));
        spool.complete(11);
        assert_eq!(early.await.unwrap().0, b"hello world");
        assert_eq!(ranged.await.unwrap().0, b"lo wo");
        assert_eq!(collect(spool.read(0..u64::MAX)).await.0, b"hello world");
    }

    #[tokio::test]
    async fn a_failed_fill_is_an_error_for_every_reader() {
        let (spool, mut file) = spool_on_file();
        file.write_all(b"half").unwrap();
        spool.release(2);
        let reader = tokio::spawn(collect(spool.read(0..u64::MAX)));
        spool.fail("reset".into());
        let (bytes, error) = reader.await.unwrap();
        assert_eq!(bytes, b"ha");
        assert!(matches!(error, Some(BodyError::Fill(_))));
    }

    #[tokio::test]
    async fn when_the_disk_fails_the_rest_goes_through_memory() {
        let (spool, mut file) = spool_on_file();
        let reader = tokio::spawn(collect(spool.read(0..u64::MAX)));
        let second = tokio::spawn(collect(spool.read(0..u64::MAX)));
        tokio::task::yield_now().await;
        file.write_all(b"disk").unwrap();
        spool.release(4);
        let mut offset = 4;
        for _ in 0..200 {
            spool.pass(offset, Bytes::from(vec![7; 64 << 10])).await.unwrap();
            offset += 64 << 10;
            spool.release(offset);
        }
        spool.complete(offset);
        for task in [reader, second] {
            let (bytes, error) = task.await.unwrap();
            assert!(error.is_none());
            assert_eq!(bytes.len() as u64, offset);
            assert_eq!(&bytes[..5], b"disk\x07");
        }
        assert!(!spool.is_whole());
        assert_eq!(spool.pass(offset, Bytes::from(vec![7; 8 << 20])).await, Err(NobodyReads));
    }
}
