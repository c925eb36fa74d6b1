//! One session at a server: what is known of it, and who is using it at this moment.
//!
//! A session that the server gave an id is ended there, in the background, when its last
//! holder lets go of it. A modern server has none; then this is only what it said of itself.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Headers,
    link::{ASIDE, Link},
};
use crate::{
    client::{Exchange, PeerInfo},
    mcp::{header, level::Level, revision::Era},
};

/// What of a request's headers belongs to it alone and not to the session.
fn is_of_one_request(name: &HeaderName) -> bool {
    name.as_str().starts_with(header::PARAM_PREFIX)
}

/// The headers that belong to the session: the credential.
pub(super) fn credential(own: &Headers) -> Arc<Headers> {
    own.iter().filter(|(name, _)| !is_of_one_request(name)).cloned().collect()
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) info: Arc<PeerInfo>,
    /// The server's name for it, where it gave one.
    pub(super) id: Option<HeaderValue>,
    /// Whether it belongs to one client, and not to the gateway itself.
    pub(super) personal: bool,
    link: Arc<Link>,
    /// Whether the news of changed roots waits to be sent.
    pub(super) has_news: AtomicBool,
    /// Whether the server has forgotten it, or was told that it is over.
    over: AtomicBool,
    asks: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    credential: Arc<Headers>,
    level: Option<Level>,
    subscribed: BTreeSet<Box<str>>,
    calls: Vec<UnderWay>,
    left: Instant,
    ear: Option<Ear>,
}

/// A call of a client that is under way.
#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    pub(super) id: u64,
    pub(super) exchange: Arc<Exchange>,
    /// Set when the call is over.
    pub(super) ended: CancellationToken,
    /// The questions asked during it.
    pub(super) asked: Arc<AtomicUsize>,
}

/// The task that listens to a session, and whether it hears already.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    pub(super) task: AbortHandle,
    pub(super) open: watch::Receiver<bool>,
}

/// A use of a session, from beginning to end.
#[derive(Debug)]
pub(super) struct Visit {
    session: Arc<Session>,
    /// The call, where a client is behind it.
    pub(super) call: Option<UnderWay>,
}

impl Session {
    pub(super) fn new(
        link: Arc<Link>,
        info: Arc<PeerInfo>,
        id: Option<HeaderValue>,
        personal: bool,
        own: &Headers,
    ) -> Self {
        let state = State {
            credential: credential(own),
            level: None,
            subscribed: BTreeSet::new(),
            calls: Vec::new(),
            left: Instant::now(),
            ear: None,
        };
        Self {
            info,
            id,
            personal,
            link,
            has_news: AtomicBool::new(false),
            over: AtomicBool::new(false),
            asks: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    pub(super) fn is_legacy(&self) -> bool {
        self.info.revision.era() == Era::Legacy
    }

    /// Adds the headers by which the server knows the session.
    pub(super) fn mark(&self, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        headers.extend(self.id.iter().map(|id| (header::SESSION_ID, id.clone())));
        if self.info.revision.has_version_header() {
            let version = HeaderValue::from_static(self.info.revision.name());
            headers.push((header::PROTOCOL_VERSION, version));
        }
    }

    /// Begins a request in it. `id` and `exchange` are remembered where a client is behind
    /// it and the server may address it apart from the request.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: u64,
        exchange: Option<&Exchange>,
        own: &Headers,
    ) -> Visit {
        self.asks.fetch_add(1, Ordering::Relaxed);
        if !self.is_legacy() {
            return Visit { session: Arc::clone(self), call: None };
        }
        let call = exchange.map(|exchange| UnderWay {
            id,
            exchange: Arc::new(exchange.clone()),
            ended: CancellationToken::new(),
            asked: Arc::default(),
        });
        let mut state = self.state();
        let kept = state.credential.iter();
        if !own.iter().filter(|(name, _)| !is_of_one_request(name)).eq(kept) {
            state.credential = credential(own);
        }
        state.calls.extend(call.clone());
        drop(state);
        Visit { session: Arc::clone(self), call }
    }

    /// The headers to speak with apart from any request: those of the last one.
    pub(super) fn credential(&self) -> Arc<Headers> {
        Arc::clone(&self.state().credential)
    }

    /// The call with this id, if it is under way.
    pub(super) fn call(&self, id: u64) -> Option<UnderWay> {
        self.state().calls.iter().find(|call| call.id == id).cloned()
    }

    /// The call that began last, of those under way; only a session of one client tells.
    pub(super) fn latest(&self) -> Option<UnderWay> {
        self.state().calls.last().filter(|_| self.personal).cloned()
    }

    /// The level to ask the server for before a request that wants `wanted`, noted as asked
    /// for. The gateway's own session has many clients: there it only ever becomes more.
    pub(super) fn level_to_set(&self, wanted: Option<Level>) -> Option<Level> {
        let wanted = wanted.filter(|_| self.is_legacy() && self.info.declares(&["logging"]))?;
        let mut state = self.state();
        let fits = match state.level {
            None => false,
            Some(level) if self.personal => level == wanted,
            Some(level) => level <= wanted,
        };
        if !fits {
            state.level = Some(wanted);
        }
        (!fits).then_some(wanted)
    }

    /// The resources to subscribe (`true`) and to unsubscribe so that just `wanted` is.
    pub(super) fn to_subscribe(&self, wanted: &BTreeSet<Box<str>>) -> Vec<(bool, Box<str>)> {
        let state = self.state();
        let new = wanted.difference(&state.subscribed).map(|uri| (true, uri.clone()));
        let old = state.subscribed.difference(wanted).map(|uri| (false, uri.clone()));
        new.chain(old).collect()
    }

    /// Notes that the server has been asked to.
    pub(super) fn subscribed(&self, yes: bool, uri: Box<str>) {
        let mut state = self.state();
        if yes {
            state.subscribed.insert(uri);
        } else {
            state.subscribed.remove(&uri);
        }
    }

    /// The ear, made by `make` where there is none.
    pub(super) fn ear(&self, make: impl FnOnce() -> Ear) -> Ear {
        let mut state = self.state();
        match &state.ear {
            Some(ear) if !ear.task.is_finished() => ear.clone(),
            _ => state.ear.insert(make()).clone(),
        }
    }

    /// Gives the ear up if nothing was under way for `long`, and tells whether it did.
    pub(super) fn gives_up_ear(&self, long: Duration) -> bool {
        let mut state = self.state();
        let quiet = state.calls.is_empty() && state.left.elapsed() >= long;
        if quiet {
            state.ear = None;
        }
        quiet
    }

    /// Stops listening at once.
    pub(super) fn hush(&self) {
        if let Some(ear) = self.state().ear.take() {
            ear.task.abort();
        }
    }

    /// Whether a request is under way in it.
    pub(super) fn is_busy(&self) -> bool {
        self.asks.load(Ordering::Relaxed) > 0
    }

    /// When the last request was over.
    pub(super) fn left(&self) -> Instant {
        self.state().left
    }

    /// The server does not know it any more.
    pub(super) fn forgotten(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.hush();
    }

    /// Ends it at the server, unless that has been done.
    pub(super) async fn end(&self, own: &Headers) {
        self.hush();
        if !self.over.swap(true, Ordering::Relaxed) && self.id.is_some() {
            delete(&self.link, self.link.headers(self, own)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.id.is_none() || self.over.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let link = Arc::clone(&self.link);
        let headers = link.headers(self, &self.credential());
        runtime.spawn(async move {
            let _leave = link.turn().await;
            delete(&link, headers).await;
        });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.ended.cancel();
        }
        if self.session.is_legacy() {
            let mut state = self.session.state();
            state.left = Instant::now();
            if let Some(call) = &self.call {
                state.calls.retain(|other| other.id != call.id);
            }
        }
        self.session.asks.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn delete(link: &Link, headers: Vec<(HeaderName, HeaderValue)>) {
    let nothing = Bytes::new();
    let sent = link.destination.send(&Method::DELETE, &headers, &nothing);
    if let Ok(Err(error)) = timeout(ASIDE, sent).await {
        tracing::debug!(%error, "the session could not be ended at the server");
    }
}
