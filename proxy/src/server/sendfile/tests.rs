//! Heads and files in turn over real connections; what must not happen is that a stand-in goes out.

use std::io::Write as _;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::store::BlobId;

async fn connected() -> (SendFile, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (SendFile::new(listener.accept().await.unwrap().0), client)
}

/// A file of so many bytes that tell where they stand.
fn file_of(length: usize) -> (Blob, Vec<u8>) {
    let bytes: Vec<u8> = (0..length as u32).flat_map(|n| (n ^ 0xa5a5_5a5a).to_le_bytes()).take(length).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (Blob::file(BlobId::of(&bytes), length as u64, file), bytes)
}

/// Writes what hyper would hold, all of it at each attempt.
async fn write_all(stream: &mut SendFile, held: &[Bytes]) -> io::Result<()> {
    let mut held = VecDeque::from(held.to_vec());
    while !held.is_empty() {
        let slices: Vec<_> = held.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut sent = stream.write_vectored(&slices).await?;
        assert_ne!(sent, 0);
        while sent > 0 {
            let first = held.front_mut().unwrap();
            let taken = sent.min(first.len());
            sent -= taken;
            bytes::Buf::advance(first, taken);
            if first.is_empty() {
                held.pop_front();
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn heads_and_files_arrive_in_order_however_slowly_they_are_taken() {
    let (mut stream, mut client) = connected().await;
    let (blob, bytes) = file_of(3 * PIECE + 17);
    let lane = stream.lane();
    let ranges = [0..blob.length(), 5..6, 0..PIECE as u64, PIECE as u64 - 1..PIECE as u64 + 1, 7..7];
    let expected: Vec<u8> = ranges
        .iter()
        .flat_map(|range| [b"head", &bytes[range.start as usize..range.end as usize], b"tail"].concat())
        .collect();
    let sender = tokio::spawn(async move {
        for mut range in ranges {
            write_all(&mut stream, &[Bytes::from_static(b"head")]).await.unwrap();
            let mut held = Vec::new();
            while let Some(piece) = lane.send(&blob, &mut range) {
                held.push(piece);
            }
            held.push(Bytes::from_static(b"tail"));
            write_all(&mut stream, &held).await.unwrap();
        }
    });
    let mut received = Vec::new();
    let mut some = vec![0; 100_003];
    loop {
        match client.read(&mut some).await.unwrap() {
            0 => break,
            count => received.extend_from_slice(&some[..count]),
        }
        tokio::task::yield_now().await;
    }
    sender.await.unwrap();
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
}

#[tokio::test]
async fn a_stand_in_that_was_copied_or_lost_ends_the_connection_and_never_goes_out() {
    let (blob, _) = file_of(1000);
    for held in [
        // Copied into another buffer, as a layer that joins small pieces would.
        vec![Bytes::from(vec![0; 1000])],
        vec![Bytes::from_static(b"head")],
        vec![Bytes::from_static(&STAND_IN[..999])],
        vec![Bytes::from_static(&STAND_IN[..1000]), Bytes::from_static(&STAND_IN[..1])],
    ] {
        let (mut stream, mut client) = connected().await;
        let piece = stream.lane().send(&blob, &mut (0..1000)).unwrap();
        assert_eq!(piece.len(), 1000);
        let error = write_all(&mut stream, &held).await.unwrap_err();
        assert!(error.to_string().contains("of which 1000 are to be sent"), "{error}");
        drop(stream);
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert!(received.is_empty(), "{} bytes", received.len());
    }
}

#[tokio::test]
async fn a_stand_in_of_another_connection_is_refused() {
    let (blob, _) = file_of(10);
    let (stream, _client) = connected().await;
    let (mut other, _other_client) = connected().await;
    let piece = stream.lane().send(&blob, &mut (0..10)).unwrap();
    assert!(write_all(&mut other, &[piece]).await.is_err());
}

#[tokio::test]
async fn a_file_that_shrank_meanwhile_is_an_error() {
    let (mut stream, _client) = connected().await;
    let (blob, _) = file_of(1000);
    let piece = stream.lane().send(&blob, &mut (0..1000)).unwrap();
    blob.as_file().unwrap().set_len(10).unwrap();
    assert!(write_all(&mut stream, &[piece]).await.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_page_cache_has_lost_is_loaded_again() {
    use rustix::fs::{Advice, fadvise};
    let (mut stream, mut client) = connected().await;
    let (blob, bytes) = file_of(PIECE);
    let piece = stream.lane().send(&blob, &mut (0..PIECE as u64)).unwrap();
    let file = blob.as_file().unwrap();
    file.sync_all().unwrap();
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
    let reader = tokio::spawn(async move {
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        received
    });
    write_all(&mut stream, &[piece]).await.unwrap();
    drop(stream);
    assert!(reader.await.unwrap() == bytes);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_the_kernel_does_not_send_is_read_instead() {
    // One of those files of the kernel that have no pages to send.
    let words = std::fs::read("/proc/self/cmdline").unwrap();
    let length = words.len() as u64;
    let blob = Blob::file(BlobId::of(&words), length, File::open("/proc/self/cmdline").unwrap());
    let (mut stream, mut client) = connected().await;
    let piece = stream.lane().send(&blob, &mut (0..length)).unwrap();
    write_all(&mut stream, &[Bytes::from_static(b"head"), piece]).await.unwrap();
    drop(stream);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, [b"head", words.as_slice()].concat());
}
