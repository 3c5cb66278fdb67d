//! Names of projects and distribution files, and what a file's name tells of it.

/// The canonical spelling of a project's name (PEP 503): lower case, each run of `-`, `_` and `.` as one `-`. `None`
/// where no project can have that name.
pub(super) fn normalised(name: &str) -> Option<String> {
    let ends = [name.chars().next()?, name.chars().next_back()?];
    let legal = name.len() <= 256
        && ends.iter().all(char::is_ascii_alphanumeric)
        && name.chars().all(|character| character.is_ascii_alphanumeric() || is_separator(character));
    legal.then(|| {
        let parts = name.split(is_separator).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
    })
}

fn is_separator(character: char) -> bool {
    matches!(character, '-' | '_' | '.')
}

/// Whether a file may be called so here.
pub(super) fn is_file(name: &str) -> bool {
    (1..=512).contains(&name.len())
        && !name.starts_with('.')
        && !name.chars().any(|character| character.is_control() || "/\\%?#\"'<>".contains(character))
}

/// Whether a version may be called so in a path; PEP 440 versions are, in any spelling.
pub(super) fn is_version(version: &str) -> bool {
    (1..=256).contains(&version.len())
        && version.starts_with(|first: char| first.is_ascii_alphanumeric())
        && version.chars().all(|character| character.is_ascii_alphanumeric() || "-_.!+~".contains(character))
}

/// The endings of distributions, and the first bytes that each has. Self-extracting eggs begin with anything.
const ENDINGS: &[(&str, &[u8])] = &[
    (".whl", b"PK"),
    (".tar.gz", &[0x1f, 0x8b]),
    (".tgz", &[0x1f, 0x8b]),
    (".tar.bz2", b"BZh"),
    (".tbz", b"BZh"),
    (".tar.xz", b"\xfd7zXZ\0"),
    (".tar.z", &[0x1f, 0x9d]),
    (".zip", b"PK"),
    (".tar", b""),
    (".egg", b""),
    (".exe", b"MZ"),
    (".msi", &[0xd0, 0xcf, 0x11, 0xe0]),
    (".dmg", b""),
    (".rpm", &[0xed, 0xab, 0xee, 0xdb]),
    (".deb", b"!<arch>"),
];

/// The file's name without the ending of a distribution, and that ending's first bytes.
fn distribution(file: &str) -> Option<(&str, &'static [u8])> {
    ENDINGS.iter().find_map(|(ending, magic)| {
        let stem = file.len().checked_sub(ending.len()).filter(|stem| *stem > 0)?;
        let tail = file.get(stem..)?;
        tail.eq_ignore_ascii_case(ending).then(|| (&file[..stem], *magic))
    })
}

/// Whether the name is that of a distribution, not of a signature or a link to elsewhere.
pub(super) fn is_distribution(file: &str) -> bool {
    distribution(file).is_some()
}

/// The first bytes of a file of this name.
pub(super) fn magic(file: &str) -> &'static [u8] {
    distribution(file).map_or(b"", |(_, magic)| magic)
}

/// The version in a file's name, if its place can be told: a wheel has it in its second field, a source distribution
/// after the project's name.
pub(super) fn version<'a>(file: &'a str, project: &str) -> Option<&'a str> {
    let file = file.strip_suffix(".metadata").or_else(|| file.strip_suffix(".asc")).unwrap_or(file);
    let (stem, _) = distribution(file)?;
    if file.len() - stem.len() == ".whl".len() && file.to_ascii_lowercase().ends_with(".whl") {
        return stem.split('-').nth(1);
    }
    let dashes = stem.match_indices('-').map(|(at, _)| at);
    dashes
        .filter(|at| normalised(&stem[..*at]).is_some_and(|name| name == project))
        .map(|at| &stem[at + 1..])
        .find(|version| is_version(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects() {
        for (name, expected) in [
            ("Python_DateUtil", Some("python-dateutil")),
            ("Tiny.Lab", Some("tiny-lab")),
            ("a-_.b", Some("a-b")),
            ("six", Some("six")),
            ("3to2", Some("3to2")),
            ("-a", None),
            ("a.", None),
            ("a b", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(normalised(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn files() {
        for (file, project, expected, first) in [
            ("six-1.16.0-py2.py3-none-any.whl", "six", Some("1.16.0"), &b"PK"[..]),
            ("six-1.16.0-py2.py3-none-any.whl.metadata", "six", Some("1.16.0"), b""),
            ("python-dateutil-2.9.0.post0.tar.gz", "python-dateutil", Some("2.9.0.post0"), &[0x1f, 0x8b]),
            ("python_dateutil-2.9.0.tar.gz", "python-dateutil", Some("2.9.0"), &[0x1f, 0x8b]),
            ("Foo-1.0-beta-2.ZIP", "foo", Some("1.0-beta-2"), b"PK"),
            ("foo.tar.gz", "foo", None, &[0x1f, 0x8b]),
            ("other-1.0.tar.bz2", "foo", None, b"BZh"),
            (".whl", "foo", None, b""),
            ("foo-1.0.txt", "foo", None, b""),
            ("é.whl", "foo", None, b"PK"),
        ] {
            assert_eq!(version(file, project), expected, "{file}");
            assert_eq!(magic(file), first, "{file}");
        }
        assert!(is_file("a b-1.0.zip") && !is_file("..") && !is_file("a\"b") && !is_file(""));
    }
}
