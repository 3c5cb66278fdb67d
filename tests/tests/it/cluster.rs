//! The operator on a real API server. `tests/cluster/run` starts the cluster and these tests.
//!
//! `control` needs the control plane only, so its proxies have no pods; `node` needs a node too.

#![cfg(test)]

mod control;
mod node;
