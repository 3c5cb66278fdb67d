//! Durations as Go and Kubernetes write them: `100ms`, `5m`, `1h30m`.

use std::fmt;
use std::time::Duration;

use super::text_value;

/// A span of time, not negative. The unit is required, for zero as well: `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

text_value!(
    GoDuration,
    "a duration such as '100ms', '5m' or '1h30m'",
    2..=32,
    r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"
);

/// Unit and its nanoseconds; a unit stands before those that it is a prefix of.
const UNITS: [(&str, u128); 6] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", NANOS), ("m", 60 * NANOS), ("h", 3600 * NANOS)];
const NANOS: u128 = 1_000_000_000;

impl GoDuration {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let number = &rest[..rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?];
            rest = &rest[number.len()..];
            let (unit, nanos) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
            rest = &rest[unit.len()..];
            total = total.checked_add(scaled(number, nanos)?)?;
        }
        let seconds = u64::try_from(total / NANOS).ok()?;
        (!text.is_empty()).then(|| Self(Duration::new(seconds, (total % NANOS) as u32)))
    }
}

/// A decimal number times `unit`, rounded down.
pub(super) fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?;
    // Nine digits are more than any unit resolves.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let part = u128::from(fraction.parse::<u32>().ok()?) * unit / 10_u128.pow(fraction.len() as u32);
    u128::from(whole).checked_mul(unit)?.checked_add(part)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return formatter.write_str("0s");
        }
        let mut rest = self.0.as_nanos();
        for (unit, nanos) in UNITS.into_iter().rev() {
            if rest >= nanos {
                write!(formatter, "{}{unit}", rest / nanos)?;
                rest %= nanos;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, millis, written) in [
            ("0s", 0, "0s"),
            ("100ms", 100, "100ms"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90s", 90_000, "1m30s"),
            ("1.5s", 1_500, "1s500ms"),
            ("8760h", 31_536_000_000, "8760h"),
        ] {
            let value: GoDuration = text.parse().unwrap();
            assert_eq!(value.0, Duration::from_millis(millis), "{text}");
            assert_eq!(value.to_string(), written);
        }
        for text in ["", "5", "5 m", "-5m", "5d", "m", "1h30", "1..5s", ".5s", "5m ", "99999999999999999999h", "é"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }
}
