//! Paths and versions of modules, and the escaped form in which a module proxy has them: `!` and the small letter for
//! each capital one, so that file systems which do not tell these apart can hold both.

/// Longest version in bytes.
const LONGEST: usize = 255;

/// The escaped form.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(character.to_ascii_lowercase());
    }
    escaped
}

/// The text of an escaped form; `None` if it is none. The inverse of [`escape`], so that one module has one spelling.
pub(super) fn unescape(escaped: &str) -> Option<String> {
    let mut text = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match character {
            '!' => text.push(characters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            character if character.is_ascii_uppercase() => return None,
            character => text.push(character),
        }
    }
    Some(text)
}

/// Whether these segments may be the escaped path of a module: letters, digits and `-._~` in elements that neither
/// begin nor end with a dot, and no dash in front.
pub(super) fn is_module(segments: &[&str]) -> bool {
    let is_element = |element: &&str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!');
        !element.is_empty() && element.bytes().all(is_part) && !element.starts_with('.') && !element.ends_with('.')
    };
    segments.iter().all(is_element) && segments.first().is_some_and(|first| !first.starts_with('-'))
}

/// Whether this may be the escaped form of a version, a branch or a commit.
pub(super) fn is_version(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.starts_with('.')
}

/// Whether a version names one content for ever: all three numbers, then perhaps a pre-release, as pseudo-versions
/// have one, and of build metadata only `+incompatible`.
pub(super) fn is_canonical(version: &str) -> bool {
    let Some(version) = version.strip_prefix('v') else { return false };
    let version = version.strip_suffix("+incompatible").unwrap_or(version);
    let (core, pre_release) = version.split_once('-').map_or((version, None), |(core, rest)| (core, Some(rest)));
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.into_iter().all(|number| is_digits(number) && is_shortest(number))
        && pre_release.is_none_or(|text| text.split('.').all(is_identifier))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && (!is_digits(text) || is_shortest(text))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_shortest(number: &str) -> bool {
    number == "0" || !number.starts_with('0')
}
