//! One entry of a zip archive on this machine (APPNOTE 4.3): enough to look into a jar of a client.

use std::io::Read as _;
use std::path::Path;

use flate2::read::DeflateDecoder;

/// Largest archive, and largest entry, that is looked into.
const LIMIT: u64 = 64 << 20;
/// Signatures of the end of the directory and of its entries, and their lengths without what varies.
const END: (&[u8], usize) = (b"PK\x05\x06", 22);
const ENTRY: (&[u8], usize) = (b"PK\x01\x02", 46);
/// Length of the head before an entry's bytes, without what varies.
const HEAD: usize = 30;
/// The end of the directory is followed by a comment of at most this length.
const COMMENT: usize = 0xffff;

/// The bytes of the entry of this name; `None` if there is none, or no such archive.
pub(super) fn entry(archive: &Path, name: &str) -> Option<Vec<u8>> {
    if std::fs::metadata(archive).ok()?.len() > LIMIT {
        return None;
    }
    entry_in(&std::fs::read(archive).ok()?, name)
}

fn entry_in(bytes: &[u8], name: &str) -> Option<Vec<u8>> {
    let from = bytes.len().saturating_sub(END.1 + COMMENT);
    let end = from + bytes[from..].windows(END.0.len()).rposition(|window| window == END.0)?;
    let mut at = number(bytes, end + 16, 4)?;
    while bytes.get(at..)?.starts_with(ENTRY.0) {
        let length = number(bytes, at + 28, 2)?;
        let others = number(bytes, at + 30, 2)? + number(bytes, at + 32, 2)?;
        let names = at + ENTRY.1..at + ENTRY.1 + length;
        if bytes.get(names)? == name.as_bytes() {
            let (method, packed) = (number(bytes, at + 10, 2)?, number(bytes, at + 20, 4)?);
            let head = number(bytes, at + 42, 4)?;
            let begin = head + HEAD + number(bytes, head + 26, 2)? + number(bytes, head + 28, 2)?;
            return unpacked(method, bytes.get(begin..begin.checked_add(packed)?)?);
        }
        at += ENTRY.1 + length + others;
    }
    None
}

fn unpacked(method: usize, packed: &[u8]) -> Option<Vec<u8>> {
    match method {
        0 => Some(packed.to_vec()),
        8 => {
            let mut bytes = Vec::new();
            DeflateDecoder::new(packed).take(LIMIT).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        }
        _ => None,
    }
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    let digits = bytes.get(at..at.checked_add(count)?)?;
    Some(digits.iter().rev().fold(0, |value, digit| value << 8 | usize::from(*digit)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// An archive of entries: name, method, bytes as they are stored.
    fn archive(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, method, stored) in entries {
            let mut entry = [b"PK\x01\x02".as_slice(), &[0; 42]].concat();
            entry[10] = *method;
            entry[20..24].copy_from_slice(&(stored.len() as u32).to_le_bytes());
            entry[28] = name.len() as u8;
            entry[42..46].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            directory.extend([entry.as_slice(), name.as_bytes()].concat());
            let mut head = [b"PK\x03\x04".as_slice(), &[0; 26]].concat();
            head[26] = name.len() as u8;
            bytes.extend([head.as_slice(), name.as_bytes(), stored].concat());
        }
        let mut end = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
        end[16..20].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        [bytes, directory, end, b"a comment".to_vec()].concat()
    }

    #[test]
    fn an_entry_is_found_and_damage_is_none() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"<project/>").unwrap();
        let packed = encoder.finish().unwrap();
        let bytes = archive(&[("META-INF/", 0, b""), ("a/plain", 0, b"plain"), ("a/pom.xml", 8, &packed)]);
        assert_eq!(entry_in(&bytes, "a/pom.xml").as_deref(), Some(b"<project/>".as_slice()));
        assert_eq!(entry_in(&bytes, "a/plain").as_deref(), Some(b"plain".as_slice()));
        assert_eq!(entry_in(&bytes, "pom.xml"), None);
        for cut in 0..bytes.len() - 9 {
            let _ = entry_in(&bytes[..cut], "a/pom.xml");
        }
        assert_eq!(entry_in(b"", "a"), None);
    }
}
