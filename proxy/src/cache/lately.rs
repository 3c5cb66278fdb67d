//! What happened a moment ago and is therefore not tried again at once: a body with a wrong digest, a request out of
//! turn, a 404. In memory only, and bounded: a flood of names must fill neither memory nor disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::digest::Digest;
use crate::error::Error;
use crate::store::RecordId;

/// How long a second failure is remembered.
const PAUSE: Duration = Duration::from_mins(1);
/// Names remembered at most: a flood of them must not fill the memory.
const LIMIT: usize = 4096;

/// Files whose last body had a wrong digest: the next request fetches once more, then there is a pause.
#[derive(Debug, Default)]
pub(super) struct Distrust(Mutex<HashMap<RecordId, Suspect>>);

#[derive(Debug)]
struct Suspect {
    /// What the digest should have been, if it was known beforehand: the file of the next generation has another one.
    expect: Option<Digest>,
    failures: u32,
    since: Instant,
    error: Error,
}

impl Distrust {
    /// The error to repeat, while a second failure is recent.
    pub(super) fn verdict(&self, id: RecordId, expect: Option<&Digest>) -> Option<Error> {
        let suspects = self.0.lock();
        let suspect = suspects.get(&id).filter(|suspect| suspect.expect.as_ref() == expect)?;
        (suspect.failures > 1 && suspect.since.elapsed() < PAUSE).then(|| suspect.error.clone())
    }

    /// Whether the last body was wrong, so that the metadata is worth asking for again.
    pub(super) fn is_suspect(&self, id: RecordId, expect: Option<&Digest>) -> bool {
        self.0.lock().get(&id).is_some_and(|suspect| suspect.expect.as_ref() == expect)
    }

    /// Notes a wrong body.
    pub(super) fn accuse(&self, id: RecordId, expect: Option<&Digest>, error: Error) {
        let mut suspects = self.0.lock();
        suspects.retain(|_, suspect| suspect.since.elapsed() < PAUSE);
        if suspects.len() < LIMIT || suspects.contains_key(&id) {
            let before = suspects.get(&id).filter(|suspect| suspect.expect.as_ref() == expect);
            let failures = before.map_or(0, |suspect| suspect.failures) + 1;
            suspects.insert(id, Suspect { expect: expect.cloned(), failures, since: Instant::now(), error });
        }
    }

    /// Forgets all suspicion.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Notes a right body.
    pub(super) fn acquit(&self, id: RecordId) {
        self.0.lock().remove(&id);
    }
}

/// Keys for which something was done lately.
#[derive(Debug, Default)]
pub(super) struct Recently(Mutex<HashMap<RecordId, Instant>>);

impl Recently {
    /// Whether this is the first call for the key within `pause`.
    pub(super) fn first(&self, id: RecordId, pause: Duration) -> bool {
        let mut done = self.0.lock();
        if done.len() >= LIMIT {
            done.retain(|_, at| at.elapsed() < pause);
        }
        if done.get(&id).is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        if done.len() < LIMIT {
            done.insert(id, Instant::now());
        }
        true
    }

    /// Notes that it has just happened.
    pub(super) fn note(&self, id: RecordId, pause: Duration) {
        self.undo(id);
        self.first(id, pause);
    }

    /// Whether it happened within `pause`.
    pub(super) fn is_recent(&self, id: RecordId, pause: Duration) -> bool {
        self.0.lock().get(&id).is_some_and(|at| at.elapsed() < pause)
    }

    /// How long ago that was; zero if it was not.
    pub(super) fn age(&self, id: RecordId) -> Duration {
        self.0.lock().get(&id).map_or(Duration::ZERO, Instant::elapsed)
    }

    /// What was done came to nothing: the next call is the first one again.
    pub(super) fn undo(&self, id: RecordId) {
        self.0.lock().remove(&id);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

/// Keys of which the upstream said that there is no such thing. Apart from the records, so that a 404 neither hides a
/// pin nor pushes out what is known of other keys.
#[derive(Debug, Default)]
pub(super) struct Absent(Mutex<HashMap<RecordId, Absence>>);

/// The status under which it is remembered that there is no such thing, and what was said about it, if an error says
/// that there is none.
pub(super) fn absence_of(error: &Error) -> Option<(u16, Arc<str>)> {
    match error {
        Error::Missing { status, text, .. } => Some((*status, Arc::clone(text))),
        _ => None,
    }
}

/// How the upstream was asked, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// By a GET, whose answer is one to a HEAD as well.
    Get,
    /// By a HEAD. Some registries answer it with 404 because they know no HEAD.
    Head,
}

/// A 404 or 410, what was said about it, and how long it counts.
#[derive(Debug)]
struct Absence {
    asked: Asked,
    status: u16,
    text: Arc<str>,
    until: Instant,
}

impl Absent {
    /// Remembers a 404 or 410 for so long.
    pub(super) fn note(&self, id: RecordId, asked: Asked, status: u16, text: &Arc<str>, ttl: Duration) {
        let mut absent = self.0.lock();
        let now = Instant::now();
        let says_more = |known: &Absence| known.asked == Asked::Get && known.until > now;
        if asked == Asked::Head && absent.get(&id).is_some_and(says_more) {
            return;
        }
        if absent.len() >= LIMIT {
            absent.retain(|_, absence| absence.until > now);
        }
        if (absent.len() < LIMIT || absent.contains_key(&id)) && !ttl.is_zero() {
            absent.insert(id, Absence { asked, status, text: Arc::clone(text), until: now + ttl });
        }
    }

    /// The status and what was said about it, while it is remembered.
    pub(super) fn word(&self, id: RecordId, asked: Asked) -> Option<(u16, Arc<str>)> {
        let absent = self.0.lock();
        let absence = absent.get(&id).filter(|absence| absence.asked == Asked::Get || asked == Asked::Head)?;
        (absence.until > Instant::now()).then(|| (absence.status, Arc::clone(&absence.text)))
    }

    /// There is such a thing after all.
    pub(super) fn lift(&self, id: RecordId) {
        self.0.lock().remove(&id);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Key;
    use crate::store::Space;

    fn id(package: &str) -> RecordId {
        let upstream = url::Url::parse("https://registry.example/").unwrap();
        let key = Key { package: package.into(), version: String::new(), file: String::new(), representation: "full" };
        Space::new("team", "npm", "npm", &upstream).record_id(&key)
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_try_and_then_a_pause() {
        let distrust = Distrust::default();
        let wrong = || Error::Mismatch { upstream: String::new(), expected: String::new(), found: String::new() };
        assert!(!distrust.is_suspect(id("a"), None));
        distrust.accuse(id("a"), None, wrong());
        assert!(distrust.is_suspect(id("a"), None) && distrust.verdict(id("a"), None).is_none());
        distrust.accuse(id("a"), None, wrong());
        assert!(distrust.verdict(id("a"), None).is_some() && distrust.verdict(id("b"), None).is_none());
        // The next generation names another file by this name.
        let other = Digest::sha256(b"other");
        assert!(distrust.verdict(id("a"), Some(&other)).is_none() && !distrust.is_suspect(id("a"), Some(&other)));
        tokio::time::advance(PAUSE).await;
        assert!(distrust.verdict(id("a"), None).is_none());
        distrust.acquit(id("a"));
        assert!(!distrust.is_suspect(id("a"), None));
    }

    #[tokio::test(start_paused = true)]
    async fn out_of_turn_once_a_pause() {
        let recently = Recently::default();
        let pause = Duration::from_secs(10);
        assert!(recently.first(id("a"), pause) && recently.first(id("b"), pause));
        assert!(!recently.first(id("a"), pause));
        tokio::time::advance(pause / 2).await;
        recently.note(id("b"), pause);
        tokio::time::advance(pause / 2).await;
        assert!(!recently.is_recent(id("a"), pause) && recently.is_recent(id("b"), pause));
        assert!(recently.first(id("a"), pause));
    }

    #[tokio::test(start_paused = true)]
    async fn an_absence_is_remembered_for_a_while() {
        let absent = Absent::default();
        let ttl = Duration::from_secs(30);
        let word = |name: &str| absent.word(id(name), Asked::Get);
        absent.note(id("a"), Asked::Get, 410, &"gone".into(), ttl);
        absent.note(id("never"), Asked::Get, 404, &"".into(), Duration::ZERO);
        assert_eq!((word("a"), word("never")), (Some((410, "gone".into())), None));
        tokio::time::advance(ttl).await;
        assert_eq!(word("a"), None);
        for number in 0..LIMIT * 2 {
            absent.note(id(&number.to_string()), Asked::Get, 404, &"".into(), ttl);
        }
        assert_eq!(absent.0.lock().len(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_head_is_none_to_get() {
        let absent = Absent::default();
        let ttl = Duration::from_secs(30);
        let words = |name: &str| [Asked::Get, Asked::Head].map(|asked| absent.word(id(name), asked).is_some());
        absent.note(id("a"), Asked::Head, 404, &"".into(), ttl);
        assert_eq!(words("a"), [false, true]);
        absent.note(id("a"), Asked::Get, 404, &"".into(), ttl);
        absent.note(id("a"), Asked::Head, 404, &"".into(), ttl);
        assert_eq!(words("a"), [true, true]);
        absent.lift(id("a"));
        assert_eq!(words("a"), [false, false]);
    }
}
