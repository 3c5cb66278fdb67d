//! Buffers that go round: from a read to the socket and back. A new one for each piece of a body would be cleared
//! and faulted in each time, which costs more than the read itself.

use bytes::Bytes;
use parking_lot::Mutex;

/// Bytes of a buffer.
pub const SIZE: usize = 128 << 10;
/// Buffers kept for later.
const KEPT: usize = 64;

/// Last in, first out: the one that is still in the processor's cache goes next.
static FREE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer of [`SIZE`] bytes. What it holds at first means nothing.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
}

impl Buffer {
    /// One that was used before, if there is one.
    pub fn take() -> Self {
        let bytes = FREE.lock().pop().unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
        Self { bytes, length: 0 }
    }

    /// All of it, to write to.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `length` bytes, to send. The buffer comes back when the last reference is gone.
    pub fn freeze(mut self, length: usize) -> Bytes {
        self.length = length.min(SIZE);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = FREE.lock();
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}
