//! Looks into a file that has arrived, before its end is released: whether it is what its kind is like, and the
//! digests that are not of its bytes in their order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::Cache;
use super::fill::Arrived;
use crate::digest::{Algorithm, Digest};
use crate::error::Error;
use crate::intent::{Artifact, Shape, Unexpected};
use crate::zip::{Zip, ZipError};

/// Longest text that is read to be understood.
const LONGEST_TEXT: u64 = 64 << 10;

/// What was found in a file.
#[derive(Debug, Default)]
struct Findings {
    /// Why it is not what its kind is like.
    wrong: Option<String>,
    /// Go's digest of a zip, where that was asked for.
    h1: Option<Digest>,
}

impl Findings {
    fn wrong(reason: String) -> Self {
        Self { wrong: Some(reason), h1: None }
    }
}

impl Cache {
    /// Looks into a file that has arrived: refuses one that is not what its kind is like, and adds the digests that
    /// are published and made of its content. Where there is no file, these are left out of what is compared.
    pub(super) async fn look_into(
        &self,
        artifact: &Artifact,
        body: &mut Arrived,
        published: &mut Vec<Digest>,
        file: Option<Arc<File>>,
        upstream: &str,
    ) -> Result<(), Error> {
        let of_content = published.iter().find(|digest| is_of_content(digest)).cloned();
        if matches!(artifact.shape, Shape::Opaque) {
            return Ok(());
        }
        let Some(file) = file else {
            // The cache is never the reason that a build fails; clients of such digests compare them themselves.
            if of_content.is_some() {
                self.note_unverified(artifact);
                published.retain(|digest| !is_of_content(digest));
            }
            return Ok(());
        };
        let findings = self.examine(artifact, file, body.length, of_content.is_some()).await?;
        body.digests.extend(findings.h1);
        match (findings.wrong, of_content) {
            (None, _) => Ok(()),
            (Some(found), Some(expected)) => {
                Err(Error::Mismatch { upstream: upstream.to_owned(), expected: expected.to_string(), found })
            }
            (Some(reason), None) => Err(Error::Unexpected {
                upstream: upstream.to_owned(),
                reason: Unexpected(format!("a file that is not what it should be: {reason}")),
            }),
        }
    }

    async fn examine(&self, artifact: &Artifact, file: Arc<File>, length: u64, h1: bool) -> Result<Findings, Error> {
        let (shape, key) = (artifact.shape, artifact.key.clone());
        let work = move || match shape {
            Shape::Opaque => Ok(Findings::default()),
            Shape::ZipOf(folder) => of_zip(&file, length, &folder(&key), h1),
            Shape::Text(understand) => of_text(&file, length, |text| understand(&key, text)),
        };
        self.engine.workshop.run(work).await?.map_err(|error| Error::Storage(Arc::new(error)))
    }

    /// Notes that a file is passed on without the comparison that was asked for.
    fn note_unverified(&self, artifact: &Artifact) {
        self.engine.metrics.unverified.get_or_create(&self.label()).inc();
        tracing::warn!(proxy = %self.settings.name, package.name = %artifact.key.package,
            package.version = %artifact.key.version, package.file = %artifact.key.file,
            "passed on unverified: the disk does not take the file, and its digest needs all of it");
    }
}

fn of_zip(file: &File, length: u64, folder: &str, h1: bool) -> io::Result<Findings> {
    let look = || {
        let zip = Zip::open(file, length)?;
        if !zip.lies_in(folder) {
            return Err(ZipError::Broken("a file lies outside of the folder of its version"));
        }
        h1.then(|| zip.h1()).transpose()
    };
    match look() {
        Ok(h1) => Ok(Findings { wrong: None, h1 }),
        // The disk's fault, not the file's.
        Err(ZipError::Io(error)) if error.raw_os_error().is_some() => Err(error),
        Err(error) => Ok(Findings::wrong(error.to_string())),
    }
}

fn of_text(file: &File, length: u64, understand: impl FnOnce(&str) -> Result<(), Unexpected>) -> io::Result<Findings> {
    if length > LONGEST_TEXT {
        return Ok(Findings::wrong("it is too long".to_owned()));
    }
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, 0)?;
    Ok(match std::str::from_utf8(&text).map(understand) {
        Ok(Ok(())) => Findings::default(),
        Ok(Err(Unexpected(reason))) => Findings::wrong(reason),
        Err(_) => Findings::wrong("it is not UTF-8".to_owned()),
    })
}

/// Whether a digest is made of what is inside of a file.
fn is_of_content(digest: &Digest) -> bool {
    digest.algorithm() == Algorithm::H1Zip
}
