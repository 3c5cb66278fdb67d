//! Requests and documents of Python's index, in tables.

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Form, Pypi, SIMPLE_HTML};
use crate::ecosystem::testing::{Fetched, artifact, ask, described, meaning, metadata};
use crate::intent::{Intent, Source};

const BASE: &str = "http://127.0.0.1:8080/pypi/";
const INSECURE: &str = "http://pypi.team.svc/";
const JSON: Option<&str> = Some("application/vnd.pypi.simple.v1+json");

#[test]
fn what_requests_mean() {
    for (target, expected) in [
        ("simple/six/", "metadata page|six|| < simple/six/"),
        ("simple/Python_DateUtil/", "metadata page|python-dateutil|| < simple/python-dateutil/"),
        ("simple/six", "answer 301 six/"),
        ("simple/Tiny.Lab", "answer 301 tiny-lab/"),
        ("simple/", "metadata projects||| < simple/"),
        ("simple", "answer 301 simple/"),
        ("files/six/six-1.16.0-py2.py3-none-any.whl", "artifact file|six|1.16.0|six-1.16.0-py2.py3-none-any.whl in page"),
        ("files/Six/six-1.16.0.tar.gz.metadata", "artifact file|six|1.16.0|six-1.16.0.tar.gz.metadata in page"),
        ("files/six/six-1.0%2Blocal.zip", "artifact file|six|1.0+local|six-1.0+local.zip in page"),
        ("pypi/Six/json", "metadata about|six|| < pypi/six/json"),
        ("pypi/six/1!1.0/json", "metadata about|six|1!1.0| < pypi/six/1!1.0/json"),
        ("integrity/six/1.0/six-1.0.zip/provenance", "metadata provenance|six|1.0|six-1.0.zip < integrity/six/1.0/six-1.0.zip/provenance"),
        ("", "not found"),
        ("simple/-x/", "not found"),
        ("simple/a/b/", "not found"),
        ("files/six/six-1.0.zip/", "not found"),
        ("files/six/.htaccess", "not found"),
        ("files/six", "not found"),
        ("pypi/six/json/", "not found"),
        ("simple/..%2fx/", "bad"),
        ("files/six/%2e%2e", "bad"),
        ("files/six/a%252fb.zip", "bad"),
    ] {
        assert_eq!(meaning(&Pypi, target), expected, "{target}");
    }
    for target in ["legacy/", "pypi", "simple/six/"] {
        assert_eq!(described(&ask(&Pypi, &Method::POST, target, None)), "method", "{target}");
    }
    let wheel = artifact(&Pypi, "files/six/six-1.16.0-py2.py3-none-any.whl");
    assert!(matches!(wheel.source, Source::Listed));
    assert_eq!(wheel.magic, b"PK");
}

#[test]
fn the_form_is_the_clients_choice() {
    let html = Form::Html("text/html; charset=utf-8");
    for (accept, expected) in [
        ("application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", Form::Json),
        ("application/vnd.pypi.simple.latest+json", Form::Json),
        ("text/html", html),
        ("", html),
        ("*/*", html),
        ("application/json", html),
        ("text/html, application/vnd.pypi.simple.v1+json;q=0.5", html),
        ("application/vnd.pypi.simple.v1+html", Form::Html(SIMPLE_HTML)),
        ("application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01", Form::Html(SIMPLE_HTML)),
        ("application/vnd.pypi.simple.v1+json;q=0, */*", html),
    ] {
        assert_eq!(Form::wanted(accept), expected, "{accept}");
    }
}

fn page(accept: Option<&'static str>, content_type: &'static str, body: &str) -> Fetched {
    Fetched::new(metadata(&Pypi, "simple/tiny-lab/", accept), content_type, body)
}

fn rows(document: &Fetched) -> Vec<(String, String, String)> {
    let files = document.read().unwrap().files.into_iter();
    let digest = |digests: &[crate::digest::Digest]| digests.first().map_or(String::new(), ToString::to_string);
    files.map(|file| (file.name, file.url, digest(&file.digests))).collect()
}

fn row(name: &str, url: &str, digest: &str) -> (String, String, String) {
    (name.to_owned(), url.to_owned(), digest.to_owned())
}

fn from_json() -> String {
    let (wheel, metadata) = ("ab".repeat(32), "cd".repeat(32));
    format!(
        r#"{{ "meta":{{"api-version":"1.1", "_last-serial":1}},"name":"tiny-lab","versions":["1.0"],"x":["url"],
 "files":[ {{"filename":"tiny_lab-1.0-py3-none-any.whl","url" : "https:\/\/files.example\/ab\/tiny_lab-1.0-py3-none-any.whl",
   "hashes":{{"md5":"00","sha256":"{wheel}"}},"core-metadata":{{"sha256":"{metadata}"}},"requires-python":">=3.8,<4","size":1234,
   "upload-time":"2024-01-01T00:00:00.5Z","yanked":"bad & \"worse\"","provenance":"https://registry.example/integrity/tiny-lab/1.0/tiny_lab-1.0-py3-none-any.whl/provenance"}},
  {{"filename":"tiny-lab-1.0.tar.gz","url":"../../f/tiny-lab-1.0.tar.gz?t=1#frag","hashes":{{}},"gpg-sig":true,"yanked":false}},
  {{"filename":"bad.zip","url":"javascript:alert(1)","hashes":{{}}}} ] }}"#
    )
}

#[test]
fn json_from_json_keeps_every_other_byte() {
    let text = from_json();
    let document = page(JSON, "application/vnd.pypi.simple.v1+json", &text);
    let expected = text
        .replace(r"https:\/\/files.example\/ab\/", "../../files/tiny-lab/")
        .replace("../../f/tiny-lab-1.0.tar.gz?t=1#frag", "../../files/tiny-lab/tiny-lab-1.0.tar.gz")
        .replace("javascript:alert(1)", "../../files/tiny-lab/bad.zip");
    assert_eq!(document.served(INSECURE), expected);
    assert_eq!(document.served(BASE), expected.replace("https://registry.example/", BASE));
    let wheel = "tiny_lab-1.0-py3-none-any.whl";
    let url = format!("https://files.example/ab/{wheel}");
    assert_eq!(
        rows(&document),
        [
            row(&format!("{wheel}.metadata"), &format!("{url}.metadata"), &format!("sha256:{}", "cd".repeat(32))),
            row(wheel, &url, &format!("sha256:{}", "ab".repeat(32))),
            row("tiny-lab-1.0.tar.gz.asc", "https://registry.example/f/tiny-lab-1.0.tar.gz.asc?t=1", ""),
            row("tiny-lab-1.0.tar.gz", "https://registry.example/f/tiny-lab-1.0.tar.gz?t=1", ""),
        ]
    );
    assert_eq!(document.read().unwrap().files[1].size, Some(1234));
}

#[test]
fn html_from_json() {
    let served = page(None, "application/vnd.pypi.simple.v1+json", &from_json()).served(INSECURE);
    let (wheel, metadata) = ("ab".repeat(32), "cd".repeat(32));
    let anchor = format!(
        "<a href=\"../../files/tiny-lab/tiny_lab-1.0-py3-none-any.whl#sha256={wheel}\" data-requires-python=\"&gt;=3.8,&lt;4\" \
         data-dist-info-metadata=\"sha256={metadata}\" data-core-metadata=\"sha256={metadata}\" \
         data-yanked=\"bad &amp; &quot;worse&quot;\" \
         data-provenance=\"https://registry.example/integrity/tiny-lab/1.0/tiny_lab-1.0-py3-none-any.whl/provenance\">\
         tiny_lab-1.0-py3-none-any.whl</a><br>\n"
    );
    assert!(served.contains(&anchor), "{served}");
    assert!(served.contains("<a href=\"../../files/tiny-lab/tiny-lab-1.0.tar.gz\" data-gpg-sig=\"true\">"), "{served}");
    assert!(served.contains("<meta name=\"pypi:repository-version\" content=\"1.1\">"), "{served}");
    assert!(!served.contains("javascript"), "{served}");
}

const FROM_HTML: &str = r##"<!DOCTYPE html><html><head><base href="/repo/"><meta name="pypi:project-status" content="archived"><meta name="pypi:tracks" content="https://up.example/a">
<script>var x = '<a href="https://evil.example/evil-1.0.zip">';</script><title>Links for tiny-lab</title></head><body>
<a data-yanked data-requires-python="&gt;=3" href="packages/tiny_lab-1.0-py3-none-any.whl#sha256=abababababababababababababababababababababababababababababababab" data-dist-info-metadata=true><b>x</b></a>
<A HREF='https://files.example/tiny-lab-1.0.tar.gz#md5=00&sha256=zz'>"><img src=x onerror=alert(1)></A>
<a href="javascript:alert(1)">tiny-lab-2.0.zip</a> <a href="../">up</a> <a href="#top">top</a><a>none</a>
<a href="tiny%2e%22lab-3.0.zip">odd</a> <a href="signature.asc">s</a></body>"##;

#[test]
fn html_is_always_written_anew() {
    let document = page(None, "text/html", FROM_HTML);
    let sha256 = "ab".repeat(32);
    let expected = format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n    <meta name=\"pypi:repository-version\" content=\"1.0\">\n    <meta name=\"pypi:project-status\" content=\"archived\">\n    <meta name=\"pypi:tracks\" content=\"https://up.example/a\">\n    \
         <title>Links for tiny-lab</title>\n  </head>\n  <body>\n    <h1>Links for tiny-lab</h1>\n    \
         <a href=\"../../files/tiny-lab/tiny_lab-1.0-py3-none-any.whl#sha256={sha256}\" data-requires-python=\"&gt;=3\" data-dist-info-metadata=\"true\" data-core-metadata=\"true\" data-yanked=\"\">tiny_lab-1.0-py3-none-any.whl</a><br>\n    \
         <a href=\"../../files/tiny-lab/tiny-lab-1.0.tar.gz#md5=00\">tiny-lab-1.0.tar.gz</a><br>\n  </body>\n</html>\n"
    );
    assert_eq!(document.served(BASE), expected);
    // Read again, our own page says the same.
    assert_eq!(page(None, "text/html", &expected).served(BASE), expected);
    let wheel = "https://registry.example/repo/packages/tiny_lab-1.0-py3-none-any.whl";
    assert_eq!(
        rows(&document),
        [
            row("tiny_lab-1.0-py3-none-any.whl.metadata", &format!("{wheel}.metadata"), ""),
            row("tiny_lab-1.0-py3-none-any.whl", wheel, &format!("sha256:{sha256}")),
            row("tiny-lab-1.0.tar.gz", "https://files.example/tiny-lab-1.0.tar.gz", ""),
        ]
    );
}

#[test]
fn json_from_html() {
    let served: Value = serde_json::from_str(&page(JSON, "text/html", FROM_HTML).served(BASE)).unwrap();
    let expected = json!({
        "meta": {"api-version": "1.0", "tracks": ["https://up.example/a"]}, "name": "tiny-lab", "project-status": {"status": "archived"},
        "files": [
            {"filename": "tiny_lab-1.0-py3-none-any.whl", "url": "../../files/tiny-lab/tiny_lab-1.0-py3-none-any.whl",
             "hashes": {"sha256": "ab".repeat(32)}, "requires-python": ">=3", "core-metadata": true, "yanked": true},
            {"filename": "tiny-lab-1.0.tar.gz", "url": "../../files/tiny-lab/tiny-lab-1.0.tar.gz",
             "hashes": {"md5": "00"}, "yanked": false},
        ]
    });
    assert_eq!(served, expected);
}

#[test]
fn what_is_no_page_is_refused() {
    for (body, good) in [
        ("", false),
        ("Not found", false),
        ("<html><title>Sign in</title><form action=/login><input type=password></form></html>", false),
        ("<html><title>502 Bad Gateway</title><center><h1>502</h1></center></html>", false),
        ("<a href=\"https://portal.example/\">Continue</a>", false),
        ("<html><title>Links for tiny-lab</title></html>", true),
        ("<meta name=\"pypi:repository-version\" content=\"1.4\">", true),
        ("<meta name=\"pypi:repository-version\" content=\"2.0\">", false),
        ("{}", false),
        ("{\"files\":{}}", false),
        ("{\"files\":[]", false),
        ("{\"files\":[]}", true),
        ("{\"meta\":{\"api-version\":\"1.3\"},\"files\":[]}", true),
        ("{\"meta\":{\"api-version\":\"2.0\"},\"files\":[]}", false),
        (" {\"error\":\"login\"}", false),
    ] {
        assert_eq!(page(None, "text/html", body).read().is_ok(), good, "{body}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over_and_not_passed_on() {
    for body in [from_json(), "<html><title>Links for tiny-lab</title></html>".to_owned()] {
        let plain = page(JSON, "text/html", &body);
        let marked = page(JSON, "text/html", &format!("\u{feff}{body}"));
        assert_eq!(rows(&marked), rows(&plain));
        assert_eq!(marked.served(BASE), plain.served(BASE));
    }
    let list = |body: &str| Fetched::new(metadata(&Pypi, "simple/", JSON), "x", body).served(BASE);
    assert_eq!(list("\u{feff}{\"projects\":[]}"), "{\"projects\":[]}");
}

#[test]
fn hostile_pages_are_refused() {
    let attributes = (0..200_000).map(|number| number.to_string()).collect::<Vec<_>>().join(" a");
    let files = |count: usize, file: &str| {
        let mut body = "{\"files\":[".to_owned();
        body.push_str(&format!("{file},").repeat(count));
        body + "{}]}"
    };
    let base = format!("<base href=\"/{}\"><title>Links for a</title>", "b".repeat(5000));
    let long = "n".repeat(200);
    let urls = format!("{{\"filename\":\"{long}\",{}\"x\":1}}", "\"url\":\"\",".repeat(110_000));
    for (body, expected) in [
        (format!("<a a{attributes}>"), "256 attributes"),
        (base, "longer than 4096 bytes"),
        (files(250_001, r#"{"filename":"a","url":"/a"}"#), "more than 250000 files"),
        (files(500_001, r#"{"url":"","x":1}"#), "more than 500000 links"),
        (files(1, &urls), "bytes of addresses"),
    ] {
        let refused = page(JSON, "text/html", &body).read().unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    // Much of nothing is nothing.
    assert!(page(JSON, "text/html", &files(300_000, "{}")).read().unwrap().files.is_empty());
    let notes = format!("{{\"meta\":{{\"tracks\":[{}\"\"]}},\"files\":[]}}", "\"\",".repeat(10_000));
    assert!(page(None, "text/html", &notes).served(BASE).matches("pypi:tracks").count() <= 256);
}

#[test]
fn the_json_api() {
    let about = |body: &str| Fetched::new(metadata(&Pypi, "pypi/tiny-lab/json", None), "application/json", body);
    let body = r#"{"info":{"home_page":"https://files.example/x","package_url":"https://registry.example/project/tiny-lab/"},
        "releases":{"1.0":[{"filename":"a-1.0.zip","url":"https://files.example/a-1.0.zip","url":"https://files.example/b"}],"2.0":[]},
        "urls":[{"url":"https://files.example/a-1.0.zip","filename":"a-1.0.zip"}]}"#;
    let ours = format!("\"{BASE}files/tiny-lab/a-1.0.zip\"");
    let expected = body.replace("\"https://files.example/a-1.0.zip\"", &ours).replace("\"https://files.example/b\"", &ours);
    assert_eq!(about(body).served(BASE), expected);
    for body in ["<html>", "{}", "[]", r#"{"info":[]}"#] {
        assert!(about(body).read().is_err(), "{body}");
    }
    let provenance = |body: &str| {
        let metadata = metadata(&Pypi, "integrity/six/1.0/six-1.0.zip/provenance", None);
        Fetched::new(metadata, "application/json", body).read()
    };
    assert!(provenance(r#"{"version":1,"attestation_bundles":[]}"#).is_ok());
    assert!(provenance(r#"{"detail":"not found"}"#).is_err());
}

#[test]
fn the_list_of_projects() {
    let list = |accept, body: &str| Fetched::new(metadata(&Pypi, "simple/", accept), "x", body);
    let html = "<html><title>Simple index</title><a href=\"/simple/six/\">six</a><a href=/simple/tiny-lab/>Tiny.Lab</a><a href=\"/login/\">in</a></html>";
    let json = r#"{"meta":{"api-version":"1.0"},"projects":[{"name":"six"},{"name":"Tiny.Lab"}]}"#;
    assert_eq!(list(JSON, json).served(BASE), json);
    assert_eq!(list(JSON, html).served(BASE), json);
    assert_eq!(list(None, json).served(BASE), list(None, html).served(BASE));
    assert!(list(None, json).served(BASE).contains("<a href=\"tiny-lab/\">Tiny.Lab</a>"));
    assert!(list(None, "<html><form></form></html>").read().is_err());
}

proptest! {
    #[test]
    fn splicing_equals_changing_the_parsed_document(
        files in prop::collection::vec(("[a-z+ é%]{0,6}", any::<bool>(), prop::collection::btree_map(".{0,5}", ".{0,5}", 0..4)), 0..6),
        pretty in any::<bool>(),
    ) {
        let entry = |(name, relative, others): (String, bool, std::collections::BTreeMap<String, String>)| {
            let mut entry = json!(others);
            entry["filename"] = name.into();
            entry["url"] = if relative { "../../x/é.zip" } else { "https://files.example/\"x\"" }.into();
            entry["deep"] = json!({"url": "https://files.example/no"});
            entry
        };
        let mut document = json!({"files": files.into_iter().map(entry).collect::<Vec<_>>(), "url": "no"});
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let served: Value = serde_json::from_str(&page(JSON, "application/json", &text).served(BASE)).unwrap();
        for entry in document["files"].as_array_mut().unwrap() {
            entry["url"] = super::page::link("tiny-lab", entry["filename"].as_str().unwrap()).into();
        }
        prop_assert_eq!(served, document);
    }

    #[test]
    fn equal_keys_mean_equal_upstream_addresses(one in "(simple|pypi|integrity)/[aA._-]{1,4}/(1/)?(json|a.zip/provenance)?", other in "(simple|pypi|integrity)/[aA._-]{1,4}/(1/)?(json|a.zip/provenance)?") {
        let address = |target: &str| match ask(&Pypi, &Method::GET, target, None) {
            Ok(Intent::Metadata(metadata)) => Some((metadata.key, metadata.from)),
            _ => None,
        };
        if let (Some((key, from)), Some((other_key, other_from))) = (address(&one), address(&other)) {
            prop_assert_eq!(key == other_key, from == other_from, "{} {}", one, other);
        }
    }

    #[test]
    fn no_text_of_an_upstream_becomes_markup(
        texts in prop::collection::vec("[ -~é]{0,12}", 4),
        hash in prop_oneof![Just("ab".repeat(32)), "[ -~]{0,8}".boxed()],
    ) {
        let document = json!({
            "project-status": {"status": texts[0]},
            "files": [{
                "filename": "x-1.0.zip", "url": "https://files.example/x-1.0.zip", "hashes": {"sha256": hash},
                "requires-python": texts[1], "yanked": texts[2], "provenance": texts[3],
            }]
        });
        let served = page(None, "application/json", &document.to_string()).served(BASE);
        prop_assert_eq!(served.matches('<').count(), 16, "{}", served);
        let mut anchors = Vec::new();
        let names = ["data-requires-python", "data-yanked", "href"];
        super::scan::scan(served.as_bytes(), &mut |anchor| {
            let attributes = names.map(|name| anchor.attribute(name).map(str::to_owned));
            anchors.push((attributes, anchor.text.clone()));
        })
        .unwrap();
        prop_assert_eq!(anchors.len(), 1);
        let ([requires, yanked, href], text) = &anchors[0];
        prop_assert_eq!(requires.as_deref(), Some(texts[1].as_str()));
        let reason = Some(texts[2].as_str()).filter(|reason| !reason.is_empty());
        prop_assert_eq!(yanked.as_deref(), reason);
        let is_hex = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fragment = if is_hex { format!("#sha256={hash}") } else { String::new() };
        let link = format!("../../files/tiny-lab/x-1.0.zip{fragment}");
        prop_assert_eq!(href.as_deref(), Some(link.as_str()));
        prop_assert_eq!(text.as_str(), "x-1.0.zip");
    }
}
