//! Passes one call on and its answer back, with whatever the rules say in between.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use kube::client::Body;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{Call, Fault, State, WatchFault};

pub(super) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// Answers a call. An error makes hyper cut the connection.
pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Outgoing>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut call = Call::new(&head.method, head.uri.path(), head.uri.query().unwrap_or_default());
    call.read(&body);
    let is_watch = call.is_watch();
    let (index, fault) = state.arrive(call);
    match &fault {
        Some(Fault::CutBefore) => return Err(io::Error::other("cut before")),
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Status { code, retry_after, reason, message }) => {
            state.finish(index, *code);
            return Ok(status(*code, *retry_after, reason, message));
        }
        None | Some(Fault::CutAfter | Fault::AfterCommit(_)) => {}
    }
    // Before the call: a fault of watches that comes while the server answers is one of this watch too.
    let mut faults = state.watches.subscribe();
    faults.mark_unchanged();
    let answer = match state.upstream.send(outgoing(&state.origin, head, body)).await {
        Ok(answer) => answer,
        Err(error) => return Err(io::Error::other(error)),
    };
    if let Some(Fault::CutAfter | Fault::AfterCommit(_)) = fault {
        let _ = answer.into_body().collect().await;
        let Some(Fault::AfterCommit(code)) = fault else { return Err(io::Error::other("cut after")) };
        state.finish(index, code);
        return Ok(status(code, None, "InternalError", "injected: the call was carried out"));
    }
    state.finish(index, answer.status().as_u16());
    let (mut head, body) = answer.into_parts();
    head.headers.remove(TRANSFER_ENCODING);
    if !is_watch || !head.status.is_success() {
        return Ok(Response::from_parts(head, body.map_err(io::Error::other).boxed_unsync()));
    }
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(pass_watch(body, faults, sender));
    let frames = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
}

fn outgoing(origin: &Uri, head: http::request::Parts, body: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = head.method;
    *request.headers_mut() = head.headers;
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = head.uri.into_parts().path_and_query;
    *request.uri_mut() = Uri::from_parts(parts).expect("a path in front of an origin");
    request
}

type Frames = mpsc::Sender<io::Result<Frame<Bytes>>>;

async fn pass_watch(mut body: Body, mut faults: watch::Receiver<Option<WatchFault>>, frames: Frames) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            changed = faults.changed() => {
                if changed.is_ok() {
                    let fault = *faults.borrow_and_update();
                    break_watch(fault, &frames).await;
                }
                return;
            }
            () = frames.closed() => return,
        };
        let Some(frame) = frame else { return };
        if frames.send(frame.map_err(io::Error::other)).await.is_err() {
            return;
        }
    }
}

async fn break_watch(fault: Option<WatchFault>, frames: &Frames) {
    match fault {
        None => {}
        Some(WatchFault::Silent) => frames.closed().await,
        Some(WatchFault::Cut) => {
            let _ = frames.send(Err(io::Error::other("cut"))).await;
        }
        Some(WatchFault::Gone) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old resource version", "reason": "Expired", "code": 410,
            });
            let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
            let _ = frames.send(Ok(Frame::data(Bytes::from(line)))).await;
        }
    }
}

fn status(code: u16, retry_after: Option<u64>, reason: &str, message: &str) -> Response<Outgoing> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let mut response = Response::new(Full::from(body.to_string()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).expect("a status code");
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert("retry-after", seconds.into());
    }
    response
}
