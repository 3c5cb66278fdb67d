//! A gate holds an answer until the test lets it go, so that no test has to guess a time.

use std::sync::Arc;

use tokio::sync::watch;

use crate::wait::within;

/// A gate that is shut until [`Gate::open`]. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Sides>);

#[derive(Debug)]
struct Sides {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// A shut gate.
    pub fn shut() -> Self {
        Self(Arc::new(Sides { open: watch::Sender::new(false), waiting: watch::Sender::new(0) }))
    }

    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until the gate is open.
    pub async fn pass(&self) {
        self.0.waiting.send_modify(|count| *count += 1);
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }

    /// How many answers have come to the gate.
    pub fn arrived(&self) -> usize {
        *self.0.waiting.borrow()
    }

    /// Returns once `count` answers have come to the gate.
    ///
    /// # Panics
    /// After the time that [`within`] gives.
    pub async fn reached(&self, count: usize) {
        let mut waiting = self.0.waiting.subscribe();
        let reached = waiting.wait_for(|arrived| *arrived >= count);
        within(&format!("{count} answers at a gate"), reached).await.expect("the gate outlives its subscribers");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::shut()
    }
}
