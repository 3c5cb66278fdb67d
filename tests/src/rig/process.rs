//! One run of the program: starts it, learns its ports from its log, keeps every line that it writes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::wait::until;

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    /// Where it serves.
    pub(super) data: SocketAddr,
    /// Where it is administered.
    pub(super) admin: SocketAddr,
}

impl Process {
    /// Starts the program and waits for its line `listening`.
    pub(super) async fn start(program: &Path, arguments: &[String], environment: &[(String, String)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // What the machine is set up with must not change what the tests see.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        // A panic's place is one line; its backtrace would push everything else out of sight.
        command.env("RUST_BACKTRACE", "0");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {}: {error}", program.display()),
        };
        let pid = child.id().expect("a child that was not waited for has an id");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            collect(child.stdout.take().expect("a piped output"), &lines),
            collect(child.stderr.take().expect("a piped output"), &lines),
        ];
        let exited = Mutex::new(&mut child);
        let (data, admin) = until("the line `listening`", || async {
            if let Some(addresses) = lines.lock().iter().find_map(|line| listening(line)) {
                return Some(addresses);
            }
            if let Ok(Some(status)) = exited.lock().try_wait() {
                panic!("{} ended with {status} before it listened: {:#?}", program.display(), lines.lock());
            }
            None
        })
        .await;
        Self { child, pid, lines, readers, data, admin }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("an own child can be signalled");
    }

    /// Waits for the end and for the last log line.
    pub(super) async fn wait(&mut self) -> Option<i32> {
        let status = self.child.wait().await.expect("an own child can be waited for");
        for reader in self.readers.drain(..) {
            let _ = reader.await;
        }
        status.code()
    }

    pub(super) fn logs(&self) -> Vec<String> {
        self.lines.lock().clone()
    }
}

fn collect(output: impl AsyncRead + Unpin + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    tokio::spawn(async move {
        let mut reader = BufReader::new(output).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            lines.lock().push(line);
        }
    })
}

/// The addresses of a line `{"message":"listening","data":..,"admin":..}`, whose fields may lie below `fields`.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = if line["fields"].is_object() { &line["fields"] } else { &line };
    if fields["message"] != "listening" && line["message"] != "listening" {
        return None;
    }
    let address = |name: &str| fields[name].as_str()?.parse().ok();
    Some((address("data")?, address("admin")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_listening() {
        let flat = r#"{"level":"INFO","message":"listening","data":"127.0.0.1:1","admin":"127.0.0.1:2"}"#;
        let nested = r#"{"fields":{"message":"listening","data":"127.0.0.1:1","admin":"127.0.0.1:2"}}"#;
        for line in [flat, nested] {
            let (data, admin) = listening(line).unwrap();
            assert_eq!((data.port(), admin.port()), (1, 2));
        }
        for other in ["", "listening", r#"{"message":"stopped"}"#, r#"{"message":"listening"}"#] {
            assert_eq!(listening(other), None);
        }
    }

    #[tokio::test]
    async fn a_program_is_started_read_and_ended() {
        let script = r#"echo '{"message":"listening","data":"127.0.0.1:1","admin":"127.0.0.1:2"}' >&2; exec sleep 600"#;
        let mut process = Process::start(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], &[]).await;
        assert_eq!(process.data.port(), 1);
        process.signal(Signal::KILL);
        assert_eq!(process.wait().await, None);
        assert_eq!(process.logs().len(), 1);
    }
}
