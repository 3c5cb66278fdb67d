//! Wall time that no step of the system clock moves while the program runs.

use std::time::SystemTime;

use tokio::time::Instant;

pub use crate::date::Millis;

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

/// A date of HTTP (RFC 9110 §5.6.7), to the second.
pub fn http_date(millis: Millis) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or_default();
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp)
        .unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(1_700_000_000_999), "Tue, 14 Nov 2023 22:13:20 GMT");
    }
}
