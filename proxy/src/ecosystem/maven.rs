//! The repository layout of Maven, which Gradle, sbt and Ivy read too: a tree of files in which the path says
//! everything. Plug-in markers, relocations and module metadata of Gradle are files like others.

use super::Ecosystem;
use crate::checksum_sibling::{self, ChecksumSiblings};
use crate::client::{ClientSetup, Endpoint};
use crate::digest::Algorithm;
use crate::intent::{Artifact, Checked, Checksum, Intent, Metadata, Refusal, Source};
use crate::request::Call;
use crate::upstream_path::UpstreamPath;
use layout::{Place, content_type, is_file};

mod clients;
mod document;
mod layout;
#[cfg(test)]
mod tests;

/// Longest document in bytes: several times a catalogue of all archetypes.
const LONGEST_DOCUMENT: u64 = 64 << 20;
const XML: &str = "text/xml";
const READ_ONLY: &str = "this proxy only reads; deploy to the repository itself, with <distributionManagement>";

/// Clients ask for the first two, Gradle and newer versions of Maven for the others. Of a repository the one is asked for
/// that nearly every one has; where one has it not, the strongest of the others.
static SIBLINGS: ChecksumSiblings = ChecksumSiblings {
    served: &[Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512],
    asked: &[Algorithm::Sha1, Algorithm::Sha512, Algorithm::Sha256, Algorithm::Md5],
};

/// The protocol.
#[derive(Debug)]
pub struct Maven;

impl Ecosystem for Maven {
    fn parse(&self, call: &Call) -> Result<Intent, Refusal> {
        if !call.is_read() {
            return Err(Refusal::Method(READ_ONLY.to_owned()));
        }
        let mut path = call.path();
        let Some(name) = path.pop().filter(|_| !call.trailing_slash) else {
            return Err(Refusal::NotFound("folders are not listed".to_owned()));
        };
        // A digest has no digest of its own.
        let Some((name, algorithm)) = checksum_sibling::split(name) else { return file(&path, name) };
        let of = match file(&path, name)? {
            Intent::Metadata(metadata) => Checked::Metadata(metadata),
            Intent::Artifact(artifact) => Checked::Artifact(artifact),
            _ => return Err(no_file()),
        };
        Ok(Intent::Checksum(Checksum { of, algorithm }))
    }

    fn clients(&self, at: Endpoint<'_>) -> Vec<ClientSetup> {
        clients::clients(at)
    }
}

/// What the file `name` in a folder is.
fn file(folder: &[&str], name: &str) -> Result<Intent, Refusal> {
    let from = UpstreamPath::from_segments(folder.iter().chain([&name]));
    let document = |read, content_type| {
        let key = Place::of_document(folder).key(name, "metadata");
        let document = Metadata::verbatim(key, from.clone(), read, content_type);
        let limit = Some(LONGEST_DOCUMENT);
        Ok(Intent::Metadata(Metadata { accept: None, limit, checksum_siblings: Some(&SIBLINGS), ..document }))
    };
    match (folder, name) {
        // Three levels have one name: of a group, of an artifact, of a snapshot.
        ([_, ..], "maven-metadata.xml") => document(document::metadata, XML),
        // Signed anew with each version: not for good, as the signature of a release is.
        ([_, ..], "maven-metadata.xml.asc") => {
            let key = Place::of_document(folder).key(name, "signature");
            let signature = Metadata::opaque(key, from, content_type(name), layout::may_begin(name));
            Ok(Intent::Metadata(Metadata { checksum_siblings: Some(&SIBLINGS), ..signature }))
        }
        ([], "archetype-catalog.xml") => document(document::catalogue, XML),
        ([".meta"], "prefixes.txt") => document(document::prefixes, "text/plain; charset=utf-8"),
        ([group, _, _, ..], _) if !group.starts_with('.') && is_file(name) && checksum_sibling::split(name).is_none() => {
            let (place, kind, may_begin) = (Place::of_file(folder), content_type(name), layout::may_begin(name));
            if place.changes(name) {
                let file = Metadata::opaque(place.key(name, "snapshot"), from, kind, may_begin);
                return Ok(Intent::Metadata(Metadata { checksum_siblings: Some(&SIBLINGS), ..file }));
            }
            Ok(Intent::Artifact(Artifact {
                checksum_siblings: Some(&SIBLINGS),
                follows: layout::description,
                magic: layout::magic(name),
                may_begin,
                ..Artifact::at(place.key(name, "file"), Source::Layout(from), kind)
            }))
        }
        _ => Err(no_file()),
    }
}

fn no_file() -> Refusal {
    Refusal::NotFound("no file of a repository has this path".to_owned())
}
