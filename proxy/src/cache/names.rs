//! What one index file says of others: which SHA-256 a path has. Entries of equal length, sorted by a hash of the
//! path, so that a look-up needs neither the index nor the table in memory.

use std::io;

use sha2::Digest as _;

use crate::digest::{Algorithm, Digest};
use crate::intent::NamedFile;
use crate::store::{Blob, BlobId};

/// Bytes of the hash of a path.
const PATH: usize = 16;
/// Bytes of an entry: path, SHA-256, length.
const ENTRY: usize = PATH + 32 + 8;
/// The bit of the length's last byte that tells a path that is merely possible.
const POSSIBLE: u8 = 0x80;
/// The most entries. The largest of real indexes have some ten thousands; what is beyond is not known of.
pub(super) const MOST: usize = 1 << 19;

/// Names that are being gathered.
#[derive(Debug, Default)]
pub(super) struct Gathering(Vec<[u8; ENTRY]>);

impl Gathering {
    /// Takes one file.
    pub(super) fn take(&mut self, file: &NamedFile) {
        let Some(digest) = file.digest.as_sha256().filter(|_| self.0.len() < MOST) else { return };
        let mut entry = [0; ENTRY];
        entry[..PATH].copy_from_slice(&hash(&file.path));
        entry[PATH..PATH + 32].copy_from_slice(&digest);
        entry[PATH + 32..].copy_from_slice(&file.size.to_le_bytes());
        entry[ENTRY - 1] &= !POSSIBLE;
        if !file.is_likely {
            entry[ENTRY - 1] |= POSSIBLE;
        }
        self.0.push(entry);
    }

    /// The form on disk; `None` if there is nothing to keep.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        self.0.sort_unstable_by(|one, other| {
            let order = |entry: &[u8; ENTRY]| entry[ENTRY - 1] & POSSIBLE;
            one[..PATH].cmp(&other[..PATH]).then(order(one).cmp(&order(other))).then(one.cmp(other))
        });
        self.0.dedup_by_key(|entry| <[u8; PATH]>::try_from(&entry[..PATH]).unwrap_or_default());
        (!self.0.is_empty()).then(|| self.0.as_flattened().to_vec())
    }
}

/// The names of one index.
#[derive(Clone, Debug)]
pub(super) struct Names(Blob);

/// What an index says of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The file's digest.
    pub(super) digest: Digest,
    /// See [`NamedFile::is_likely`].
    pub(super) is_likely: bool,
}

impl Names {
    /// Opens what [`Gathering::finish`] made; `None` if it is damaged.
    pub(super) fn open(blob: Blob) -> Option<Self> {
        blob.length().is_multiple_of(ENTRY as u64).then_some(Self(blob))
    }

    /// The blob that holds them.
    pub(super) fn id(&self) -> BlobId {
        self.0.id()
    }

    /// What is said of a path. Blocks on the disk.
    pub(super) fn find(&self, path: &str) -> io::Result<Option<Found>> {
        let wanted = hash(path);
        let (mut low, mut high) = (0, self.0.length() / ENTRY as u64);
        while low < high {
            let middle = u64::midpoint(low, high);
            let mut entry = [0; ENTRY];
            if self.0.read_at(middle * ENTRY as u64, &mut entry)? < ENTRY {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match entry[..PATH].cmp(&wanted[..]) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let hex = data_encoding::HEXLOWER.encode(&entry[PATH..PATH + 32]);
                    let is_likely = entry[ENTRY - 1] & POSSIBLE == 0;
                    return Ok(Digest::from_hex(Algorithm::Sha256, &hex).map(|digest| Found { digest, is_likely }));
                }
            }
        }
        Ok(None)
    }
}

fn hash(path: &str) -> [u8; PATH] {
    let mut short = [0; PATH];
    short.copy_from_slice(&sha2::Sha256::digest(path)[..PATH]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(number: usize) -> NamedFile {
        let path = format!("pool/main/p/p{number}/p{number}_1_all.deb");
        let digest = Digest::sha256(path.as_bytes());
        NamedFile { path, digest, size: number as u64, is_likely: true }
    }

    #[test]
    fn every_path_is_found_and_no_other() {
        let mut gathering = Gathering::default();
        (0..1000).for_each(|number| gathering.take(&named(number)));
        let bytes = gathering.finish().unwrap();
        let names = Names::open(Blob::memory(BlobId::of(&bytes), bytes.into())).unwrap();
        for number in 0..1000 {
            let found = Found { digest: named(number).digest, is_likely: true };
            assert_eq!(names.find(&named(number).path).unwrap(), Some(found));
        }
        assert_eq!(names.find(&named(1000).path).unwrap(), None);
        assert!(Gathering::default().finish().is_none());
    }

    #[test]
    fn what_is_merely_possible_gives_way() {
        let of = |content: &[u8], is_likely| NamedFile { digest: Digest::sha256(content), is_likely, ..named(0) };
        for content in [&b"a"[..], b"b", b"c", b"d"] {
            for files in [[of(b"likely", true), of(content, false)], [of(content, false), of(b"likely", true)]] {
                let mut gathering = Gathering::default();
                for file in &files {
                    gathering.take(file);
                }
                let bytes = gathering.finish().unwrap();
                let names = Names::open(Blob::memory(BlobId::of(&bytes), bytes.into())).unwrap();
                let found = Found { digest: Digest::sha256(b"likely"), is_likely: true };
                assert_eq!(names.find(&named(0).path).unwrap(), Some(found));
            }
        }
    }

    #[test]
    fn no_index_makes_more_entries_than_the_bound() {
        let mut gathering = Gathering(vec![[0; ENTRY]; MOST - 1]);
        (0..3).for_each(|number| gathering.take(&named(number)));
        assert_eq!(gathering.0.len(), MOST);
    }
}
