//! The tests of the built programs, as one binary.
fn main() {}
