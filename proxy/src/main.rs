//! The command `packageproxy`.

use proxy::config::{self, UnknownFields};
use proxy::{log, serve};
use std::time::Duration;

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut files, mut listen, mut admin, mut storage, mut secrets, mut root) =
        (vec![], "127.0.0.1:8080".to_owned(), "127.0.0.1:8081".to_owned(), "/tmp/pp".to_owned(), None, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-f" | "--file" => files.push(args.next().unwrap().into()),
            "--listen" => listen = args.next().unwrap(),
            "--admin" => admin = args.next().unwrap(),
            "--storage" => storage = args.next().unwrap(),
            "--secrets" => secrets = args.next().map(Into::into),
            "--root" => root = true,
            "--log-format" => drop(args.next()),
            _ => {}
        }
    }
    let level = log::start(log::Format::Json, "info");
    let loaded = config::load(&files, secrets.as_deref(), UnknownFields::Refuse).unwrap();
    let options = serve::Options {
        listen: listen.parse().unwrap(),
        admin: admin.parse().unwrap(),
        storage: storage.into(),
        durable: true,
        max_size: 10 << 30,
        metadata_memory: 160 << 20,
        blob_memory: 32 << 20,
        at_root: root,
        bases: vec![],
        drain: Duration::from_secs(25),
        files,
        secrets,
        unknown: UnknownFields::Refuse,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serve::serve(options, loaded, level, |_, _, _| {})).unwrap();
}
