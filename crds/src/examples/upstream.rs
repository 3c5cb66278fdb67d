//! Examples of `spec.upstream`.

use serde_json::{Value, json};

use super::{Example, admitted, fill, proxy, rule, schema};

/// A proxy for npm whose upstream has these members besides its address.
fn upstream(members: Value) -> Value {
    let mut document = proxy(json!({}));
    fill(&mut document["spec"]["upstream"], members);
    document
}

/// An upstream with an account.
fn auth(members: Value) -> Value {
    let mut auth = json!({"type": "Bearer", "secretRef": {"name": "npm-token"}});
    fill(&mut auth, members);
    upstream(json!({ "auth": auth }))
}

pub(super) fn examples() -> Vec<Example> {
    [good(), modules(), addresses(), accounts(), fallbacks(), bounds()].concat()
}

fn good() -> Vec<Example> {
    let key = json!({"name": "company-ca", "key": "ca.crt"});
    let fallback = json!({"url": "https://mirror.example/npm/", "when": "Unavailable", "trust": {"configMapRef": key}});
    let trust = json!({"trust": {"configMapRef": key}, "fallbacks": [fallback]});
    vec![
        admitted("an account and a bundle", upstream(trust)),
        admitted("http without an account", upstream(json!({"url": "http://registry.example:8080"}))),
        admitted("an address of version 6", upstream(json!({"url": "http://[fd00::1]:4873/"}))),
        admitted("a header", auth(json!({"type": "Header", "headerName": "X-Token"}))),
        admitted(
            "credentials over http where it is allowed",
            upstream(json!({
                "url": "http://registry.example/", "allowPlaintextAuth": true,
                "auth": {"type": "Basic", "secretRef": {"name": "a"}},
            })),
        ),
        admitted("nothing where an object may be", upstream(json!({"retry": {}, "breaker": {}}))),
        admitted("the bounds", upstream(json!({"connectTimeout": "100ms", "readTimeout": "5m", "minimumRate": "0"}))),
        admitted(
            "the host in the names of images",
            proxy(json!({
                "ecosystem": "container",
                "upstream": {"url": "https://registry-1.registry.example/", "namespace": "registry.example:5000"},
            })),
        ),
        admitted("decimals", upstream(json!({"readTimeout": "1.5s", "minimumRate": "1.5Ki"}))),
        admitted(
            "networks",
            upstream(json!({"allowedCIDRs": ["10.0.0.0/8", "fd00::/8"], "linkHosts": ["*.a.example"]})),
        ),
    ]
}

/// A proxy for Go modules whose upstream has these members besides its address.
fn go(members: Value) -> Value {
    let mut document = upstream(members);
    document["spec"]["ecosystem"] = json!("go");
    document
}

fn modules() -> Vec<Example> {
    let field = "spec.upstream.checksumDatabase";
    let database = || json!({"checksumDatabase": "sum.registry.example"});
    vec![
        admitted("a checksum database", go(database())),
        admitted(
            "a fallback for modules that are missing",
            go(json!({"fallbacks": [{"url": "https://mirror.example/", "when": "NotFound"}]})),
        ),
        rule(
            "a checksum database of another ecosystem",
            upstream(database()),
            field,
            "`checksumDatabase` must be absent unless `ecosystem` is 'go'",
        ),
        schema(
            "a checksum database with its key",
            go(json!({"checksumDatabase": "sum.registry.example+0123+key"})),
            field,
            "has a form",
        ),
    ]
}

fn addresses() -> Vec<Example> {
    let url = |url: &str| upstream(json!({ "url": url }));
    let (field, message) =
        ("spec.upstream.url", "`url` must be an http(s) address without user info, query and fragment");
    let mut examples = vec![
        rule(
            "a namespace where names hold no host",
            upstream(json!({"namespace": "registry.example"})),
            "spec.upstream.namespace",
            "`namespace` must be absent unless `ecosystem` is 'container'",
        ),
        schema("a short address", url("http://"), field, "at least 8 characters"),
        schema("a number for an address", upstream(json!({"url": 8080})), field, "must be a string, not a number"),
        rule(
            "a proxy of another scheme",
            upstream(json!({"proxyURL": "socks5://proxy.example"})),
            "spec.upstream.proxyURL",
            "`proxyURL` must be an http(s) address without user info, query and fragment",
        ),
        schema(
            "a network without its length",
            upstream(json!({"allowedCIDRs": ["10.0.0.1"]})),
            "spec.upstream.allowedCIDRs[0]",
            "'10.0.0.1' is not a network",
        ),
        rule(
            "a network of an impossible length",
            upstream(json!({"allowedCIDRs": ["10.0.0.0/8", "10.0.0.0/33"]})),
            "spec.upstream.allowedCIDRs[1]",
            "`allowedCIDRs` must be networks such as '10.0.0.0/8' or 'fd00::/8'",
        ),
        schema(
            "an address where a host belongs",
            upstream(json!({"linkHosts": ["https://a.example"]})),
            "spec.upstream.linkHosts[0]",
            "has a form",
        ),
    ];
    for (name, text) in [
        ("user info in an address", "https://user:password@registry.example/"),
        ("a query", "https://registry.example/?a=b"),
        ("a fragment", "https://registry.example/#a"),
        ("cargo's prefix", "sparse+https://registry.example/"),
        ("another scheme", "ftp://registry.example/"),
        ("a blank", "https://registry.example/a b"),
        ("an impossible port", "https://registry.example:70000/"),
        ("an impossible address of version 4", "https://10.0.0.256/npm/"),
        ("an impossible address of version 6", "https://[fd00::zz]/npm/"),
        ("no host", "https:///npm/npm/"),
    ] {
        examples.push(rule(name, url(text), field, message));
    }
    examples
}

fn accounts() -> Vec<Example> {
    let at = "spec.upstream.auth";
    let plain = |kind: &str| {
        upstream(json!({"url": "http://registry.example/", "auth": {"type": kind, "secretRef": {"name": "a"}}}))
    };
    let both = json!({"configMapRef": {"name": "a", "key": "b"}, "secretRef": {"name": "c", "key": "d"}});
    let exactly = "`trust` must have exactly one of `configMapRef` and `secretRef`";
    let map = json!({"configMapRef": {"name": "npm-token", "key": "ca.crt"}});
    let one_name = "`upstream` must not refer to a ConfigMap and a Secret of the same name: they share one directory in \
                    the pod";
    let mut same_name = auth(json!({}));
    same_name["spec"]["upstream"]["trust"] = map.clone();
    let mut same_as_tls = upstream(json!({"fallbacks": [{"url": "https://mirror.example", "trust": map}]}));
    same_as_tls["spec"]["tls"] = json!({"secretRef": {"name": "npm-token"}});
    vec![
        schema(
            "an account without a Secret",
            auth(json!({"secretRef": null})),
            "spec.upstream.auth.secretRef",
            "required",
        ),
        schema("an unknown form", auth(json!({"type": "bearer"})), "spec.upstream.auth.type", "is not a known value"),
        schema(
            "an illegal Secret's name",
            auth(json!({"secretRef": {"name": "../a"}})),
            "spec.upstream.auth.secretRef.name",
            "has a form",
        ),
        rule(
            "credentials over http",
            plain("Basic"),
            at,
            "`auth` with an http `url` must be allowed by `upstream.allowPlaintextAuth`",
        ),
        rule(
            "a certificate over http",
            plain("ClientCertificate"),
            "spec.upstream.auth.type",
            "`type` must not be 'ClientCertificate' with an http `url`",
        ),
        rule(
            "a header without name",
            auth(json!({"type": "Header"})),
            "spec.upstream.auth.headerName",
            "`headerName` must be set if `type` is 'Header'",
        ),
        rule(
            "a header's name for another form",
            auth(json!({"headerName": "X-Token"})),
            "spec.upstream.auth.headerName",
            "`headerName` must be absent unless `type` is 'Header'",
        ),
        rule(
            "a header that is taken",
            auth(json!({"type": "Header", "headerName": "Host"})),
            "spec.upstream.auth.headerName",
            "`headerName` must not be a header that the proxy writes itself",
        ),
        rule("two bundles", upstream(json!({"trust": both})), "spec.upstream.trust", exactly),
        rule("no bundle", upstream(json!({"trust": {}})), "spec.upstream.trust", exactly),
        rule("a ConfigMap named as a Secret", same_name, "spec.upstream", one_name),
        rule("a fallback's ConfigMap named as the Secret of tls", same_as_tls, "spec.upstream", one_name),
    ]
}

fn fallbacks() -> Vec<Example> {
    let fallback = |members: Value| {
        let mut fallback = json!({"url": "https://mirror.example/"});
        fill(&mut fallback, members);
        upstream(json!({"fallbacks": [{"url": "https://other.example/"}, fallback]}))
    };
    let secret = json!({"name": "a"});
    let list = "spec.upstream.fallbacks";
    let five: Vec<Value> = (0..5).map(|n| json!({"url": format!("https://m{n}.example/")})).collect();
    vec![
        schema(
            "a fallback without address",
            fallback(json!({"url": null})),
            "spec.upstream.fallbacks[1].url",
            "required",
        ),
        schema("five fallbacks", upstream(json!({"fallbacks": five})), list, "at most 4 items"),
        rule(
            "a fallback of another scheme",
            fallback(json!({"url": "ftp://mirror.example/"})),
            "spec.upstream.fallbacks[1].url",
            "`url` must be an http(s) address without user info, query and fragment",
        ),
        rule(
            "a fallback for what is missing",
            fallback(json!({"when": "NotFound"})),
            list,
            "`when` must not be 'NotFound' for this ecosystem: a stranger could supply a missing name",
        ),
        rule(
            "a fallback's credentials over http",
            fallback(json!({"url": "http://mirror.example/", "auth": {"type": "Bearer", "secretRef": secret}})),
            list,
            "`auth` of `fallbacks` with an http `url` must be allowed by `upstream.allowPlaintextAuth`",
        ),
        rule(
            "a fallback's certificate over http",
            fallback(
                json!({"url": "http://mirror.example/", "auth": {"type": "ClientCertificate", "secretRef": secret}}),
            ),
            "spec.upstream.fallbacks[1].auth.type",
            "`type` must not be 'ClientCertificate' with an http `url`",
        ),
        rule(
            "a fallback's header without name",
            fallback(json!({"auth": {"type": "Header", "secretRef": secret}})),
            "spec.upstream.fallbacks[1].auth.headerName",
            "`headerName` must be set if `type` is 'Header'",
        ),
        rule(
            "a fallback's header's name for another form",
            fallback(json!({"auth": {"type": "Basic", "headerName": "A", "secretRef": secret}})),
            "spec.upstream.fallbacks[1].auth.headerName",
            "`headerName` must be absent unless `type` is 'Header'",
        ),
        rule(
            "a fallback's header that is taken",
            fallback(json!({"auth": {"type": "Header", "headerName": "RANGE", "secretRef": secret}})),
            "spec.upstream.fallbacks[1].auth.headerName",
            "`headerName` must not be a header that the proxy writes itself",
        ),
        rule(
            "a fallback's trust in nothing",
            fallback(json!({"trust": {}})),
            "spec.upstream.fallbacks[1].trust",
            "`trust` must have exactly one of `configMapRef` and `secretRef`",
        ),
    ]
}

fn bounds() -> Vec<Example> {
    let mut examples = vec![
        schema(
            "a time without unit",
            upstream(json!({"readTimeout": "60"})),
            "spec.upstream.readTimeout",
            "is not a duration",
        ),
        schema(
            "a number for a time",
            upstream(json!({"readTimeout": 60})),
            "spec.upstream.readTimeout",
            "must be a string",
        ),
        schema(
            "too many attempts",
            upstream(json!({"retry": {"attempts": 11}})),
            "spec.upstream.retry.attempts",
            "between 0 and 10",
        ),
        schema(
            "no requests",
            upstream(json!({"maxConcurrentRequests": 0})),
            "spec.upstream.maxConcurrentRequests",
            "between 1",
        ),
        schema(
            "a misspelt field",
            upstream(json!({"readTimeOut": "1s"})),
            "spec.upstream.readTimeOut",
            "unknown field",
        ),
        rule(
            "waits in the wrong order",
            upstream(json!({"retry": {"baseDelay": "10s", "maxDelay": "1s"}})),
            "spec.upstream.retry.baseDelay",
            "`baseDelay` must not be longer than `maxDelay`",
        ),
        rule(
            "spans in the wrong order",
            upstream(json!({"breaker": {"openDuration": "10s", "maxOpenDuration": "1s"}})),
            "spec.upstream.breaker.openDuration",
            "`openDuration` must not be longer than `maxOpenDuration`",
        ),
    ];
    for (name, members, field, message) in [
        (
            "a short connectTimeout",
            json!({"connectTimeout": "99ms"}),
            "spec.upstream.connectTimeout",
            "`connectTimeout` must be between '100ms' and '5m'",
        ),
        (
            "a long readTimeout",
            json!({"readTimeout": "5m1ms"}),
            "spec.upstream.readTimeout",
            "`readTimeout` must be between '100ms' and '5m'",
        ),
        (
            "an idleTimeout of nothing",
            json!({"idleTimeout": "0s"}),
            "spec.upstream.idleTimeout",
            "`idleTimeout` must be between '100ms' and '5m'",
        ),
        (
            "a long queueTimeout",
            json!({"queueTimeout": "1h"}),
            "spec.upstream.queueTimeout",
            "`queueTimeout` must be between '0s' and '5m'",
        ),
        (
            "a short baseDelay",
            json!({"retry": {"baseDelay": "1us"}}),
            "spec.upstream.retry.baseDelay",
            "`baseDelay` must be between '1ms' and '1m'",
        ),
        (
            "a long maxDelay",
            json!({"retry": {"maxDelay": "6m"}}),
            "spec.upstream.retry.maxDelay",
            "`maxDelay` must be between '1ms' and '5m'",
        ),
        (
            "a short openDuration",
            json!({"breaker": {"openDuration": "9ms"}}),
            "spec.upstream.breaker.openDuration",
            "`openDuration` must be between '10ms' and '10m'",
        ),
        (
            "a long maxOpenDuration",
            json!({"breaker": {"maxOpenDuration": "61m"}}),
            "spec.upstream.breaker.maxOpenDuration",
            "`maxOpenDuration` must be between '10ms' and '1h'",
        ),
        (
            "a high minimumRate",
            json!({"minimumRate": "2Gi"}),
            "spec.upstream.minimumRate",
            "`minimumRate` must be between '0' and '1Gi'",
        ),
    ] {
        examples.push(rule(name, upstream(members), field, message));
    }
    examples
}
