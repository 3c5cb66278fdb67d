//! Wall time that no step of the system clock moves while the program runs.

use std::time::SystemTime;

use tokio::time::Instant;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// The wall clock read once at start, and the monotonic clock since: an NTP step neither expires everything nor keeps
/// anything fresh for a year.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Millis,
    since: Instant,
}

impl Clock {
    /// Reads the wall clock.
    pub fn start() -> Self {
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: start.as_millis() as Millis, since: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.start + self.since.elapsed().as_millis() as Millis
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}
