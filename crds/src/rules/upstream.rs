//! Rules over `upstream`: addresses, credentials, trust, and the bounds of its durations.

use super::node::Node;
use super::rule::Rule;
use crate::Ecosystem;
use crate::values::{Cidr, GoDuration, HTTP_URL, HttpUrl};

/// Headers that the HTTP client writes itself; a credential there would break the framing or name another host.
const OWN_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "if-none-match",
    "if-range",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The rules of an `upstream` at this place.
pub(super) fn rules(at: &str) -> Vec<Rule> {
    let mut rules = address(&format!("{at}.url"), "url");
    rules.extend(address(&format!("{at}.fallbacks[].url"), "url"));
    rules.extend(address(&format!("{at}.proxyURL"), "proxyURL"));
    for origin in [at.to_owned(), format!("{at}.fallbacks[]")] {
        rules.push(certificate_over_https(&origin));
        rules.extend(header(&format!("{origin}.auth")));
        rules.push(trust(&format!("{origin}.trust")));
    }
    rules.extend(plaintext(at));
    rules.push(networks(at, "allowedCIDRs"));
    rules.extend(bounds(at));
    rules
}

/// The form of each of the networks of a field at this place.
pub(super) fn networks(at: &str, field: &str) -> Rule {
    Rule::at(
        format!("{at}.{field}[]"),
        format!("`{field}` must be networks such as '10.0.0.0/8' or 'fd00::/8'"),
        "isCIDR(self)",
        |network| network.text().is_none_or(|text| text.parse::<Cidr>().is_ok()),
    )
    .remedy("write a network such as '10.0.0.0/8' or 'fd00::/8'")
}

/// The form of an address.
pub(super) fn address(place: &str, name: &str) -> Vec<Rule> {
    let message = format!("`{name}` must be an http(s) address without user info, query and fragment");
    let cel = address_in_cel("self");
    // A shorter text is the schema's business.
    let holds = |url: &Node<'_>| url.text().is_none_or(|text| text.len() < 8 || text.parse::<HttpUrl>().is_ok());
    vec![Rule::at(place, message, cel, holds).remedy_for(|url| match url.text().unwrap_or_default() {
        text if text.starts_with("sparse+") => "leave out 'sparse+'",
        text if text.contains('@') => "put user name and password into a Secret and name it in `auth`",
        text if text.contains(['?', '#']) => "leave out everything from '?' or '#' on",
        _ => "write an address such as 'https://registry.example/path/'",
    })]
}

/// That `text` has the form of an address.
pub(super) fn address_in_cel(text: &str) -> String {
    let form = HTTP_URL.replace('\\', "\\\\");
    format!("{text}.matches('{form}') && (!{text}.contains('://[') || isURL({text}))")
}

fn is_http(origin: &Node<'_>) -> bool {
    origin.get("url").text().is_some_and(|url| url.starts_with("http://"))
}

fn certificate_over_https(origin: &str) -> Rule {
    Rule::at(
        origin,
        "`type` must not be 'ClientCertificate' with an http `url`",
        "!has(self.auth) || self.auth.type != 'ClientCertificate' || !has(self.url) || !self.url.startsWith('http://')",
        |origin| origin.get("auth").get("type").text() != Some("ClientCertificate") || !is_http(origin),
    )
    .field("auth.type")
    .remedy("use an https address")
}

fn plaintext(at: &str) -> [Rule; 2] {
    let clear = |origin: &Node<'_>| {
        !is_http(origin) || matches!(origin.get("auth").get("type").text(), None | Some("ClientCertificate"))
    };
    let cel = |origin: &str| {
        format!(
            "(has({origin}.auth) && {origin}.auth.type != 'ClientCertificate' && has({origin}.url) && \
             {origin}.url.startsWith('http://'))"
        )
    };
    let allowed = "(has(self.allowPlaintextAuth) && self.allowPlaintextAuth)";
    let remedy = "use https, or set upstream.allowPlaintextAuth: true";
    [
        Rule::at(
            at,
            "`auth` with an http `url` must be allowed by `upstream.allowPlaintextAuth`",
            format!("{allowed} || !{}", cel("self")),
            move |upstream| upstream.get("allowPlaintextAuth").is_true() || clear(upstream),
        )
        .field("auth")
        .remedy(remedy),
        Rule::at(
            at,
            "`auth` of `fallbacks` with an http `url` must be allowed by `upstream.allowPlaintextAuth`",
            format!("{allowed} || !has(self.fallbacks) || self.fallbacks.all(f, !{})", cel("f")),
            move |upstream| {
                upstream.get("allowPlaintextAuth").is_true() || upstream.get("fallbacks").items().iter().all(clear)
            },
        )
        .field("fallbacks")
        .remedy(remedy),
    ]
}

fn header(auth: &str) -> [Rule; 3] {
    let is_header = |auth: &Node<'_>| auth.get("type").text() == Some("Header");
    let names = OWN_HEADERS.map(|name| format!("'{name}'")).join(", ");
    [
        Rule::at(
            auth,
            "`headerName` must be set if `type` is 'Header'",
            "self.type != 'Header' || has(self.headerName)",
            move |auth| !is_header(auth) || auth.get("headerName").is_set(),
        )
        .field("headerName")
        .remedy("name the header, for example 'Authorization'"),
        Rule::at(
            auth,
            "`headerName` must be absent unless `type` is 'Header'",
            "self.type == 'Header' || !has(self.headerName)",
            move |auth| is_header(auth) || !auth.get("type").is_set() || !auth.get("headerName").is_set(),
        )
        .field("headerName")
        .remedy("remove `headerName`, or use type: Header"),
        Rule::at(
            format!("{auth}.headerName"),
            "`headerName` must not be a header that the proxy writes itself",
            format!("!(self.lowerAscii() in [{names}])"),
            |name| name.text().is_none_or(|name| !OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str())),
        )
        .remedy("name another header"),
    ]
}

fn trust(place: &str) -> Rule {
    Rule::at(
        place,
        "`trust` must have exactly one of `configMapRef` and `secretRef`",
        "has(self.configMapRef) != has(self.secretRef)",
        |trust| trust.object().is_none() || trust.get("configMapRef").is_set() != trust.get("secretRef").is_set(),
    )
    .remedy("name the object that holds the certificate authorities")
}

fn bounds(at: &str) -> Vec<Rule> {
    let duration = |field, least, most| Rule::duration(format!("{at}.{field}"), least, most);
    vec![
        duration("connectTimeout", "100ms", "5m"),
        duration("readTimeout", "100ms", "5m"),
        duration("idleTimeout", "100ms", "5m"),
        duration("queueTimeout", "0s", "5m"),
        duration("retry.baseDelay", "1ms", "1m"),
        duration("retry.maxDelay", "1ms", "5m"),
        duration("breaker.openDuration", "10ms", "10m"),
        duration("breaker.maxOpenDuration", "10ms", "1h"),
        Rule::size(format!("{at}.minimumRate"), "0", "1Gi"),
        ordered(&format!("{at}.retry"), "baseDelay", "maxDelay"),
        ordered(&format!("{at}.breaker"), "openDuration", "maxOpenDuration"),
    ]
}

fn ordered(place: &str, first: &'static str, last: &'static str) -> Rule {
    Rule::at(
        place,
        format!("`{first}` must not be longer than `{last}`"),
        format!("!has(self.{first}) || !has(self.{last}) || duration(self.{first}) <= duration(self.{last})"),
        move |node| match (node.get(first).parsed::<GoDuration>(), node.get(last).parsed::<GoDuration>()) {
            (Some(first), Some(last)) => first <= last,
            _ => true,
        },
    )
    .field(first)
    .remedy(format!("shorten `{first}` or lengthen `{last}`"))
}

/// The rules that depend on the ecosystem.
pub(super) fn rules_with_ecosystem() -> Vec<Rule> {
    let strict: Vec<&'static str> =
        Ecosystem::ALL.iter().filter(|e| !e.falls_back_on_not_found()).map(|e| e.name()).collect();
    let list = strict.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let not_found = Rule::at(
        "spec",
        "`when` must not be 'NotFound' for this ecosystem: a stranger could supply a missing name",
        format!(
            "!(self.ecosystem in [{list}]) || !has(self.upstream) || !has(self.upstream.fallbacks) || \
             self.upstream.fallbacks.all(f, !has(f.when) || f.when != 'NotFound')"
        ),
        move |spec| {
            !spec.get("ecosystem").text().is_some_and(|ecosystem| strict.contains(&ecosystem))
                || spec.find("upstream.fallbacks[].when").iter().all(|when| when.text() != Some("NotFound"))
        },
    )
    .field("upstream.fallbacks")
    .remedy("use 'Unavailable', or a PackageProxy of its own for the other registry");
    vec![not_found, namespace(), checksum_database()]
}

/// Only images have a registry's host in their names.
fn namespace() -> Rule {
    Rule::at(
        "spec",
        "`namespace` must be absent unless `ecosystem` is 'container'",
        "self.ecosystem == 'container' || !has(self.upstream) || !has(self.upstream.namespace)",
        |spec| spec.get("ecosystem").text() == Some("container") || !spec.get("upstream").get("namespace").is_set(),
    )
    .field("upstream.namespace")
    .remedy("remove `namespace`")
}

/// Only Go has one.
fn checksum_database() -> Rule {
    Rule::at(
        "spec",
        "`checksumDatabase` must be absent unless `ecosystem` is 'go'",
        "self.ecosystem == 'go' || !has(self.upstream) || !has(self.upstream.checksumDatabase)",
        |spec| spec.get("ecosystem").text() == Some("go") || !spec.get("upstream").get("checksumDatabase").is_set(),
    )
    .field("upstream.checksumDatabase")
    .remedy("remove `checksumDatabase`: only Go has one")
}
