//! A port that stays the test's own while nothing listens on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A free port, kept by a socket that is bound and never listens: as long as nobody else does, connecting is refused,
/// and no other process is given the port in the meantime.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _kept: TcpSocket,
}

impl Port {
    /// Takes a free port of this address.
    ///
    /// # Errors
    /// If the address is none of this machine's.
    pub fn take(ip: Ipv4Addr) -> io::Result<Self> {
        let kept = bound(SocketAddr::from((ip, 0)), false)?;
        Ok(Self { address: kept.local_addr()?, _kept: kept })
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it until the listener is dropped.
    ///
    /// # Errors
    /// If somebody listens already.
    pub fn listen(&self) -> io::Result<TcpListener> {
        bound(self.address, true)?.listen(BACKLOG)
    }
}

/// A socket that shares its port with others of this user that say the same, and perhaps with what is left of
/// connections.
fn bound(address: SocketAddr, with_the_past: bool) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(with_the_past)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_refuses_unless_it_is_listened_on_and_is_given_to_nobody_else() {
        let port = Port::take(Ipv4Addr::LOCALHOST).unwrap();
        for _ in 0..3 {
            assert!(TcpStream::connect(port.address()).await.is_err());
            assert!(TcpListener::bind(port.address()).await.is_err(), "it was given to somebody else");
            let listener = port.listen().unwrap();
            let (client, accepted) = tokio::join!(TcpStream::connect(port.address()), listener.accept());
            assert!(client.is_ok() && accepted.is_ok());
        }
    }
}
