//! Tasks that must go on as long as the process does: one that ends or panics ends the process, which begins anew.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinSet};

/// Named tasks that have no end of their own.
#[derive(Debug, Default)]
pub struct Tasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Tasks {
    /// Begins one.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name.into());
    }

    /// Waits for the first that ends, though none should: its name, and how it ended.
    pub async fn ended(&mut self) -> (String, &'static str) {
        let (id, how) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, "ended"),
            Some(Err(error)) => (error.id(), if error.is_panic() { "panicked" } else { "was aborted" }),
            None => return std::future::pending().await,
        };
        (self.names.remove(&id).unwrap_or_default(), how)
    }

    /// Ends all.
    pub fn abort_all(&mut self) {
        self.tasks.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_ends_is_named() {
        let mut tasks = Tasks::default();
        assert!(tokio::time::timeout(Duration::from_secs(9), tasks.ended()).await.is_err(), "none has ended");
        tasks.spawn("goes on", std::future::pending());
        assert!(tokio::time::timeout(Duration::from_secs(9), tasks.ended()).await.is_err());
        tasks.spawn("short", async {});
        assert_eq!(tasks.ended().await, ("short".to_owned(), "ended"));
        tasks.spawn("faulty", async { panic!("on purpose") });
        assert_eq!(tasks.ended().await, ("faulty".to_owned(), "panicked"));
        tasks.abort_all();
        assert_eq!(tasks.ended().await, ("goes on".to_owned(), "was aborted"));
    }
}
