//! A checksum database below a module proxy: `supported`, the signed head of its tree, records, and tiles of the tree.
//! Everything is passed on byte for byte: the go command checks signatures and proofs itself.

use super::name::{escape, is_canonical, is_module, is_version, unescape};
use super::{BINARY, RECORD, TEXT, below, capitals, not_found};
use crate::digest::{Algorithm, Digest};
use crate::intent::{
    Artifact, Intent, Key, ListedFile, Metadata, Raw, Reading, Refusal, Source, Unexpected, is_no_page, is_page_type,
};
use crate::rewrite::json;
use crate::upstream_path::UpstreamPath;

/// The first line of the signed head of every such tree.
const TREE: &str = "go.sum database tree";

/// What a request means whose path begins with `sumdb/` and the name of a database. `path` is the whole of it.
pub(super) fn parse(database: &str, rest: &[&str], path: &[&str]) -> Result<Intent, Refusal> {
    if !is_module(&[database]) {
        return Err(not_found("no checksum database has such a name"));
    }
    match rest {
        ["supported"] => {
            let key = Key::document(database, "supported");
            let read = |raw: Raw<'_>| Ok(Reading { absent: is_page(raw), ..Reading::default() });
            Ok(Intent::Metadata(Metadata::verbatim(key, below(path), read, TEXT)))
        }
        ["latest"] => {
            let key = Key::document(database, "tree");
            Ok(Intent::Metadata(Metadata::verbatim(key, below(path), read_head, TEXT)))
        }
        ["lookup", module @ .., last] => {
            let (last, version) = last.split_once('@').filter(|(_, version)| is_version(version)).ok_or_else(nothing)?;
            let module = [module, &[last]].concat();
            let (name, version) = (unescape(&module.join("/")), unescape(version));
            let (Some(name), Some(version)) = (name, version) else { return Err(capitals()) };
            if !is_module(&module) || !is_canonical(&version) {
                return Err(nothing());
            }
            Ok(Intent::Metadata(record(database, &name, &version)))
        }
        ["tile", tile @ ..] => {
            let Tile { size } = Tile::parse(tile).ok_or_else(nothing)?;
            let key = Key::file(database, "", tile.join("/"), "tile");
            Ok(Intent::Artifact(Artifact { size, ..Artifact::at(key, Source::Layout(below(path)), BINARY) }))
        }
        _ => Err(nothing()),
    }
}

fn nothing() -> Refusal {
    not_found("no address of a checksum database has this form")
}

/// The record of a version.
pub(super) fn record(database: &str, module: &str, version: &str) -> Metadata {
    let place = format!("{}@{}", escape(module), escape(version));
    let from = UpstreamPath::from_segments(["sumdb", database, "lookup"].into_iter().chain(place.split('/')));
    let key = Key::file(module, version, database, "record");
    Metadata { lifetime: RECORD, ..Metadata::verbatim(key, from, read_record, TEXT) }
}

/// Bytes of one hash in a tile: a SHA-256.
const HASH: u64 = 32;

/// A piece of the tree.
struct Tile {
    /// Its bytes, unless it holds records, which differ in length.
    size: Option<u64>,
}

impl Tile {
    /// `HEIGHT/LEVEL/NUMBER` or `HEIGHT/data/NUMBER`, where a large number has several elements, `x001/x234/067`, and a
    /// tile that is not full yet ends in `.p/WIDTH`. A full one is two to the power of `HEIGHT` wide.
    fn parse(tile: &[&str]) -> Option<Self> {
        let [height, level, number @ ..] = tile else { return None };
        let (number, width) = match number {
            [number @ .., partial, width] if partial.contains('.') => {
                let (last, _) = partial.split_once('.').filter(|(_, end)| *end == "p")?;
                ([number, &[last]].concat(), Some(parse_number(width, 3)?))
            }
            number => (number.to_vec(), None),
        };
        let (last, first) = number.split_last()?;
        let height = parse_number(height, 2)?;
        let is_place = last.len() == 3
            && parse_number(last, 3).is_some()
            && first.len() < 6
            && first.iter().all(|part| part.strip_prefix('x').is_some_and(|part| part.len() == 3 && parse_number(part, 3).is_some()));
        if !is_place {
            return None;
        }
        if *level == "data" {
            return Some(Self { size: None });
        }
        parse_number(level, 2)?;
        let width = width.map_or_else(|| 1_u64.checked_shl(height), |width| Some(u64::from(width)))?;
        Some(Self { size: Some(width.checked_mul(HASH)?) })
    }
}

/// A number of at most so many digits.
fn parse_number(text: &str, most: usize) -> Option<u32> {
    let is_number = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Whether this is a web page. That the registry mirrors the database its status says; some have a page with that status
/// for every address that they do not know, and a client that believed it would not find the database at all.
fn is_page(raw: Raw<'_>) -> bool {
    !is_no_page(raw.bytes) || (is_page_type(raw.content_type) && !raw.bytes.is_empty())
}

fn read_head(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    if json::text(raw.bytes)?.starts_with(TREE) {
        return Ok(Reading::default());
    }
    Err(Unexpected("something else than the head of a checksum database".to_owned()))
}

/// Reads a record: its number, the lines that belong into a `go.sum`, an empty line, the head of the tree.
fn read_record(raw: Raw<'_>) -> Result<Reading, Unexpected> {
    let broken = |what: &str| Unexpected(format!("a record of the checksum database {what}"));
    let text = json::text(raw.bytes)?;
    let (record, head) = text.split_once("\n\n").ok_or_else(|| broken("that is cut"))?;
    let mut lines = record.lines();
    if lines.next().is_none_or(|number| number.parse::<u64>().is_err()) || !head.starts_with(TREE) {
        return Err(broken("that is none"));
    }
    let Key { package, version, .. } = raw.key;
    let go_mod = format!("{version}/go.mod");
    let (mut of_zip, mut of_mod) = (None, None);
    for line in lines {
        let mut fields = line.split(' ');
        let (Some(module), Some(what), Some(hash), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(broken("with a line that is none of a go.sum"));
        };
        let (algorithm, place) = match what {
            what if what == version => (Algorithm::H1Zip, &mut of_zip),
            what if what == go_mod => (Algorithm::H1Mod, &mut of_mod),
            _ => return Err(broken("of another version")),
        };
        if module != package {
            return Err(broken("of another module"));
        }
        // Later kinds of hashes are for later clients.
        if hash.starts_with("h1:") {
            *place = Some(Digest::from_h1(algorithm, hash).ok_or_else(|| broken("with a broken hash"))?);
        }
    }
    let file = |kind: &str, digest: Option<Digest>| {
        digest.map(|digest| ListedFile {
            name: format!("{version}.{kind}"),
            url: String::new(),
            digests: vec![digest],
            size: None,
        })
    };
    match (file("zip", of_zip), file("mod", of_mod)) {
        (Some(zip), Some(of_mod)) => Ok(Reading { files: vec![zip, of_mod], ..Reading::default() }),
        _ => Err(broken("without the hashes of zip and go.mod")),
    }
}
