//! The header `WWW-Authenticate` (RFC 9110 §11.6.1): several challenges in one line or many, with quoted strings that
//! hold commas.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Says that a token allows too little (RFC 6750 §3.1).
pub(super) const INSUFFICIENT_SCOPE: &str = "Bearer error=\"insufficient_scope\"";
/// Longest value of a parameter that is used.
const LONGEST: usize = 2048;

/// A challenge that a token answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bearer {
    /// Address of the token server.
    pub(super) realm: String,
    /// The registry's name there.
    pub(super) service: Option<String>,
    /// What the token must allow.
    pub(super) scope: Option<String>,
}

/// The first bearer challenge that names a realm.
pub(super) fn bearer(headers: &HeaderMap) -> Option<Bearer> {
    bearers(headers).find_map(|challenge| {
        let parameter = |name: &str| challenge.parameter(name).map(str::to_owned);
        Some(Bearer { realm: parameter("realm")?, service: parameter("service"), scope: parameter("scope") })
    })
}

/// Whether a refusal sends the client to a token server.
pub(crate) fn asks_for_token(headers: &HeaderMap) -> bool {
    bearer(headers).is_some()
}

/// Whether a refusal says that the token was right and allows too little: the registry has no such thing for whom it was
/// given to, or none at all.
pub(crate) fn is_insufficient_scope(headers: &HeaderMap) -> bool {
    bearers(headers).any(|challenge| challenge.parameter("error") == Some("insufficient_scope"))
}

fn bearers(headers: &HeaderMap) -> impl Iterator<Item = Challenge> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(challenges).filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))
}

#[derive(Debug, Default)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty() && value.len() <= LONGEST)
    }
}

/// Reads one line. What cannot be read ends it.
fn challenges(line: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return found;
        }
        // A parameter's name is followed by `=`; a scheme by what belongs to it.
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            None => {
                found.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
                rest = after;
            }
            Some(value) => {
                let Some((value, after)) = value_of(value.trim_start_matches([' ', '\t'])) else { return found };
                let Some(challenge) = found.last_mut() else { return found };
                challenge.parameters.push((word.to_owned(), value));
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
    let length = text.bytes().take_while(|byte| is_inner(*byte)).count();
    text.split_at(length)
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, after) = token(text);
        return Some((word.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_registries() {
        let found = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
            }
            bearer(&headers).map(|bearer| {
                let part = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
                format!("{} {} {}", bearer.realm, part(bearer.service), part(bearer.scope))
            })
        };
        for (lines, expected) in [
            (
                &[r#"Bearer realm="https://a.example/token",service="s",scope="repository:a/b:pull""#][..],
                Some("https://a.example/token s repository:a/b:pull"),
            ),
            (
                &[
                    r#"Bearer scope="repository:a:pull,push" , realm = "https://a.example/t?x=1,2" ,error="insufficient_scope""#,
                ],
                Some("https://a.example/t?x=1,2 - repository:a:pull,push"),
            ),
            (&[r#"Basic realm="x", Bearer realm="https://a.example/t""#], Some("https://a.example/t - -")),
            (
                &[r#"Basic realm="x""#, r#"bearer realm="https://a.example/t",service=plain"#],
                Some("https://a.example/t plain -"),
            ),
            (&[r#"Negotiate, Bearer realm="say \"hi\"""#], Some(r#"say "hi" - -"#)),
            (&[r#"Basic realm="Bearer realm=\"https://evil.example\"""#], None),
            (&[r#"Bearer realm="https://a.example"#], None),
            (&[r#"realm="https://a.example""#], None),
            (&["Bearer"], None),
            (&[""], None),
        ] {
            assert_eq!(found(lines).as_deref(), expected, "{lines:?}");
        }
        let long = format!("Bearer realm=\"https://a.example/{}\"", "x".repeat(LONGEST));
        assert_eq!(found(&[&long]), None);
    }
    #[test]
    fn tokens_that_allow_too_little() {
        for (line, expected) in [
            (INSUFFICIENT_SCOPE, true),
            (r#"Bearer realm="https://a.example/t",scope="repository:a:pull",error="insufficient_scope""#, true),
            (r#"Basic realm="x", bearer Error=insufficient_scope"#, true),
            (r#"Bearer realm="https://a.example/t",error="invalid_token""#, false),
            (r#"Bearer realm="error=\"insufficient_scope\"""#, false),
            (r#"Basic error="insufficient_scope""#, false),
        ] {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, line.parse().unwrap())]);
            assert_eq!(is_insufficient_scope(&headers), expected, "{line}");
        }
    }
}
