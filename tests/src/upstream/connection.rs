//! One connection of the scripted upstream: reads requests, writes answers byte by byte as their steps say.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::reply::Framing;
use super::{Logged, Reply, State, Step};

/// Whether the connection goes on after an answer.
#[derive(PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
    Reset,
}

/// Serves requests until either side has had enough.
pub(super) async fn serve(socket: TcpStream, number: usize, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let (reader, mut writer) = socket.into_split();
    let mut reader = BufReader::new(reader);
    while let Ok(Some(request)) = read(&mut reader, number).await {
        let head_only = request.method == "HEAD";
        let reply = state.answer(request);
        match write(&mut writer, &reply, head_only).await {
            Ok(After::KeepAlive) => {}
            Ok(After::Reset) => {
                if let Ok(socket) = reader.into_inner().reunite(writer) {
                    let _ = socket.set_zero_linger();
                }
                return;
            }
            Ok(After::Close) | Err(_) => return,
        }
    }
}

async fn read(reader: &mut BufReader<OwnedReadHalf>, connection: usize) -> io::Result<Option<Logged>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Logged { method, target, headers, body: Bytes::new(), at: Instant::now(), connection };
    request.body = body(reader, &request).await?;
    Ok(Some(request))
}

async fn body(reader: &mut BufReader<OwnedReadHalf>, request: &Logged) -> io::Result<Bytes> {
    let mut body = Vec::new();
    if request.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await?;
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(&mut body[start..]).await?;
            reader.read_line(&mut String::new()).await?;
            if size == 0 {
                return Ok(body.into());
            }
        }
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    body.resize(length, 0);
    reader.read_exact(&mut body).await?;
    Ok(body.into())
}

async fn write(writer: &mut OwnedWriteHalf, reply: &Reply, head_only: bool) -> io::Result<After> {
    for step in &reply.before_head {
        if let Some(after) = take(writer, step, &reply.framing).await? {
            return Ok(after);
        }
    }
    writer.write_all(head(reply).as_bytes()).await?;
    if head_only || matches!(reply.status, 204 | 304) {
        return Ok(After::KeepAlive);
    }
    for step in &reply.body {
        if let Some(after) = take(writer, step, &reply.framing).await? {
            return Ok(after);
        }
    }
    match &reply.framing {
        Framing::Chunked { finished: true } => {
            writer.write_all(b"0\r\n\r\n").await?;
            Ok(After::KeepAlive)
        }
        Framing::Length => Ok(After::KeepAlive),
        Framing::Claimed(length) if *length == reply.length() => Ok(After::KeepAlive),
        Framing::Claimed(_) | Framing::Chunked { .. } | Framing::Close => Ok(After::Close),
    }
}

fn head(reply: &Reply) -> String {
    use std::fmt::Write as _;
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let framing = match &reply.framing {
        Framing::Length if matches!(reply.status, 204 | 304) => String::new(),
        Framing::Length => format!("Content-Length: {}\r\n", reply.length()),
        Framing::Claimed(length) => format!("Content-Length: {length}\r\n"),
        Framing::Chunked { .. } => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::Close => "Connection: close\r\n".to_owned(),
    };
    head + &framing + "\r\n"
}

/// One step; `Some` ends the answer.
async fn take(writer: &mut OwnedWriteHalf, step: &Step, framing: &Framing) -> io::Result<Option<After>> {
    match step {
        Step::Send(bytes) if bytes.is_empty() => {}
        Step::Send(bytes) => {
            if matches!(framing, Framing::Chunked { .. }) {
                writer.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                writer.write_all(bytes).await?;
                writer.write_all(b"\r\n").await?;
            } else {
                writer.write_all(bytes).await?;
            }
            writer.flush().await?;
        }
        Step::Sleep(time) => tokio::time::sleep(*time).await,
        Step::Hold(gate) => gate.pass().await,
        Step::Reset => return Ok(Some(After::Reset)),
        Step::Cut => return Ok(Some(After::Close)),
    }
    Ok(None)
}
