//! The bytes that documents may take while they are worked on, and what a failing disk leaves in memory, all of it
//! together. Nobody waits for memory while holding some: who has some and needs more gets it at once or gives up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// One permit stands for so many bytes.
const UNIT: u64 = 4 << 10;
/// How long a document waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do where memory is not free at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Wait for it: whoever asks holds none.
    Wait,
    /// Give up: whoever asks holds some, for which others wait.
    GiveUp,
}

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
        let permits = Arc::clone(&self.permits).acquire_many_owned(self.units(bytes));
        match tokio::time::timeout(PATIENCE, permits).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// [`Self::take`] or [`Self::take_now`].
    pub async fn take_with(&self, patience: Patience, bytes: u64) -> Result<Permit, Error> {
        match patience {
            Patience::Wait => self.take(bytes).await,
            Patience::GiveUp => self.take_now(bytes),
        }
    }

    /// Takes `bytes` if they are free now, for whoever may not wait. Else [`Error::Busy`].
    pub fn take_now(&self, bytes: u64) -> Result<Permit, Error> {
        let permits = Arc::clone(&self.permits).try_acquire_many_owned(self.units(bytes));
        permits.map(Permit).map_err(|_| busy())
    }

    /// Has a permit stand for `bytes` if what is missing is free now. Else [`Error::Busy`]; what was taken stays.
    pub fn extend(&self, permit: &mut Option<Permit>, bytes: u64) -> Result<(), Error> {
        let held = permit.as_ref().map_or(0, |permit| permit.0.num_permits() as u64);
        let missing = u64::from(self.units(bytes)).saturating_sub(held) * UNIT;
        if missing == 0 {
            return Ok(());
        }
        let more = self.take_now(missing)?;
        match permit {
            Some(permit) => permit.0.merge(more.0),
            None => *permit = Some(more),
        }
        Ok(())
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.total)
    }
}

/// There is no memory for it now.
pub fn busy() -> Error {
    Error::Busy { retry_after: Duration::from_secs(5) }
}

/// Bytes that are taken until this is dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

impl Permit {
    /// Gives back what is more than `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let surplus = (self.0.num_permits() as u64).saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(surplus as usize));
    }

    /// These bytes, which take what was taken until the last reference to them is gone.
    pub fn hold(self: &Arc<Self>, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Holding { bytes, _permit: Arc::clone(self) })
    }
}

struct Holding<T> {
    bytes: T,
    _permit: Arc<Permit>,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Holding<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

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

    #[test]
    fn who_has_memory_gets_more_at_once_or_not_at_all() {
        let budget = Budget::new(1 << 20);
        let mut permit = None;
        for bytes in [1, 300 << 10, 200 << 10] {
            budget.extend(&mut permit, bytes).unwrap();
        }
        let other = budget.take_now(724 << 10).unwrap();
        assert!(matches!(budget.take_now(1), Err(Error::Busy { .. })));
        assert!(matches!(budget.extend(&mut permit, 301 << 10), Err(Error::Busy { .. })));
        drop(other);
        // Larger than everything: everything will do.
        budget.extend(&mut permit, 5 << 30).unwrap();
        let mut permit = permit.unwrap();
        permit.shrink(1 << 10);
        let held = Arc::new(permit).hold(vec![7; 100]);
        let part = held.slice(50..);
        drop(held);
        assert!(budget.take_now(1 << 20).is_err());
        drop(part);
        assert!(budget.take_now(1 << 20).is_ok());
    }
}
