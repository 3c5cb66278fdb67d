//! An installed tree as names, modes and digests, and how two of them differ.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Everything below one folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Folder { mode: u32 },
    Link { target: PathBuf },
    File { mode: u32, sha256: Vec<u8> },
}

impl Tree {
    /// Reads everything below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let listing = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            for item in listing {
                let path = item.expect("a readable folder").path();
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                let metadata = fs::symlink_metadata(&path).expect("metadata");
                let mode = metadata.permissions().mode();
                let entry = if metadata.is_symlink() {
                    Entry::Link { target: fs::read_link(&path).expect("a link") }
                } else if metadata.is_dir() {
                    folders.push(path);
                    Entry::Folder { mode }
                } else {
                    Entry::File { mode, sha256: Sha256::digest(fs::read(&path).expect("a readable file")).to_vec() }
                };
                entries.insert(name, entry);
            }
        }
        Self { entries }
    }

    /// The number of files whose path ends so.
    pub(super) fn count(&self, end: &str) -> usize {
        self.entries.iter().filter(|(name, entry)| matches!(entry, Entry::File { .. }) && name.ends_with(end)).count()
    }

    /// One line for each path that is absent, new or different in `other`, apart from the paths of `except`: whole ones,
    /// or the name of a file wherever it lies, whose beginning may be `*`.
    pub(super) fn differences(&self, other: &Self, except: &[&str]) -> Vec<String> {
        let gone = self.entries.keys().filter(|name| !other.entries.contains_key(*name)).map(|name| ("absent", name));
        let others = other.entries.iter().filter_map(|(name, entry)| match self.entries.get(name) {
            None => Some(("new", name)),
            Some(own) if own != entry => Some(("different", name)),
            Some(_) => None,
        });
        gone.chain(others)
            .filter(|(_, name)| !except.iter().any(|except| is_excepted(name, except)))
            .map(|(how, name)| format!("{how}: {name}"))
            .collect()
    }
}

fn is_excepted(path: &str, except: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path == except || name == except || except.strip_prefix('*').is_some_and(|end| name.ends_with(end))
}

#[test]
fn names_are_excepted_wherever_they_lie() {
    for (except, expected) in
        [("a/b/c.x", true), ("c.x", true), ("*.x", true), ("b", false), ("a/b", false), ("x", false)]
    {
        assert_eq!(is_excepted("a/b/c.x", except), expected, "{except}");
    }
}

#[test]
fn a_tree_differs_by_name_mode_bytes_and_link() {
    let write = |root: &Path, name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for root in [one.path(), other.path()] {
        fs::create_dir(root.join("folder")).unwrap();
        for name in ["same", "bytes", "mode", "folder/excepted"] {
            write(root, name, "text");
        }
    }
    let differences = || Tree::read(one.path()).differences(&Tree::read(other.path()), &["folder/excepted"]);
    write(other.path(), "folder/excepted", "other");
    assert_eq!(differences(), Vec::<String>::new());

    write(one.path(), "gone", "text");
    write(other.path(), "folder/added", "text");
    write(other.path(), "bytes", "tex7");
    fs::set_permissions(other.path().join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("same", one.path().join("link")).unwrap();
    std::os::unix::fs::symlink("bytes", other.path().join("link")).unwrap();
    assert_eq!(
        differences(),
        ["absent: gone", "different: bytes", "new: folder/added", "different: link", "different: mode"]
    );
}
