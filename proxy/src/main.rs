//! The command `packageproxy`.

fn main() {}
