//! What was stored without waiting for the disk is no truth after a power loss: files may have their length and not
//! their bytes. So the store notes under which boot of the machine it was written like that, and starts anew after
//! another.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Puts stored things aside that a power loss may have damaged, for the survey to remove, and notes this boot if
/// this process will not wait for the disk. Does nothing where a boot has no name.
pub(super) fn settle(root: &Path, durable: bool) -> io::Result<()> {
    match current() {
        Some(current) => settle_at(root, durable, &current),
        None => Ok(()),
    }
}

/// The kernel's name for this boot; other systems than Linux have none.
fn current() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn settle_at(root: &Path, durable: bool, current: &str) -> io::Result<()> {
    let note = root.join("boot");
    let noted = match fs::read_to_string(&note) {
        Ok(noted) => Some(noted),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(noted) = &noted
        && noted.trim() != current
    {
        set_aside(root)?;
        fs::remove_file(&note)?;
        tracing::info!(storage = %root.display(), "the machine was started anew: what was stored unsafely is dropped");
    }
    if !durable && noted.is_none_or(|noted| noted.trim() != current) {
        let mut file = File::create(&note)?;
        file.write_all(current.as_bytes())?;
        // The note has to be there before anything that it warns of.
        file.sync_all()?;
        File::open(root)?.sync_all()?;
    }
    Ok(())
}

/// Moves everything stored to where spools lie; nobody's lock keeps it from being swept there.
fn set_aside(root: &Path) -> io::Result<()> {
    let spools = root.join("spool");
    fs::create_dir_all(&spools)?;
    match fs::rename(root.join("owners"), spools.join(format!("owners.{:016x}", fastrand::u64(..)))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_drops_what_was_written_unsafely_and_nothing_else() {
        for (first, second, boot, kept) in [
            (false, false, "b", false),
            (false, true, "b", false),
            (false, false, "a", true),
            (false, true, "a", true),
            (true, false, "b", true),
            (true, true, "b", true),
        ] {
            let root = tempfile::tempdir().unwrap();
            settle_at(root.path(), first, "a").unwrap();
            fs::create_dir_all(root.path().join("owners/team")).unwrap();
            settle_at(root.path(), second, boot).unwrap();
            assert_eq!(root.path().join("owners/team").exists(), kept, "{first} {second} {boot}");
            // Opened once more under the same boot, nothing more happens.
            fs::create_dir_all(root.path().join("owners/team")).unwrap();
            settle_at(root.path(), second, boot).unwrap();
            assert!(root.path().join("owners/team").exists());
        }
    }
}
