//! What a client would like to get: the `Accept` header (RFC 9110 §12.5.1), as far as registries negotiate with it.

/// How much a client wants one media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wish {
    /// The weight in thousandths.
    pub(super) weight: u16,
    /// Whether the type itself is named, not just a range that covers it.
    pub(super) named: bool,
}

/// How much `accept` wants `media_type`, which is lower case. The most specific element that covers it decides; an
/// absent header accepts everything.
pub(super) fn wish(accept: &str, media_type: &str) -> Wish {
    if accept.trim().is_empty() {
        return Wish { weight: 1000, named: false };
    }
    let kind = media_type.split('/').next().unwrap_or_default();
    let mut best = (0, 0);
    for element in accept.split(',') {
        let mut parameters = element.split(';').map(str::trim);
        let range = parameters.next().unwrap_or_default().to_ascii_lowercase();
        let specificity = match range.as_str() {
            range if range == media_type => 3,
            "*/*" => 1,
            range if range.strip_suffix("/*") == Some(kind) => 2,
            _ => continue,
        };
        if specificity >= best.0 {
            best = (specificity, parameters.find_map(weight).unwrap_or(1000));
        }
    }
    Wish { weight: best.1, named: best.0 == 3 }
}

/// The weight in thousandths, if the parameter is one. A malformed weight counts as the lowest that still accepts.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim().parse::<f32>().ok().filter(|value| (0.0..=1.0).contains(value));
    Some(value.map_or(1, |value| (value * 1000.0).round() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_element_decides() {
        for (accept, weight, named) in [
            ("", 1000, false),
            ("*/*", 1000, false),
            ("text/*;q=0.3", 300, false),
            ("text/html", 1000, true),
            ("Text/HTML; charset=utf-8; Q=0.25", 250, true),
            ("*/*;q=1, text/html;q=0", 0, true),
            ("text/html;q=0.5, */*", 500, true),
            ("application/json", 0, false),
            ("application/*, text/plain", 0, false),
            ("text/html;q=many", 1, true),
            (",;,text/html,", 1000, true),
        ] {
            assert_eq!(wish(accept, "text/html"), Wish { weight, named }, "{accept}");
        }
    }
}
