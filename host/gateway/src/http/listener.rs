//! Listeners: accept, TLS, one task per connection, drain.
//!
//! Knows no route. A connection has ten seconds to send the head of a request (slow-loris),
//! must read what it is sent, and is told to close once the process drains.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::unstalled::Unstalled;
use crate::config::process::TlsConfig;

/// Time for the head of a request, and for a TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES: usize = 32 * 1024;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The address of the socket.
    pub(crate) address: IpAddr,
}

impl Default for Peer {
    fn default() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A PEM file cannot be read.
    #[error("cannot read `{file}` as PEM")]
    Pem {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not fit.
    #[error("the certificate and key cannot be used for TLS")]
    Unusable(#[source] rustls::Error),
}

/// Reads certificate and key.
pub(crate) fn tls(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let pem = |file: &Path| {
        let file = file.display().to_string();
        move |source| TlsError::Pem { file, source }
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(&config.certificate).and_then(Iterator::collect);
    let chain = chain.map_err(pem(&config.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(pem(&config.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// How a listener comes to its end.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// No connection is accepted any more; those that are open finish what they are doing.
    pub(crate) stop: CancellationToken,
    /// Open connections are cut, with the requests on them.
    pub(crate) cut: CancellationToken,
}

/// Accepts until it is told to stop; returns when the last connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    ending: Ending,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.stop.cancelled() => break,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            continue;
        }
        let socket = Unstalled::new(socket);
        let router = router.clone();
        let watcher = graceful.watcher();
        let cut = ending.cut.clone();
        match tls.clone() {
            None => {
                let connection = connection(socket, address, router, watcher);
                tokio::spawn(cut.run_until_cancelled_owned(connection));
            }
            Some(tls) => {
                let connection = async move {
                    match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(socket)).await {
                        Ok(Ok(stream)) => connection(stream, address, router, watcher).await,
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                };
                tokio::spawn(cut.run_until_cancelled_owned(connection));
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Accepts on the admin socket until `stop`.
pub(crate) async fn serve_unix(listener: UnixListener, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                tokio::spawn(connection(socket, nobody, router.clone(), graceful.watcher()));
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn connection<S>(stream: S, address: SocketAddr, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Peer { address: address.ip().to_canonical() };
    let router = router.layer(axum::Extension(peer));
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES.max(64 * 1024))
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(served).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// After a failed accept (mostly: no file descriptors left), waits a little.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}
