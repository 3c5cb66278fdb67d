//! Dates as protocols write them.

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// A date of HTTP or mail (RFC 9110 §5.6.7, RFC 5322 §3.3), or of an archive's `Release`, which writes `UTC`.
pub fn of_mail(text: &str) -> Option<Millis> {
    let text = text.trim().replace("UTC", "GMT");
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    u64::try_from(parsed.as_millisecond()).ok()
}

/// A date of the Internet (RFC 3339).
pub fn of_internet(text: &str) -> Option<Millis> {
    let parsed: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(parsed.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_in_every_form() {
        let moment = Some(1_640_995_200_000);
        for text in
            ["Sat, 01 Jan 2022 00:00:00 GMT", " Sat, 01 Jan 2022 00:00:00 UTC ", "Sat, 01 Jan 2022 01:00:00 +0100"]
        {
            assert_eq!(of_mail(text), moment, "{text}");
        }
        for text in ["2022-01-01T00:00:00.000Z", "2022-01-01T01:00:00+01:00"] {
            assert_eq!(of_internet(text), moment, "{text}");
        }
        for text in ["", "yesterday", "Thu, 01 Jan 1900 00:00:00 GMT", "1900-01-01T00:00:00Z"] {
            assert_eq!((of_mail(text), of_internet(text)), (None, None), "{text}");
        }
    }
}
