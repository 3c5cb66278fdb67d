//! Requests that no service of ours gets to see: those whose end another parser might see elsewhere, and methods that
//! turn a server into something else. Those that the parser itself refuses never come this far.

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};

/// Why a request is refused, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: &'static str,
    version: Version,
}

/// Looks at the framing of a request (RFC 9112 §3.2, §6; RFC 9110 §9.3).
pub(super) fn refusal(request: &Request<Incoming>) -> Option<Refusal> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let has_body = !request.body().is_end_stream();
    judge(request.method(), request.version(), hosts, has_body)
}

fn judge(method: &Method, version: Version, hosts: usize, has_body: bool) -> Option<Refusal> {
    let (status, reason) = if matches!(*method, Method::CONNECT | Method::TRACE) {
        (StatusCode::METHOD_NOT_ALLOWED, "this is no tunnel and no mirror\n")
    } else if has_body && matches!(*method, Method::GET | Method::HEAD) {
        (StatusCode::BAD_REQUEST, "a GET or HEAD request has no body here\n")
    } else if hosts > 1 {
        (StatusCode::BAD_REQUEST, "a request has one Host\n")
    } else if hosts == 0 && version == Version::HTTP_11 {
        (StatusCode::BAD_REQUEST, "the Host is missing\n")
    } else {
        return None;
    };
    Some(Refusal { status, reason, version })
}

impl Refusal {
    /// The answer, after which nothing more is read from an HTTP/1 connection.
    pub(super) fn response<B: From<&'static str>>(self) -> Response<B> {
        tracing::debug!(status = self.status.as_u16(), reason = self.reason.trim_end(), "a request is refused");
        let mut response = Response::new(B::from(self.reason));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_in_one_way() {
        for (method, version, hosts, body, expected) in [
            (Method::GET, Version::HTTP_11, 1, false, None),
            (Method::POST, Version::HTTP_11, 1, true, None),
            (Method::GET, Version::HTTP_10, 0, false, None),
            (Method::GET, Version::HTTP_2, 0, false, None),
            (Method::GET, Version::HTTP_11, 1, true, Some(400)),
            (Method::HEAD, Version::HTTP_2, 0, true, Some(400)),
            (Method::GET, Version::HTTP_11, 0, false, Some(400)),
            (Method::GET, Version::HTTP_11, 2, false, Some(400)),
            (Method::CONNECT, Version::HTTP_11, 1, false, Some(405)),
            (Method::TRACE, Version::HTTP_2, 0, false, Some(405)),
        ] {
            let status = judge(&method, version, hosts, body).map(|refusal| refusal.status.as_u16());
            assert_eq!(status, expected, "{method} {version:?} {hosts} {body}");
        }
    }
}
