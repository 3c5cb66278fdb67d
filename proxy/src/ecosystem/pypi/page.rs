//! A project's page, whichever form the upstream sent (PEP 503 and 691), and the two forms in which it is served.
//!
//! JSON from JSON keeps every byte but the links. Everything else is written anew from what was understood.

use serde::Serialize;
use url::Url;

use super::{html, simple_json};
use crate::ecosystem::gathered::Gathered;
use crate::digest::{Algorithm, Digest};
use crate::intent::{ListedFile, Raw, Reading, Unexpected};
use crate::upstream_path::UpstreamPath;

/// What a project's page says besides its files, which are handed on one by one.
#[derive(Debug)]
pub(super) struct Page {
    /// The version of the protocol, `1.x`.
    pub(super) api_version: String,
    /// What HTML gives as `<meta name="pypi:...">`, without the prefix: status, tracks, alternate locations.
    pub(super) notes: Vec<(String, String)>,
}

/// Pairs of a hash function's name and a hexadecimal digest.
pub(super) type Hashes = Vec<(String, String)>;

/// One file of a page.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Its name.
    pub(super) name: String,
    /// Its absolute address, without fragment.
    pub(super) url: String,
    /// Its digests.
    pub(super) hashes: Hashes,
    /// The Python versions it is for.
    pub(super) requires_python: Option<String>,
    /// Whether it was withdrawn, with the reason, which may be empty.
    pub(super) yanked: Option<String>,
    /// Whether its metadata is beside it, with the digests of that.
    pub(super) core_metadata: Option<Hashes>,
    /// Whether a signature is beside it.
    pub(super) gpg_sig: Option<bool>,
    /// The address of its attestations.
    pub(super) provenance: Option<String>,
    /// Its length in bytes.
    pub(super) size: Option<u64>,
}

/// Reads a page for the table of its files: each with what lies beside it.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let mut gathered = Gathered::default();
    parse(raw, &mut |file| {
        if let Some(hashes) = &file.core_metadata {
            gathered.file(beside(&file, ".metadata", digests(hashes)));
        }
        if file.gpg_sig == Some(true) {
            gathered.file(beside(&file, ".asc", Vec::new()));
        }
        gathered.file(ListedFile { digests: digests(&file.hashes), name: file.name, url: file.url, size: file.size });
    })?;
    Ok(Reading { revision: serial(raw), ..gathered.reading()? })
}

/// The serial number of the project's last change, which indexes that are mirrored give with every form of the page.
fn serial(raw: Raw<'_>) -> Option<u64> {
    raw.headers?.get("x-pypi-last-serial")?.to_str().ok()?.parse().ok()
}

/// The page as JSON.
pub(super) fn render_json(raw: Raw<'_>, base: &str) -> Result<Vec<u8>, Unexpected> {
    if is_json(raw.bytes) {
        return simple_json::splice(raw, base);
    }
    let mut files = Vec::new();
    let mut written = Ok(());
    let page = html::parse(raw, &mut |file| {
        if !files.is_empty() {
            files.push(b',');
        }
        if let Err(error) = serde_json::to_writer(&mut files, &JsonFile::new(&file, raw, base)) {
            written = Err(Unexpected(error.to_string()));
        }
    })?;
    written?;
    let document = JsonPage {
        meta: Meta { api_version: "1.0", tracks: page.notes("tracks") },
        name: &raw.key.package,
        alternate_locations: page.notes("alternate-locations"),
        project_status: page.note("project-status").map(|status| Status {
            status,
            reason: page.note("project-status-reason"),
        }),
    };
    let mut out = serde_json::to_vec(&document).map_err(|error| Unexpected(error.to_string()))?;
    // The files come last in the object.
    out.pop();
    out.extend_from_slice(b",\"files\":[");
    out.append(&mut files);
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The page as HTML.
pub(super) fn render_html(raw: Raw<'_>, base: &str) -> Result<Vec<u8>, Unexpected> {
    let mut body = String::new();
    let page = parse(raw, &mut |file| html::write_file(&mut body, &file, raw, base))?;
    Ok(html::page(&page, &raw.key.package, &body).into_bytes())
}

/// No page begins with a brace, so the bytes tell the form even where the header lies.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    unmarked(bytes).iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// A document without its byte order mark: JSON must have none, but pip reads what has one (RFC 8259 §8.1).
pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn parse(raw: Raw<'_>, each: &mut dyn FnMut(File)) -> Result<Page, Unexpected> {
    if is_json(raw.bytes) { simple_json::parse(raw, each) } else { html::parse(raw, each) }
}

/// Clients refuse a page of another major version, so it must not be served as one of ours.
pub(super) fn check_version(version: &str) -> Result<(), Unexpected> {
    if version == "1" || version.starts_with("1.") {
        return Ok(());
    }
    Err(Unexpected(format!("the index speaks version {version} of the protocol, not 1")))
}

impl Page {
    /// The values of the notes of one name.
    fn notes(&self, name: &str) -> Vec<&str> {
        self.notes.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    fn note(&self, name: &str) -> Option<&str> {
        self.notes(name).first().copied()
    }
}

/// Our address of a file, relative to the page: independent of the base, and valid in lock files after a restart.
pub(super) fn link(project: &str, file: &str) -> String {
    format!("../../{}", UpstreamPath::from_segments(["files", project, file]).as_str())
}

/// Where an address of the upstream's integrity API is below our base.
pub(super) fn provenance_here(provenance: &str, page: &Url) -> Option<String> {
    let root = page.join("../../integrity/").ok()?;
    let url = page.join(provenance).ok().filter(|url| url.query().is_none() && url.fragment().is_none())?;
    let tail = url.as_str().strip_prefix(root.as_str())?;
    Some(format!("integrity/{tail}"))
}

/// Whether attestations may be linked below a base: PEP 740 wants a secure origin, which the machine itself is.
pub(super) fn is_secure(base: &str) -> bool {
    base.starts_with("https://") || crate::client::plain_host(base).is_some_and(crate::client::is_loopback)
}

/// The address of a file's attestations as it is served.
pub(super) fn provenance(file: &File, raw: Raw<'_>, base: &str) -> Option<String> {
    let given = file.provenance.as_deref()?;
    let here = provenance_here(given, raw.url).filter(|_| is_secure(base));
    Some(here.map_or_else(|| given.to_owned(), |path| format!("{base}{path}")))
}

fn beside(file: &File, ending: &str, digests: Vec<Digest>) -> ListedFile {
    // The ending belongs to the path, not to a query.
    let url = match file.url.split_once('?') {
        Some((path, query)) => format!("{path}{ending}?{query}"),
        None => format!("{}{ending}", file.url),
    };
    ListedFile { name: format!("{}{ending}", file.name), url, digests, size: None }
}

fn digests(hashes: &Hashes) -> Vec<Digest> {
    let algorithm = |name: &str| match name {
        "sha1" => Some(Algorithm::Sha1),
        "sha256" => Some(Algorithm::Sha256),
        "sha384" => Some(Algorithm::Sha384),
        "sha512" => Some(Algorithm::Sha512),
        _ => None,
    };
    let mut digests = Vec::with_capacity(hashes.iter().filter(|(name, _)| algorithm(name).is_some()).count());
    digests.extend(hashes.iter().filter_map(|(name, hex)| Digest::from_hex(algorithm(name)?, hex)));
    digests
}

/// Resolves a link of the page; `None` for what is no http address, and for fragments of the page itself.
pub(super) fn resolve(link: &str, base: &Url) -> Option<Url> {
    let link = link.trim();
    if link.is_empty() || link.starts_with('#') {
        return None;
    }
    base.join(link).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// The last segment of an address's path, decoded: a file's name.
pub(super) fn last_segment(url: &Url) -> String {
    let segment = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonPage<'a> {
    meta: Meta<'a>,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alternate_locations: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_status: Option<Status<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Meta<'a> {
    api_version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tracks: Vec<&'a str>,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile<'a> {
    filename: &'a str,
    url: String,
    hashes: std::collections::BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    core_metadata: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpg_sig: Option<bool>,
    yanked: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<String>,
}

impl<'a> JsonFile<'a> {
    fn new(file: &'a File, raw: Raw<'_>, base: &str) -> Self {
        let pairs = |hashes: &'a Hashes| hashes.iter().map(|(name, hex)| (name.as_str(), hex.as_str()));
        let core_metadata = file.core_metadata.as_ref().map(|hashes| {
            if hashes.is_empty() { true.into() } else { pairs(hashes).collect() }
        });
        Self {
            filename: &file.name,
            url: link(&raw.key.package, &file.name),
            hashes: pairs(&file.hashes).collect(),
            requires_python: file.requires_python.as_deref(),
            core_metadata,
            gpg_sig: file.gpg_sig,
            // An empty reason is falsy to clients, and would undo the withdrawal.
            yanked: match file.yanked.as_deref() {
                None => false.into(),
                Some("") => true.into(),
                Some(reason) => reason.into(),
            },
            provenance: provenance(file, raw, base),
        }
    }
}
