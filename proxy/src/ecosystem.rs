//! The registry protocols: one file each, pure and synchronous. None knows of fetching, storing or HTTP clients.

use crds::Ecosystem as Kind;
use http::StatusCode;

use crate::client::ClientSetup;
use crate::intent::{Intent, Refusal};
use crate::request::Call;

mod accept;
#[cfg(test)]
mod testing;

/// One registry protocol.
pub trait Ecosystem: Send + Sync + 'static {
    /// Says what a request means.
    fn parse(&self, call: &Call) -> Result<Intent, Refusal>;

    /// The body of an error, as this ecosystem's client prints it: `Content-Type` and bytes.
    fn error(&self, _status: StatusCode, message: &str) -> (&'static str, Vec<u8>) {
        ("text/plain; charset=utf-8", format!("{message}\n").into_bytes())
    }

    /// Whether `@scope%2fname` in a path is read as the two segments `@scope` and `name`. Everywhere else an encoded
    /// slash is refused.
    fn encoded_scope_slash(&self) -> bool {
        false
    }

    /// What each client of this ecosystem needs to use the proxy at `base`, which ends in `/`. The first one is the
    /// line that `serve` prints.
    fn clients(&self, base: &str) -> Vec<ClientSetup>;
}

/// Declares the files of this folder and the table from the API's value to the protocol. A variant of
/// [`crds::Ecosystem`] without a line here does not compile.
macro_rules! ecosystems {
    ($($variant:ident => $module:ident :: $protocol:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The protocol of an API value.
        pub fn of(kind: Kind) -> &'static dyn Ecosystem {
            match kind {
                $(Kind::$variant => &$module::$protocol,)+
            }
        }
    };
}

ecosystems! {
    Cargo => cargo::Cargo,
    Npm => npm::Npm,
    Pypi => pypi::Pypi,
}
