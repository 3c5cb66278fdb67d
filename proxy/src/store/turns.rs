//! Locks by key: changes of one record take turns, those of others go on beside them.

use parking_lot::{Mutex, MutexGuard};

use super::RecordId;

/// Locks; more than threads that write at once.
const LOCKS: usize = 64;

/// A fixed number of locks that all keys share.
#[derive(Debug)]
pub struct Turns([Mutex<()>; LOCKS]);

impl Default for Turns {
    fn default() -> Self {
        Self([const { Mutex::new(()) }; LOCKS])
    }
}

impl Turns {
    /// Waits for the turn of a key. A thread holds one at most: two keys may have the same lock.
    pub fn wait(&self, id: RecordId) -> MutexGuard<'_, ()> {
        self.0[id.short() as usize % LOCKS].lock()
    }
}
