//! Fields that somebody else writes again and again: the operator repairs, but does not fight without end.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::build::Child;
use crate::kinds::ChildKind;
use crate::store::Key;

/// Repairs of one object in `WINDOW` after which it is left alone.
const REPAIRS: usize = 5;
/// How far back repairs count.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// The repairs of late.
#[derive(Debug, Default)]
pub struct Contests(Mutex<HashMap<(Key, ChildKind, String), VecDeque<Instant>>>);

impl Contests {
    /// Notes a repair, unless there were too many.
    pub fn may_repair(&self, proxy: &Key, child: &Child) -> bool {
        let now = Instant::now();
        let mut contests = self.0.lock();
        let times = contests.entry((proxy.clone(), child.kind, child.name.clone())).or_default();
        while times.front().is_some_and(|time| now >= *time + WINDOW) {
            times.pop_front();
        }
        if times.len() >= REPAIRS {
            return false;
        }
        times.push_back(now);
        true
    }

    /// Forgets a proxy.
    pub fn forget(&self, proxy: &Key) {
        self.0.lock().retain(|(key, ..), _| key != proxy);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_a_minute() {
        let contests = Contests::default();
        let proxy = Key::new("team", "npm");
        let child = Child { kind: ChildKind::Service, name: "npm".to_owned(), object: Value::Null };
        for _ in 0..5 {
            assert!(contests.may_repair(&proxy, &child));
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        assert!(!contests.may_repair(&proxy, &child));
        tokio::time::advance(Duration::from_secs(36)).await;
        assert!(contests.may_repair(&proxy, &child), "the first one is a minute old");
        assert!(!contests.may_repair(&proxy, &child));
        contests.forget(&proxy);
        assert!(contests.may_repair(&proxy, &child));
    }
}
