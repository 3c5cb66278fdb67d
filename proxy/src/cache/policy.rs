//! Whether what is stored will do: one pure function of record, settings and time (RFC 9111 §4.2, RFC 5861).

use std::time::Duration;

use crds::CacheSettings;

use crate::clock::Millis;
use crate::intent::Lifetime;
use crate::store::{Document, Record, State};

/// A stamp this far ahead of now comes from a clock that was wrong: what it says of freshness means nothing.
const CLOCK_SLACK: Millis = 5_000;
/// Seconds that stand for ever: a year, the longest that RFC 9111 gives meaning to.
const FOREVER: u64 = 31_536_000;

/// What to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Serve the document; it is fresh for so many seconds.
    Fresh {
        /// Seconds of freshness left.
        ttl: u64,
    },
    /// Serve the document and revalidate it beside.
    StaleWhileRevalidate {
        /// Seconds since it expired.
        stale: u64,
    },
    /// Revalidate the document first.
    Revalidate {
        /// Seconds since it expired.
        stale: u64,
        /// Whether it may be served if the upstream fails.
        usable: bool,
    },
    /// Ask the upstream.
    Absent,
}

/// Decides for a metadata document. An artifact's record is for ever and needs no decision.
pub fn decide(record: Option<&Record>, lifetime: Lifetime, settings: &CacheSettings, now: Millis) -> Decision {
    let Some(record) = record else { return Decision::Absent };
    let from_the_future = record.validated > now + CLOCK_SLACK;
    let age = now.saturating_sub(record.validated);
    match record.state {
        State::Artifact(_) => Decision::Absent,
        State::Document(ref document) => {
            // Its own word: it stands for nothing any more.
            let is_valid = document.valid_until.is_none_or(|until| now < until);
            let Some(fresh_for) = fresh_for(lifetime, settings) else { return Decision::Fresh { ttl: FOREVER } };
            if from_the_future {
                return Decision::Revalidate { stale: 0, usable: true };
            }
            // It has run out since, and the upstream has had no chance to say that it has no other one.
            let has_run_out = document.valid_until.is_some_and(|until| (record.validated..=now).contains(&until));
            if age < fresh_for && !has_run_out {
                return Decision::Fresh { ttl: (fresh_for - age).div_ceil(1000) };
            }
            let stale = age.saturating_sub(fresh_for);
            if is_valid && fresh_for > 0 && stale < millis(settings.stale_while_revalidate) {
                return Decision::StaleWhileRevalidate { stale: stale / 1000 };
            }
            Decision::Revalidate { stale: stale / 1000, usable: is_valid && stale < millis(settings.stale_if_error) }
        }
    }
}

/// Whether a document stays although the upstream has sent another one, of a lower revision: one of its servers lags
/// behind, or a cache on the way. Once that has been so for as long as a document is fresh, the upstream means it.
pub fn outranks(
    held: &Document,
    revision: Option<u64>,
    lifetime: Lifetime,
    settings: &CacheSettings,
    now: Millis,
) -> bool {
    let (Some(ours), Some(other), Some(fresh_for)) = (held.revision, revision, fresh_for(lifetime, settings)) else {
        return false;
    };
    // Dated by a clock that was wrong, it begins now.
    let since = held.older_since.filter(|since| *since <= now).unwrap_or(now);
    other < ours && now - since < fresh_for
}

/// How long a document is fresh; `None`: for good.
fn fresh_for(lifetime: Lifetime, settings: &CacheSettings) -> Option<Millis> {
    Some(millis(match lifetime {
        Lifetime::Forever => return None,
        // A TTL of zero asks for a revalidation of everything, documents that hardly change included.
        Lifetime::AtLeast(_) if settings.metadata_ttl.is_zero() => Duration::ZERO,
        Lifetime::AtLeast(least) => settings.metadata_ttl.max(least),
        Lifetime::Configured => settings.metadata_ttl,
    }))
}

fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::{Key, ServedAs};
    use crate::store::BlobId;

    const STORED: Millis = 1_000_000_000;

    fn record(state: State) -> Record {
        let key = Key { package: "a".into(), version: String::new(), file: String::new(), representation: "full" };
        Record::new(&key, STORED, state)
    }

    fn document() -> Record {
        record(State::Document(Document {
            received: BlobId::of(b""),
            raw: BlobId::of(b""),
            length: 0,
            reading: None,
            content_type: String::new(),
            url: url::Url::parse("https://registry.example/a").unwrap(),
            etag: None,
            last_modified: None,
            served: ServedAs::default(),
            changed: STORED,
            variants: Vec::new(),
            digests: Vec::new(),
            revision: None,
            older_since: None,
            valid_until: None,
            by_digest: false,
            signature: None,
        }))
    }

    #[test]
    fn the_table() {
        let settings = CacheSettings::default();
        let document = document();
        let at = |seconds: u64| decide(Some(&document), Lifetime::Configured, &settings, STORED + seconds * 1000);
        assert_eq!(decide(None, Lifetime::Configured, &settings, STORED), Decision::Absent);
        assert_eq!(at(0), Decision::Fresh { ttl: 300 });
        assert_eq!(at(299), Decision::Fresh { ttl: 1 });
        assert_eq!(at(300), Decision::StaleWhileRevalidate { stale: 0 });
        assert_eq!(at(359), Decision::StaleWhileRevalidate { stale: 59 });
        assert_eq!(at(360), Decision::Revalidate { stale: 60, usable: true });
        assert_eq!(at(300 + 86_399), Decision::Revalidate { stale: 86_399, usable: true });
        assert_eq!(at(300 + 86_400), Decision::Revalidate { stale: 86_400, usable: false });
    }

    #[test]
    fn a_ttl_of_zero_revalidates_always() {
        let settings = CacheSettings { metadata_ttl: Duration::ZERO, ..CacheSettings::default() };
        for lifetime in [Lifetime::Configured, Lifetime::AtLeast(Duration::from_hours(1))] {
            let decision = decide(Some(&document()), lifetime, &settings, STORED);
            assert_eq!(decision, Decision::Revalidate { stale: 0, usable: true });
        }
    }

    #[test]
    fn a_document_that_has_run_out_stands_in_for_nothing() {
        let settings = CacheSettings::default();
        let mut document = document();
        let State::Document(inner) = &mut document.state else { unreachable!() };
        inner.valid_until = Some(STORED + 310_000);
        let at = |seconds: u64| decide(Some(&document), Lifetime::Configured, &settings, STORED + seconds * 1000);
        assert_eq!(at(309), Decision::StaleWhileRevalidate { stale: 9 });
        assert_eq!(at(310), Decision::Revalidate { stale: 10, usable: false });
        assert_eq!(at(4000), Decision::Revalidate { stale: 3700, usable: false });
        // Within its lifetime, unless the upstream has said since that it has no other one.
        for (valid_until, seconds, expected) in [
            (STORED + 100_000, 99, Decision::Fresh { ttl: 201 }),
            (STORED + 100_000, 100, Decision::Revalidate { stale: 0, usable: false }),
            (STORED - 1, 100, Decision::Fresh { ttl: 200 }),
        ] {
            let mut document = document.clone();
            let State::Document(stored) = &mut document.state else { unreachable!() };
            stored.valid_until = Some(valid_until);
            let now = STORED + seconds * 1000;
            assert_eq!(decide(Some(&document), Lifetime::Configured, &settings, now), expected, "{seconds}");
        }
    }

    #[test]
    fn a_lower_revision_comes_in_once_it_stays() {
        let settings = CacheSettings::default();
        let always = CacheSettings { metadata_ttl: Duration::ZERO, ..CacheSettings::default() };
        let record = document();
        for (ours, other, since, at, expected) in [
            (Some(5), Some(4), None, 9_999_999, true),
            (Some(5), Some(4), Some(0), 299_999, true),
            (Some(5), Some(4), Some(0), 300_000, false),
            (Some(5), Some(4), Some(10), 0, true),
            (Some(5), Some(5), None, 0, false),
            (Some(5), Some(6), None, 0, false),
            (Some(5), None, None, 0, false),
            (None, Some(4), None, 0, false),
        ] {
            let held = record.document().unwrap();
            let held = Document { revision: ours, older_since: since.map(|at| STORED + at), ..held.clone() };
            let now = STORED + at;
            assert_eq!(outranks(&held, other, Lifetime::Configured, &settings, now), expected, "{since:?} {at}");
            assert!(!outranks(&held, other, Lifetime::Configured, &always, now), "a TTL of zero takes what comes");
        }
    }

    #[test]
    fn a_longer_lifetime_of_the_document_counts() {
        let settings = CacheSettings::default();
        let decision =
            decide(Some(&document()), Lifetime::AtLeast(Duration::from_hours(1)), &settings, STORED + 3_599_000);
        assert_eq!(decision, Decision::Fresh { ttl: 1 });
    }

    #[test]
    fn what_is_named_by_its_digest_is_fresh_for_good() {
        for metadata_ttl in [Duration::ZERO, Duration::from_mins(5)] {
            let settings = CacheSettings { metadata_ttl, ..CacheSettings::default() };
            for now in [0, STORED, STORED * 1000] {
                let decision = decide(Some(&document()), Lifetime::Forever, &settings, now);
                assert_eq!(decision, Decision::Fresh { ttl: FOREVER });
            }
        }
    }

    #[test]
    fn a_stamp_from_the_future_is_neither_fresh_for_ever_nor_lost() {
        let settings = CacheSettings::default();
        let at = |now| decide(Some(&document()), Lifetime::Configured, &settings, now);
        assert_eq!(at(STORED - 3_600_000), Decision::Revalidate { stale: 0, usable: true });
        assert_eq!(at(STORED - 1_000), Decision::Fresh { ttl: 300 });
    }
}
