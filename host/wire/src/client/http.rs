//! An MCP server over Streamable HTTP, of either era.
//!
//! The era is found out once and kept: `server/discover` first, `initialize` when that is
//! not understood. A legacy session that the server has forgotten is set up anew, once per
//! request. Requests get ids of their own. Dropping a request cancels it: by closing the
//! stream (modern) or by `notifications/cancelled` (legacy). One session serves everybody,
//! so the headers that set it up must not differ from those of the requests.

mod answer;
mod session;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use tidegate_model::Answer;
use tokio::sync::{Mutex, watch};

use super::{
    Affinity, Outgoing, PeerError, PeerInfo,
    egress::{Destination, Reply},
    handshake,
};
use crate::mcp::{header as mcp, revision::Era};

use answer::Ending;
use session::Session;

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The era, where it shall not be found out.
    pub era: Option<Era>,
    /// Headers of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Time for `server/discover` before `initialize` is tried.
    pub probe_timeout: Duration,
    /// Time for `initialize`.
    pub setup_timeout: Duration,
    /// The largest answer, and the largest event of a stream, in bytes.
    pub answer_limit: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            era: None,
            headers: Vec::new(),
            probe_timeout: Duration::from_secs(5),
            setup_timeout: Duration::from_secs(20),
            answer_limit: 16 << 20,
        }
    }
}

/// A server at one endpoint.
#[derive(Debug)]
pub struct HttpPeer {
    destination: Destination,
    settings: HttpSettings,
    next_id: AtomicU64,
    session: RwLock<Option<Arc<Session>>>,
    setting_up: Mutex<()>,
    changes: watch::Sender<u64>,
}

type Headers = [(HeaderName, HeaderValue)];

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ACCEPT: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Time for a message that nobody waits for.
const ASIDE: Duration = Duration::from_secs(5);

impl HttpPeer {
    /// A server that nothing was sent to yet.
    pub fn new(destination: Destination, settings: HttpSettings) -> Self {
        Self {
            destination,
            settings,
            next_id: AtomicU64::new(1),
            session: RwLock::new(None),
            setting_up: Mutex::new(()),
            changes: watch::Sender::new(0),
        }
    }

    /// Where it is.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Asks and waits for the answer; sets the session up first where there is none.
    pub async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        let session = self.session(outgoing.headers).await?;
        match self.ask(&session, outgoing).await? {
            Ending::Answer(answer) => Ok(answer),
            // The server never looked at the request, so it may be sent again.
            Ending::SessionGone(_) => {
                self.forget(&session);
                let session = self.session(outgoing.headers).await?;
                match self.ask(&session, outgoing).await? {
                    Ending::Answer(answer) => Ok(answer),
                    Ending::SessionGone(status) => Err(PeerError::Status { status, error: None }),
                }
            }
        }
    }

    /// What the server said about itself, once a session was set up.
    pub fn info(&self) -> Option<Arc<PeerInfo>> {
        self.current().map(|session| Arc::clone(&session.info))
    }

    /// Counts list changes and new sessions.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends the sessions of `affinity` in the background; see [`super::Peer::release`].
    pub fn release(&self, _affinity: Affinity) {}

    /// See [`super::Peer::roots_changed`].
    pub fn roots_changed(&self, _affinity: Affinity) {}

    /// Ends the session at the server, if there is one.
    pub async fn close(&self, headers: &Headers) {
        let Some(session) = self.current() else { return };
        self.forget(&session);
        if session.id.is_none() {
            return;
        }
        let headers = self.headers(&session, headers);
        let nothing = Bytes::new();
        let sent = self.destination.send(&Method::DELETE, &headers, &nothing);
        if let Ok(Err(error)) = tokio::time::timeout(ASIDE, sent).await {
            tracing::debug!(%error, "the session could not be ended at the server");
        }
    }

    async fn ask(
        &self,
        session: &Arc<Session>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Ending, PeerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = Bytes::from(outgoing.write(id, session.info.revision));
        let mut headers = self.headers(session, outgoing.headers);
        if session.info.revision.has_mirrored_headers() {
            headers.push((mcp::METHOD, mcp::encode(outgoing.method)));
            if let Some(name) = outgoing.name {
                headers.push((mcp::NAME, mcp::encode(name)));
            }
        }
        if let Some(trace) = outgoing.trace {
            for (name, value) in
                [(TRACEPARENT, &trace.traceparent), (TRACESTATE, &trace.tracestate)]
            {
                if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
                    headers.push((name, value));
                }
            }
        }
        let cancel = Cancel { peer: self, session, headers: outgoing.headers, id, armed: true };
        let reply = self.destination.send(&Method::POST, &headers, &body).await;
        let ending = match reply {
            Ok(reply) => self.read(session, id, reply, outgoing).await,
            Err(error) => Err(error.into()),
        };
        // An end of any kind came from the server or the connection: nothing to cancel.
        cancel.disarm();
        // It may speak another era by now. (A legacy server says so itself.)
        let odd = matches!(ending, Err(PeerError::Status { .. } | PeerError::Protocol(_)));
        if odd && session.info.revision.era() == Era::Modern {
            self.forget(session);
        }
        ending
    }

    /// Headers of a message within a session.
    fn headers(&self, session: &Session, own: &Headers) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = self.opening(own);
        if let Some(id) = &session.id {
            headers.push((mcp::SESSION_ID, id.clone()));
        }
        if session.info.revision.has_version_header() {
            headers.push((
                mcp::PROTOCOL_VERSION,
                HeaderValue::from_static(session.info.revision.name()),
            ));
        }
        headers
    }

    /// Headers of a message before there is a session.
    fn opening(&self, own: &Headers) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::with_capacity(self.settings.headers.len() + own.len() + 8);
        headers.push((header::CONTENT_TYPE, JSON));
        headers.push((header::ACCEPT, ACCEPT));
        headers.extend_from_slice(&self.settings.headers);
        headers.extend_from_slice(own);
        headers
    }

    /// Sends a message that has no answer, and sees it accepted.
    async fn tell(
        &self,
        session: &Session,
        own: &Headers,
        message: Vec<u8>,
    ) -> Result<(), PeerError> {
        let headers = self.headers(session, own);
        let reply = self.destination.send(&Method::POST, &headers, &message.into()).await?;
        accepted(reply).await
    }

    fn current(&self) -> Option<Arc<Session>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets a session, unless it has been replaced already.
    fn forget(&self, session: &Arc<Session>) {
        let mut current = self.session.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|held| Arc::ptr_eq(held, session)) {
            *current = None;
        }
    }

    fn tick(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Tells a legacy server, when dropped early, that nobody waits any more.
struct Cancel<'a> {
    peer: &'a HttpPeer,
    session: &'a Arc<Session>,
    headers: &'a Headers,
    id: u64,
    armed: bool,
}

impl Cancel<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if !self.armed || self.session.info.revision.era() == Era::Modern {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let headers = self.peer.headers(self.session, self.headers);
        let destination = self.peer.destination.clone();
        let message = Bytes::from(handshake::cancelled(self.id));
        runtime.spawn(tokio::time::timeout(ASIDE, async move {
            match destination.send(&Method::POST, &headers, &message).await {
                Ok(reply) => drop(accepted(reply).await),
                Err(error) => tracing::debug!(%error, "a cancellation could not be sent"),
            }
        }));
    }
}

/// Reads a reply that should say no more than that the message was taken.
async fn accepted(reply: Reply) -> Result<(), PeerError> {
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

#[cfg(test)]
mod tests;
