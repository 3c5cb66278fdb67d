//! Bodies for the tests: bytes that look random, do not compress, and are the same in every run.

use bytes::Bytes;

/// `length` bytes that start with `magic` and go on in a way that depends on `seed` only.
pub fn seeded(magic: &[u8], seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend_from_slice(magic);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// The same bytes with one of them changed: right length, wrong digest.
pub fn corrupted(bytes: &Bytes) -> Bytes {
    let mut wrong = bytes.to_vec();
    if let Some(last) = wrong.last_mut() {
        *last ^= 0x55;
    }
    wrong.into()
}
