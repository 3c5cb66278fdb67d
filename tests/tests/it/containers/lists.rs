//! Lists of tags and of referrers.

use serde_json::json;
use tests::fixture::container::digest;
use tests::{Ask, Resource};

use super::{at, serve};

fn page(tags: &[&str], link: Option<&str>) -> Resource {
    let page = Resource::new(json!({"name": "a", "tags": tags}).to_string(), "application/json");
    link.into_iter().fold(page, |page, link| page.header("Link", link))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_tags_lead_to_our_own_next_page() {
    let (upstream, rig) = serve(|manifest| manifest.with("upstream.namespace", "registry.example")).await;
    let path = at("a/tags/list");
    upstream.set(&path, page(&["1", "2"], Some(&format!("<{path}?last=2&n=2>; rel=\"next\""))));
    for (target, link) in [
        ("/v2/a/tags/list?n=2", "</v2/a/tags/list?n=2&last=2>; rel=\"next\""),
        ("/v2/container/a/tags/list?n=2", "</v2/container/a/tags/list?n=2&last=2>; rel=\"next\""),
        ("/container/v2/a/tags/list?n=2", "</container/v2/a/tags/list?n=2&last=2>; rel=\"next\""),
        ("/v2/a/tags/list?n=2&ns=registry.example", "</v2/a/tags/list?n=2&last=2&ns=registry.example>; rel=\"next\""),
    ] {
        for _ in 0..2 {
            let answer = rig.get(target).await.expect_status(200);
            assert_eq!(answer.header("link"), link, "{target}");
        }
    }
    assert_eq!(upstream.total(), 1, "one page has one key");
    assert!(upstream.requests()[0].target.ends_with("/tags/list?n=2"));
    upstream.set(&path, page(&["3"], None));
    let last = rig.get("/v2/a/tags/list?last=2&n=2").await.expect_status(200);
    assert_eq!((last.header("link"), last.text().as_str()), ("", r#"{"name":"a","tags":["3"]}"#));
    assert!(upstream.requests()[1].target.ends_with("/tags/list?n=2&last=2"), "{:?}", upstream.requests()[1]);
}

/// Whatever a registry calls the begin of a page, and whatever it writes there, the links lead through all pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_begin_where_the_registry_says() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    for (number, cursor) in ["last", "next", "nextToken", "next_page"].iter().enumerate() {
        let path = at(&format!("a{number}/tags/list"));
        let link = format!("<{path}?{cursor}=b%2FQ%3D%3D>; rel=\"next\"");
        upstream.set(&path, page(&["1"], Some(&link)));
        let first = rig.get(&format!("/v2/a{number}/tags/list")).await.expect_status(200);
        let next = first.header("link").strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link").0;
        upstream.set(&path, page(&["2"], None));
        let second = rig.get(next).await.expect_status(200);
        assert_eq!((second.header("link"), second.text().as_str()), ("", r#"{"name":"a","tags":["2"]}"#));
        let asked = upstream.requests().pop().expect("a request").target;
        assert!(asked.ends_with(&format!("?{cursor}=b%2FQ%3D%3D")), "{asked}");
    }
    let path = at("b/tags/list");
    upstream.set(&path, page(&["1"], Some(&format!("<{path}?page=2>; rel=\"next\""))));
    let answer = rig.get("/v2/b/tags/list").await.expect_status(502);
    assert!(answer.text().contains("next page"), "{}", answer.text());
}

/// Of a link only the place where the page begins is used; one without it ends in an error, not in half a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_nowhere_but_to_our_own_list() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let long = "x".repeat(2000);
    for (number, (link, expected)) in [
        ("<https://evil.example/v2/x/tags/list?last=1>; rel=\"next\"".to_owned(), Some("last=1")),
        // Registries behind a proxy know themselves by another address.
        ("</repository/x/v2/b/tags/list?n=2&last=1>; rel=\"next\"".to_owned(), Some("n=2&last=1")),
        (format!("<?last={long}>; rel=\"next\""), Some(&*format!("last={long}"))),
        (format!("<?last={long}{long}>; rel=\"next\""), None),
        ("<?last=%0d%0aSet-Cookie:x>; rel=\"next\"".to_owned(), None),
        ("</v2/x/manifests/y?last=1>; rel=\"next\"".to_owned(), None),
        ("<https://[/>; rel=\"next\"".to_owned(), None),
        ("no link at all".to_owned(), Some("")),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("a{number}/tags/list");
        upstream.set(&at(&path), page(&["1"], Some(link)));
        let answer = rig.get(&format!("/v2/{path}")).await;
        assert_eq!(answer.header("set-cookie"), "", "{link}");
        let Some(query) = *expected else {
            assert!(answer.expect_status(502).text().contains("next page"), "{link}");
            continue;
        };
        let own = if query.is_empty() { String::new() } else { format!("</v2/{path}?{query}>; rel=\"next\"") };
        assert_eq!(answer.expect_status(200).header("link"), own, "{link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn referrers_are_kept_by_filter_and_a_registry_without_them_says_so() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let subject = digest(b"subject");
    let path = at(&format!("a/referrers/{subject}"));
    let index = |title: &str| {
        let text = json!({"schemaVersion": 2, "manifests": [], "annotations": {"title": title}}).to_string();
        Resource::new(text, "application/vnd.oci.image.index.v1+json")
    };
    upstream.set(&path, index("filtered").header("OCI-Filters-Applied", "artifactType"));
    let target = format!("/v2/a/referrers/{subject}?artifactType=application/x%2By");
    for _ in 0..2 {
        let answer = rig.get(&target).await.expect_status(200);
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
        assert_eq!(answer.header("content-type"), "application/vnd.oci.image.index.v1+json");
    }
    assert!(upstream.requests()[0].target.ends_with("?artifactType=application%2Fx%2By"), "{:?}", upstream.requests());
    upstream.set(&path, index("all"));
    let all = rig.get(&format!("/v2/a/referrers/{subject}")).await.expect_status(200);
    assert!(all.text().contains("all") && all.header("oci-filters-applied").is_empty());
    assert_eq!(upstream.count(&path), 2);
    // The client then looks for a tag that is made of the digest.
    let other = format!("/v2/a/referrers/{}", digest(b"other"));
    let answer = rig.send(Ask::get(&other)).await.expect_status(404);
    // "Name unknown" would say that there is no such repository, and the client would not look.
    assert!(answer.text().contains("MANIFEST_UNKNOWN"), "{}", answer.text());
    rig.get(&format!("/v2/a/manifests/{}", digest(b"other").replace(':', "-"))).await.expect_status(404);
}

/// A client that follows the links gets every referrer of its kind, whatever base it came by, and each page is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_referrers_lead_to_our_own_next_page() {
    let (upstream, rig) = serve(|manifest| manifest.with("upstream.namespace", "registry.example")).await;
    let subject = digest(b"subject");
    let path = at(&format!("team/a/referrers/{subject}"));
    let all: Vec<String> = (0..5).map(|number| digest(&[number])).collect();
    // As registries write it: their path, or their whole address, in an order of their own.
    let filter = "artifactType=application%2Fx%2Bsbom";
    let next = |place: String, last: &str| format!("<{place}?{filter}&last={last}&n=2>; rel=\"next\"");
    let links = [Some(next(path.clone(), &all[1])), Some(next(upstream.url(&path), &all[3])), None];
    for (digests, link) in all.chunks(2).zip(links) {
        let listed = |digest: &String| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
                   "artifactType": "application/x+sbom"})
        };
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                           "manifests": digests.iter().map(listed).collect::<Vec<_>>()});
        let page = Resource::new(index.to_string(), "application/vnd.oci.image.index.v1+json");
        let page = page.header("OCI-Filters-Applied", "artifactType");
        upstream.then(&path, link.into_iter().fold(page, |page, link| page.header("Link", &link)));
    }
    for (base, name) in [("/v2/", ""), ("/v2/container/", ""), ("/container/v2/", ""), ("/v2/", "&ns=registry.example")]
    {
        let begin = format!("{base}team/a/referrers/{subject}?");
        let mut target = Some(format!("{begin}artifactType=application/x%2Bsbom&n=2{name}"));
        let mut found = Vec::new();
        while let Some(page) = target.take() {
            assert!(page.starts_with(&begin) && page.ends_with(name), "{page}");
            let answer = rig.get(&page).await.expect_status(200);
            assert_eq!(answer.header("content-type"), "application/vnd.oci.image.index.v1+json");
            assert_eq!(answer.header("oci-filters-applied"), "artifactType");
            let index: serde_json::Value = serde_json::from_slice(answer.bytes()).expect("an index");
            let listed = index["manifests"].as_array().expect("a list").iter();
            found.extend(listed.map(|one| one["digest"].as_str().expect("a digest").to_owned()));
            let link = answer.header("link").strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\""));
            target = link.map(|(next, _)| next.to_owned());
        }
        assert_eq!(found, all, "{begin}");
    }
    let asked: Vec<String> = upstream.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked.len(), 3, "one page has one key: {asked:?}");
    for (target, last) in asked.iter().zip([None, Some(&all[1]), Some(&all[3])]) {
        assert!(target.contains(&format!("n=2&{filter}")), "{target}");
        let begins = last.map_or(String::new(), |last| last.replace(':', "%3A"));
        assert!(target.ends_with(&begins) && target.contains("last=") == last.is_some(), "{target}");
    }
}
