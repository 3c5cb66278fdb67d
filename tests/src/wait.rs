//! Waiting for conditions instead of sleeping, with one limit that turns a hanging test into a failing one.

use std::future::Future;
use std::time::Duration;

/// The longest that any single wait of a test may take.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Waits for a future.
///
/// # Panics
/// If it takes longer than [`LIMIT`]; `what` says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(LIMIT, future).await else { panic!("waited {LIMIT:?} in vain for {what}") };
    value
}

/// Asks again and again until the answer is `Some`.
///
/// # Panics
/// After [`LIMIT`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    within(what, async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
