//! An MCP server over Streamable HTTP, of either era.
//!
//! The era is found out once and kept: `server/discover` first, `initialize` when that is
//! not understood. At a legacy server each client has a session of its own, which declares
//! what that client can do, and the gateway has one for itself. A session that the server
//! has forgotten is set up anew, once per request. Requests get ids of their own. Dropping a
//! request cancels it: by closing the stream (modern) or by `notifications/cancelled`
//! (legacy).

mod answer;
mod ear;
mod feed;
mod link;
mod listen;
mod pool;
mod questions;
mod session;
mod set_up;
mod subscription;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Method};
use tidegate_model::Answer;
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use super::{
    Affinity, Member, Outgoing, PeerError, PeerInfo, Profile,
    egress::{Destination, Reply},
    handshake,
};
use crate::{
    json::Raw,
    mcp::{code, header as mcp, level::Level, method, peek::ErrorObject, revision::Era},
};

use answer::{Ending, Sent};
use link::{ASIDE, Link};
use pool::{Key, OWN, Pool};
use session::{Session, Visit};

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
    /// The most sessions of clients at a legacy server; beyond it the least recently used
    /// ends.
    pub sessions: usize,
    /// How long a session of a client is kept unused.
    pub session_idle: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            era: None,
            headers: Vec::new(),
            probe_timeout: Duration::from_secs(5),
            setup_timeout: Duration::from_secs(20),
            answer_limit: 16 << 20,
            sessions: 10_000,
            session_idle: Duration::from_secs(600),
        }
    }
}

/// A server at one endpoint.
#[derive(Debug)]
pub struct HttpPeer {
    link: Arc<Link>,
    pool: Arc<Pool>,
    known: RwLock<Option<Known>>,
    finding_out: Mutex<()>,
    info: RwLock<Option<Arc<PeerInfo>>>,
}

/// What the server is.
#[derive(Debug, Clone)]
enum Known {
    /// Without sessions: one stands for all.
    Modern(Arc<Session>),
    Legacy,
}

type Headers = [(HeaderName, HeaderValue)];

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl HttpPeer {
    /// A server that nothing was sent to yet.
    pub fn new(destination: Destination, settings: HttpSettings) -> Self {
        let pool = Pool::new(settings.sessions, settings.session_idle);
        Self {
            link: Arc::new(Link::new(destination, settings)),
            pool: Arc::new(pool),
            known: RwLock::default(),
            finding_out: Mutex::new(()),
            info: RwLock::default(),
        }
    }

    /// Where it is.
    pub fn destination(&self) -> &Destination {
        &self.link.destination
    }

    /// Asks and waits for the answer; sets the session up first where there is none.
    pub async fn request(&self, outgoing: &Outgoing<'_>) -> Result<Answer, PeerError> {
        let key = Key::of(outgoing.exchange);
        let session = self.session(key, outgoing.headers).await?;
        match self.ask(&session, outgoing).await? {
            Ending::Answer(answer) => Ok(answer),
            // The server never looked at the request, so it may be sent again.
            Ending::Again(error) => {
                self.forget(&session, key);
                if matches!(error, PeerError::Revision(_)) {
                    self.unlearn(|known| matches!(known, Known::Legacy));
                }
                let session = self.session(key, outgoing.headers).await?;
                match self.ask(&session, outgoing).await? {
                    Ending::Answer(answer) => Ok(answer),
                    Ending::Again(error) => {
                        self.forget(&session, key);
                        Err(error)
                    }
                }
            }
        }
    }

    /// What the server said about itself, once a session was set up: the gateway's own,
    /// else any.
    pub fn info(&self) -> Option<Arc<PeerInfo>> {
        self.info.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the times that lists may have changed; see [`super::Peer::changes`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.link.changes()
    }

    /// Ends the sessions of `affinity` in the background; see [`super::Peer::release`].
    /// Calls that are under way in them go on to their end.
    pub fn release(&self, affinity: Affinity) {
        self.pool.release(affinity);
    }

    /// Tells the sessions of `affinity` that declared it; see
    /// [`super::Peer::roots_changed`].
    pub fn roots_changed(&self, affinity: Affinity) {
        for (profile, session) in self.pool.of(affinity) {
            if profile.has(Profile::ROOTS.with(Profile::ROOTS_CHANGED)) {
                self.link.roots_changed(&session);
            }
        }
    }

    /// Ends all sessions at the server, the gateway's own with these headers, and waits a
    /// few seconds at most for it.
    pub async fn close(&self, headers: &Headers) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
        let sessions = stream::iter(self.pool.take_all());
        let ended = sessions.for_each_concurrent(16, |session| async move {
            let own = if session.personal { session.credential() } else { headers.into() };
            session.end(&own).await;
        });
        if timeout(ASIDE, ended).await.is_err() {
            tracing::debug!("not all sessions could be ended at the server in time");
        }
    }

    async fn ask(
        &self,
        session: &Arc<Session>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Ending, PeerError> {
        let id = self.link.next_id();
        let visit = session.enter(id, outgoing.exchange, outgoing.headers);
        if let Some(exchange) = outgoing.exchange {
            if let Some(level) = session.level_to_set(exchange.level) {
                self.set_level(session, outgoing.headers, level).await;
            }
            ear::open_for(&self.link, session, exchange).await;
        }
        let ending = self.send(session, &visit, id, outgoing).await;
        // It may speak another era by now. (A legacy server says so itself.)
        let odd = matches!(ending, Err(PeerError::Status { .. } | PeerError::Protocol(_)));
        if odd && !session.is_legacy() {
            self.forget(session, OWN);
        }
        ending
    }

    /// Sends one request and reads its answer. When dropped before, or when what comes cannot
    /// be read on, a legacy server is told.
    async fn send(
        &self,
        session: &Arc<Session>,
        visit: &Visit,
        id: u64,
        outgoing: &Outgoing<'_>,
    ) -> Result<Ending, PeerError> {
        let cancel = Cancel { link: &self.link, session, id, armed: true };
        let reply = self.post(session, id, outgoing).await;
        let sent = Sent { session, id, exchange: outgoing.exchange, call: visit.call.as_ref() };
        let ending = match reply {
            Ok(reply) => self.read(sent, reply).await,
            Err(error) => Err(error),
        };
        // Any other end came from the server or the connection: nothing to cancel.
        if !matches!(ending, Err(PeerError::Protocol(_) | PeerError::TooLarge { .. })) {
            cancel.disarm();
        }
        if session.is_legacy() { ending } else { modern(ending) }
    }

    async fn post(
        &self,
        session: &Session,
        id: u64,
        outgoing: &Outgoing<'_>,
    ) -> Result<Reply, PeerError> {
        let revision = session.info.revision;
        let body = Bytes::from(outgoing.write(id, revision));
        let mut headers = self.link.headers(session, outgoing.headers);
        if revision.has_mirrored_headers() {
            headers.push((mcp::METHOD, mcp::encode(outgoing.method)));
            let mirrored = method::mirrored_member(outgoing.method).and(outgoing.name);
            headers.extend(mirrored.map(|name| (mcp::NAME, mcp::encode(name))));
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
        Ok(self.link.destination.send(&Method::POST, &headers, &body).await?)
    }

    /// Tells a legacy server which log lines are wanted. That it refuses, or takes its time,
    /// is no reason not to go on.
    async fn set_level(&self, session: &Arc<Session>, own: &Headers, level: Level) {
        let outgoing = Outgoing {
            method: method::Method::SetLogLevel.name(),
            params: &[("level", Member::Text(level.name()))],
            headers: own,
            ..Outgoing::default()
        };
        match timeout(ASIDE, self.plain(session, &outgoing)).await {
            Ok(Ok(Ending::Answer(Answer::Result(_)))) => {}
            _ => tracing::debug!(level = level.name(), "the log level was not taken"),
        }
    }

    /// A request of the gateway's own in a session that is there, without preparations.
    async fn plain(
        &self,
        session: &Arc<Session>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Ending, PeerError> {
        let id = self.link.next_id();
        let visit = session.enter(id, None, outgoing.headers);
        self.send(session, &visit, id, outgoing).await
    }
}

/// What a modern server's refusals mean, whichever way it put them: with its own id or none,
/// and with any status.
fn modern(ending: Result<Ending, PeerError>) -> Result<Ending, PeerError> {
    let error = match &ending {
        Ok(Ending::Answer(Answer::Error(error))) => error,
        Err(PeerError::Status { error: Some(error), .. }) => error,
        _ => return ending,
    };
    let Some(peek) = ErrorObject::read(Raw::from(error)) else { return ending };
    match peek.code {
        code::HEADER_MISMATCH => Err(PeerError::HeaderMismatch(error.clone())),
        code::UNSUPPORTED_PROTOCOL_VERSION => {
            Ok(Ending::Again(PeerError::Revision(handshake::supported(&peek))))
        }
        code::MISSING_CLIENT_CAPABILITY => Ok(Ending::Answer(Answer::Error(error.clone()))),
        _ => ending,
    }
}

/// Tells a legacy server, when dropped early, that nobody waits any more.
struct Cancel<'a> {
    link: &'a Arc<Link>,
    session: &'a Arc<Session>,
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
        if self.armed && self.session.is_legacy() {
            let message = handshake::cancelled(self.id);
            self.link.aside(self.session, message, None, "a cancellation");
        }
    }
}

#[cfg(test)]
mod tests;
