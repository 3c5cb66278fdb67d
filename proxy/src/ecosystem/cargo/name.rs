//! Names of crates and versions, and the folder of the index that a name is in.

/// Whether a crate may be called so: the registry's own rule, and a bound on length.
pub(super) fn is_crate(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a version may be called so.
pub(super) fn is_version(version: &str) -> bool {
    (1..=256).contains(&version.len())
        && version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+' | b'_'))
}

/// The folder of a name, in the name's own case: `1`, `2`, `3/s`, `se/rd`.
pub(super) fn prefix(name: &str) -> String {
    match name.len() {
        length @ (1 | 2) => length.to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

/// The crate whose index file is at a path, if the path is the canonical one: lower case, in the right folder.
pub(super) fn indexed<'a>(path: &[&'a str]) -> Option<&'a str> {
    let (name, folder) = path.split_last()?;
    let canonical = is_crate(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    (canonical && folder.join("/") == prefix(name)).then_some(name)
}

/// The name of a crate file, by which an index file's table knows it.
pub(super) fn file(name: &str, version: &str) -> String {
    format!("{name}-{version}.crate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        for (path, expected) in [
            (vec!["1", "a"], Some("a")),
            (vec!["2", "cc"], Some("cc")),
            (vec!["3", "s", "syn"], Some("syn")),
            (vec!["cf", "g-", "cfg-if"], Some("cfg-if")),
            (vec!["se", "rd", "serde"], Some("serde")),
            (vec!["Se", "rd", "Serde"], None),
            (vec!["se", "rd", "serdE"], None),
            (vec!["se", "rx", "serde"], None),
            (vec!["3", "y", "syn"], None),
            (vec!["serde"], None),
            (vec!["co", "nf", "config.json"], None),
            (vec![], None),
        ] {
            assert_eq!(indexed(&path), expected, "{path:?}");
        }
        assert_eq!(prefix("MyCrate"), "My/Cr");
        assert!(is_version("1.0.0-rc.1+b") && !is_version("x1") && !is_version("1/2") && !is_version(""));
    }
}
