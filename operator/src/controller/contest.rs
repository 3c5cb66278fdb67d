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
pub struct Contests(Mutex<HashMap<(Key, ChildKind, String), Contest>>);

#[derive(Debug, Default)]
struct Contest {
    repairs: VecDeque<Instant>,
    /// When it was last said that it is left alone.
    told: Option<Instant>,
}

/// What to do about a field that differs although it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Apply it again.
    Go,
    /// Leave it alone, and say so.
    LeaveAndTell,
    /// Leave it alone; that was said a moment ago.
    Leave,
}

impl Contests {
    /// Notes a repair, unless there were too many.
    pub fn repair(&self, proxy: &Key, child: &Child) -> Repair {
        let now = Instant::now();
        let mut contests = self.0.lock();
        let contest = contests.entry((proxy.clone(), child.kind, child.name.clone())).or_default();
        while contest.repairs.front().is_some_and(|time| now >= *time + WINDOW) {
            contest.repairs.pop_front();
        }
        if contest.repairs.len() < REPAIRS {
            contest.repairs.push_back(now);
            return Repair::Go;
        }
        if contest.told.is_some_and(|time| now < time + WINDOW) {
            return Repair::Leave;
        }
        contest.told = Some(now);
        Repair::LeaveAndTell
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
            assert_eq!(contests.repair(&proxy, &child), Repair::Go);
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        assert_eq!(contests.repair(&proxy, &child), Repair::LeaveAndTell);
        assert_eq!(contests.repair(&proxy, &child), Repair::Leave);
        tokio::time::advance(Duration::from_secs(36)).await;
        assert_eq!(contests.repair(&proxy, &child), Repair::Go, "the first one is a minute old");
        assert_eq!(contests.repair(&proxy, &child), Repair::Leave);
        contests.forget(&proxy);
        assert_eq!(contests.repair(&proxy, &child), Repair::Go);
    }
}
