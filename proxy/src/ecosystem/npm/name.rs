//! Names of npm packages, versions and tarballs: which there are and how they are put into paths.

use crate::upstream_path::UpstreamPath;

/// A package's name, in its two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Package<'a> {
    /// `@scope`.
    scope: Option<&'a str>,
    /// The name without its scope.
    bare: &'a str,
}

impl<'a> Package<'a> {
    /// Takes a name from the front of a path; the rest of the path remains. A scope takes a second segment. `None`
    /// where no package can have that name. Upper case is legal: names from before 2017 have it, and it tells packages
    /// apart.
    pub(super) fn take<'p>(path: &'p [&'a str]) -> Option<(Self, &'p [&'a str])> {
        match path {
            [scope, bare, rest @ ..] if scope.starts_with('@') => {
                let named = is_name(&scope[1..]) && is_name(bare);
                named.then_some((Self { scope: Some(scope), bare }, rest))
            }
            [bare, rest @ ..] => is_name(bare).then_some((Self { scope: None, bare }, rest)),
            [] => None,
        }
    }

    /// The parts of a canonical name, as [`Self::name`] gives it.
    pub(super) fn of(name: &'a str) -> Self {
        match name.split_once('/') {
            Some((scope, bare)) => Self { scope: Some(scope), bare },
            None => Self { scope: None, bare: name },
        }
    }

    /// `name` or `@scope/name`.
    pub(super) fn name(self) -> String {
        self.scope.map_or_else(|| self.bare.to_owned(), |scope| format!("{scope}/{}", self.bare))
    }

    /// The name without its scope.
    pub(super) fn bare(self) -> &'a str {
        self.bare
    }

    /// The file name that clients expect of a version's tarball.
    pub(super) fn file(self, version: &str) -> String {
        format!("{}-{version}.tgz", self.bare)
    }

    /// The version in a conventional file name, if there is one in it.
    pub(super) fn version_of(self, file: &'a str) -> Option<&'a str> {
        let version = file.strip_prefix(self.bare)?.strip_prefix('-')?.strip_suffix(".tgz")?;
        let numbers = version.split(['-', '+']).next()?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        (numbers.split('.').count() == 3 && numbers.split('.').all(is_number)).then_some(version)
    }

    /// Where a tarball conventionally is: the scope's slash is literal here, since npm asks for it so.
    pub(super) fn tarball(self, file: &str) -> UpstreamPath {
        UpstreamPath::from_segments(self.scope.into_iter().chain([self.bare, "-", file]))
    }

    /// Where a document of the package is: the scope's slash is encoded, as every registry understands it.
    pub(super) fn document(self, before: &[&str], after: &[&str]) -> UpstreamPath {
        let name = self.name();
        UpstreamPath::from_segments(before.iter().copied().chain([name.as_str()]).chain(after.iter().copied()))
    }

    /// Where the attestations of a version are.
    pub(super) fn attestations(self, version: &str) -> UpstreamPath {
        UpstreamPath::from_segments(["-", "npm", "v1", "attestations", &format!("{}@{version}", self.name())])
    }
}

/// Whether a package or scope may be called so, by the rules for old packages.
fn is_name(name: &str) -> bool {
    let reserved = ["node_modules", "favicon.ico"];
    (1..=214).contains(&name.len())
        && name.chars().all(is_name_character)
        && !name.starts_with(['.', '_'])
        && !reserved.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a version or a tag may be called so.
pub(super) fn is_version_or_tag(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.chars().all(|character| is_name_character(character) || character == '+')
}

/// Whether a tarball may be called so.
pub(super) fn is_file(file: &str) -> bool {
    file.len() <= 512 && file.strip_suffix(".tgz").is_some_and(is_version_or_tag)
}

/// What stands for itself in a URL's component, which is what npm's own check asks.
fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.!~*'()".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |path: &[&str]| Package::take(path).map(|(package, rest)| (package.name(), rest.len()));
        for (path, expected) in [
            (vec!["is-number"], Some(("is-number", 0))),
            (vec!["JSONStream", "1.0.0"], Some(("JSONStream", 1))),
            (vec!["constructor"], Some(("constructor", 0))),
            (vec!["@types", "node", "-", "x"], Some(("@types/node", 2))),
            (vec!["@types"], None),
            (vec!["@", "x"], None),
            (vec![".hidden"], None),
            (vec!["__proto__"], None),
            (vec!["node_modules"], None),
            (vec!["a b"], None),
            (vec!["a:b"], None),
            (vec!["é"], None),
            (vec![], None),
        ] {
            assert_eq!(name(&path), expected.map(|(name, rest)| (name.to_owned(), rest)), "{path:?}");
        }
        assert!(Package::take(&[&*"a".repeat(215)]).is_none());
    }

    #[test]
    fn versions_of_files() {
        let package = Package::of("@s/n");
        for (file, expected) in [
            ("n-1.0.0.tgz", Some("1.0.0")),
            ("n-1.0.0-rc.1+b.2.tgz", Some("1.0.0-rc.1+b.2")),
            ("n-1.0.tgz", None),
            ("n-m-1.0.0.tgz", None),
            ("n-1.0.0.zip", None),
            ("1.0.0.tgz", None),
        ] {
            assert_eq!(package.version_of(file), expected, "{file}");
        }
        assert_eq!(package.tarball("n-1.0.0.tgz").as_str(), "@s/n/-/n-1.0.0.tgz");
        assert_eq!(package.document(&[], &["1.0.0"]).as_str(), "@s%2Fn/1.0.0");
        assert_eq!(package.attestations("1.0.0").as_str(), "-/npm/v1/attestations/@s%2Fn@1.0.0");
    }
}
