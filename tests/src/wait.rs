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
    within_time(LIMIT, what, future).await
}

/// Waits for a future that must come by then.
///
/// # Panics
/// If it takes longer.
pub async fn within_time<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(limit, future).await else { panic!("waited {limit:?} in vain for {what}") };
    value
}

/// Asks again and again until the answer is `Some`.
///
/// # Panics
/// After [`LIMIT`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    until_time(LIMIT, what, ask).await
}

/// The same with a limit of its own.
///
/// # Panics
/// After it.
pub async fn until_time<T, F>(limit: Duration, what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    try_until(limit, ask).await.unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// The same, with `None` after the limit.
pub async fn try_until<T, F>(limit: Duration, mut ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, asking).await.ok()
}
