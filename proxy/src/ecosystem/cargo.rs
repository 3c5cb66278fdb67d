//! The registry protocol of cargo.

use super::Ecosystem;
use crate::client::ClientSetup;
use crate::intent::{Intent, Refusal};
use crate::request::Call;

/// The protocol.
#[derive(Debug)]
pub struct Cargo;

impl Ecosystem for Cargo {
    fn parse(&self, _call: &Call) -> Result<Intent, Refusal> {
        Err(Refusal::NotFound("not written yet".to_owned()))
    }

    fn clients(&self, _base: &str) -> Vec<ClientSetup> {
        Vec::new()
    }
}
