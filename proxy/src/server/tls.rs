//! TLS on a port: one certificate, exchanged while the port is open. Connections stay with the one that they began with.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::fetch::tls::{self, TlsError};

/// The certificate of a port. Without one every handshake fails.
#[derive(Debug, Default)]
pub struct Tls(ArcSwapOption<ServerConfig>);

impl Tls {
    /// Uses another certificate for the handshakes from now on: a chain in PEM form, leaf first, and its key. The one
    /// before stays where they cannot be used.
    pub fn install(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let mut config = tls::server_config(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.0.store(Some(Arc::new(config)));
        Ok(())
    }

    /// The handshake of one connection, within a time.
    pub(super) async fn handshake(&self, stream: TcpStream, limit: Duration) -> io::Result<TlsStream<TcpStream>> {
        let Some(config) = self.0.load_full() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "this port has no certificate yet"));
        };
        tokio::time::timeout(limit, TlsAcceptor::from(config).accept(stream)).await?
    }
}

#[cfg(test)]
mod tests;
