//! From a target to an open byte stream: name, address, socket, proxy, TLS.

use crate::error_kind::ErrorKind;
use crate::plan::Plan;
use crate::route::{Proxy, TargetUrl};
use rustls::pki_types::ServerName;
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes of a proxy's answer to CONNECT.
const MOST_TUNNEL_HEAD: usize = 16 << 10;

/// Why there is no connection.
#[derive(Debug)]
pub struct Trouble {
    pub kind: ErrorKind,
    /// In words, where there is more to say than the kind does.
    pub reason: Option<String>,
}

impl Trouble {
    fn because(kind: ErrorKind, reason: impl ToString) -> Self {
        Self { kind, reason: Some(reason.to_string()) }
    }
}

impl From<ErrorKind> for Trouble {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, reason: None }
    }
}

pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

macro_rules! each {
    ($stream:expr, $first:path | $second:path, $inner:ident => $call:expr) => {
        match $stream {
            $first($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            $second($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::Tcp | Self::Unix, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), Self::Tcp | Self::Unix, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), Self::Tcp | Self::Unix, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::Tcp | Self::Unix, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::Tcp | Self::Unix, inner => inner.poll_shutdown(cx))
    }
}

impl Stream {
    /// Reads into `buffer`; 0 at the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buffer);
        let result =
            each!(self, Self::Plain | Self::Tls, inner => inner.poll_read(cx, &mut target));
        result.map_ok(|()| target.filled().len())
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, Self::Plain | Self::Tls, inner => inner.poll_write(cx, bytes))
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, Self::Plain | Self::Tls, inner => inner.poll_flush(cx))
    }
}

/// A stream as hyper wants it, which also tells how much has been read.
pub struct Io {
    stream: Stream,
    read: Rc<Cell<u64>>,
}

impl Io {
    pub fn new(stream: Stream) -> (Self, Rc<Cell<u64>>) {
        let read = Rc::new(Cell::new(0));
        (Self { stream, read: Rc::clone(&read) }, read)
    }
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: the buffer is only written to, through `ReadBuf`, which tracks what is filled.
        let mut target = ReadBuf::uninit(unsafe { buf.as_mut() });
        let result = each!(&mut self.stream, Stream::Plain | Stream::Tls, inner => inner.poll_read(cx, &mut target));
        let filled = target.filled().len();
        if let Poll::Ready(Ok(())) = result {
            // SAFETY: so many bytes have just been filled.
            unsafe { buf.advance(filled) };
            self.read.set(self.read.get() + filled as u64);
        }
        result
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut self.stream, Stream::Plain | Stream::Tls, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(inner) => inner.is_write_vectored(),
            Stream::Tls(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.stream, Stream::Plain | Stream::Tls, inner => inner.poll_shutdown(cx))
    }
}

/// Opens a stream to `target`. A name is resolved anew each time; of its addresses those after
/// `turn` are tried first, so that connections spread over them.
pub async fn open(
    plan: &Plan,
    tls: Option<&TlsConnector>,
    target: &TargetUrl,
    turn: usize,
) -> Result<Stream, Trouble> {
    let mut socket = match (&plan.route.unix_socket, &plan.route.proxy) {
        (Some(path), _) => UnixStream::connect(path)
            .await
            .map(Socket::Unix)
            .map_err(|error| Trouble::because(ErrorKind::of_connect(&error), error))?,
        (None, Some(proxy)) => tcp(&proxy.url, plan.bind, turn).await?,
        (None, None) => tcp(target, plan.bind, turn).await?,
    };
    if let Some(proxy) = plan.route.proxy.as_ref().filter(|_| target.tls || plan.http2) {
        tunnel(&mut socket, proxy, &target.place()).await?;
    }
    let Some(tls) = tls.filter(|_| target.tls) else {
        return Ok(Stream::Plain(socket));
    };
    let name = plan.tls.server_name.as_ref().unwrap_or(&target.host).clone();
    let name = ServerName::try_from(name).map_err(|_| ErrorKind::Tls)?;
    let stream = tls.connect(name, socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ErrorKind::Reset.into(),
        _ => Trouble::because(ErrorKind::Tls, error),
    })?;
    if plan.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(Trouble::because(
            ErrorKind::Protocol,
            "the server does not offer HTTP/2 (ALPN h2)",
        ));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

async fn tcp(target: &TargetUrl, bind: Option<IpAddr>, turn: usize) -> Result<Socket, Trouble> {
    let addresses = resolve(target).await?;
    let mut outcome = Err(ErrorKind::Resolve);
    for i in 0..addresses.len() {
        match dial(addresses[(turn + i) % addresses.len()], bind).await {
            Ok(stream) => {
                outcome = Ok(stream);
                break;
            }
            Err(error) => outcome = Err(ErrorKind::of_connect(&error)),
        }
    }
    let stream = outcome?;
    let _ = stream.set_nodelay(true);
    Ok(Socket::Tcp(stream))
}

/// Asks a proxy for a tunnel to `place` (RFC 9110, 9.3.6).
async fn tunnel(socket: &mut Socket, proxy: &Proxy, place: &str) -> Result<(), Trouble> {
    let broken =
        |error: io::Error| Trouble::because(ErrorKind::Proxy, format!("the proxy: {error}"));
    let lines = &proxy.authorization;
    let head = format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{lines}\r\n");
    socket.write_all(head.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < MOST_TUNNEL_HEAD {
        answer.push(socket.read_u8().await.map_err(broken)?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(&answer).map(|_| response.code) {
        Ok(Some(200..=299)) => Ok(()),
        Ok(Some(code)) => {
            Err(Trouble::because(ErrorKind::Proxy, format!("the proxy answered {code}")))
        }
        _ => Err(Trouble::because(ErrorKind::Proxy, "the proxy does not speak HTTP")),
    }
}

async fn resolve(target: &TargetUrl) -> Result<Vec<SocketAddr>, ErrorKind> {
    if !target.addresses.is_empty() {
        return Ok(target.addresses.clone());
    }
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| ErrorKind::Resolve)?.collect();
    if addresses.is_empty() { Err(ErrorKind::Resolve) } else { Ok(addresses) }
}

async fn dial(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = bind {
        late_port(&socket);
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(address).await
}

/// Lets the kernel choose the port at connect, when it knows the peer: as many ports as peers allow.
#[cfg(target_os = "linux")]
fn late_port(socket: &TcpSocket) {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int of the size given; failing leaves the default.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn late_port(_: &TcpSocket) {}

/// Raises the soft limit of open files to the hard one: each connection needs a descriptor.
pub fn allow_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls; where they fail the limit stays as it is.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && limit.rlim_cur < limit.rlim_max
        {
            limit.rlim_cur = limit.rlim_max.min(1 << 20).max(limit.rlim_cur);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
