//! From a target to an open byte stream: name, address, TCP, TLS.

use crate::document::PlanError;
use crate::kind::Kind;
use crate::plan::{Plan, TargetUrl};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Stream::Tls($inner) => {
                let $inner = Pin::new(&mut **$inner);
                $call
            }
        }
    };
}

impl Stream {
    /// Reads into `buffer`; 0 at the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buffer);
        let result = each!(self, inner => inner.poll_read(cx, &mut target));
        result.map_ok(|()| target.filled().len())
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write(cx, bytes))
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_flush(cx))
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
        let result = each!(&mut self.stream, inner => inner.poll_read(cx, &mut target));
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
        each!(&mut self.stream, inner => inner.poll_write_vectored(cx, bufs))
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
        each!(&mut self.stream, inner => inner.poll_shutdown(cx))
    }
}

/// Opens a stream to `target`. A name is resolved anew each time; of its addresses those after
/// `turn` are tried first, so that connections spread over them.
pub async fn open(
    plan: &Plan,
    tls: Option<&TlsConnector>,
    target: &TargetUrl,
    turn: usize,
) -> Result<Stream, Kind> {
    let addresses = resolve(target).await?;
    let mut outcome = Err(Kind::Resolve);
    for i in 0..addresses.len() {
        let address = addresses[(turn + i) % addresses.len()];
        match dial(address, plan.bind).await {
            Ok(stream) => {
                outcome = Ok(stream);
                break;
            }
            Err(error) => outcome = Err(Kind::of_connect(&error)),
        }
    }
    let stream = outcome?;
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls.filter(|_| target.tls) else {
        return Ok(Stream::Plain(stream));
    };
    let name = plan.tls.server_name.as_ref().unwrap_or(&target.host).clone();
    let name = ServerName::try_from(name).map_err(|_| Kind::Tls)?;
    let stream = tls.connect(name, stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Kind::Reset,
        _ => Kind::Tls,
    })?;
    if plan.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(Kind::Protocol);
    }
    Ok(Stream::Tls(Box::new(stream)))
}

async fn resolve(target: &TargetUrl) -> Result<Vec<SocketAddr>, Kind> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| Kind::Resolve)?.collect();
    if addresses.is_empty() { Err(Kind::Resolve) } else { Ok(addresses) }
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

/// What https targets need; `None` without any.
pub fn tls(plan: &Plan) -> Result<Option<TlsConnector>, PlanError> {
    if !plan.targets.iter().any(|target| target.tls) {
        return Ok(None);
    }
    if let Some(name) = &plan.tls.server_name {
        ServerName::try_from(name.as_str()).map_err(|_| {
            PlanError::at("tls.server_name", format!("{name:?} is not a host name or an address"))
        })?;
    }
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PlanError::at("tls", error))?;
    let mut config = if plan.tls.verify {
        builder.with_root_certificates(roots(plan)?).with_no_client_auth()
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting(algorithms)))
            .with_no_client_auth()
    };
    config.alpn_protocols = vec![if plan.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn roots(plan: &Plan) -> Result<RootCertStore, PlanError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &plan.tls.ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(PlanError::at(
                "tls.ca_file",
                "this system has no certificates; name a CA file, or set verify to false",
            ));
        }
        return Ok(roots);
    };
    let pem = std::fs::read(path).map_err(|error| {
        PlanError::Io(error, format!("plan field tls.ca_file: cannot read {path}"))
    })?;
    let bad = |problem: String| {
        PlanError::at(
            "tls.ca_file",
            format!("{path}: {problem}; give a PEM file of CA certificates"),
        )
    };
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("holds no certificate".into())) } else { Ok(roots) }
}

/// Accepts any certificate, because the plan says so; signatures are still checked.
#[derive(Debug)]
struct Trusting(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
