//! Examples of addresses that lead below a registry's base.

use serde_json::json;

use super::{Example, admitted, class, proxy, rule};

pub(super) fn examples() -> Vec<Example> {
    let archive = "https://dists.example/debian/distributions/";
    let mut examples = vec![admitted(
        "an archive whose address only looks like a suite's",
        proxy(json!({"ecosystem": "debian", "upstream": {"url": archive}})),
    )];
    for (ecosystem, below, names, messages) in [
        (
            "container",
            "v2/",
            [
                "the address of a container registry with its version",
                "a fallback for a container registry with its version",
                "a class's container registry with its version",
            ],
            [
                "`url` must be the address above 'v2/', which the proxy appends itself",
                "`url` of `fallbacks` must be the address above 'v2/', which the proxy appends itself",
                "`upstreams.container` must be the address above 'v2/', which the proxy appends itself",
            ],
        ),
        (
            "debian",
            "debian/dists/bookworm/InRelease",
            ["an index of a suite", "a fallback for a suite", "a class's suite"],
            [
                "`url` must be the address above 'dists/', which apt appends itself",
                "`url` of `fallbacks` must be the address above 'dists/', which apt appends itself",
                "`upstreams.debian` must be the address above 'dists/', which apt appends itself",
            ],
        ),
        (
            "go",
            "modules.example/a/@v/list",
            ["a list of versions", "a fallback for a module", "a class's list of versions"],
            [
                "`url` must be the address that GOPROXY names, without a module and '@v/'",
                "`url` of `fallbacks` must be the address that GOPROXY names, without a module and '@v/'",
                "`upstreams.go` must be the address that GOPROXY names, without a module and '@v/'",
            ],
        ),
        (
            "maven",
            "org/lab/tiny/maven-metadata.xml",
            ["a document of a repository", "a fallback for an artifact", "a class's document of a repository"],
            [
                "`url` must be the address of the repository, above its groups",
                "`url` of `fallbacks` must be the address of the repository, above its groups",
                "`upstreams.maven` must be the address of the repository, above its groups",
            ],
        ),
        (
            "pypi",
            "pypi/simple/",
            ["an address of a Python index", "a fallback for a Python index", "the index of Python packages itself"],
            [
                "`url` must be the address above 'simple/', which the proxy appends itself",
                "`url` of `fallbacks` must be the address above 'simple/', which the proxy appends itself",
                "`upstreams.pypi` must be the address above 'simple/', which the proxy appends itself",
            ],
        ),
    ] {
        let (base, url) = ("https://registry.example/", format!("https://registry.example/{below}"));
        let fallbacks = json!({"url": base, "fallbacks": [{"url": base}, {"url": url}]});
        let [own, of_fallbacks, of_class] = messages;
        let [own_name, name_of_fallbacks, name_of_class] = names;
        examples.extend([
            rule(own_name, proxy(json!({"ecosystem": ecosystem, "upstream": {"url": url}})), "spec.upstream.url", own),
            rule(
                name_of_fallbacks,
                proxy(json!({"ecosystem": ecosystem, "upstream": fallbacks})),
                "spec.upstream.fallbacks",
                of_fallbacks,
            ),
            rule(name_of_class, class(json!({"upstreams": {ecosystem: url}})), "spec.upstreams", of_class),
        ]);
    }
    examples
}
