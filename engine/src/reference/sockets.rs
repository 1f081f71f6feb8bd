//! Listening and connecting.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

/// A burst of connections waits for its turn: one refused would look like a second's latency.
const BACKLOG: u32 = 4096;
/// How long to wait for a free descriptor.
const NO_DESCRIPTOR: Duration = Duration::from_millis(10);

/// Serves every connection that comes, for ever.
pub async fn accept(listener: &TcpListener, mut serve: impl FnMut(TcpStream)) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                serve(stream);
            }
            Err(_) => tokio::time::sleep(NO_DESCRIPTOR).await,
        }
    }
}

pub fn listen(address: &(String, u16)) -> io::Result<TcpListener> {
    let address = first_address(address)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn first_address((host, port): &(String, u16)) -> io::Result<SocketAddr> {
    let mut found = (host.as_str(), *port).to_socket_addrs()?;
    found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}

/// A connection to the first address that takes one, from `bind` where that is given.
pub async fn connect(address: &(String, u16), bind: Option<&str>) -> io::Result<TcpStream> {
    let mut problem = io::Error::from(io::ErrorKind::NotFound);
    for found in lookup_host((address.0.as_str(), address.1)).await? {
        match connect_from(found, bind).await {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

async fn connect_from(address: SocketAddr, bind: Option<&str>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(host) = bind {
        let host = host.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        socket.bind(SocketAddr::new(host, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
