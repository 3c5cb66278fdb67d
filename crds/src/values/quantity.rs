//! Amounts of processor and memory, as Kubernetes writes them: `500m`, `2`, `1Gi`.

use super::duration::scaled;

/// An amount, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(u128);

const ONE: u128 = 1_000_000_000;
/// Longest suffix first.
const UNITS: [(&str, u128); 12] = [
    ("Ki", ONE << 10),
    ("Mi", ONE << 20),
    ("Gi", ONE << 30),
    ("Ti", ONE << 40),
    ("Pi", ONE << 50),
    ("m", ONE / 1_000),
    ("k", ONE * 1_000),
    ("M", ONE * 1_000_000),
    ("G", ONE * 1_000_000_000),
    ("T", ONE * 1_000_000_000_000),
    ("P", ONE * 1_000_000_000_000_000),
    ("", ONE),
];

impl std::str::FromStr for Quantity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) =
            UNITS.into_iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit))).ok_or(())?;
        scaled(number, unit).map(Self).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_compare_by_value() {
        for (small, large) in
            [("50m", "1"), ("1000m", "1.001"), ("128Mi", "1Gi"), ("1G", "1Gi"), ("0.1", "101m"), ("0", "0.5m")]
        {
            assert!(small.parse::<Quantity>().unwrap() < large.parse::<Quantity>().unwrap(), "{small} {large}");
        }
        assert_eq!("1024Mi".parse::<Quantity>(), "1Gi".parse());
        for text in ["", "m", "1x", "-1", "1e3"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }
}
