//! Content-addressed bytes: in memory when small, else an open file.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The SHA-256 that names a blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId([u8; 32]);

impl BlobId {
    /// From lower-case hexadecimal.
    pub fn from_hex(hex: &str) -> Option<Self> {
        Some(Self(HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?))
    }

    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// From a finished SHA-256.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&Digest> for BlobId {
    type Error = ();

    fn try_from(digest: &Digest) -> Result<Self, ()> {
        Self::from_hex(&digest.hex()).ok_or(())
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Self::from_hex(&hex).ok_or_else(|| serde::de::Error::custom("not a SHA-256"))
    }
}

/// An open blob. It stays readable when it is evicted meanwhile.
#[derive(Clone, Debug)]
pub struct Blob {
    id: BlobId,
    length: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

impl Blob {
    /// Bytes in memory.
    pub fn memory(id: BlobId, bytes: Bytes) -> Self {
        Self { id, length: bytes.len() as u64, content: Content::Memory(bytes) }
    }

    /// An open file of this length.
    pub fn file(id: BlobId, length: u64, file: impl Into<Arc<File>>) -> Self {
        Self { id, length, content: Content::File(file.into()) }
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
            Content::Memory(bytes) => Some(bytes),
            Content::File(_) => None,
        }
    }

    /// The file, unless the bytes are in memory.
    pub fn as_file(&self) -> Option<&Arc<File>> {
        match &self.content {
            Content::Memory(_) => None,
            Content::File(file) => Some(file),
        }
    }

    /// Everything. Blocks on the disk; only for blobs whose size is bounded by the caller.
    pub fn read_all(&self) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.clone()),
            Content::File(file) => {
                let mut bytes = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, 0)?;
                Ok(bytes.into())
            }
        }
    }

    /// Fills `buffer` from `offset` on, as far as there are bytes. Blocks on the disk.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.content {
            Content::Memory(bytes) => {
                let rest = bytes.get(offset as usize..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            Content::File(file) => file.read_at(buffer, offset),
        }
    }
}
