//! The binary `packageproxy-operator`.

use std::process::ExitCode;

/// Objects come and go as trees of small pieces on several threads, which the allocator of the C library is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    operator::main()
}
