//! Runs the built program with manifests and a storage folder of its own, and shows what it says: answers, logs,
//! metrics, status.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Ask, Client};
use crate::wait::{until, within};

pub use manifest::Manifest;
pub use metrics::Metrics;
use process::Process;

mod binary;
mod manifest;
mod metrics;
mod process;

/// The program as it runs in one test. Dropping it kills the process and removes the folder, unless the storage is
/// elsewhere.
#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
    setup: Setup,
    process: Option<Process>,
    /// Log lines of processes that have ended.
    past: Vec<String>,
}

/// What a [`Rig`] is started with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    manifests: Vec<Manifest>,
    secrets: BTreeMap<(String, String), String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    storage: Option<PathBuf>,
    program: Option<PathBuf>,
}

/// The program under test.
pub fn program() -> &'static Path {
    binary::path()
}

impl Setup {
    /// Adds a proxy.
    #[must_use]
    pub fn manifest(mut self, manifest: Manifest) -> Self {
        self.manifests.push(manifest);
        self
    }

    /// Adds one key of a secret, below `--secrets`.
    #[must_use]
    pub fn secret(mut self, name: &str, key: &str, value: &str) -> Self {
        self.secrets.insert((name.to_owned(), key.to_owned()), value.to_owned());
        self
    }

    /// Adds an argument of `serve`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets an environment variable of the process.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the cache here instead of in the rig's own folder.
    #[must_use]
    pub fn storage(mut self, folder: &Path) -> Self {
        self.storage = Some(folder.to_owned());
        self
    }

    /// Runs this program instead of the one that cargo builds.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Starts the program and waits until it listens.
    pub async fn start(self) -> Rig {
        let folder = TempDir::new().expect("a temporary folder");
        let mut rig = Rig { folder, setup: self, process: None, past: Vec::new() };
        rig.write_configuration();
        rig.start().await;
        rig
    }
}

impl Rig {
    /// Starts a program with these proxies and nothing else.
    pub async fn serve(manifests: impl IntoIterator<Item = Manifest>) -> Self {
        manifests.into_iter().fold(Setup::default(), Setup::manifest).start().await
    }

    /// Starts the program again after [`Self::stop`] or [`Self::kill`], on other ports and the same storage.
    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "the program is running already");
        let mut arguments: Vec<String> =
            ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"]
                .map(str::to_owned)
                .to_vec();
        for (flag, value) in [("-f", self.manifests()), ("--storage", self.storage()), ("--secrets", self.secrets())] {
            arguments.extend([flag.to_owned(), value.display().to_string()]);
        }
        arguments.extend(self.setup.arguments.iter().cloned());
        let program = self.setup.program.clone().unwrap_or_else(|| binary::path().to_owned());
        self.process = Some(Process::start(&program, &arguments, &self.setup.environment).await);
    }

    /// SIGINT, which ends the program without the wait for a cluster that SIGTERM has, and waits for the end.
    pub async fn stop(&mut self) {
        self.signal(Signal::INT);
        self.ended().await;
    }

    /// SIGTERM, and waits for the end. Returns the exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for the end of the process. Returns the exit code, `None` after a signal.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the program runs");
        let code = within("the end of the program", process.wait()).await;
        self.past.extend(process.logs());
        code
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Ends the process in an orderly way and starts it again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    /// Runs another command of the program to its end and returns its exit code and what it printed. `{admin}` in an
    /// argument stands for the address of the admin port.
    pub async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let program = self.setup.program.clone().unwrap_or_else(|| binary::path().to_owned());
        let admin = self.process().admin.to_string();
        let mut command = tokio::process::Command::new(program);
        command.args(arguments.iter().map(|argument| argument.replace("{admin}", &admin)));
        let output = within("the end of a command", command.kill_on_drop(true).output()).await;
        let output = output.expect("the program starts");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the program runs")
    }

    /// The folder of the manifests.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// The folder of the secrets.
    pub fn secrets(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    /// The folder of the cache.
    pub fn storage(&self) -> PathBuf {
        self.setup.storage.clone().unwrap_or_else(|| self.folder.path().join("storage"))
    }

    fn write_configuration(&self) {
        for folder in [self.manifests(), self.secrets(), self.storage()] {
            fs::create_dir_all(folder).expect("a writable folder");
        }
        for manifest in &self.setup.manifests {
            self.write_manifest(manifest);
        }
        for ((name, key), value) in &self.setup.secrets {
            self.write_secret(name, key, value);
        }
    }

    /// Writes or replaces the file of one proxy.
    pub fn write_manifest(&self, manifest: &Manifest) {
        self.write_raw_manifest(manifest.name(), &manifest.to_string());
    }

    /// Writes or replaces a manifest file with any text, in one step.
    pub fn write_raw_manifest(&self, name: &str, text: &str) {
        replace(&self.manifests().join(format!("{name}.yaml")), text);
    }

    /// Writes or replaces one key of a secret, in one step.
    pub fn write_secret(&self, name: &str, key: &str, value: &str) {
        let folder = self.secrets().join(name);
        fs::create_dir_all(&folder).expect("a writable folder");
        replace(&folder.join(key), value);
    }

    /// The address of the data port.
    pub fn data(&self) -> SocketAddr {
        self.process().data
    }

    /// A client of the data port.
    pub fn client(&self) -> Client {
        Client::new(self.process().data)
    }

    /// A client of the admin port.
    pub fn admin(&self) -> Client {
        Client::new(self.process().admin)
    }

    /// GET on the data port.
    pub async fn get(&self, path: &str) -> Answer {
        self.client().get(path).await
    }

    /// A request on the data port.
    pub async fn send(&self, ask: Ask) -> Answer {
        self.client().send(ask).await
    }

    /// GETs a path until it is answered from the store alone: what was filled before has been committed.
    pub async fn until_hit(&self, path: &str) -> Answer {
        until(&format!("a hit for {path}"), || async {
            let answer = self.get(path).await;
            (answer.status == 200 && answer.is_hit()).then_some(answer)
        })
        .await
    }

    /// Returns once nothing is under way any more and the storage folder no longer changes: answers never wait for the
    /// disk, so that a hit alone does not show that a crash would leave what it was answered from.
    pub async fn until_written(&self) {
        let mut last = Vec::new();
        let mut quiet = 0;
        within("the storage folder to come to rest", async {
            while quiet < 10 {
                let at_rest = self.under_way().await == 0;
                let mut now = self.stored_files();
                now.sort();
                quiet = if at_rest && now == last && !now.is_empty() { quiet + 1 } else { 0 };
                last = now;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
        .await;
    }

    /// How many fetches and commits are under way.
    async fn under_way(&self) -> u64 {
        let status = self.status().await;
        let proxies = status["proxies"].as_array().into_iter().flatten();
        proxies.map(|proxy| proxy["cache"]["underWay"].as_u64().expect("a number")).sum()
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin().get("/metrics").await.expect_status(200).text())
    }

    /// `/status`.
    pub async fn status(&self) -> Value {
        let answer = self.admin().get("/status").await.expect_status(200);
        serde_json::from_slice(answer.bytes()).expect("/status is JSON")
    }

    /// Every line that the program has written to its outputs, earlier runs included.
    pub fn logs(&self) -> Vec<String> {
        let mut lines = self.past.clone();
        lines.extend(self.process.iter().flat_map(Process::logs));
        lines
    }

    /// Returns the first log line that contains all these texts.
    pub async fn logged(&self, texts: &[&str]) -> String {
        until(&format!("a log line with {texts:?}"), || async {
            self.logs().into_iter().find(|line| texts.iter().all(|text| line.contains(text)))
        })
        .await
    }

    /// The largest resident size of the process so far, in bytes (`VmHWM`).
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux gives VmHWM");
        let kilobytes = line.split_ascii_whitespace().nth(1).and_then(|value| value.parse::<u64>().ok());
        kilobytes.expect("a number of kB") * 1024
    }

    /// Every file below the storage, in no order.
    pub fn stored_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.storage()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(_) => found.push(entry.path()),
                    Err(_) => {}
                }
            }
        }
        found
    }

    /// Bytes that the storage takes: every file below it, and those that are deleted but still open.
    pub fn disk_use(&self) -> u64 {
        let storage = self.storage();
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let is_deleted = |path: &PathBuf| {
            fs::read_link(path)
                .is_ok_and(|link| link.starts_with(&storage) && link.to_string_lossy().ends_with(" (deleted)"))
        };
        let deleted = open.map(|entry| entry.path()).filter(is_deleted);
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        self.stored_files().into_iter().chain(deleted).map(length).sum()
    }

    /// The stored files that hold exactly these bytes.
    pub fn stored_copies(&self, bytes: &[u8]) -> Vec<PathBuf> {
        let same_length = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.len() == bytes.len() as u64);
        let mut files = self.stored_files();
        files.retain(|path| same_length(path) && fs::read(path).is_ok_and(|found| found == bytes));
        files
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let panicked = self.logs().into_iter().find(|line| line.contains("panicked at"));
        if std::thread::panicking() {
            let logs = self.logs();
            let last = &logs[logs.len().saturating_sub(40)..];
            #[expect(clippy::print_stderr, reason = "what the program said explains why the test failed")]
            for line in last {
                eprintln!("  | {line}");
            }
        } else if let Some(line) = panicked {
            panic!("the program panicked: {line}");
        }
    }
}

/// Replaces a file in one step, as configuration managers do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("a writable folder");
    fs::rename(&beside, path).expect("a writable folder");
}
