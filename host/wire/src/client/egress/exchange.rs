//! One request and its response over one connection, and the pool of idle connections.
//!
//! The connection is driven by whoever waits for the response, not by a task of its own:
//! that saves two hand-overs between threads per request, and dropping the wait closes the
//! connection, which is what cancelling means.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    EgressError, Reply,
    dial::{Dialer, Stream},
    stream::Content,
};
use crate::client::sweep;

/// A request as it is handed to a connection.
pub(super) type Outbound = Request<Content>;

/// The most idle connections kept for one destination.
const IDLE: usize = 128;
const HEADERS: usize = 64 * 1024;

/// An open connection.
pub(super) struct Live {
    sender: SendRequest<Content>,
    conn: Connection<TokioIo<Stream>, Content>,
    reused: bool,
    /// Whether the body of the last request may still be on its way.
    is_writing: bool,
}

/// A request that failed on a connection.
pub(super) struct Failed {
    pub(super) error: hyper::Error,
    /// The request, when nothing of it has left.
    pub(super) unsent: Option<Outbound>,
    pub(super) reused: bool,
}

/// Idle connections of one destination, the last used on top.
pub(super) struct Pool {
    origin: String,
    keep: Duration,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// With the time since when each is idle.
    connections: Vec<(Instant, Live)>,
    /// Whether somebody looks for old ones: one alone does, however often the pool is empty.
    is_swept: bool,
}

/// A response body, read as it comes. The connection goes back to its pool when the body
/// was read to its end, and is closed otherwise.
pub struct ReplyBody {
    incoming: Incoming,
    live: Option<Live>,
    pool: Arc<Pool>,
}

impl Live {
    /// Connects, within `limit`.
    pub(super) async fn open(dialer: &Dialer, limit: Duration) -> Result<Self, EgressError> {
        let stream = TokioIo::new(dialer.dial(limit).await?);
        let handshake = http1::Builder::new().max_header_size(HEADERS).handshake(stream);
        let (sender, conn) = handshake.await.map_err(|source| EgressError::Broken {
            origin: dialer.origin().to_string(),
            sent: false,
            source,
        })?;
        let mut live = Self { sender, conn, reused: false, is_writing: false };
        poll_fn(|cx| live.poll_usable(cx)).await;
        Ok(live)
    }

    /// Whether the connection can take a request: it is open, and the last one is over.
    fn poll_usable(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if Pin::new(&mut self.conn).poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Ready(matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))))
    }

    pub(super) async fn send(
        mut self,
        request: Outbound,
        pool: &Arc<Pool>,
    ) -> Result<Reply, Failed> {
        let reused = self.reused;
        self.is_writing = request.body().is_written();
        let response = {
            let mut response = pin!(self.sender.try_send_request(request));
            let conn = &mut self.conn;
            let mut over = false;
            poll_fn(|cx| {
                if !over {
                    over = Pin::new(&mut *conn).poll(cx).is_ready();
                }
                response.as_mut().poll(cx)
            })
            .await
        };
        let response = response.map_err(|mut failed| {
            let unsent = failed.take_message();
            Failed { error: failed.into_error(), unsent, reused }
        })?;
        let (head, incoming) = response.into_parts();
        let body = ReplyBody { incoming, live: Some(self), pool: Arc::clone(pool) };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

impl Pool {
    pub(super) fn new(origin: String, keep: Duration) -> Self {
        Self { origin, keep, idle: Mutex::default() }
    }

    /// The most recently used connection that is still good.
    pub(super) async fn take(&self) -> Option<Live> {
        loop {
            let (since, mut live) = self.idle().connections.pop()?;
            if since.elapsed() < self.keep && poll_fn(|cx| live.poll_usable(cx)).await {
                live.reused = true;
                return Some(live);
            }
        }
    }

    fn put(self: &Arc<Self>, live: Live) {
        let mut idle = self.idle();
        if idle.connections.len() >= IDLE {
            return;
        }
        idle.connections.push((Instant::now(), live));
        if !std::mem::replace(&mut idle.is_swept, true) {
            sweep::later(self, self.keep, Self::sweep);
        }
    }

    /// Closes connections that nobody uses any more; tells whether any are left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle();
        idle.connections.retain(|(since, _)| since.elapsed() < self.keep);
        idle.is_swept = !idle.connections.is_empty();
        idle.is_swept
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplyBody {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EgressError> {
        loop {
            let frame = poll_fn(|cx| self.poll_frame(cx)).await;
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        if self.incoming.is_end_stream() {
                            self.finish().await;
                        }
                        return Ok(Some(data));
                    }
                    // Trailers mean nothing here.
                    Err(_) => {}
                },
                Some(Err(source)) => {
                    self.live = None;
                    let origin = self.pool.origin.clone();
                    return Err(EgressError::Broken { origin, sent: true, source });
                }
                None => {
                    self.finish().await;
                    return Ok(None);
                }
            }
        }
    }

    /// Keeps the connection going without taking anything from the body, so that what is
    /// still being written of the request goes out. Returns when nothing is left to keep going.
    pub async fn drive(&mut self) {
        if let Some(live) = &mut self.live {
            // How it ended is found out by whoever reads on.
            let _ = poll_fn(|cx| Pin::new(&mut live.conn).poll(cx)).await;
            self.live = None;
        }
    }

    /// The whole body, when it is no larger than `limit`. A body in one piece is not copied.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, EgressError> {
        if self.incoming.size_hint().lower() > limit as u64 {
            return Err(EgressError::TooLarge { limit });
        }
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        if first.len() > limit {
            return Err(EgressError::TooLarge { limit });
        }
        let Some(second) = self.next().await? else { return Ok(first) };
        let expected = usize::try_from(self.incoming.size_hint().lower()).unwrap_or(limit);
        let reserve = first.len().saturating_add(second.len()).saturating_add(expected);
        let mut whole = BytesMut::with_capacity(reserve.min(1 << 20));
        whole.extend_from_slice(&first);
        let mut piece = Some(second);
        while let Some(data) = piece {
            if whole.len() + data.len() > limit {
                return Err(EgressError::TooLarge { limit });
            }
            whole.extend_from_slice(&data);
            piece = self.next().await?;
        }
        Ok(whole.freeze())
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        if let Some(live) = &mut self.live
            && Pin::new(&mut live.conn).poll(cx).is_ready()
        {
            self.live = None;
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    /// A server may answer before it has read the whole request: such a connection is closed.
    async fn finish(&mut self) {
        if let Some(mut live) = self.live.take()
            && (!live.is_writing || poll_fn(|cx| live.poll_usable(cx)).await)
        {
            self.pool.put(live);
        }
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyBody")
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = self.idle().connections.len();
        write!(f, "Pool({idle} idle)")
    }
}
