//! The way to one server: its address, the ids given out, and what is sent beside requests.
//!
//! Shared by everything that outlives a single request: sessions, their streams, replies.
//! Knows no pool and no era; which headers a session adds, the session says.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};

use super::{Headers, HttpSettings, session::Session};
use crate::{
    client::{
        Notification, PeerError,
        egress::{Destination, Reply},
        handshake,
    },
    mcp::header as mcp,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ACCEPT: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const ACCEPT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Time for a message that nobody waits for.
pub(super) const ASIDE: Duration = Duration::from_secs(5);
/// The most messages that nobody waits for on their way at once.
const ASIDES: usize = 64;
/// The most that wait for their turn besides.
const WAITING: usize = 1024;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) destination: Destination,
    pub(super) settings: HttpSettings,
    next_id: AtomicU64,
    changes: watch::Sender<u64>,
    asides: Arc<Semaphore>,
    places: Arc<Semaphore>,
    sink: RwLock<Option<mpsc::Sender<Notification>>>,
    /// The server said that it has no stream to listen to.
    pub(super) streamless: AtomicBool,
    /// The server is late with the head of its stream: nobody waits for it.
    pub(super) late: AtomicBool,
}

impl Link {
    pub(super) fn new(destination: Destination, settings: HttpSettings) -> Self {
        Self {
            destination,
            settings,
            next_id: AtomicU64::new(1),
            changes: watch::Sender::new(0),
            asides: Arc::new(Semaphore::new(ASIDES)),
            places: Arc::new(Semaphore::new(WAITING)),
            sink: RwLock::default(),
            streamless: AtomicBool::new(false),
            late: AtomicBool::new(false),
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn tick(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// It may be another server than before: what was learned of its streams is forgotten.
    pub(super) fn begin_anew(&self) {
        self.streamless.store(false, Ordering::Relaxed);
        self.late.store(false, Ordering::Relaxed);
    }

    /// Headers of a message before there is a session.
    pub(super) fn opening(&self, own: &Headers) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::with_capacity(self.settings.headers.len() + own.len() + 8);
        headers.push((header::CONTENT_TYPE, JSON));
        headers.push((header::ACCEPT, ACCEPT));
        headers.extend_from_slice(&self.settings.headers);
        headers.extend_from_slice(own);
        headers
    }

    /// Headers of a message within a session.
    pub(super) fn headers(
        &self,
        session: &Session,
        own: &Headers,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = self.opening(own);
        session.mark(&mut headers);
        headers
    }

    /// Asks for the stream of a session, from after `last_id` where there is one.
    pub(super) async fn get(
        &self,
        session: &Session,
        last_id: Option<&HeaderValue>,
    ) -> Result<Reply, PeerError> {
        let own = session.credential();
        let mut headers = Vec::with_capacity(self.settings.headers.len() + own.len() + 4);
        headers.push((header::ACCEPT, ACCEPT_STREAM));
        headers.extend_from_slice(&self.settings.headers);
        headers.extend_from_slice(&own);
        session.mark(&mut headers);
        headers.extend(last_id.map(|id| (mcp::LAST_EVENT_ID, id.clone())));
        Ok(self.destination.send(&Method::GET, &headers, &Bytes::new()).await?)
    }

    /// Sends a message that has no answer, and sees it accepted.
    pub(super) async fn tell(
        &self,
        session: &Session,
        own: &Headers,
        message: Vec<u8>,
    ) -> Result<(), PeerError> {
        let headers = self.headers(session, own);
        let reply = self.destination.send(&Method::POST, &headers, &message.into()).await?;
        accepted(reply).await
    }

    /// Leave to send something aside; none while too much is on its way already.
    pub(super) fn leave(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.asides).try_acquire_owned().ok()
    }

    /// A place among those who wait for their turn; none while there are too many.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Leave to send something aside, once it is this one's turn.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.asides).acquire_owned().await.ok()
    }

    /// Tells the server in the background that the roots have changed, unless that is about
    /// to be told.
    pub(super) fn roots_changed(self: &Arc<Self>, session: &Arc<Session>) {
        if session.has_news.swap(true, Ordering::Relaxed) {
            return;
        }
        let (Ok(runtime), Some(place)) = (tokio::runtime::Handle::try_current(), self.place())
        else {
            return session.has_news.store(false, Ordering::Relaxed);
        };
        let (link, session) = (Arc::clone(self), Arc::clone(session));
        runtime.spawn(async move {
            let leave = link.turn().await;
            drop(place);
            session.has_news.store(false, Ordering::Relaxed);
            link.aside(&session, handshake::roots_changed(), leave, "the news of changed roots");
        });
    }

    /// Sends a message in the background. With `leave` it goes at once, else in its turn; it
    /// is dropped where too many wait for theirs. `what` it is, for the log.
    pub(super) fn aside(
        self: &Arc<Self>,
        session: &Arc<Session>,
        message: Vec<u8>,
        leave: Option<OwnedSemaphorePermit>,
        what: &'static str,
    ) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let place = match &leave {
            Some(_) => None,
            None => match self.place() {
                Some(place) => Some(place),
                None => return tracing::debug!(what, "too much waits to be told; dropped"),
            },
        };
        let (link, session) = (Arc::clone(self), Arc::clone(session));
        runtime.spawn(async move {
            let _leave = match leave {
                Some(leave) => Some(leave),
                None => link.turn().await,
            };
            drop(place);
            let own = session.credential();
            match timeout(ASIDE, link.tell(&session, &own, message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, what, "the server did not take it"),
                Err(_) => tracing::debug!(what, "the server did not take it in time"),
            }
        });
    }

    /// Who listens to what the server tells of its own accord, from now on.
    pub(super) fn listens(&self, sink: Option<mpsc::Sender<Notification>>) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = sink;
    }

    /// Passes on what came beside the stream that is listened to. It is dropped where nobody
    /// listens, or too slowly.
    pub(super) fn announce(&self, note: Notification) {
        let sink = self.sink.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            drop(sink.try_send(note));
        }
    }
}

/// Reads a reply that should say no more than that the message was taken.
pub(super) async fn accepted(reply: Reply) -> Result<(), PeerError> {
    let status = reply.status;
    if let Err(error) = reply.body.collect(64 * 1024).await {
        tracing::debug!(%error, "the body of an acknowledgement could not be read");
    }
    if status.is_success() {
        Ok(())
    } else {
        Err(PeerError::Status { status: status.as_u16(), error: None })
    }
}
