//! Content-addressed bytes: in memory when small, else an open file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::BlobId;
use super::body::Seen;
use super::evict::Evictor;
use super::inventory::Pin;
use super::opened::Held;
use crate::memory::{Patience, Permit};

/// An open blob. One that the store opened is not evicted while it is open.
#[derive(Clone, Debug)]
pub struct Blob {
    id: BlobId,
    length: u64,
    content: Content,
    place: Option<(Arc<Place>, Arc<Pin>)>,
}

/// Where a blob lies in the store.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) owner: String,
    /// Whoever keeps this open belongs to it.
    pub(super) evictor: Weak<Evictor>,
    pub(super) condemned: AtomicBool,
    pub(super) seen: Seen,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    /// The same, where what they take is counted.
    Held(Bytes, Arc<Permit>),
    File(Arc<File>),
}

impl Blob {
    /// Bytes in memory.
    pub fn memory(id: BlobId, bytes: Bytes) -> Self {
        Self { id, length: bytes.len() as u64, content: Content::Memory(bytes), place: None }
    }

    /// Bytes in memory that the budget has granted, for want of a disk.
    pub fn held(id: BlobId, bytes: impl AsRef<[u8]> + Send + 'static, permit: Arc<Permit>) -> Self {
        let bytes = permit.hold(bytes);
        Self { id, length: bytes.len() as u64, content: Content::Held(bytes, permit), place: None }
    }

    /// The memory that is taken for it, and what is made of it, until it is gone.
    pub fn permit(&self) -> Option<&Arc<Permit>> {
        match &self.content {
            Content::Held(_, permit) => Some(permit),
            Content::Memory(_) | Content::File(_) => None,
        }
    }

    /// What whoever holds this does where more memory is not free at once.
    pub fn patience(&self) -> Patience {
        if self.permit().is_some() { Patience::GiveUp } else { Patience::Wait }
    }

    /// An open file of this length.
    pub fn file(id: BlobId, length: u64, file: impl Into<Arc<File>>) -> Self {
        Self { id, length, content: Content::File(file.into()), place: None }
    }

    /// An open file of the store, kept there by a pin.
    pub(super) fn stored(id: BlobId, length: u64, held: Held, pin: Arc<Pin>) -> Self {
        Self { id, length, content: Content::File(held.file), place: Some((held.place, pin)) }
    }

    /// The digest.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Memory(bytes) | Content::Held(bytes, _) => Some(bytes),
            Content::File(_) => None,
        }
    }

    /// The file, unless the bytes are in memory.
    pub fn as_file(&self) -> Option<&Arc<File>> {
        match &self.content {
            Content::Memory(_) | Content::Held(..) => None,
            Content::File(file) => Some(file),
        }
    }

    /// What of its file in the store was in the page cache a moment ago.
    pub(super) fn seen(&self) -> Option<&Seen> {
        self.place.as_ref().map(|(place, _)| &place.seen)
    }

    /// Everything. Blocks on the disk; only for blobs whose size is bounded by the caller.
    pub fn read_all(&self) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(bytes) | Content::Held(bytes, _) => Ok(bytes.clone()),
            Content::File(file) => {
                let mut bytes = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, 0).inspect_err(|error| self.damaged(error))?;
                Ok(bytes.into())
            }
        }
    }

    /// Fills `buffer` from `offset` on, as far as there are bytes. Blocks on the disk.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.content {
            Content::Memory(bytes) | Content::Held(bytes, _) => {
                let rest = bytes.get(offset as usize..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            Content::File(file) => {
                let result = file.read_at(buffer, offset);
                match &result {
                    Ok(0) if offset < self.length && !buffer.is_empty() => {
                        self.damaged(&io::ErrorKind::UnexpectedEof.into());
                    }
                    Ok(_) => {}
                    Err(error) => self.damaged(error),
                }
                result
            }
        }
    }

    /// Notes that reading the file failed. If that is the file's fault it is removed, so that the next request fetches
    /// it again. Blocks on the disk.
    pub fn damaged(&self, error: &io::Error) {
        let Some((place, _)) = &self.place else { return };
        if let Content::File(file) = &self.content
            && let Some(evictor) = place.evictor.upgrade()
            && is_of_the_file(error)
            && !place.condemned.swap(true, Ordering::Relaxed)
        {
            evictor.condemn(&place.owner, self.id, &place.path, file, error);
        }
    }
}

/// Whether an error of a read says that the file is bad, and not that the process lacks something for the moment.
fn is_of_the_file(error: &io::Error) -> bool {
    let passing = [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock, io::ErrorKind::OutOfMemory];
    // An error without a number is our own, of a process that is ending for example.
    error.kind() == io::ErrorKind::UnexpectedEof || (error.raw_os_error().is_some() && !passing.contains(&error.kind()))
}
