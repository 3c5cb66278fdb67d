//! The binary `packageproxy-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    operator::main()
}
