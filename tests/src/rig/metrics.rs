//! The Prometheus text format, read just far enough to ask for numbers.

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    series: Vec<Series>,
    text: String,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: u64,
}

impl Metrics {
    /// Reads a scrape; lines that are no samples are skipped.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect();
        Self { series: samples, text: text.to_owned() }
    }

    /// The sum over all series of this name that have all these labels; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |series: &Series| {
            labels.iter().all(|(key, value)| series.labels.iter().any(|(k, v)| k == key && v == value))
        };
        self.series.iter().filter(|series| series.name == name && has(series)).map(|series| series.value).sum()
    }

    /// Whether any series has this name.
    pub fn has(&self, name: &str) -> bool {
        self.series.iter().any(|series| series.name == name)
    }

    /// Every label of every series: name and value, sorted and each once.
    pub fn labels(&self) -> Vec<(String, String)> {
        let mut labels: Vec<_> = self.series.iter().flat_map(|series| series.labels.iter().cloned()).collect();
        labels.sort();
        labels.dedup();
        labels
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is no series at all.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The scrape as it was.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn sample(line: &str) -> Option<Series> {
    // OpenMetrics may append a time stamp or an exemplar after the value.
    let (name, rest) = match line.split_once('{') {
        Some((name, rest)) => (name, rest),
        None => (line.split_ascii_whitespace().next()?, ""),
    };
    let (labels, value) = if rest.is_empty() { ("", line[name.len()..].trim()) } else { rest.rsplit_once('}')? };
    // Everything that the program counts is a whole number, written with or without a fraction.
    let value = value.split_ascii_whitespace().next()?.parse::<f64>().ok()? as u64;
    let labels = labels.split("\",").filter_map(|label| {
        let (key, value) = label.split_once("=\"")?;
        Some((key.trim().to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some(Series { name: name.trim().to_owned(), labels: labels.collect(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let metrics = Metrics::parse(
            "# HELP a_total x\na_total{ecosystem=\"npm\",cache=\"hit\"} 2\n\
             a_total{ecosystem=\"npm\",cache=\"fwd=uri-miss; stored\"} 3 170\nb 7.0\n",
        );
        assert_eq!(metrics.sum("a_total", &[]), 5);
        assert_eq!(metrics.sum("a_total", &[("cache", "hit")]), 2);
        assert_eq!(metrics.sum("a_total", &[("ecosystem", "npm"), ("cache", "fwd=uri-miss; stored")]), 3);
        assert_eq!(metrics.sum("b", &[]), 7);
        assert_eq!(metrics.sum("c", &[]), 0);
        assert_eq!(metrics.labels().len(), 3);
        assert!(metrics.has("b") && metrics.len() == 3 && !metrics.is_empty());
    }
}
