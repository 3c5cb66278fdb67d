//! Amounts of processor and memory, as Kubernetes writes them: `500m`, `2`, `1Gi`.

use super::duration::scaled;

/// An amount, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(u128);

/// Longest suffix first.
const UNITS: [(&str, u128); 12] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("", 1000),
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
        for (small, large) in [("50m", "1"), ("1000m", "1.001"), ("128Mi", "1Gi"), ("1G", "1Gi"), ("0.1", "101m")] {
            assert!(small.parse::<Quantity>().unwrap() < large.parse::<Quantity>().unwrap(), "{small} {large}");
        }
        assert_eq!("1024Mi".parse::<Quantity>(), "1Gi".parse());
        for text in ["", "m", "1x", "-1", "1e3"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }
}
