//! What needs no node: everything between the API server and the operator.

mod api;
mod crash;
mod definitions;
mod deletion;
mod drift;
mod faults;
mod input;
mod leader;
mod released;
mod releases;
mod rights;
mod scale;
mod scopes;
mod watches;
