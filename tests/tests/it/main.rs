//! The tests of the built programs, as one binary.

mod clients;
