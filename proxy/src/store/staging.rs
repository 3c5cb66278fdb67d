//! A file that is being written and may become a blob or a record. Dropped before its commit, it leaves nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::health::{Health, Step};

/// A file in the spool directory.
#[derive(Debug)]
pub struct Staging {
    file: Arc<File>,
    path: Option<PathBuf>,
    health: Arc<Health>,
}

impl Staging {
    /// Takes charge of a new file.
    pub(super) fn new(file: File, path: PathBuf, health: Arc<Health>) -> Self {
        Self { file: Arc::new(file), path: Some(path), health }
    }

    /// The file, readable while it is written and after its commit.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Bytes written.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes at an offset; the store learns of a failure. Blocks on the disk.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset).inspect_err(|error| self.health.report(error, Step::Staging))
    }

    /// Gives it up at once. Blocks on the disk.
    pub(super) fn remove(mut self) {
        if let Some(path) = self.path.take() {
            let _ = fs::remove_file(path);
        }
    }

    /// Moves the file to its final name: data to disk, rename, directory to disk. Blocks on the disk.
    pub(super) fn commit(mut self, target: &Path, durable: bool) -> io::Result<()> {
        let Some(path) = self.path.as_ref() else { return Ok(()) };
        if durable {
            // After a failed fsync the kernel may drop the data and report success next time: never tried twice.
            self.file.sync_data()?;
        }
        let directory = target.parent().unwrap_or(Path::new("/"));
        if let Err(error) = fs::rename(path, target) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::create_dir_all(directory)?;
            fs::rename(path, target)?;
        }
        self.path = None;
        if durable {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let file = Arc::clone(&self.file);
        let remove = move || {
            let _ = fs::remove_file(path);
            // The last one who closes it may wait for its blocks to be freed.
            drop(file);
        };
        // Often given up by a task, whose thread serves others: it must not wait for the disk.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use crate::store::tests::open;

    #[test]
    fn a_task_that_gives_up_a_file_does_not_wait_for_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let path = runtime.block_on(async {
            let staging = open(&root, 1 << 20).stage().unwrap();
            let path = staging.path.clone().unwrap();
            // The disk hangs: the one thread that may wait for it does.
            let (disk_answers, hangs) = mpsc::channel::<()>();
            let hanging = tokio::task::spawn_blocking(move || hangs.recv());
            drop(staging);
            assert!(path.exists(), "removed on the thread of the task");
            disk_answers.send(()).unwrap();
            hanging.await.unwrap().unwrap();
            path
        });
        // Waits for what is left to do.
        drop(runtime);
        assert!(!path.exists());
    }
}
