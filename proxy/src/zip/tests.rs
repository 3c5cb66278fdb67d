//! Zips of all kinds, made by hand.

use std::io::Write as _;

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::Sha256;

use super::*;

/// A file in a zip that is being made.
struct Content {
    name: &'static str,
    bytes: Vec<u8>,
    deflated: bool,
}

fn content(name: &'static str, bytes: &[u8], deflated: bool) -> Content {
    Content { name, bytes: bytes.to_vec(), deflated }
}

/// A zip of these files. With `large`, its end is in the form for very many files.
fn zip(files: &[Content], large: bool) -> Vec<u8> {
    let (mut body, mut table) = (Vec::new(), Vec::new());
    for file in files {
        let mut packed = file.bytes.clone();
        if file.deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&file.bytes).unwrap();
            packed = encoder.finish().unwrap();
        }
        let method: u16 = if file.deflated { DEFLATED } else { STORED };
        let header = body.len() as u32;
        let name = file.name.as_bytes();
        let sizes = [(packed.len() as u32).to_le_bytes(), (file.bytes.len() as u32).to_le_bytes()].concat();
        body.extend(LOCAL_HEADER.to_le_bytes());
        body.extend([20, 0, 0, 0]);
        body.extend(method.to_le_bytes());
        body.extend([0; 8]);
        body.extend(&sizes);
        body.extend((name.len() as u16).to_le_bytes());
        body.extend([3, 0]);
        body.extend(name);
        body.extend(b"xyz");
        body.extend(&packed);
        table.extend(HEADER.to_le_bytes());
        table.extend([20, 0, 20, 0, 0, 0]);
        table.extend(method.to_le_bytes());
        table.extend([0; 8]);
        table.extend(&sizes);
        table.extend((name.len() as u16).to_le_bytes());
        table.extend([0; 12]);
        table.extend(header.to_le_bytes());
        table.extend(name);
    }
    let (offset, size) = (body.len() as u64, table.len() as u64);
    body.extend(table);
    let (mut count, mut short_size, mut short_offset) = (files.len() as u16, size as u32, offset as u32);
    if large {
        let at = body.len() as u64;
        body.extend(END_64.to_le_bytes());
        body.extend([0; 20]);
        body.extend([0; 16]);
        body.extend(size.to_le_bytes());
        body.extend(offset.to_le_bytes());
        body.extend(LOCATOR_64.to_le_bytes());
        body.extend([0; 4]);
        body.extend(at.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        (count, short_size, short_offset) = (u16::MAX, u32::MAX, u32::MAX);
    }
    body.extend(END.to_le_bytes());
    body.extend([0; 4]);
    body.extend(count.to_le_bytes());
    body.extend(count.to_le_bytes());
    body.extend(short_size.to_le_bytes());
    body.extend(short_offset.to_le_bytes());
    body.extend([4, 0]);
    body.extend(b"note");
    body
}

fn look(bytes: &[u8], folder: &str) -> Result<(bool, Digest), ZipError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let zip = Zip::open(&file, bytes.len() as u64)?;
    Ok((zip.lies_in(folder), zip.h1()?))
}

fn files() -> [Content; 3] {
    [
        content("m@v1/z.go", b"package m\n", true),
        content("m@v1/go.mod", b"module m\n", false),
        content("m@v1/big.bin", &vec![7; 200_000], true),
    ]
}

#[test]
fn the_digest_is_of_the_sorted_names_and_contents() {
    let mut lines = String::new();
    let mut sorted = files();
    sorted.sort_by_key(|file| file.name);
    for file in &sorted {
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&file.bytes));
        lines = format!("{lines}{hash}  {}\n", file.name);
    }
    let expected = format!("h1:{}", BASE64.encode(&Sha256::digest(lines.as_bytes())));
    let expected = Digest::from_h1(Algorithm::H1Zip, &expected).unwrap();
    for large in [false, true] {
        assert_eq!(look(&zip(&files(), large), "m@v1/").unwrap(), (true, expected.clone()));
    }
    assert!(!look(&zip(&files(), false), "m@v1/z").unwrap().0);
    assert!(!look(&zip(&[], false), "").unwrap().0);
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let whole = zip(&files(), false);
    let large = zip(&files(), true);
    for bytes in [&whole, &large] {
        for at in 0..bytes.len() {
            // In the long part only now and then.
            if at > 2_000 && at + 400 < bytes.len() && at % 97 != 0 {
                continue;
            }
            assert!(look(&bytes[..at], "m@v1/").is_err(), "cut at {at}");
            for value in [0, 0xff, bytes[at] ^ 1] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = look(&damaged, "m@v1/");
            }
        }
    }
    for bytes in [&b""[..], b"PK", b"<html>", &vec![0; 70_000]] {
        assert!(matches!(look(bytes, ""), Err(ZipError::Broken(_))));
    }
}

#[test]
fn bombs_are_refused() {
    let mut bomb = zip(&[content("m@v1/a", &vec![0; 10 << 20], true)], false);
    assert!(look(&bomb, "m@v1/").is_ok());
    // The table says less than there is.
    let table = bomb.len() - 26 - 6 - HEADER_LENGTH;
    bomb[table + 24..table + 28].copy_from_slice(&1_000_u32.to_le_bytes());
    assert!(matches!(look(&bomb, "m@v1/"), Err(ZipError::Broken("a file is longer than the table says"))));
    bomb[table + 24..table + 28].copy_from_slice(&(3_u32 << 30).to_le_bytes());
    assert!(matches!(look(&bomb, "m@v1/"), Err(ZipError::TooLarge(_))));

    let twice = zip(&[content("m@v1/a", b"1", false), content("m@v1/a", b"2", false)], false);
    assert!(matches!(look(&twice, "m@v1/"), Err(ZipError::Broken("two files have one name"))));
    let line = zip(&[content("m@v1/a\nb", b"1", false)], false);
    assert!(matches!(look(&line, "m@v1/"), Err(ZipError::Broken("a name has a line break"))));

    // Many entries over the same bytes.
    let bytes = vec![7; 100_000];
    let mut overlapping = zip(&[content("m@v1/a", &bytes, false), content("m@v1/b", &bytes, false)], false);
    let end = overlapping.len() - 26;
    let second = end - HEADER_LENGTH - "m@v1/b".len();
    let half = end - 2 * (HEADER_LENGTH + "m@v1/a".len());
    // The second one is where the first is, and the bytes between them are gone.
    overlapping[second + 42..second + 46].copy_from_slice(&0_u32.to_le_bytes());
    let gone = half / 2;
    overlapping.drain(gone..half);
    let at = overlapping.len() - 26;
    overlapping[at + 16..at + 20].copy_from_slice(&u32::try_from(gone).unwrap().to_le_bytes());
    assert!(matches!(look(&overlapping, "m@v1/"), Err(ZipError::Broken("its files overlap"))));

    // A table of 17 MiB, which lies within the file.
    let mut file = vec![0; 18 << 20];
    let end = zip(&[], false);
    file.extend(&end);
    let at = file.len() - end.len();
    file[at + 12..at + 16].copy_from_slice(&(17_u32 << 20).to_le_bytes());
    assert!(matches!(look(&file, ""), Err(ZipError::TooLarge(_))));
}
