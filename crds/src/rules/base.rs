//! Rules against addresses that lead below a registry's base: what people have at hand is often the address of a
//! document, and each ecosystem appends the rest itself.

use super::node::Node;
use super::rule::Rule;
use crate::Ecosystem;

/// What leads below the base of an ecosystem's registries, and what to say then.
struct Misplaced {
    ecosystem: Ecosystem,
    below: Below,
    must: &'static str,
    remedy: &'static str,
}

/// Where a path leads below a base.
#[derive(Clone, Copy)]
enum Below {
    /// Its last segment is this one.
    Last(&'static str),
    /// One of its segments is this one.
    Any(&'static str),
}

const MISPLACED: &[Misplaced] = &[
    Misplaced {
        ecosystem: Ecosystem::Container,
        below: Below::Last("v2"),
        must: "must be the address above 'v2/', which the proxy appends itself",
        remedy: "leave out 'v2/' at the end",
    },
    Misplaced {
        ecosystem: Ecosystem::Debian,
        below: Below::Any("dists"),
        must: "must be the address above 'dists/', which apt appends itself",
        remedy: "leave out 'dists/' and everything after it",
    },
    Misplaced {
        ecosystem: Ecosystem::Go,
        below: Below::Any("@v"),
        must: "must be the address that GOPROXY names, without a module and '@v/'",
        remedy: "leave out the module's path, and '@v' with everything after it",
    },
    Misplaced {
        ecosystem: Ecosystem::Maven,
        below: Below::Last("maven-metadata.xml"),
        must: "must be the address of the repository, above its groups",
        remedy: "leave out the folders of group and artifact, and 'maven-metadata.xml'",
    },
    Misplaced {
        ecosystem: Ecosystem::Pypi,
        below: Below::Last("simple"),
        must: "must be the address above 'simple/', which the proxy appends itself",
        remedy: "leave out 'simple/' at the end",
    },
];

impl Below {
    /// Whether an address leads there.
    fn matches(self, address: &str) -> bool {
        let Some((_, path)) = address.split_once("://").and_then(|(_, rest)| rest.split_once('/')) else {
            return false;
        };
        match self {
            Self::Last(segment) => path.trim_end_matches('/').rsplit('/').next() == Some(segment),
            Self::Any(segment) => path.split('/').any(|one| one == segment),
        }
    }

    /// The same in CEL, where `address` is one.
    fn in_cel(self, address: &str) -> String {
        let end = match self {
            Self::Last(segment) => format!("{}/*", segment.replace('.', "[.]")),
            Self::Any(segment) => format!("{segment}(/.*)?"),
        };
        format!("{address}.matches('^https?://[^/]+/(.*/)?{end}$')")
    }
}

/// The rules of a `PackageProxy`.
pub(super) fn rules() -> Vec<Rule> {
    MISPLACED.iter().flat_map(of_proxy).collect()
}

fn of_proxy(Misplaced { ecosystem, below, must, remedy }: &'static Misplaced) -> [Rule; 2] {
    let name = ecosystem.name();
    let concerns = move |spec: &Node<'_>| spec.get("ecosystem").text() == Some(name);
    let above = move |url: &Node<'_>| !url.text().is_some_and(|url| below.matches(url));
    [
        Rule::at(
            "spec",
            format!("`url` {must}"),
            format!(
                "self.ecosystem != '{name}' || !has(self.upstream) || !has(self.upstream.url) || !{}",
                below.in_cel("self.upstream.url")
            ),
            move |spec| !concerns(spec) || spec.find("upstream.url").iter().all(above),
        )
        .field("upstream.url")
        .remedy(*remedy),
        Rule::at(
            "spec",
            format!("`url` of `fallbacks` {must}"),
            format!(
                "self.ecosystem != '{name}' || !has(self.upstream) || !has(self.upstream.fallbacks) || \
                 self.upstream.fallbacks.all(f, !{})",
                below.in_cel("f.url")
            ),
            move |spec| !concerns(spec) || spec.find("upstream.fallbacks[].url").iter().all(above),
        )
        .field("upstream.fallbacks")
        .remedy(*remedy),
    ]
}

/// The rules over the registries that a class names.
pub(super) fn rules_of_class() -> Vec<Rule> {
    let rule = |Misplaced { ecosystem, below, must, remedy }: &'static Misplaced| {
        let name = ecosystem.name();
        Rule::at(
            "spec.upstreams",
            format!("`upstreams.{name}` {must}"),
            format!("!('{name}' in self) || !{}", below.in_cel(&format!("self['{name}']"))),
            move |upstreams| !upstreams.get(name).text().is_some_and(|url| below.matches(url)),
        )
        .remedy(*remedy)
    };
    MISPLACED.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_addresses_lead() {
        let of = |address: &str| -> Vec<&str> {
            let concerned = MISPLACED.iter().filter(|misplaced| misplaced.below.matches(address));
            concerned.map(|misplaced| misplaced.ecosystem.name()).collect()
        };
        for (address, expected) in [
            ("https://registry.example/v2", vec!["container"]),
            ("https://registry.example/a/v2//", vec!["container"]),
            ("https://registry.example/v2/a/", vec![]),
            ("https://registry.example/debian/dists", vec!["debian"]),
            ("https://registry.example/debian/dists/bookworm/main/binary-amd64/", vec!["debian"]),
            ("https://registry.example/dists/bookworm/InRelease", vec!["debian"]),
            ("https://registry.example/debian/distributions/", vec![]),
            ("https://dists/debian/", vec![]),
            ("https://registry.example/modules.example/a/@v", vec!["go"]),
            ("https://registry.example/modules.example/a/@v/list", vec!["go"]),
            ("https://registry.example/@vendor/", vec![]),
            ("https://registry.example/org/lab/maven-metadata.xml", vec!["maven"]),
            ("https://registry.example/maven-metadataxxml", vec![]),
            ("https://registry.example/pypi/simple/", vec!["pypi"]),
            ("https://registry.example/pypi/simple/a/", vec![]),
            ("https://simple/", vec![]),
            ("https://v2", vec![]),
        ] {
            assert_eq!(of(address), expected, "{address}");
        }
    }
}
