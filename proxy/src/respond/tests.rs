use super::*;
use std::sync::Arc;

#[test]
fn ready_made_values_say_what_is_built_elsewhere() {
    assert_eq!(IMMUTABLE_HIT, CacheStatus::IMMUTABLE.to_string());
    assert_eq!(start(StatusCode::OK, "text/plain", CacheStatus::IMMUTABLE).headers()[CACHE_STATUS], IMMUTABLE_HIT);
    let other = start(StatusCode::OK, "text/plain", CacheStatus::Hit { ttl: 3 });
    assert_eq!(other.headers()[CACHE_STATUS], "packageproxy; hit; ttl=3");
}

/// A response from a fill that has sent three bytes of a body of unknown length.
fn filling_now() -> (Arc<crate::store::spool::Spool>, Response<Body>) {
    let spool = Arc::new(crate::store::spool::Spool::default());
    spool.release(3);
    let mut response = start(StatusCode::OK, "text/plain", CacheStatus::Bypass);
    response.extensions_mut().insert(Unfinished(spool.progress()));
    (spool, response)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_with_the_connection_is_complete_before_it_is_sent() {
    let (_spool, response) = filling_now();
    assert!(in_version(Version::HTTP_11, &Method::GET, response).await.is_ok(), "chunks have an end of their own");

    let (spool, response) = filling_now();
    let waiting = tokio::spawn(in_version_10(response));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    spool.complete(7);
    assert_eq!(waiting.await.unwrap().unwrap().headers()[header::CONTENT_LENGTH], "7");

    let (spool, response) = filling_now();
    let waiting = tokio::spawn(in_version_10(response));
    spool.fail("cut".to_owned());
    assert!(waiting.await.unwrap().is_err());

    let (_spool, response) = filling_now();
    assert!(matches!(in_version_10(response).await, Err(Error::Busy { .. })), "nothing moves");
}

async fn in_version_10(response: Response<Body>) -> Result<Response<Body>, Error> {
    in_version(Version::HTTP_10, &Method::GET, response).await
}
