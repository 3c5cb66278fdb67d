//! Bytes that are promised to fills before they arrive: together never more than the store may hold.

use std::sync::Arc;

use super::Inventory;

/// This part of what has arrived is promised to the rest.
const AHEAD: u64 = 8;

impl Inventory {
    /// Promises `bytes` to a fill. `None` if, with all other promises, the store could never hold them.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut reservation = Reservation { inventory: Arc::clone(self), bytes: 0 };
        reservation.grow(bytes).then_some(reservation)
    }

    /// Whether a promise of so many bytes would be given now.
    pub fn has_room(&self, bytes: u64) -> bool {
        let max_size = self.max_size();
        self.totals.lock().reserved.checked_add(bytes).is_some_and(|reserved| reserved <= max_size)
    }
}

/// Bytes promised to one fill.
#[derive(Debug)]
pub struct Reservation {
    inventory: Arc<Inventory>,
    bytes: u64,
}

impl Reservation {
    /// Bytes promised.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Promises what has `arrived`, and some of what is still to come, so that not every piece makes room for itself
    /// alone. Returns whether there is room.
    #[must_use]
    pub fn cover(&mut self, arrived: u64, announced: Option<u64>) -> bool {
        let ahead = (arrived + arrived / AHEAD).min(announced.unwrap_or(u64::MAX)).max(arrived);
        self.grow(ahead.saturating_sub(self.bytes)) || self.grow(arrived.saturating_sub(self.bytes))
    }

    /// Promises `bytes` more. Returns whether there is room; if not, what was promised stays.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let max_size = self.inventory.max_size();
        let mut totals = self.inventory.totals.lock();
        let fits = totals.reserved.checked_add(bytes).is_some_and(|reserved| reserved <= max_size);
        if fits {
            totals.reserved += bytes;
            self.bytes += bytes;
        }
        fits
    }

    /// Ends the promise; the caller takes the bytes off the total in the lock in which it adds the blob.
    pub(super) fn redeem(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.inventory.totals.lock().reserved -= self.bytes;
        }
    }
}
