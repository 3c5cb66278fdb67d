//! Quantities in the form in which the API server gives them back: otherwise what is applied would always differ from
//! what is there.

use crds::values::ByteSize;

/// Suffixes of the decimal form in steps of a thousand; the first counts in billionths.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Suffixes of the binary form in steps of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Billionths of one.
const ONE: u128 = 1_000_000_000;

/// A number of bytes: binary where a binary suffix fits.
pub(super) fn bytes(bytes: u64) -> String {
    canonical(&ByteSize(bytes).to_string())
}

/// The canonical form of a quantity; a text that is none is left to the API server to refuse.
pub fn canonical(text: &str) -> String {
    try_canonical(text).unwrap_or_else(|| text.to_owned())
}

fn try_canonical(text: &str) -> Option<String> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if let Some(power) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        let billionths = billionths(number)?.checked_mul(1 << (10 * (power + 1)))?;
        // Below one Ki the API server goes over to decimal; above, it rounds up to whole bytes.
        if billionths < 1024 * ONE {
            return decimal(billionths);
        }
        return binary(billionths.div_ceil(ONE));
    }
    let power = DECIMAL.iter().position(|known| *known == suffix)?;
    let scale = 1000_u128.checked_pow(u32::try_from(power).ok()?)?;
    // Digits behind the billionth are rounded up.
    let exact = billionths(number)?.checked_mul(scale)?;
    decimal(exact.div_ceil(ONE))
}

/// A decimal number times a billion, which has to be enough digits.
fn billionths(number: &str) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse().ok()
}

fn decimal(billionths: u128) -> Option<String> {
    shortest(billionths, 1000, &DECIMAL, 3)
}

fn binary(bytes: u128) -> Option<String> {
    shortest(bytes, 1024, &BINARY, 0)
}

/// The largest suffix that leaves a whole number; `zero` is the suffix of nought.
fn shortest(mut value: u128, step: u128, suffixes: &[&str], zero: usize) -> Option<String> {
    let mut power = if value == 0 { zero } else { 0 };
    while value != 0 && value.is_multiple_of(step) && power + 1 < suffixes.len() {
        value /= step;
        power += 1;
    }
    Some(format!("{value}{}", suffixes.get(power)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right side: what `kubectl get -o yaml` shows after the left side was applied.
    #[test]
    fn the_forms_of_the_api_server() {
        for (given, kept) in [
            ("500m", "500m"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("2", "2"),
            ("1000", "1k"),
            ("1.5", "1500m"),
            ("0", "0"),
            ("0.0001", "100u"),
            ("100M", "100M"),
            ("1000M", "1G"),
            ("128Mi", "128Mi"),
            ("1024Mi", "1Gi"),
            ("2048Mi", "2Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1048576", "1048576"),
            ("1000Ki", "1000Ki"),
            ("a lot", "a lot"),
        ] {
            assert_eq!(canonical(given), kept, "{given}");
            assert_eq!(canonical(kept), kept, "{kept} is not stable");
        }
        assert_eq!(bytes(10 << 30), "10Gi");
        assert_eq!(bytes(500_000_000), "500M");
    }
}
