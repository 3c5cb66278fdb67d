//! Sends a blob without holding it in memory: what the page cache has is read at once, what it has not on a thread
//! that may wait for the disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Blob;
use super::buffer::{self, Buffer};

/// So long what was in the page cache is taken to be there still.
pub const STAYS_AT_HAND: Duration = Duration::from_secs(1);

/// A body on its way to a client.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Why a body ends early. The client sees a cut connection, so that it cannot take the part for the whole.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BodyError {
    /// The disk failed under a stored blob.
    #[error("a stored blob cannot be read: {0}")]
    Read(Arc<io::Error>),
    /// The fill that feeds this body failed.
    #[error("the transfer from the upstream failed: {0}")]
    Fill(String),
    /// The client reads so slowly that others would have to wait for it.
    #[error("the client was too slow for a transfer that is not kept")]
    Lagging,
}

/// The bytes of `range` of a blob.
pub fn send(blob: &Blob, range: Range<u64>) -> ByteStream {
    let Some(file) = blob.as_file() else {
        let bytes = blob.in_memory().cloned().unwrap_or_default();
        let piece = bytes.slice(range.start as usize..range.end as usize);
        return Box::pin(stream::once(std::future::ready(Ok(piece))));
    };
    Box::pin(stream::unfold((blob.clone(), Arc::clone(file), range), |(blob, file, range)| async move {
        if range.is_empty() {
            return None;
        }
        match read(&file, range.start, range.end).await {
            Ok(bytes) => {
                let next = range.start + bytes.len() as u64..range.end;
                Some((Ok(bytes), (blob, file, next)))
            }
            Err(error) => Some((Err(damaged(&blob, error).await), (blob, file, range.end..range.end))),
        }
    }))
}

/// Has a blob removed whose file cannot be read, before the client learns of it: its next attempt is to find it gone.
async fn damaged(blob: &Blob, error: io::Error) -> BodyError {
    let error = Arc::new(error);
    let (blob, reason) = (blob.clone(), Arc::clone(&error));
    let _ = tokio::task::spawn_blocking(move || blob.damaged(&reason)).await;
    BodyError::Read(error)
}

/// Whether these bytes of a blob can be sent without waiting for the disk, as far as one can see without reading all of
/// them: what is read together goes together, so that the first and the last one tell, or those of a moment ago.
pub fn is_at_hand(blob: &Blob, range: &Range<u64>) -> bool {
    let Some(file) = blob.as_file() else { return true };
    let seen = blob.seen();
    if seen.is_some_and(|seen| seen.holds(range)) {
        return true;
    }
    let found = [range.start, range.end - 1].iter().all(|at| ready(file, *at, &mut [0]).is_some());
    if let Some(seen) = seen.filter(|_| found) {
        seen.note(range);
    }
    found
}

/// The part of a file that was in the page cache a moment ago: whoever sends it to many does not look each time.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<(Instant, Range<u64>)>>);

impl Seen {
    fn holds(&self, range: &Range<u64>) -> bool {
        let last = self.0.lock();
        last.as_ref().is_some_and(|(at, seen)| {
            seen.start <= range.start && range.end <= seen.end && at.elapsed() < STAYS_AT_HAND
        })
    }

    /// What follows on what was seen before is as old as that.
    fn note(&self, range: &Range<u64>) {
        let mut last = self.0.lock();
        match &mut *last {
            Some((at, seen)) if seen.end == range.start && at.elapsed() < STAYS_AT_HAND => seen.end = range.end,
            last => *last = Some((Instant::now(), range.clone())),
        }
    }
}

/// Reads these bytes of a blob, so that they can be sent without waiting for the disk.
pub async fn load(blob: &Blob, range: Range<u64>) -> Result<(), BodyError> {
    let Some(file) = blob.as_file() else { return Ok(()) };
    let mut next = range.start;
    while next < range.end {
        match read(file, next, range.end).await {
            Ok(bytes) => next += bytes.len() as u64,
            Err(error) => return Err(damaged(blob, error).await),
        }
    }
    Ok(())
}

/// Some bytes of a file from `start` on, at least one and never past `end`.
pub(super) async fn read(file: &Arc<File>, start: u64, end: u64) -> io::Result<Bytes> {
    let wanted = (end - start).min(buffer::SIZE as u64) as usize;
    let mut buffer = Buffer::take();
    if let Some(count) = ready(file, start, &mut buffer.space()[..wanted]) {
        return Ok(buffer.freeze(count));
    }
    let file = Arc::clone(file);
    let read = move || {
        let mut filled = 0;
        while filled < wanted {
            match file.read_at(&mut buffer.space()[filled..wanted], start + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(buffer.freeze(filled)) }
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Reads what the page cache holds, if anything. Kernels 5.9 and 5.10 report a false end of file here, so that
/// anything but bytes means: ask a thread.
#[cfg(target_os = "linux")]
pub(super) fn ready(file: &File, start: u64, buffer: &mut [u8]) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let count = preadv2(file, &mut [io::IoSliceMut::new(buffer)], start, ReadWriteFlags::NOWAIT).ok()?;
    (count > 0).then_some(count)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ready(_: &File, _: u64, _: &mut [u8]) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BlobId;
    use futures_util::StreamExt as _;
    use std::io::Write as _;

    async fn collect(mut body: ByteStream) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn ranges_of_files_and_of_memory_are_equal() {
        let bytes: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let id = BlobId::of(&bytes);
        let length = bytes.len() as u64;
        let on_disk = Blob::file(id, length, file);
        let in_memory = Blob::memory(id, bytes.clone().into());
        for range in [0..length, 0..1, 65_535..65_537, length - 1..length, 5..5] {
            let expected = &bytes[range.start as usize..range.end as usize];
            assert_eq!(collect(send(&on_disk, range.clone())).await, expected);
            assert_eq!(collect(send(&in_memory, range)).await, expected);
        }
    }

    #[tokio::test]
    async fn a_file_that_shrank_is_an_error_and_not_a_short_body() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(5).unwrap();
        let blob = Blob::file(BlobId::of(b""), 10, file);
        let pieces: Vec<_> = send(&blob, 5..10).collect().await;
        assert!(matches!(pieces.as_slice(), [Err(BodyError::Read(_))]));
        assert!(!is_at_hand(&blob, &(0..10)));
        assert!(matches!(load(&blob, 0..10).await, Err(BodyError::Read(_))));
        assert!(is_at_hand(&blob, &(0..5)));
        assert!(load(&blob, 0..5).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_a_moment_ago_is_there_still_and_no_more_than_that() {
        let seen = Seen::default();
        assert!(!seen.holds(&(0..1)));
        seen.note(&(0..10));
        tokio::time::advance(STAYS_AT_HAND / 2).await;
        seen.note(&(10..20));
        for (range, held) in [(0..20, true), (5..15, true), (19..20, true), (0..21, false), (20..21, false)] {
            assert_eq!(seen.holds(&range), held, "{range:?}");
        }
        tokio::time::advance(STAYS_AT_HAND / 2).await;
        assert!(!seen.holds(&(10..20)), "the first part is older");
        seen.note(&(20..30));
        assert!(!seen.holds(&(10..30)) && seen.holds(&(20..30)));
        // Others read elsewhere.
        seen.note(&(5..7));
        assert!(!seen.holds(&(20..30)) && seen.holds(&(5..7)));
    }
}
