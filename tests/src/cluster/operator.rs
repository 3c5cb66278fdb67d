//! The operator as a process: the chart's arguments, the chart's rights, the relay as its API server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::{fast_program, program};
use crate::client::{Ask, Client};
use crate::rig::Metrics;
use crate::wait::{until, within};

/// What an operator is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    identity: String,
    namespace: String,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    program: PathBuf,
}

/// The Lease of [`Setup::short_lease`]: long enough for a leader on a busy machine to renew it in time.
pub const SHORT_LEASE: Duration = Duration::from_secs(8);

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    identity: String,
    child: Child,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    pub(super) fn new(identity: &str, namespace: &str, kubeconfig: &Path, arguments: &[String]) -> Self {
        Self {
            identity: identity.to_owned(),
            namespace: namespace.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            arguments: arguments.to_vec(),
            program: program().to_owned(),
        }
        // Each scene has namespaces of its own: there is nobody who would have to notice.
        .flag("--scope-grace", "0s")
    }

    /// Sets a flag, in place of the chart's if it has it.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        let prefix = format!("{name}=");
        self.arguments.retain(|argument| !argument.starts_with(&prefix));
        self.arguments.push(format!("{prefix}{value}"));
        self
    }

    /// Runs the optimised program, for what is measured.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.program = fast_program();
        self
    }

    /// Makes the Lease short, so that a change of leaders is.
    #[must_use]
    pub fn short_lease(self) -> Self {
        let lease = format!("{}s", SHORT_LEASE.as_secs());
        self.flag("--lease-duration", &lease).flag("--renew-deadline", "4s").flag("--retry-period", "500ms")
    }

    /// Starts it.
    pub fn start(self) -> Operator {
        let setup = self.flag("--listen", "127.0.0.1:0");
        let mut command = Command::new(&setup.program);
        command.args(&setup.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What the machine is set up with must not change what the tests see.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.env("RUST_BACKTRACE", "0").env("KUBECONFIG", &setup.kubeconfig);
        command.env("POD_NAME", &setup.identity).env("POD_NAMESPACE", &setup.namespace);
        let mut child = command.kill_on_drop(true).spawn().expect("the operator starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("a piped output"), &lines);
        collect(child.stderr.take().expect("a piped output"), &lines);
        let pid = child.id().expect("a child that was not waited for has an id");
        Operator { identity: setup.identity, child, pid, lines }
    }
}

fn collect(output: impl AsyncRead + Unpin + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    tokio::spawn(async move {
        let mut reader = BufReader::new(output).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            lines.lock().push(line);
        }
    });
}

/// The address of the line with which it starts, whose fields may lie below `fields`.
fn listening(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = if line["fields"].is_object() { &line["fields"] } else { &line };
    (fields["message"] == "the operator starts").then(|| fields["listen"].as_str()?.parse().ok())?
}

impl Operator {
    /// Its name in the Lease.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("an own child can be signalled");
    }

    /// Waits for its end. Returns the exit code, `None` after a signal.
    pub async fn ended(&mut self) -> Option<i32> {
        let status = within(&format!("the end of {}", self.identity), self.child.wait()).await;
        status.expect("an own child can be waited for").code()
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Where it answers, as it says itself; `None` before that.
    fn address(&self) -> Option<SocketAddr> {
        self.lines.lock().iter().find_map(|line| listening(line))
    }

    /// The status of a path of its own port; `None` if it does not answer.
    pub async fn probe(&self, path: &str) -> Option<u16> {
        let open = Client::new(self.address()?).open(Ask::get(path)).await.ok()?;
        Some(open.finish().await.status.as_u16())
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        until("/readyz", || async { (self.probe("/readyz").await == Some(200)).then_some(()) }).await;
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        let address = until("the operator's port", || async { self.address() }).await;
        Metrics::parse(&Client::new(address).get("/metrics").await.expect_status(200).text())
    }

    /// What it wrote.
    pub fn logs(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// The largest resident size so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux gives VmHWM");
        let kilobytes = line.split_ascii_whitespace().nth(1).and_then(|value| value.parse::<u64>().ok());
        kilobytes.expect("a number of kB") * 1024
    }

    /// Seconds of processor time so far.
    pub fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("a running process");
        let fields = stat.rsplit_once(") ").expect("a name in parentheses").1;
        let ticks = |index: usize| fields.split(' ').nth(index).and_then(|word| word.parse::<u32>().ok());
        let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system).expect("two numbers of ticks");
        f64::from(total) / f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).expect("a small number"))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let lines = self.lines.lock();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "what the operator said explains why the test failed")]
            for line in lines.iter().skip(lines.len().saturating_sub(25)) {
                eprintln!("  {} | {line}", self.identity);
            }
        } else if let Some(line) = lines.iter().find(|line| line.contains("panicked at")) {
            panic!("the operator panicked: {line}");
        }
    }
}
