//! The command `probe`, which `helm test` runs inside the cluster: the kinds are known, the operator may read them and
//! is ready. Changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kube::api::ListParams;

use crate::args::ProbeArguments;
use crate::client;
use crate::store::Kind;
use crate::watches::{Scope, api, chain};

/// For each question.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks all questions and prints each answer.
pub async fn run(arguments: &ProbeArguments) -> ExitCode {
    let mut failed = false;
    let mut say = |what: String, outcome: Result<String, String>| match outcome {
        Ok(answer) => print(&format!("ok      {what}: {answer}")),
        Err(reason) => {
            failed = true;
            print(&format!("FAILED  {what}: {reason}"));
        }
    };
    match connect().await {
        Ok(client) => {
            let kinds = if arguments.classes { vec![Kind::Proxy, Kind::Class] } else { vec![Kind::Proxy] };
            for kind in kinds {
                for namespace in Scope::of(&arguments.namespaces).parts(kind) {
                    let place = namespace.as_deref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
                    let api = api(&client, kind, namespace.as_deref());
                    let list = tokio::time::timeout(TIMEOUT, api.list(&ListParams::default().limit(500))).await;
                    let outcome = match list {
                        Ok(Ok(list)) => Ok(format!("{} readable", list.items.len())),
                        Ok(Err(error)) => Err(chain(&error)),
                        Err(_) => Err("no answer in time".to_owned()),
                    };
                    say(format!("list {}{place}", kind.resource().plural), outcome);
                }
            }
        }
        Err(reason) => say("API server".to_owned(), Err(reason)),
    }
    if let Some(url) = &arguments.ready {
        say(format!("operator at {url}"), ready(url).await);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn connect() -> Result<kube::Client, String> {
    let config = client::configuration(TIMEOUT).await.map_err(|error| chain(&error))?;
    client::election(config).map_err(|error| chain(&error))
}

/// Asks until the operator is ready, for half a minute at most.
async fn ready(url: &str) -> Result<String, String> {
    let uri: http::Uri = url.parse().map_err(|error| format!("{error}"))?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut last = "no answer".to_owned();
    for _ in 0..15 {
        match tokio::time::timeout(TIMEOUT, client.get(uri.clone())).await {
            Ok(Ok(response)) if response.status().is_success() => return Ok("ready".to_owned()),
            Ok(Ok(response)) => last = format!("status {}", response.status()),
            Ok(Err(error)) => last = chain(&error),
            Err(_) => "no answer in time".clone_into(&mut last),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Err(last)
}

#[expect(clippy::print_stdout, reason = "what the command says")]
fn print(line: &str) {
    println!("{line}");
}
