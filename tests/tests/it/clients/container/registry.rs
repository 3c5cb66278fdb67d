//! Debian's docker-registry, open or with a token server of these tests.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clients::machine;

const PATIENCE: Duration = Duration::from_secs(30);
const ISSUER: &str = "token server of the tests";
const SERVICE: &str = "registry of the tests";

/// The account that may push, and pull what is private.
pub(crate) const ACCOUNT: (&str, &str) = ("alice", "pass word");

/// A running registry.
pub(crate) struct Registry {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    tokens: Option<TokenServer>,
}

impl Registry {
    /// One that is open to everybody.
    pub(super) fn open(folder: &Path) -> Self {
        Self::open_at(Ipv4Addr::LOCALHOST, folder)
    }

    /// The same on another address of the machine.
    pub(crate) fn open_at(ip: Ipv4Addr, folder: &Path) -> Self {
        Self::start(ip, folder, json!({}), None)
    }

    /// One that takes nothing but tokens: for pulls from `public/` everybody gets one.
    pub(super) fn with_tokens(folder: &Path) -> Self {
        Self::with_tokens_at(Ipv4Addr::LOCALHOST, folder)
    }

    /// The same on another address of the machine.
    pub(crate) fn with_tokens_at(ip: Ipv4Addr, folder: &Path) -> Self {
        let tokens = TokenServer::start(ip, folder);
        let auth = json!({"token": {
            "realm": tokens.realm(), "service": SERVICE, "issuer": ISSUER,
            "rootcertbundle": folder.join("tokens.crt"),
        }});
        Self::start(ip, folder, auth, Some(tokens))
    }

    fn start(ip: Ipv4Addr, folder: &Path, auth: Value, tokens: Option<TokenServer>) -> Self {
        let address = TcpListener::bind((ip, 0)).and_then(|free| free.local_addr()).expect("a free port");
        let mut settings = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": folder.join("registry")}},
            "http": {"addr": address.to_string()},
        });
        if tokens.is_some() {
            settings["auth"] = auth;
        }
        // JSON is YAML.
        let (file, log) = (folder.join("registry.yml"), folder.join("registry.log"));
        fs::write(&file, settings.to_string()).expect("a file");
        let output = File::create(&log).expect("a log");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stderr(output.try_clone().expect("a log")).stdout(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("docker-registry: {error}: run tests/install"));
        let registry = Self { child, address, log, tokens };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "{}", fs::read_to_string(&registry.log).unwrap_or_default());
            std::thread::yield_now();
        }
        registry
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests for tokens so far.
    pub(crate) fn tokens_asked(&self) -> usize {
        self.tokens.as_ref().map_or(0, |tokens| tokens.asked.load(Ordering::Relaxed))
    }

    /// How many requests for a path it has answered, whatever with, except that there is no such thing.
    pub(super) fn answered(&self, path: &str) -> usize {
        let log = fs::read_to_string(&self.log).expect("a log");
        let is_of = |line: &&str| line.contains(&format!("\"GET {path} ")) && !line.contains("\" 404 ");
        log.lines().filter(is_of).count()
    }

    /// Waits until it has noted such a request, which it does once the answer is gone.
    pub(super) fn until_answered(&self, path: &str) {
        let until = Instant::now() + PATIENCE;
        while self.answered(path) == 0 {
            assert!(Instant::now() < until, "{path} was never asked for");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Pushes a file as a blob.
    pub(super) fn push_blob(&self, repository: &str, digest: &str, file: &Path) {
        let uploads = format!("http://{}/v2/{repository}/blobs/uploads/", self.address);
        let mut start = Command::new("curl");
        let head = machine::run(start.args(["--silent", "--include", "--noproxy", "*", "--request", "POST", &uploads]));
        let location =
            head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place for the upload").trim();
        let separator = if location.contains('?') { '&' } else { '?' };
        let mut put = Command::new("curl");
        put.args(["--silent", "--fail", "--noproxy", "*", "--upload-file"]).arg(file);
        machine::run(put.arg(format!("{location}{separator}digest={digest}")));
    }

    /// Ends it: whoever asks from now on finds nobody.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(TcpStream::connect(self.address).is_err(), "the registry still answers");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives signed tokens to whoever may have them.
struct TokenServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl TokenServer {
    fn start(ip: Ipv4Addr, folder: &Path) -> Self {
        let (key, certificate) = (folder.join("tokens.key"), folder.join("tokens.crt"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens", "-keyout"]);
        machine::run(openssl.arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null()));
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                answer(&stream, &folder);
            }
        });
        Self { address, asked }
    }

    fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }
}

/// Reads one request and answers it.
fn answer(mut stream: &TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next().unwrap_or_default();
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (user, password) = ACCOUNT;
    let expected = format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()));
    let given = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    let reply = if line.starts_with("POST ") {
        // As many servers, which know the older way alone: the client goes on to ask by GET.
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
    } else if given.as_ref().is_some_and(|given| *given != expected) {
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
    } else {
        let body = json!({"token": token(&target, given.is_some(), folder), "expires_in": 300}).to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let _ = stream.write_all(reply.as_bytes());
}

/// A token for what the scopes of a request ask, as far as the one who asks may have it.
fn token(target: &str, known: bool, folder: &Path) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let scopes = query.split('&').filter_map(|part| part.strip_prefix("scope=")).map(decoded);
    let access: Vec<Value> = scopes
        .filter_map(|scope| {
            let mut parts = scope.splitn(3, ':').map(str::to_owned);
            let (kind, name, actions) = (parts.next()?, parts.next()?, parts.next()?);
            let allowed = |action: &&str| known || (*action == "pull" && name.starts_with("public/"));
            let actions: Vec<&str> = actions.split(',').filter(allowed).collect();
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
    let certificate = fs::read_to_string(folder.join("tokens.crt")).expect("a certificate");
    let der: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let claims = json!({
        "iss": ISSUER, "sub": "", "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now - 10, "jti": "1",
        "access": access,
    });
    let encoded = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(folder.join("tokens.key"));
    let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("openssl runs");
    child.stdin.take().expect("piped").write_all(signed.as_bytes()).expect("openssl reads");
    let signature = child.wait_with_output().expect("openssl ends").stdout;
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}
