//! How answers travel: one JSON message, or a stream of events that ends in it.
//!
//! A legacy call lives in a task of its own, since a lost connection does not cancel it; a
//! modern call lives in its connection and goes with it.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tidegate_model::{Answer, CallId, Json, Outcome};
use tidegate_wire::{
    client::{Event, Exchange},
    json::Raw,
    mcp::{
        Era, Id, OwnedId, Revision, code, envelope,
        splice::{self, Edit},
    },
    server::{self, Accept, Rejection},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::admit::Admitted;
use crate::{
    call::{
        self, ToolRequest,
        methods::{self, Reply, Spoken},
        refusal::{self, Wire},
    },
    gateway::Gateway,
    http::stream::{self, Answering},
    session::Session,
};

/// How long a call may be quiet before its answer becomes a stream that can be kept alive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Notifications that may wait for a slow client; further ones are dropped.
const WAITING_NOTIFICATIONS: usize = 64;

/// A whole body.
pub(super) fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(Body::from)
}

/// A result, at once.
pub(super) fn result(id: Option<Id<'_>>, result: &Json) -> Response<Body> {
    let Some(id) = id else { return whole(server::accepted()) };
    let mut text = Vec::with_capacity(result.len() + 64);
    envelope::result(&mut text, id, result);
    whole(server::json(StatusCode::OK, Bytes::from(text)))
}

/// 401, the same for every reason.
pub(super) fn sign_in() -> Response<Body> {
    let words = "a valid API key is needed in `Authorization: Bearer`";
    let rejection = Rejection::new(StatusCode::UNAUTHORIZED, code::SERVER_ERROR, words);
    let mut response = whole(rejection.respond(None));
    let challenge = HeaderValue::from_static("Bearer realm=\"tidegate\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// A tool call on its way to an answer.
pub(super) struct Calling {
    call: Running,
    /// The session, and the token by which it cancels this call.
    session: Option<(Arc<Session>, CancellationToken)>,
    /// The client's progress token, as JSON text.
    token: Option<Box<str>>,
    /// Whether the client takes events.
    events: bool,
}

/// What a call needs to run by itself.
struct Running {
    admitted: Admitted,
    request: ToolRequest,
    revision: Revision,
    id: OwnedId,
}

impl Calling {
    /// Takes a call on; refused where its id is in use in the session.
    pub(super) fn new(
        admitted: Admitted,
        request: ToolRequest,
        spoken: &Spoken<'_>,
        id: Id<'_>,
        accept: Accept,
    ) -> Result<Self, Rejection> {
        let id = id.into_owned();
        let session = match &spoken.session {
            None => None,
            Some(session) => {
                Some((Arc::clone(session), session.begin(id.clone()).ok_or_else(in_use)?))
            }
        };
        Ok(Self {
            call: Running { admitted, request, revision: spoken.revision, id },
            session,
            token: spoken.meta.progress_token.map(|token| token.as_str().into()),
            events: accept.events,
        })
    }

    /// Runs the call and answers: with JSON when it is quick and quiet, else with events.
    pub(super) async fn respond(self, gateway: Arc<Gateway>) -> Response<Body> {
        let Self { call, session, token, events } = self;
        let (sender, mut notifications) = match (&token, events) {
            (Some(_), true) => {
                let (sender, receiver) = mpsc::channel(WAITING_NOTIFICATIONS);
                (Some(sender), Some(receiver))
            }
            _ => (None, None),
        };
        let mut call: Answering = match session {
            None => Box::pin(call.run(gateway, sender)),
            Some((session, cancelled)) => call.detached(gateway, sender, session, cancelled),
        };
        if !events {
            return json(call.await);
        }
        tokio::select! {
            biased;
            text = &mut call => finished(text, notifications, token),
            Some(first) = receive(&mut notifications) => {
                server::event_stream(stream::body(call, Some(first), notifications, token))
            }
            () = tokio::time::sleep(PATIENCE) => {
                server::event_stream(stream::body(call, None, notifications, token))
            }
        }
    }
}

impl Running {
    /// Runs the call to the text of its response.
    async fn run(self, gateway: Arc<Gateway>, progress: Option<mpsc::Sender<Event>>) -> Vec<u8> {
        let Self { admitted, request, revision, id } = self;
        let exchange =
            Exchange { progress: progress.is_some(), events: progress, ..Exchange::default() };
        match admitted.published() {
            Err(rejection) => rejected(&id, &rejection),
            Ok(vmcp) => {
                let (call, outcome) =
                    call::run(&gateway, &admitted.context, vmcp, request, exchange).await;
                response(id.borrow(), call, outcome, revision.era())
            }
        }
    }

    /// Runs the call in a task of its own, to its end or until the client cancels it.
    fn detached(
        self,
        gateway: Arc<Gateway>,
        progress: Option<mpsc::Sender<Event>>,
        session: Arc<Session>,
        cancelled: CancellationToken,
    ) -> Answering {
        let id = self.id.clone();
        let lost = rejected(&id, &failed());
        let (tracker, cut) = (gateway.detached.clone(), gateway.cut.clone());
        let task = tracker.spawn(async move {
            let text = tokio::select! {
                text = self.run(gateway, progress) => text,
                () = cancelled.cancelled() => rejected(&id, &gone()),
                () = cut.cancelled() => rejected(&id, &gone()),
            };
            session.end(&id);
            text
        });
        Box::pin(async move { task.await.unwrap_or(lost) })
    }
}

/// The answer to one message of a batch; `None` where it gets none.
pub(super) async fn in_batch(
    gateway: &Arc<Gateway>,
    admitted: &Admitted,
    spoken: &Spoken<'_>,
    incoming: &methods::Incoming<'_>,
) -> Option<Vec<u8>> {
    let id = incoming.message.id();
    let vmcp = match admitted.published() {
        Ok(vmcp) => vmcp,
        Err(rejection) => return id.map(|id| rejected(&id.into_owned(), &rejection)),
    };
    match methods::dispatch(gateway, &admitted.context, vmcp, spoken, incoming).await {
        Err(rejection) => id.map(|id| rejected(&id.into_owned(), &rejection)),
        Ok(Reply::Accepted) => None,
        Ok(Reply::Result(result)) => {
            let mut text = Vec::new();
            envelope::result(&mut text, id?, &result);
            Some(text)
        }
        Ok(Reply::Call(request)) => {
            let (id, session) = (id?.into_owned(), spoken.session.clone()?);
            let Some(cancelled) = session.begin(id.clone()) else {
                return Some(rejected(&id, &in_use()));
            };
            let (admitted, revision) = (admitted.clone(), spoken.revision);
            let call = Running { admitted, request, revision, id };
            Some(call.detached(Arc::clone(gateway), None, session, cancelled).await)
        }
    }
}

async fn receive(channel: &mut Option<mpsc::Receiver<Event>>) -> Option<Event> {
    channel.as_mut()?.recv().await
}

/// The answer to a call that has ended: JSON, unless notifications are still to be told first.
fn finished(
    text: Vec<u8>,
    mut notifications: Option<mpsc::Receiver<Event>>,
    token: Option<Box<str>>,
) -> Response<Body> {
    match notifications.as_mut().and_then(|channel| channel.try_recv().ok()) {
        None => json(text),
        Some(first) => {
            let call: Answering = Box::pin(std::future::ready(text));
            server::event_stream(stream::body(call, Some(first), notifications, token))
        }
    }
}

fn json(text: Vec<u8>) -> Response<Body> {
    whole(server::json(StatusCode::OK, Bytes::from(text)))
}

/// The text of the response to a tool call.
fn response(id: Id<'_>, call: CallId, outcome: Outcome, era: Era) -> Vec<u8> {
    let mut text = Vec::new();
    match outcome {
        Ok(Answer::Result(result)) => of_era(&mut text, id, &result, era),
        Ok(Answer::Error(error)) => {
            envelope::error_raw(&mut text, id, Raw::from_checked(error.as_str()))
        }
        Err(refused) => match refusal::of_tool_call(call, &refused) {
            Wire::ToolResult(result) => of_era(&mut text, id, &result, era),
            Wire::Error { code, message, data } => {
                envelope::error(&mut text, Some(id), code, &message, Some(&data))
            }
        },
    }
    text
}

/// Writes a result in the form of the client's era: a modern one says its `resultType`, a
/// legacy one does not know the word. All other members keep their bytes.
fn of_era(text: &mut Vec<u8>, id: Id<'_>, result: &Json, era: Era) {
    const TYPE: &str = "resultType";
    let raw = Raw::from_checked(result.as_str());
    // A search of the text is much cheaper than a walk of it, and mostly says no.
    let typed =
        memchr::memmem::find(result.bytes(), TYPE.as_bytes()).is_some() && raw.get(TYPE).is_some();
    let edited = match (era, typed) {
        (Era::Modern, false) => {
            splice::object(raw, &[Edit::set(TYPE, Raw::from_checked("\"complete\""))])
        }
        (Era::Legacy, true) => splice::object(raw, &[Edit::remove(TYPE)]),
        _ => return envelope::result(text, id, result),
    };
    envelope::result(text, id, edited.as_ref().unwrap_or(result));
}

fn rejected(id: &OwnedId, rejection: &Rejection) -> Vec<u8> {
    let mut text = Vec::new();
    let Rejection { code, message, data, .. } = rejection;
    envelope::error(&mut text, Some(id.borrow()), *code, message, data.as_ref());
    text
}

fn in_use() -> Rejection {
    Rejection::invalid("a request with this id is under way in this session; use another id")
}

fn gone() -> Rejection {
    Rejection::new(StatusCode::OK, code::SERVER_ERROR, "the request was cancelled")
}

fn failed() -> Rejection {
    Rejection::new(
        StatusCode::OK,
        code::INTERNAL_ERROR,
        "the gateway failed; the call is on record as abandoned",
    )
}
