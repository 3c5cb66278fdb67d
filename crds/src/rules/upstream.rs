//! Rules over `spec.upstream`: addresses, credentials, trust, and the bounds of its durations.

use super::node::Node;
use crate::Ecosystem;
use crate::problem::Problem;
use crate::values::{ByteSize, GoDuration, HttpUrl};

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

pub(super) fn check(spec: &Node<'_>, problems: &mut Vec<Problem>) {
    let ecosystem =
        Ecosystem::ALL.iter().copied().find(|ecosystem| spec.get("ecosystem").text() == Some(ecosystem.name()));
    let upstream = spec.get("upstream");
    let plaintext = upstream.get("allowPlaintextAuth").is_true();
    origin(&upstream, ecosystem, plaintext, problems);
    for fallback in upstream.get("fallbacks").items() {
        origin(&fallback, ecosystem, plaintext, problems);
        let when = fallback.get("when");
        if let Some(ecosystem) = ecosystem.filter(|ecosystem| !ecosystem.falls_back_on_not_found())
            && when.text() == Some("NotFound")
        {
            let message =
                format!("`when` must not be 'NotFound' for {ecosystem}: a stranger could supply a missing name");
            problems
                .push(when.problem(message, "use 'Unavailable', or a PackageProxy of its own for the other registry"));
        }
    }
    url(&upstream.get("proxyURL"), problems);
    durations(&upstream, problems);
}

/// The rules that the upstream and each fallback share.
fn origin(at: &Node<'_>, ecosystem: Option<Ecosystem>, plaintext: bool, problems: &mut Vec<Problem>) {
    let address = at.get("url");
    url(&address, problems);
    if ecosystem == Some(Ecosystem::Pypi)
        && address.text().is_some_and(|url| url.trim_end_matches('/').ends_with("/simple"))
    {
        let message = "`url` must be the address above 'simple/', which the proxy appends itself";
        problems.push(address.problem(message, "leave out 'simple/' at the end"));
    }
    auth(&at.get("auth"), &address, plaintext, problems);
    let trust = at.get("trust");
    if trust.is_set() && trust.get("configMapRef").is_set() == trust.get("secretRef").is_set() {
        let message = "`trust` must have exactly one of `configMapRef` and `secretRef`";
        problems.push(trust.problem(message, "name the object that holds the certificate authorities"));
    }
}

/// The form of an address.
pub(super) fn url(at: &Node<'_>, problems: &mut Vec<Problem>) {
    let Some(text) = at.text().filter(|text| text.len() >= 8 && text.parse::<HttpUrl>().is_err()) else { return };
    let name = at.name();
    let remedy = if text.starts_with("sparse+") {
        "leave out 'sparse+'"
    } else if text.contains('@') {
        "put user name and password into a Secret and name it in `auth`"
    } else if text.contains(['?', '#']) {
        "leave out everything from '?' or '#' on"
    } else {
        "write an address such as 'https://registry.example/path/'"
    };
    let message = format!("`{name}` must be an http(s) address without user info, query and fragment");
    problems.push(at.problem(message, remedy));
}

fn auth(auth: &Node<'_>, address: &Node<'_>, plaintext: bool, problems: &mut Vec<Problem>) {
    if !auth.is_set() {
        return;
    }
    let kind = auth.get("type").text();
    let is_http = address.text().is_some_and(|url| url.starts_with("http://"));
    if is_http && kind == Some("ClientCertificate") {
        let message = "`type` must not be 'ClientCertificate' with an http `url`";
        problems.push(auth.get("type").problem(message, "use an https address"));
    } else if is_http && !plaintext {
        let message = "`auth` with an http `url` must be allowed by `upstream.allowPlaintextAuth`";
        problems.push(auth.problem(message, "use https, or set upstream.allowPlaintextAuth: true"));
    }
    let header = auth.get("headerName");
    match (kind, header.text()) {
        (Some("Header"), None) if !header.is_set() => {
            let message = "`headerName` must be set if `type` is 'Header'";
            problems.push(header.problem(message, "name the header, for example 'Authorization'"));
        }
        (Some("Header"), Some(name)) if OWN_HEADERS.contains(&name.to_lowercase().as_str()) => {
            let message = format!("`headerName` must not be '{name}', which the proxy writes itself");
            problems.push(header.problem(message, "name another header"));
        }
        (Some("Basic" | "Bearer" | "ClientCertificate"), Some(_)) => {
            let message = "`headerName` must be absent unless `type` is 'Header'";
            problems.push(header.problem(message, "remove `headerName`, or use type: Header"));
        }
        _ => {}
    }
}

fn durations(upstream: &Node<'_>, problems: &mut Vec<Problem>) {
    let (retry, breaker) = (upstream.get("retry"), upstream.get("breaker"));
    for (field, least, most) in [
        (upstream.get("connectTimeout"), "100ms", "5m"),
        (upstream.get("readTimeout"), "100ms", "5m"),
        (upstream.get("idleTimeout"), "100ms", "5m"),
        (upstream.get("queueTimeout"), "0s", "5m"),
        (retry.get("baseDelay"), "1ms", "1m"),
        (retry.get("maxDelay"), "1ms", "5m"),
        (breaker.get("openDuration"), "10ms", "10m"),
        (breaker.get("maxOpenDuration"), "10ms", "1h"),
    ] {
        field.within::<GoDuration>(least, most, problems);
    }
    upstream.get("minimumRate").within::<ByteSize>("0", "1Gi", problems);
    ordered(&retry, "baseDelay", "maxDelay", problems);
    ordered(&breaker, "openDuration", "maxOpenDuration", problems);
}

fn ordered(at: &Node<'_>, first: &str, last: &str, problems: &mut Vec<Problem>) {
    let (start, end) = (at.get(first), at.get(last));
    if let (Some(low), Some(high)) = (start.parsed::<GoDuration>(), end.parsed::<GoDuration>())
        && low > high
    {
        let message = format!("`{first}` must not be longer than `{last}`");
        problems.push(start.problem(message, format!("shorten `{first}` or lengthen `{last}`")));
    }
}
