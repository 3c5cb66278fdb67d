//! The bytes that documents may take while they are worked on, all of them together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// One permit stands for so many bytes.
const UNIT: u64 = 4 << 10;
/// How long a document waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// A budget of bytes.
#[derive(Clone, Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX / 2).max(1);
        Self { permits: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until `bytes` are free; more than there are in total means all of them. Gives up with [`Error::Busy`].
    pub async fn take(&self, bytes: u64) -> Result<Permit, Error> {
        let wanted = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total);
        let permits = Arc::clone(&self.permits).acquire_many_owned(wanted);
        match tokio::time::timeout(PATIENCE, permits).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) | Err(_) => Err(Error::Busy { retry_after: Duration::from_secs(5) }),
        }
    }
}

/// Bytes that are taken until this is dropped.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_documents_wait_for_each_other_and_then_give_up() {
        let budget = Budget::new(1 << 20);
        let first = budget.take(600 << 10).await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(600 << 10).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
        // Larger than everything: takes everything rather than nothing.
        let all = budget.take(5 << 30).await.unwrap();
        assert!(matches!(budget.take(1).await, Err(Error::Busy { .. })));
        drop(all);
        assert!(budget.take(1).await.is_ok());
    }
}
