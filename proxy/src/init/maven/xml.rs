//! As much of XML as Maven's own settings and models need: elements by name, wherever they are, and their text.

/// A document without its comments, in which people keep examples.
pub(super) fn without_comments(document: &str) -> String {
    let mut kept = String::with_capacity(document.len());
    let mut rest = document;
    while let Some((before, comment)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// What is between the tags of each element of this name; the elements have no attributes and do not nest.
pub(super) fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once(&begin) {
        let Some((inside, after)) = after.split_once(&end) else { break };
        found.push(inside);
        rest = after;
    }
    found
}

/// The text of the first element of this name.
pub(super) fn text(inside: &str, name: &str) -> Option<String> {
    let text = elements(inside, name).first()?.trim();
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}
