//! How many attributes the tags of an HTML document have, counted before a tokenizer sees it: the tokenizer compares
//! each attribute with all before it, so that one long tag would take it minutes.

/// Where inside of a tag a byte is (HTML §13.2.5.8 to .40; states between which nothing here tells are one).
#[derive(Clone, Copy)]
enum State {
    /// Before its name.
    Open,
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    DoubleQuoted,
    SingleQuoted,
    Unquoted,
}

use State::{AfterName, BeforeName, BeforeValue, DoubleQuoted, Name, Open, SingleQuoted, TagName, Unquoted};

const STATES: [State; 9] =
    [Open, TagName, BeforeName, Name, AfterName, BeforeValue, DoubleQuoted, SingleQuoted, Unquoted];

/// Whether some tag may have more than `limit` attributes.
///
/// Which `<` begins a tag depends on all that comes before it, in scripts and comments too, and a guess would be a way
/// around the limit. So every one that may is followed, all at once: two tags of which one has arrived in the state of
/// the other have the same future, and only the larger count is kept. Never too few, and linear.
pub(super) fn exceed(bytes: &[u8], limit: usize) -> bool {
    // For each state the most attributes of a tag that is in it.
    let mut counts: [Option<usize>; STATES.len()] = [None; STATES.len()];
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        if counts.iter().all(Option::is_none) && byte != b'<' {
            let Some(skipped) = memchr::memchr(b'<', &bytes[at..]) else { return false };
            at += skipped;
            continue;
        }
        let mut next = [None; STATES.len()];
        for state in STATES {
            let Some(count) = counts[state as usize] else { continue };
            let Some((state, begins)) = step(state, byte) else { continue };
            let count = count + usize::from(begins);
            if count > limit {
                return true;
            }
            next[state as usize] = next[state as usize].max(Some(count));
        }
        if byte == b'<' && may_begin_tag(&bytes[at + 1..]) {
            next[Open as usize] = Some(0);
        }
        counts = next;
        at += 1;
    }
    false
}

/// Whether these bytes after a `<` make it a tag.
fn may_begin_tag(after: &[u8]) -> bool {
    after.strip_prefix(b"/").unwrap_or(after).first().is_some_and(u8::is_ascii_alphabetic)
}

/// The next state, and whether an attribute begins; `None`: the tag ends.
fn step(state: State, byte: u8) -> Option<(State, bool)> {
    let is_space = matches!(byte, b'\t' | b'\n' | b'\r' | b'\x0c' | b' ');
    let next = match (state, byte) {
        (DoubleQuoted, b'"') | (SingleQuoted, b'\'') | (TagName | BeforeName | Name | AfterName, b'/') => BeforeName,
        (DoubleQuoted | SingleQuoted, _) => state,
        (_, b'>') => return None,
        (Open, b'/') => Open,
        (Open, _) => TagName,
        (BeforeValue, b'"') => DoubleQuoted,
        (BeforeValue, b'\'') => SingleQuoted,
        (BeforeValue, _) => if is_space { BeforeValue } else { Unquoted },
        (Unquoted, _) => if is_space { BeforeName } else { Unquoted },
        (TagName, _) => if is_space { BeforeName } else { TagName },
        (Name | AfterName, b'=') => BeforeValue,
        (Name | AfterName, _) if is_space => AfterName,
        (Name, _) => Name,
        (BeforeName, _) if is_space => BeforeName,
        (BeforeName | AfterName, _) => return Some((Name, true)),
    };
    Some((next, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_counted_wherever_the_tag_begins() {
        for (document, most) in [
            ("", 0),
            ("text a b c > < d e f", 0),
            ("<a><b></b>", 0),
            ("<a b>", 1),
            ("</a b c>", 2),
            ("<a b c d", 3),
            ("<a b=1 c='2 3' d=\"> < 4\"e f/g=h/i>", 6),
            ("<a b = c d =e>", 2),
            ("<a =b=c>", 1),
            ("<a\tb\nc\x0cd\re>", 4),
            // The tag begins inside of what looks like another's value.
            ("<script><a x='</script><a b c d>'>", 3),
            ("<!--<a x=\"--><a b c d>\">", 3),
            ("<a x='<b y=\"' b c d \">", 5),
        ] {
            assert!(!exceed(document.as_bytes(), most), "{document}");
            assert!(most == 0 || exceed(document.as_bytes(), most - 1), "{document}");
        }
    }
}
