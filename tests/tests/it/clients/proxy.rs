//! The release build of `packageproxy`, as a user starts it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::machine;
use super::report::target_folder;

/// How long the program may take to say that it listens, and to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the proxy reaches its upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// As the machine does.
    Open,
    /// Every request to an upstream is sent to a port on which nothing listens.
    Cut,
}

/// A running `packageproxy serve`.
pub(super) struct Proxy {
    child: Child,
    /// Closes when the program does.
    log: Receiver<SocketAddr>,
    address: SocketAddr,
}

impl Proxy {
    /// Starts the program with an empty or a kept storage. `folder` takes the log.
    pub(super) fn start(manifests: &Path, folder: &Path, address: SocketAddr, network: Network) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").arg("-f").arg(manifests);
        command.arg("--listen").arg(address.to_string()).args(["--admin", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--storage").arg(folder.join("storage"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if network == Network::Cut {
            let closed = format!("http://{}", closed_address());
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
                command.env(name, &closed);
            }
            command.env("NO_PROXY", "").env("no_proxy", "");
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let copy = fs::OpenOptions::new().create(true).append(true).open(folder.join("proxy.log")).expect("a log file");
        std::thread::spawn(move || follow(lines, copy, &sender));
        let Ok(address) = log.recv_timeout(PATIENCE) else {
            // The child is not yet owned by anything that would end it.
            let _ = child.kill();
            let text = fs::read_to_string(folder.join("proxy.log")).unwrap_or_default();
            panic!("packageproxy did not say that it listens:\n{text}");
        };
        Self { child, log, address }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients find the registry of this name; ends in `/`.
    pub(super) fn base(&self, name: &str) -> String {
        format!("http://{}/{name}/", self.address)
    }

    /// A line of the process's status that is a size, in bytes.
    pub(super) fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("Linux gives sizes");
        line.split_ascii_whitespace().next().and_then(|value| value.parse::<u64>().ok()).expect("a number of kB") << 10
    }

    /// Ends the program as an operating system does, and waits until it is gone.
    pub(super) fn stop(mut self) {
        machine::run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        let ended = self.log.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected);
        assert!(ended, "packageproxy did not end after SIGTERM");
        let status = self.child.wait().expect("the program's end");
        assert!(status.success(), "packageproxy ended with {status}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test.
pub(super) fn program() -> PathBuf {
    let built = || target_folder().join("release/packageproxy");
    let program = std::env::var_os("PACKAGEPROXY_BIN_RELEASE").map_or_else(built, PathBuf::from);
    assert!(program.exists(), "{} is absent: cargo build --release", program.display());
    program
}

/// The command for a client that `packageproxy client` prints.
pub(super) fn printed_command(client: &str, arguments: &[&str]) -> String {
    let printed = machine::run(Command::new(program()).arg("client").args(arguments));
    let title = format!("# {client}");
    let mut lines = printed.lines().skip_while(|line| *line != title).skip(1);
    lines.next().unwrap_or_else(|| panic!("nothing for {client}: {printed}")).to_owned()
}

/// Writes the manifests that `packageproxy init` finds on this machine.
pub(super) fn init(path: &Path) {
    let manifests = machine::run(Command::new(program()).arg("init").stdin(Stdio::null()));
    File::create(path).and_then(|mut file| file.write_all(manifests.as_bytes())).expect("a manifest file");
}

/// The answer's status code and whole text, asked for with curl.
pub(super) fn get(url: &str, headers: &[&str]) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "60", url]);
    for header in headers {
        command.args(["--header", header]);
    }
    let text = machine::run(&mut command);
    let code = text.split_ascii_whitespace().nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or_else(|| panic!("no status line in {text:?}")), text)
}

/// Copies the log and reports the address of the line that says `listening`; the channel closes with the log.
fn follow(lines: impl BufRead, mut copy: File, sender: &Sender<SocketAddr>) {
    for line in lines.lines().map_while(Result::ok) {
        let _ = writeln!(copy, "{line}");
        if let Some(address) = listening(&line) {
            let _ = sender.send(address);
        }
    }
}

/// The data port's address, if the line is the one that names it.
fn listening(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str();
    (field("message")? == "listening").then(|| field("data")?.parse().ok())?
}

/// An address on which nothing listens.
pub(super) fn closed_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a loopback port")
}

#[test]
fn the_line_that_names_the_data_port() {
    let address = Some("127.0.0.1:4711".parse().unwrap());
    let cases = [
        (r#"{"level":"INFO","fields":{"message":"listening","data":"127.0.0.1:4711","admin":"127.0.0.1:1"}}"#, address),
        (r#"{"level":"INFO","message":"listening","data":"127.0.0.1:4711"}"#, address),
        (r#"{"message":"listening"}"#, None),
        (r#"{"message":"request","data":"127.0.0.1:4711"}"#, None),
        ("listening", None),
    ];
    for (line, expected) in cases {
        assert_eq!(listening(line), expected, "{line}");
    }
}
