//! Numbers of bytes as Kubernetes writes quantities: `10Gi`, `500M`, `1048576`.

use std::fmt;

use super::duration::scaled;
use super::text_value;

/// A number of bytes. `Ki`, `Mi`, `Gi`, `Ti`, `Pi` count in 1024s; `k`, `M`, `G`, `T`, `P` in 1000s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

text_value!(
    ByteSize,
    "a size such as '500M', '10Gi' or '1048576'",
    1..=32,
    r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$"
);

/// Longest suffix first.
const UNITS: [(&str, u64); 11] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("", 1),
];

impl ByteSize {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) =
            UNITS.into_iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, u128::from(unit))))?;
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        u64::try_from(scaled(number, unit)?).ok().map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS[..5].iter().rev().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let (suffix, unit) = binary.copied().unwrap_or(("", 1));
        write!(formatter, "{}{suffix}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, bytes, written) in [
            ("0", 0, "0"),
            ("1048576", 1 << 20, "1Mi"),
            ("10Gi", 10 << 30, "10Gi"),
            ("1.5Gi", 3 << 29, "1536Mi"),
            ("500M", 500_000_000, "500000000"),
            ("64k", 64_000, "64000"),
        ] {
            let value: ByteSize = text.parse().unwrap();
            assert_eq!(value.0, bytes, "{text}");
            assert_eq!(value.to_string(), written);
        }
        for text in ["", "Gi", "10 Gi", "-1", "1e3", "10GiB", "10gi", "1.Gi", "99999999Pi"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
