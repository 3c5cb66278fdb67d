//! The registry's `config.json`: where crates are downloaded and where the web API is, at the upstream and here.

use serde::Deserialize;
use url::Url;

use super::name::prefix;
use crate::intent::{Artifact, ListedFile, Raw, Reading, Unexpected};
use crate::rewrite::json;

/// The upstream's file, as far as it is used. `auth-required` is the proxy's own business and not repeated.
#[derive(Debug, Deserialize)]
struct Config {
    dl: String,
    #[serde(default)]
    api: Option<String>,
}

impl Config {
    fn parse(raw: Raw<'_>) -> Result<Self, Unexpected> {
        let document = json::text(raw.bytes)?;
        // An array of the right length would do for serde.
        if !document.trim_start().starts_with('{') {
            return Err(Unexpected("config.json is not a JSON object".to_owned()));
        }
        serde_json::from_str(document).map_err(|error| json::broken("config.json", &error))
    }
}

/// Checks that the file is one: a login page would otherwise end as an obscure error of cargo.
pub(super) fn read(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let config = Config::parse(raw)?;
    absolute(&config.dl, raw.url)?;
    Ok(Reading::default())
}

/// Our own file: downloads and web API below `base`. Nothing else of the upstream's is kept, since it could only name
/// the upstream.
pub(super) fn render(raw: Raw<'_>, base: &str) -> Result<Vec<u8>, Unexpected> {
    let config = Config::parse(raw)?;
    let mut ours = serde_json::json!({ "dl": format!("{base}api/v1/crates") });
    if config.api.is_some_and(|api| !api.is_empty()) {
        ours["api"] = base.trim_end_matches('/').into();
    }
    Ok(ours.to_string().into_bytes())
}

/// The address of a crate file. Without any marker in `dl` the path is appended.
pub(super) fn download(raw: Raw<'_>, artifact: &Artifact, listed: Option<&ListedFile>) -> Result<String, Unexpected> {
    let dl = Config::parse(raw)?.dl;
    let (name, version) = (artifact.key.package.as_str(), artifact.key.version.as_str());
    if !MARKERS.iter().any(|marker| dl.contains(marker)) {
        let path = format!("{}/{name}/{version}/download", dl.trim_end_matches('/'));
        return absolute(&path, raw.url).map(Url::into);
    }
    let folder = prefix(name);
    let mut filled = dl
        .replace("{crate}", name)
        .replace("{version}", version)
        .replace("{prefix}", &folder)
        .replace("{lowerprefix}", &folder.to_ascii_lowercase());
    if filled.contains(CHECKSUM) {
        let digest = listed.and_then(|listed| listed.digests.first());
        let digest = digest.ok_or_else(|| Unexpected("the index has no checksum of this version".to_owned()))?;
        filled = filled.replace(CHECKSUM, &digest.hex());
    }
    absolute(&filled, raw.url).map(Url::into)
}

/// Whether the address holds the file's checksum, which only the index knows.
pub(super) fn needs_listing(raw: Raw<'_>) -> bool {
    Config::parse(raw).is_ok_and(|config| config.dl.contains(CHECKSUM))
}

/// Where the web API is; ends in `/`.
pub(super) fn api(raw: Raw<'_>) -> Result<Option<String>, Unexpected> {
    let Some(api) = Config::parse(raw)?.api.filter(|api| !api.is_empty()) else { return Ok(None) };
    absolute(&format!("{}/", api.trim_end_matches('/')), raw.url).map(|url| Some(url.into()))
}

const CHECKSUM: &str = "{sha256-checksum}";
const MARKERS: [&str; 5] = ["{crate}", "{version}", "{prefix}", "{lowerprefix}", CHECKSUM];

/// Parses an address of the file; relative ones are taken from where the file was.
fn absolute(address: &str, from: &Url) -> Result<Url, Unexpected> {
    from.join(address)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Unexpected("config.json names an address that is not http or https".to_owned()))
}
