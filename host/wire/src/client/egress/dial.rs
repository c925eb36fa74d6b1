//! From an origin to a connected stream: resolve, check, connect to what was checked, TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{BadUrl, EgressError, Origin, Reach, Resolver, Rules};

/// Opens connections to one origin.
#[derive(Debug)]
pub(super) struct Dialer {
    origin: Origin,
    rules: Rules,
    resolver: Resolver,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    /// The socket that is dialled in place of the origin.
    socket: Option<PathBuf>,
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Dialer {
    pub(super) fn new(
        origin: Origin,
        rules: Rules,
        resolver: Resolver,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, EgressError> {
        let tls = match origin.is_tls() {
            true => {
                let name = ServerName::try_from(origin.host().to_owned())
                    .map_err(|_| BadUrl::Host(origin.host().to_owned()))?;
                Some((tls, name))
            }
            false => None,
        };
        Self { origin, rules, resolver, tls, socket: None }.checked()
    }

    /// Dials without encryption; the origin must be one without.
    pub(super) fn plain(
        origin: Origin,
        rules: Rules,
        resolver: Resolver,
    ) -> Result<Self, EgressError> {
        Self { origin, rules, resolver, tls: None, socket: None }.checked()
    }

    fn checked(self) -> Result<Self, EgressError> {
        if let Some(address) = self.origin.literal() {
            self.check(address)?;
        }
        Ok(self)
    }

    /// Dials a Unix socket of this computer, whatever the origin says.
    pub(super) fn unix(origin: Origin, rules: Rules, socket: PathBuf) -> Self {
        Self { origin, rules, resolver: Resolver::System, tls: None, socket: Some(socket) }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Resolves, checks, connects and secures, in no more than `limit` and the rules' own time.
    pub(super) async fn dial(&self, limit: Duration) -> Result<Stream, EgressError> {
        match timeout(limit.min(self.rules.connect_timeout), self.open()).await {
            Ok(stream) => stream,
            Err(_) => Err(self.failed(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn open(&self) -> Result<Stream, EgressError> {
        if let Some(socket) = &self.socket {
            let opened = UnixStream::connect(socket).await;
            return opened.map(Stream::Unix).map_err(|error| self.failed(error));
        }
        let addresses = self.addresses().await?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return self.secure(tcp).await.map_err(|error| self.failed(error)),
                Err(error) => last = error,
            }
        }
        Err(self.failed(last))
    }

    /// All addresses of the host, every one of them checked. One forbidden address among
    /// them refuses the whole answer: that is what rebinding looks like.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, EgressError> {
        let (host, port) = (self.origin.host(), self.origin.port());
        if let Some(address) = self.origin.literal() {
            self.check(address)?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let resolved = self.resolver.resolve(host, port).await;
        let addresses =
            resolved.map_err(|source| EgressError::Resolve { host: host.to_owned(), source })?;
        for address in &addresses {
            self.check(address.ip())?;
        }
        Ok(addresses)
    }

    fn check(&self, address: IpAddr) -> Result<(), EgressError> {
        let host = self.origin.host();
        if !self.rules.allow.permits(host, address) {
            return Err(EgressError::Forbidden { host: host.to_owned(), address });
        }
        let public = Reach::of(address) == Reach::Global;
        if public && !self.origin.is_tls() && !self.rules.allow.plain_http {
            return Err(EgressError::Plain(self.origin.to_string()));
        }
        Ok(())
    }

    async fn secure(&self, tcp: TcpStream) -> io::Result<Stream> {
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Stream::Plain(tcp)),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), tcp).await?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }

    fn failed(&self, source: io::Error) -> EgressError {
        EgressError::Connect { origin: self.origin.to_string(), source }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
