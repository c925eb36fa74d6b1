//! Setting a session up: the probe, the legacy handshake, and who waits for whom.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method};
use tidegate_model::Answer;
use tokio::time::timeout;

use super::{Headers, HttpPeer, answer::Ending};
use crate::{
    client::{
        Outgoing, PeerError, PeerInfo, Profile,
        handshake::{self, DISCOVER, MODERN, Probe},
        peer::Fault,
    },
    mcp::{
        header, method,
        revision::{Era, Revision},
    },
};

/// What is known of the server, and its name for us where it gave one.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) info: Arc<PeerInfo>,
    pub(super) id: Option<HeaderValue>,
}

impl HttpPeer {
    /// The session; set up by the first who needs it while the others wait.
    pub(super) async fn session(&self, headers: &Headers) -> Result<Arc<Session>, PeerError> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let _alone = self.setting_up.lock().await;
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let session = Arc::new(self.set_up(headers).await?);
        tracing::debug!(
            origin = %self.destination.origin(),
            revision = session.info.revision.name(),
            "session set up"
        );
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
        self.tick();
        Ok(session)
    }

    async fn set_up(&self, headers: &Headers) -> Result<Session, PeerError> {
        let limit = self.settings.setup_timeout;
        let modern = |info| Session { info: Arc::new(info), id: None };
        let probe = match self.settings.era {
            Some(Era::Legacy) => Probe::Legacy,
            Some(Era::Modern) => match timeout(limit, self.probe(headers)).await {
                Ok(Ok(Probe::Legacy)) => Probe::Foreign(vec!["initialize".to_owned()]),
                Ok(found) => found?,
                Err(_) => return Err(PeerError::Silent(DISCOVER.method)),
            },
            None => match timeout(self.settings.probe_timeout, self.probe(headers)).await {
                Ok(found) => found?,
                // Some legacy servers never answer what they do not know.
                Err(_) => Probe::Legacy,
            },
        };
        match probe {
            Probe::Modern(info) => Ok(modern(info)),
            Probe::Foreign(versions) => Err(PeerError::Revision(versions)),
            Probe::Legacy => match timeout(limit, self.initialize(headers)).await {
                Ok(session) => session,
                Err(_) => Err(PeerError::Silent(method::Method::Initialize.name())),
            },
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

    async fn initialize(&self, own: &Headers) -> Result<Session, PeerError> {
        let values = handshake::initialize_params(Profile::ALL);
        let params = handshake::initialize_members(&values);
        let outgoing = Outgoing {
            method: method::Method::Initialize.name(),
            params: &params,
            ..Outgoing::default()
        };
        let (answer, id) = self.open(&outgoing, Revision::LATEST_LEGACY, own).await?;
        let info = Arc::new(handshake::read_initialize(&answer)?);
        let session = Session { info, id };
        self.tell(&session, own, handshake::initialized()).await?;
        Ok(session)
    }

    /// A request outside of any session; with its answer, the session id that came along.
    async fn open(
        &self,
        outgoing: &Outgoing<'_>,
        revision: Revision,
        own: &Headers,
    ) -> Result<(Answer, Option<HeaderValue>), PeerError> {
        let id = self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let body = Bytes::from(outgoing.write(id, revision));
        let mut headers = self.opening(own);
        if revision.has_mirrored_headers() {
            headers.push((header::PROTOCOL_VERSION, HeaderValue::from_static(revision.name())));
            headers.push((header::METHOD, header::encode(outgoing.method)));
        }
        let reply = self.destination.send(&Method::POST, &headers, &body).await?;
        let session_id = reply.headers.get(header::SESSION_ID).cloned();
        if session_id.as_ref().is_some_and(|id| !is_session_id(id)) {
            let what = "a session id with characters other than visible ascii".to_owned();
            return Err(Fault::Malformed(what).into());
        }
        let info = PeerInfo { revision, ..PeerInfo::unknown() };
        let session = Arc::new(Session { info: Arc::new(info), id: session_id.clone() });
        match self.read(&session, id, reply, outgoing).await? {
            Ending::Answer(answer) => Ok((answer, session_id)),
            Ending::SessionGone(status) => Err(PeerError::Status { status, error: None }),
        }
    }
}

fn is_session_id(id: &HeaderValue) -> bool {
    !id.is_empty() && id.len() <= 1024 && id.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b))
}
