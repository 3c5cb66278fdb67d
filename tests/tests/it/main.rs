//! Every test that runs the built programs, in one binary.

#[cfg(test)]
mod clients;
