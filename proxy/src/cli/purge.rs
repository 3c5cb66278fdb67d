//! The command `purge`: asks a running proxy, on its admin port, to forget a package.

use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::serve::DEFAULT_ADMIN;

/// What to drop from which running proxy.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PurgeArguments {
    /// The proxy's metadata.name.
    #[arg(long, value_name = "NAME")]
    pub proxy: String,
    /// The package.
    #[arg(long, value_name = "NAME")]
    pub package: String,
    /// Only this version.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Address of the admin port.
    #[arg(long, value_name = "ADDRESS", default_value_t = DEFAULT_ADMIN, env = "PACKAGEPROXY_ADMIN")]
    pub admin: SocketAddr,
}

/// How long the proxy may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks and prints the answer; fails if the proxy refuses.
pub fn run(arguments: &PurgeArguments, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("proxy", &arguments.proxy).append_pair("package", &arguments.package);
    if let Some(version) = &arguments.version {
        query.append_pair("version", version);
    }
    let answer = match post(arguments.admin, &format!("/purge?{}", query.finish())) {
        Ok(answer) => answer,
        Err(error) => {
            writeln!(io::stderr(), "packageproxy: no proxy answers at {}: {error}", arguments.admin)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    out.write_all(body.as_bytes())?;
    Ok(if head.contains(" 200 ") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One request of HTTP/1.0, whose answer ends with the connection: not worth an HTTP client.
fn post(admin: SocketAddr, target: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "POST {target} HTTP/1.0\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    Ok(answer)
}
