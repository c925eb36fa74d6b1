//! Sockets that nobody beyond this machine can reach, and the end of it all.

use std::{convert::Infallible, io, os::unix::fs::FileTypeExt as _, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use rustix::fs::Mode;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{BridgeError, door::Door, options::Listen};

/// The most connections at once.
const CONNECTIONS: usize = 2_048;
/// How long requests under way have to end when the bridge is told to.
const DRAIN: Duration = Duration::from_secs(5);
/// Time for what is said to those whose requests were cut off.
const FAREWELL: Duration = Duration::from_secs(1);
/// Time for the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted.
const BREATH: Duration = Duration::from_millis(50);

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Bound {
    address: String,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Listens. A socket that nobody listens at any more is replaced.
pub(super) async fn bind(listen: &Listen) -> Result<Bound, BridgeError> {
    match listen {
        Listen::Unix(path) => {
            let address = format!("unix:{}", path.display());
            let failed =
                |source: io::Error| BridgeError::Listen { address: address.clone(), source };
            let is_socket =
                std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
            if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
                std::fs::remove_file(path).map_err(failed)?;
            }
            // Nothing else runs yet that could make a file meanwhile.
            let before = rustix::process::umask(Mode::from_bits_truncate(0o177));
            let bound = UnixListener::bind(path);
            rustix::process::umask(before);
            let socket = Socket::Unix(bound.map_err(failed)?);
            Ok(Bound { address, socket })
        }
        Listen::Loopback(address) => {
            let failed = |source| BridgeError::Listen { address: address.to_string(), source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?.to_string();
            Ok(Bound { address, socket: Socket::Tcp(listener) })
        }
    }
}

/// Sets `stop` at SIGTERM and SIGINT.
pub(super) fn stop_on_signals(stop: CancellationToken) {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let Ok(mut signals) = signal(kind) else { continue };
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
}

impl Bound {
    /// The address, as the command line has it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Serves until `stop`, and then what is under way, for a few seconds.
    pub(super) async fn serve(self, door: Arc<Door>, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&room, &door, &graceful) => accepted,
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
        tracing::info!("the bridge is told to end");
        let address = self.address.clone();
        drop(self);
        if let Some(path) = address.strip_prefix("unix:") {
            drop(std::fs::remove_file(path));
        }
        door.children().end_streams();
        let mut served = std::pin::pin!(graceful.shutdown());
        if timeout(DRAIN, &mut served).await.is_err() {
            tracing::warn!("requests under way are cut off");
            door.children().close().await;
            // Those who waited are told that the child is gone.
            drop(timeout(FAREWELL, served).await);
        }
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
        door: &Arc<Door>,
        graceful: &GracefulShutdown,
    ) -> io::Result<()> {
        let place = Arc::clone(room).acquire_owned().await.ok();
        match &self.socket {
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                connection(stream, place, door, graceful);
            }
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                connection(stream, place, door, graceful);
            }
        }
        Ok(())
    }
}

fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    place: Option<OwnedSemaphorePermit>,
    door: &Arc<Door>,
    graceful: &GracefulShutdown,
) {
    let door = Arc::clone(door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.serve(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(served);
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}
