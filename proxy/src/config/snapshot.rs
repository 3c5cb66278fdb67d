//! Reads all bytes of the configuration at once, so that what is interpreted is what was compared.

use std::collections::hash_map::{DefaultHasher, RandomState};
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use sha2::{Digest as _, Sha256};

use super::Problem;

/// Largest manifest file in bytes.
const FILE_LIMIT: u64 = 4 << 20;
/// Largest value of a Secret or ConfigMap in bytes: what Kubernetes allows for the whole object.
const SECRET_LIMIT: u64 = 1 << 20;

/// Identifies the content of a configuration, whatever its times and inodes, within one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// The key of all fingerprints: whoever writes a manifest cannot make it look like the one before.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The content of the configuration at one time.
pub(super) struct Snapshot {
    /// Path and text of each manifest file.
    pub(super) files: Vec<(PathBuf, String)>,
    /// What the directory of Secrets holds: name, key and bytes.
    pub(super) secrets: Vec<(String, String, Vec<u8>)>,
    /// Manifests that could not be read.
    pub(super) problems: Vec<Problem>,
    /// Secrets that could not be read: whoever needs one of them says so, the others go on.
    pub(super) secret_problems: Vec<Problem>,
    /// Of all of it.
    pub(super) fingerprint: Fingerprint,
}

impl Snapshot {
    /// SHA-256 of the manifests one after the other, in hexadecimal digits: of one file what `sha256sum` says.
    pub(super) fn sha256(&self) -> String {
        let manifests = self.files.iter().fold(Sha256::new(), |hasher, (_, text)| hasher.chain_update(text));
        data_encoding::HEXLOWER.encode(&manifests.finalize())
    }
}

/// Reads everything; what cannot be read is a problem and part of the fingerprint.
pub(super) fn take(sources: &[PathBuf], secrets_dir: Option<&Path>) -> Snapshot {
    let mut reader = Reader { hasher: KEY.build_hasher(), problems: Vec::new() };
    let mut files = Vec::new();
    for source in sources {
        // As a rule it is a file, which is not asked for more than its bytes: this happens once a second.
        let manifests = match read(source, FILE_LIMIT) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                let paths = reader.manifests(source).into_iter();
                paths.map(|path| (read(&path, FILE_LIMIT), path)).collect()
            }
            outcome => vec![(outcome, source.clone())],
        };
        for (outcome, path) in manifests {
            let Some(bytes) = reader.take(&path, FILE_LIMIT, outcome) else { continue };
            match String::from_utf8(bytes) {
                Ok(text) => files.push((path, text)),
                Err(_) => reader.problem(&path, "is not UTF-8 text", "name a YAML or JSON file"),
            }
        }
    }
    let problems = std::mem::take(&mut reader.problems);
    let secrets = secrets_dir.map_or_else(Vec::new, |directory| reader.secrets(directory));
    let Reader { hasher, problems: secret_problems } = reader;
    Snapshot { files, secrets, problems, secret_problems, fingerprint: Fingerprint(hasher.finish()) }
}

/// Standard input, as `-f -` names it: read once, since it comes only once.
static STANDARD_INPUT: OnceLock<Vec<u8>> = OnceLock::new();

/// A file, or standard input for `-`.
fn open(path: &Path) -> io::Result<Box<dyn io::Read>> {
    if path != Path::new("-") {
        return Ok(Box::new(File::open(path)?));
    }
    let bytes = STANDARD_INPUT.get_or_init(|| {
        let mut bytes = Vec::new();
        // What can be read is interpreted; a broken pipe shows as a broken manifest.
        let _ = io::stdin().lock().take(FILE_LIMIT + 1).read_to_end(&mut bytes);
        bytes
    });
    Ok(Box::new(bytes.as_slice()))
}

/// The bytes of a file, up to one more than a limit.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Room for most files: it is done with two reads.
    let mut bytes = Vec::with_capacity(4 << 10);
    open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Reader {
    hasher: DefaultHasher,
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, path: &Path, message: impl Into<String>, remedy: &str) {
        let problem = Problem::of_file(path, message, remedy);
        self.hash(problem.to_string().as_bytes());
        self.problems.push(problem);
    }

    /// Hashes with the length in front, so that no two contents run together to the same bytes.
    fn hash(&mut self, bytes: &[u8]) {
        self.hasher.write_usize(bytes.len());
        self.hasher.write(bytes);
    }

    /// The manifests of a directory, sorted.
    fn manifests(&mut self, source: &Path) -> Vec<PathBuf> {
        let paths = self.entries(source);
        let paths: Vec<PathBuf> = paths.into_iter().filter(|path| is_manifest(path)).collect();
        if paths.is_empty() {
            self.problem(source, "holds no *.yaml, *.yml or *.json file", "name the file, or another directory");
        }
        paths
    }

    /// What a directory holds, sorted, without the `..data` by which Kubernetes exchanges a mounted volume.
    fn entries(&mut self, directory: &Path) -> Vec<PathBuf> {
        let listed = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        match listed {
            Ok(entries) => {
                let hidden =
                    |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
                let mut paths: Vec<PathBuf> =
                    entries.into_iter().map(|entry| entry.path()).filter(|path| !hidden(path)).collect();
                paths.sort();
                paths
            }
            Err(error) => {
                self.problem(directory, format!("cannot be listed: {error}"), "check that it exists and may be read");
                Vec::new()
            }
        }
    }

    /// The bytes that a file turned out to have.
    fn take(&mut self, path: &Path, limit: u64, outcome: io::Result<Vec<u8>>) -> Option<Vec<u8>> {
        match outcome {
            Ok(bytes) if bytes.len() as u64 > limit => {
                self.problem(path, format!("is larger than {limit} bytes"), "split it");
                None
            }
            Ok(bytes) => {
                self.hash(path.as_os_str().as_encoded_bytes());
                self.hash(&bytes);
                Some(bytes)
            }
            Err(error) => {
                self.problem(path, format!("cannot be read: {error}"), "check that it exists and may be read");
                None
            }
        }
    }

    /// Reads `<directory>/<secret>/<key>`; files on the first level belong to nobody and are ignored.
    fn secrets(&mut self, directory: &Path) -> Vec<(String, String, Vec<u8>)> {
        let mut secrets = Vec::new();
        for secret in self.entries(directory).into_iter().filter(|path| path.is_dir()) {
            for key in self.entries(&secret).into_iter().filter(|path| path.is_file()) {
                if let (Some(name), Some(key_name)) = (text_name(&secret), text_name(&key))
                    && let Some(bytes) = self.take(&key, SECRET_LIMIT, read(&key, SECRET_LIMIT))
                {
                    secrets.push((name, key_name, bytes));
                }
            }
        }
        secrets
    }
}

fn text_name(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(ToOwned::to_owned)
}

fn is_manifest(path: &Path) -> bool {
    let known =
        path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
    known && path.is_file()
}
