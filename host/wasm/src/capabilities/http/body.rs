//! Bodies, piece by piece: what a guest writes goes out, what comes back goes in.
//!
//! Nothing is collected. A piece is fetched from the connection when the guest has taken the
//! one before, and a guest that writes faster than the server reads has to wait. Both ways
//! are counted, the way out is searched for handles, the way in is cleared of secrets.

use std::{
    error::Error as StdError,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body::{Body, Frame, SizeHint};
use memchr::memmem;
use tidegate_wire::client::egress::ReplyBody;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use wasmtime_wasi_http::{Error, WasiBody};

use super::errors;
use crate::capabilities::credential::mask::MaskedStream;

/// Bytes that one hook may send, and receive, in all its bodies together: four times the most
/// that any hook may return by default, for answers that are read to be made smaller.
pub(super) const BODIES: usize = 64 << 20;

type Received = Result<Bytes, Error>;

/// Bytes that are left of a bound, shared by all requests of an instance.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Whether `bytes` were left, and are now taken.
    fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .is_ok()
    }
}

/// What a guest writes, on its way out.
pub(super) struct Outbound {
    guest: WasiBody,
    budget: Budget,
    /// What no body may hold, and the end of the last piece, in which it may begin.
    handles: Option<(Box<str>, Vec<u8>)>,
}

impl Outbound {
    pub(super) fn new(guest: WasiBody, budget: Budget, handles: Option<&str>) -> Self {
        Self { guest, budget, handles: handles.map(|handles| (handles.into(), Vec::new())) }
    }

    fn check(&mut self, piece: &Bytes) -> Result<(), Error> {
        if !self.budget.take(piece.len()) {
            return Err(Error::HttpRequestBodySize(Some(BODIES as u64)));
        }
        let Some((handles, tail)) = &mut self.handles else { return Ok(()) };
        let most = handles.len().saturating_sub(1);
        let beginning = piece.get(..most.min(piece.len())).unwrap_or_default();
        tail.extend_from_slice(beginning);
        let finder = memmem::Finder::new(handles.as_bytes());
        if finder.find(tail).is_some() || finder.find(piece).is_some() {
            return Err(Error::HttpRequestDenied);
        }
        // A short piece only lengthens the tail; of a long one the end is all that counts.
        if piece.len() > most {
            tail.clear();
            tail.extend_from_slice(piece.get(piece.len() - most..).unwrap_or_default());
        }
        tail.drain(..tail.len().saturating_sub(most));
        Ok(())
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match Pin::new(&mut self.guest).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Box::new(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        let checked = match frame.data_ref() {
            Some(piece) => {
                let piece = piece.clone();
                self.check(&piece)
            }
            // Trailers could not be announced: the header for that is the host's.
            None => Err(Error::HttpRequestTrailerSectionSize(Some(0))),
        };
        Poll::Ready(Some(checked.map(|()| frame).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.guest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.guest.size_hint()
    }
}

/// What a server sends, on its way to a guest.
pub(super) struct Inbound {
    pieces: mpsc::Receiver<Received>,
    /// The request's place among those under way.
    _place: OwnedSemaphorePermit,
}

/// Moves a server's body, and what is left of the request's, as long as the guest wants it.
pub(super) struct Pump {
    pub(super) reply: ReplyBody,
    pub(super) budget: Budget,
    pub(super) mask: Option<MaskedStream>,
    /// The longest wait for a piece, where the guest set one.
    pub(super) between: Option<Duration>,
    pieces: mpsc::Sender<Received>,
}

impl Pump {
    pub(super) fn new(
        reply: ReplyBody,
        budget: Budget,
        mask: Option<MaskedStream>,
        between: Option<Duration>,
        place: OwnedSemaphorePermit,
    ) -> (Self, Inbound) {
        let (sender, pieces) = mpsc::channel(1);
        (Self { reply, budget, mask, between, pieces: sender }, Inbound { pieces, _place: place })
    }

    /// Runs until the body has ended or nobody wants it; dropping it closes the connection.
    pub(super) async fn run(self) {
        let Self { mut reply, budget, mut mask, between, pieces } = self;
        loop {
            let Some(room) = room(&pieces, &mut reply).await else { return };
            let piece = match between {
                None => reply.next().await,
                Some(limit) => match timeout(limit, reply.next()).await {
                    Ok(piece) => piece,
                    Err(_) => return room.send(Err(Error::ConnectionReadTimeout)),
                },
            };
            let piece = match piece {
                Ok(Some(piece)) if !budget.take(piece.len()) => {
                    return room.send(Err(Error::HttpResponseBodySize(Some(BODIES as u64))));
                }
                Ok(piece) => piece,
                Err(error) => return room.send(Err(errors::code(&error))),
            };
            let is_last = piece.is_none();
            let shown = match (&mut mask, piece) {
                (Some(mask), Some(piece)) => mask.piece(piece),
                (Some(mask), None) => mask.end(),
                (None, piece) => piece.unwrap_or_default(),
            };
            if !shown.is_empty() {
                room.send(Ok(shown));
            }
            if is_last {
                return;
            }
        }
    }
}

/// Waits until the guest has taken the last piece, and lets the request go on meanwhile.
async fn room<'a>(
    pieces: &'a mpsc::Sender<Received>,
    reply: &mut ReplyBody,
) -> Option<mpsc::Permit<'a, Received>> {
    let taken = pin!(pieces.reserve());
    match select(taken, pin!(reply.drive())).await {
        Either::Left((room, _)) => room.ok(),
        Either::Right(((), taken)) => taken.await.ok(),
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.pieces.poll_recv(cx).map_ok(Frame::data)
    }
}

#[cfg(test)]
mod tests;
