//! From the client library's nested errors to the words of [`FetchError`].

use std::error::Error;
use std::io;
use std::sync::Arc;

use crate::fetch::dns::LookupError;
use crate::fetch::filter::Refused;
use crate::fetch::{FetchError, Phase, SafeUrl, Source, tls};

/// Finds the cause that decides what the error is called, wherever the library has wrapped it.
pub(super) fn classify(error: reqwest::Error, url: &SafeUrl) -> FetchError {
    let origin = url.origin();
    // The library's text holds the whole address with its query.
    let error = error.without_url();
    let (timeout, connect) = (error.is_timeout(), error.is_connect());
    let verdict = causes(&error).find_map(|cause| {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            Some(Verdict::Forbidden(refused.to_string()))
        } else if cause.is::<LookupError>() {
            Some(Verdict::Dns)
        } else if let Some(failure) = cause.downcast_ref::<rustls::Error>() {
            Some(Verdict::Tls(tls::reason(failure)))
        } else {
            let unreadable = cause.downcast_ref::<hyper::Error>().filter(|error| error.is_parse());
            unreadable.map(|error| Verdict::Protocol(error.to_string()))
        }
    });
    let source: Source = Arc::new(error);
    match verdict {
        Some(Verdict::Forbidden(reason)) => FetchError::Forbidden { url: url.clone(), reason },
        Some(Verdict::Dns) => FetchError::Dns { origin, source },
        Some(Verdict::Tls(reason)) => FetchError::Tls { origin, reason, source },
        Some(Verdict::Protocol(reason)) => FetchError::Protocol { origin, reason },
        None if connect && timeout => FetchError::Timeout { origin, phase: Phase::Connect },
        None if connect => FetchError::Connect { origin, source },
        None => FetchError::Broken { origin, source },
    }
}

enum Verdict {
    Forbidden(String),
    Dns,
    Tls(&'static str),
    Protocol(String),
}

/// The error and all that it wraps. `io::Error` hides what it holds from `source`, and TLS errors travel in one.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>() {
            Some(wrapped) => wrapped.get_ref().map(|inner| -> &'a (dyn Error + 'static) { inner }),
            None => error.source(),
        }
    })
}
