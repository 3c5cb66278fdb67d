//! What an upstream says to people about something that it does not have: clients print it, the go command above all.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::header;

use crate::fetch::Reply;

/// The most bytes of it.
const BYTES: usize = 1024;
/// The most lines of it.
const LINES: usize = 8;
/// How long is waited for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The first lines of a body, if it is plain text without content coding; nothing where it does not come at once.
pub(super) async fn of(mut reply: Reply) -> String {
    let header = |name| reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/plain") || !matches!(header(header::CONTENT_ENCODING), "" | "identity") {
        return String::new();
    }
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < BYTES
            && let Some(Ok(piece)) = reply.body.next().await
        {
            bytes.extend_from_slice(&piece[..piece.len().min(BYTES - bytes.len())]);
        }
    };
    // What has come by then will do.
    let _ = tokio::time::timeout(PATIENCE, read).await;
    first_lines(&String::from_utf8_lossy(&bytes))
}

/// Without what could pass for anything but text on a terminal.
fn first_lines(text: &str) -> String {
    let printable = |line: &str| line.chars().filter(|character| !character.is_control()).collect::<String>();
    text.trim().lines().take(LINES).map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt as _, stream};
    use http::{HeaderMap, HeaderValue, StatusCode};
    use url::Url;

    use super::*;

    fn reply(kind: &'static str, coding: &'static str, pieces: &'static [&'static str]) -> Reply {
        let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_ENCODING, coding)];
        let pieces = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        let never = stream::once(std::future::pending());
        Reply {
            status: StatusCode::NOT_FOUND,
            headers: headers
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .into_iter()
                .collect::<HeaderMap>(),
            url: Url::parse("https://registry.example/").unwrap().into(),
            framed: true,
            fallback: None,
            body: Box::pin(stream::iter(pieces).chain(never)),
        }
    }

    const LONG: &str = match std::str::from_utf8(&[b'a'; 3000]) {
        Ok(text) => text,
        Err(_) => "",
    };

    #[tokio::test(start_paused = true)]
    async fn a_few_lines_of_plain_text() {
        for (kind, coding, pieces, expected) in [
            (
                "text/plain; charset=utf-8",
                "",
                &["not found: ", "a@v1\n\tno such\x1b[2J thing\r\n"][..],
                "not found: a@v1\nno such[2J thing",
            ),
            ("TEXT/PLAIN", "identity", &["1\n2\n3\n4\n5\n6\n7\n8\n9\n"], "1\n2\n3\n4\n5\n6\n7\n8"),
            ("text/plain", "gzip", &["x"], ""),
            ("text/html", "", &["<html>"], ""),
            ("", "", &["x"], ""),
            ("text/plain", "", &[], ""),
        ] {
            assert_eq!(of(reply(kind, coding, pieces)).await, expected, "{kind} {pieces:?}");
        }
        // No more is read than is used.
        assert_eq!(of(reply("text/plain", "", &[LONG])).now_or_never().unwrap().len(), BYTES);
    }
}
