//! Sessions of the legacy era: many at a child that has one.
//!
//! The first `initialize` goes to the child, declaring all that can be carried; its answer is
//! everybody's. What one session follows, sets or ends is held apart from the others here.

use std::sync::{Arc, atomic::Ordering};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tidegate_model::Json;
use tokio::{sync::mpsc, time::Instant};

use super::{
    super::{
        rewrite::{self, Pieces},
        table::{Client, Entry, Full, Nature, Said, SessionState},
    },
    Instance,
};
use crate::{
    client::Profile,
    json::Raw,
    mcp::{
        envelope::{Id, Notification, Request, Response},
        method::Method,
        revision::{Era, Revision},
    },
};

/// Notifications that are kept for a session that does not read its stream.
const KEPT: usize = 256;

/// How an `initialize` ended.
#[derive(Debug)]
pub(in super::super) enum Opened {
    /// A session began, with this answer.
    Session(Arc<str>, Pieces),
    /// The child refused.
    Refused(Pieces),
    /// The child ended.
    Gone,
}

impl Instance {
    /// Begins a session for whoever sent this `initialize`.
    pub(in super::super) async fn initialize(
        self: &Arc<Self>,
        text: Raw<'_>,
        request: &Request<'_>,
    ) -> Result<Opened, Full> {
        // The others wait: the child may be asked only once.
        let mut opened = self.opened.lock().await;
        let answer = match &*opened {
            Some(answer) => answer.clone(),
            None => match self.initialize_child(text, request).await? {
                Some(Said::Answer(pieces, None)) => {
                    let answer = Json::from_checked(pieces.0.concat().into());
                    opened.insert(answer).clone()
                }
                Some(Said::Answer(pieces, Some(_))) => return Ok(Opened::Refused(pieces)),
                _ => return Ok(Opened::Gone),
            },
        };
        drop(opened);
        let result = Raw::from(&answer).get("result");
        let version = result.and_then(|result| result.get("protocolVersion")?.string());
        let revision = version.as_deref().and_then(Revision::parse);
        let legacy = revision.filter(|revision| revision.era() == Era::Legacy);
        let can = request.params.and_then(|params| params.get("capabilities"));
        let (stream, kept) = mpsc::channel(KEPT);
        let session = SessionState {
            can: can.map_or(Profile::NONE, Profile::read),
            revision: legacy.unwrap_or(Revision::LATEST_LEGACY),
            stream,
            kept: Some(kept),
            subscribed: Default::default(),
            used: Instant::now(),
        };
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id).map_err(|_| Full::Crowded)?;
        let id: Arc<str> = URL_SAFE_NO_PAD.encode(id).into();
        self.table().open(Arc::clone(&id), session)?;
        let answer_id = Raw::from(&answer).get("id");
        let pieces = match answer_id {
            Some(part) => Pieces::exchanged(&answer, part.as_str(), request.id.as_str()),
            None => Pieces::whole(&answer),
        };
        Ok(Opened::Session(id, pieces))
    }

    async fn initialize_child(
        self: &Arc<Self>,
        text: Raw<'_>,
        request: &Request<'_>,
    ) -> Result<Option<Said>, Full> {
        let mut conversation = self.enter(Entry {
            client: Client::Alone,
            id: request.id.into_owned(),
            token: None,
            nature: Nature::Aside,
            streams: false,
            logs: false,
            waiting: None,
            until: None,
        })?;
        self.send(rewrite::initialize(text, conversation.id)).await?;
        Ok(conversation.next().await)
    }

    /// The revision of a session, if it is there.
    pub(in super::super) fn session(&self, id: &str) -> Option<(Arc<str>, Revision)> {
        let mut table = self.table();
        let (id, session) = table.session(id)?;
        Some((id, session.revision))
    }

    /// A request within a session that changes what the child is to tell: `Some` is its answer
    /// where the child must not hear of it, since other sessions still follow the resource.
    pub(in super::super) fn follows(&self, session: &str, request: &Request<'_>) -> Option<Pieces> {
        let subscribes = match Method::parse(&request.method) {
            Some(Method::SubscribeResource) => true,
            Some(Method::UnsubscribeResource) => false,
            _ => return None,
        };
        let uri = request.params.and_then(|params| params.get("uri")?.string())?;
        let mut table = self.table();
        let (_, state) = table.session(session)?;
        if subscribes {
            state.subscribed.insert(uri.into());
            return None;
        }
        state.subscribed.remove(&*uri);
        if !table.is_subscribed(&uri) {
            return None;
        }
        let mut answer = Vec::new();
        crate::mcp::envelope::result(&mut answer, request.id, &Json::empty_object());
        Some(Pieces(vec![answer.into()]))
    }

    /// Deals with a notification of a session.
    pub(in super::super) async fn notified(
        &self,
        session: &str,
        text: Raw<'_>,
        note: &Notification<'_>,
    ) -> Result<(), Full> {
        match Method::parse(&note.method) {
            // The child has one session, and has been told.
            Some(Method::Initialized) if self.initialized.swap(true, Ordering::Relaxed) => {
                return Ok(());
            }
            Some(Method::Cancelled) => {
                let id = note.params.and_then(|params| params.get("requestId"));
                let Some(id) = id.and_then(Id::read) else { return Ok(()) };
                let own = self.table().of_session(session, &id);
                let Some(own) = own else { return Ok(()) };
                self.send(rewrite::of_request(text, &own.to_string())).await?;
                // The child has been told already; nobody waits from now on.
                self.cancelled(own);
                return Ok(());
            }
            Some(Method::RootsChanged) if !self.table().is_alone(session) => return Ok(()),
            _ => {}
        }
        self.pass(text).await
    }

    /// Passes a session's answer to a question on; whether it was asked.
    pub(in super::super) async fn answered(
        &self,
        session: &str,
        text: Raw<'_>,
        response: &Response<'_>,
    ) -> Result<bool, Full> {
        let id = response.id.map(Id::into_owned);
        if !id.is_some_and(|id| self.table().answered(session, &id)) {
            return Ok(false);
        }
        self.pass(text).await?;
        Ok(true)
    }

    /// Takes the stream of a session, unless somebody reads it: `Some(None)`.
    pub(in super::super) fn stream(&self, session: &str) -> Option<Option<mpsc::Receiver<Pieces>>> {
        let mut table = self.table();
        Some(table.session(session)?.1.kept.take())
    }

    /// Gives the stream of a session back.
    pub(in super::super) fn give_back(&self, session: &str, stream: mpsc::Receiver<Pieces>) {
        if let Some((_, state)) = self.table().session(session) {
            state.kept = Some(stream);
        }
    }

    /// Ends a session; whether it was there.
    pub(in super::super) fn end_session(&self, session: &str) -> bool {
        let (calls, alone) = {
            let mut table = self.table();
            let Some(left) = table.end(session) else { return false };
            (left.0, left.1.into_iter().map(|uri| (table.spare_id(), uri)).collect::<Vec<_>>())
        };
        for call in calls {
            self.abandon(call, true);
        }
        for (id, uri) in alone {
            let method = Method::UnsubscribeResource.name();
            let message = rewrite::own_request(id, method, "uri", &uri);
            self.aside(message, "that nobody follows a resource any more");
        }
        true
    }

    fn cancelled(&self, id: u64) {
        if let Some(questions) = self.table().abandon(id, true) {
            for question in questions {
                let code = crate::mcp::code::INTERNAL_ERROR;
                let words = "the call it belonged to was cancelled";
                self.aside(
                    rewrite::refusal(question.borrow(), code, words),
                    "a cancelled question",
                );
            }
        }
    }
}
