//! Where clients install to.
//!
//! ext4 does not hand out the number of a file that was deleted in the last minutes and looks through all of them for
//! another one (`recently_deleted` in its `ialloc.c`). These tests delete whole installations and make them again,
//! which cost the later of two equal installations four times the time of the first. In memory there is no such thing.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::machine::tests_folder;

/// The file system in memory that every Linux has.
const MEMORY: &str = "/dev/shm";
/// More than the largest installation takes, and the client beside it.
const ROOM: u64 = 8 << 30;

/// A folder that is empty at first, at the same path each time, and gone afterwards. In memory where there is room.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let tests = tests_folder();
        // Of this checkout: another one may run its tests, too.
        let number = fs::metadata(&tests).expect("a folder").ino();
        let memory = Path::new(MEMORY).join(format!("packageproxy-tests-{number}"));
        let folder = if has_room() { memory } else { tests.join(".work/scratch") }.join(name);
        remove(&folder);
        fs::create_dir_all(&folder).expect("a scratch folder");
        Self(folder)
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What made a test fail is worth more than that a folder could not be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what a run has left, if it has.
pub(super) fn remove(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
}

/// Whether programs may be run there, and both it and the memory behind it have room.
fn has_room() -> bool {
    let Ok(found) = statvfs(MEMORY) else { return false };
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    let available = available.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() << 10;
    let fits = found.f_bavail.saturating_mul(found.f_frsize).min(available) >= ROOM;
    fits && !found.f_flag.contains(StatVfsMountFlags::NOEXEC)
}
