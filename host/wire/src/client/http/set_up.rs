//! Setting sessions up: the probe, the legacy handshake, and who waits for whom.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method};
use tidegate_model::{Answer, Json};
use tokio::time::timeout;

use super::{
    Headers, HttpPeer, Known,
    answer::{Ending, Sent},
    pool::{Key, OWN},
    session::{self, Session},
};
use crate::{
    client::{
        Outgoing, PeerError, PeerInfo,
        handshake::{self, DISCOVER, MODERN, Probe},
        peer::Fault,
    },
    json::Raw,
    mcp::{
        code, header, method,
        peek::ErrorObject,
        revision::{Era, Revision},
    },
};

impl HttpPeer {
    /// The session for `key`; set up by the first who needs it while the others wait.
    pub(super) async fn session(&self, key: Key, own: &Headers) -> Result<Arc<Session>, PeerError> {
        let known = match self.is_known() {
            Some(known) => known,
            // Whoever has a session does not wait until the era is found out again.
            None => match self.pool.session(key) {
                Some(session) => return Ok(session),
                None => self.known(own).await?,
            },
        };
        if let Known::Modern(session) = known {
            return Ok(session);
        }
        let seat = self.pool.seat(key);
        if let Some(session) = seat.session() {
            return Ok(session);
        }
        let _alone = seat.setting_up.lock().await;
        if let Some(session) = seat.session() {
            return Ok(session);
        }
        let limit = self.link.settings.setup_timeout;
        let made = match timeout(limit, self.initialize(key, own)).await {
            Ok(made) => made,
            Err(_) => Err(PeerError::Silent(method::Method::Initialize.name())),
        };
        let session = match made {
            Ok(session) => Arc::new(session),
            Err(error) => {
                // Perhaps it is not legacy after all: then the next one looks again. While
                // others have sessions, that takes more than one that could not be set up.
                if speaks_otherwise(&error) || !self.pool.has_sessions() {
                    self.unlearn(|known| matches!(known, Known::Legacy));
                }
                return Err(error);
            }
        };
        self.log_set_up(&session);
        seat.take_place(&session);
        if key == OWN {
            self.link.begin_anew();
            self.link.tick();
        }
        Ok(session)
    }

    /// Gives a session up that the server does not know any more.
    pub(super) fn forget(&self, session: &Arc<Session>, key: Key) {
        session.forgotten();
        if session.is_legacy() {
            self.pool.seat(key).forget(session);
        } else {
            self.unlearn(
                |known| matches!(known, Known::Modern(held) if Arc::ptr_eq(held, session)),
            );
        }
    }

    /// What the server is; found out by the first who needs to know while the others wait.
    async fn known(&self, own: &Headers) -> Result<Known, PeerError> {
        let _alone = self.finding_out.lock().await;
        if let Some(known) = self.is_known() {
            return Ok(known);
        }
        let found = match self.find_out(own).await? {
            Some(info) => {
                // One that is asked again since it failed, and is the same, has told nothing
                // new: its lists would only be asked for again, and fail again.
                let is_new = self.info().is_none_or(|before| *before != info);
                let info = self.learn(info, true);
                let link = Arc::clone(&self.link);
                let session = Arc::new(Session::new(link, info, None, false, own));
                self.log_set_up(&session);
                if is_new {
                    self.link.tick();
                }
                Known::Modern(session)
            }
            None => Known::Legacy,
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    fn is_known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn unlearn(&self, what: impl FnOnce(&Known) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(what) {
            *known = None;
        }
    }

    /// Notes what the server says of itself. Sessions that hear the same share it. A session
    /// of a client that meets another server than before ticks [`HttpPeer::changes`].
    fn learn(&self, info: PeerInfo, own: bool) -> Arc<PeerInfo> {
        let mut noted = self.info.write().unwrap_or_else(PoisonError::into_inner);
        match &*noted {
            Some(known) if **known == info => return Arc::clone(known),
            Some(known) if !own => {
                if (&known.name, &known.version) != (&info.name, &info.version) {
                    self.link.tick();
                }
                return Arc::new(info);
            }
            _ => {}
        }
        Arc::clone(noted.insert(Arc::new(info)))
    }

    fn log_set_up(&self, session: &Session) {
        tracing::debug!(
            origin = %self.link.destination.origin(),
            revision = session.info.revision.name(),
            "session set up"
        );
    }

    /// What a modern server says about itself; none of a legacy one.
    async fn find_out(&self, own: &Headers) -> Result<Option<PeerInfo>, PeerError> {
        let settings = &self.link.settings;
        let probe = match settings.era {
            Some(Era::Legacy) => Probe::Legacy,
            Some(Era::Modern) => match timeout(settings.setup_timeout, self.probe(own)).await {
                Ok(Ok(Probe::Legacy)) => Probe::Foreign(vec!["initialize".to_owned()]),
                Ok(found) => found?,
                Err(_) => return Err(PeerError::Silent(DISCOVER.method)),
            },
            None => match timeout(settings.probe_timeout, self.probe(own)).await {
                Ok(found) => found?,
                // Some legacy servers never answer what they do not know.
                Err(_) => Probe::Legacy,
            },
        };
        match probe {
            Probe::Modern(info) => Ok(Some(info)),
            Probe::Foreign(versions) => Err(PeerError::Revision(versions)),
            Probe::Legacy => Ok(None),
        }
    }

    async fn probe(&self, own: &Headers) -> Result<Probe, PeerError> {
        match self.open(&DISCOVER, MODERN, own).await {
            Ok((answer, _)) => Ok(handshake::read_discover(&answer)),
            Err(PeerError::Status { error: Some(error), .. }) => {
                Ok(handshake::read_refusal(&error))
            }
            // Whatever else it said, it said it over HTTP: the other era may suit it better.
            Err(PeerError::Status { .. } | PeerError::Protocol(_)) => Ok(Probe::Legacy),
            Err(error) => Err(error),
        }
    }

    async fn initialize(&self, key: Key, own: &Headers) -> Result<Session, PeerError> {
        let values = handshake::initialize_params(key.profile);
        let params = handshake::initialize_members(&values);
        let outgoing = Outgoing {
            method: method::Method::Initialize.name(),
            params: &params,
            ..Outgoing::default()
        };
        let opened = self.open(&outgoing, Revision::LATEST_LEGACY, own).await;
        let (answer, id) = opened.map_err(|error| match error {
            PeerError::Status { status: status @ (400 | 404 | 405), error: None } => {
                PeerError::NotStreamable(status)
            }
            error => error,
        })?;
        let info = handshake::read_initialize(&answer).inspect_err(|_| {
            if let Answer::Error(error) = &answer
                && is_of_another_era(error)
            {
                self.unlearn(|known| matches!(known, Known::Legacy));
            }
        })?;
        let info = self.learn(info, key == OWN);
        let personal = key.affinity.is_some();
        let session = Session::new(Arc::clone(&self.link), info, id, personal, own);
        let own = session.credential();
        self.link.tell(&session, &own, handshake::initialized()).await?;
        Ok(session)
    }

    /// A request outside of any session; with its answer, the session id that came along.
    async fn open(
        &self,
        outgoing: &Outgoing<'_>,
        revision: Revision,
        own: &Headers,
    ) -> Result<(Answer, Option<HeaderValue>), PeerError> {
        let id = self.link.next_id();
        let body = Bytes::from(outgoing.write(id, revision));
        let mut headers = self.link.opening(&session::credential(own));
        if revision.has_mirrored_headers() {
            headers.push((header::PROTOCOL_VERSION, HeaderValue::from_static(revision.name())));
            headers.push((header::METHOD, header::encode(outgoing.method)));
        }
        let reply = self.link.destination.send(&Method::POST, &headers, &body).await?;
        let session_id = reply.headers.get(header::SESSION_ID).cloned();
        if session_id.as_ref().is_some_and(|id| !is_session_id(id)) {
            let what = "a session id with characters other than visible ascii".to_owned();
            return Err(Fault::Malformed(what).into());
        }
        // For the time of the handshake: without an id there is nothing to end.
        let info = Arc::new(PeerInfo { revision, ..PeerInfo::unknown() });
        let session = Arc::new(Session::new(Arc::clone(&self.link), info, None, false, own));
        let sent = Sent { session: &session, id, exchange: None, call: None };
        match self.read(sent, reply).await? {
            Ending::Answer(answer) => Ok((answer, session_id)),
            Ending::Again(error) => Err(error),
        }
    }
}

/// Whether a failed `initialize` says that there is no such method, at all or in this way.
fn speaks_otherwise(error: &PeerError) -> bool {
    match error {
        PeerError::Protocol(_) | PeerError::NotStreamable(_) => true,
        PeerError::Status { error: Some(error), .. } => is_of_another_era(error),
        _ => false,
    }
}

fn is_of_another_era(error: &Json) -> bool {
    ErrorObject::read(Raw::from(error))
        .is_some_and(|error| error.code == code::METHOD_NOT_FOUND || code::is_modern(error.code))
}

fn is_session_id(id: &HeaderValue) -> bool {
    !id.is_empty() && id.len() <= 1024 && id.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b))
}
