//! Answers to legacy clients.
//!
//! An operation lives in a task of its own, since a lost connection does not cancel it
//! (2025-11-25, transports); the session knows it, so that the client can cancel it by id.
//! What is told while it runs goes on a stream that the session keeps, see [`telling`].

mod own;
mod tasks;
mod telling;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Response, request::Parts};
use tidegate_model::{Answer, ConnectorId, Json};
use tidegate_wire::{
    client::{Exchange, Profile},
    json::Kind,
    mcp::{Id, OwnedId, envelope, header},
    server::{self, Rejection},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    admit::Admitted,
    modern::json,
    respond::{PATIENCE, WAITING},
    running::{Ended, Running, failed, rejected},
};
use crate::{
    call::{
        Target,
        park::{self, question},
        tasks as task_ids,
    },
    gateway::Gateway,
    http::stream::{self, Answering},
    session::Session,
};
use telling::{Client, Telling};

/// How long a call of a client that can resume may be quiet before its answer becomes a
/// stream: from then on a lost connection does not lose the answer (SEP-1699).
const SOON: Duration = Duration::from_millis(200);

/// Runs an operation and answers: with JSON when it is quick and quiet, else with events.
pub(super) async fn respond(
    gateway: Arc<Gateway>,
    call: Running,
    exchange: Exchange,
    (session, cancelled): (Arc<Session>, CancellationToken),
    token: Option<Box<str>>,
    events: bool,
) -> Response<Body> {
    if !events {
        return json(detached(call, gateway, unasked(exchange), session, cancelled).await);
    }
    let connector = connector_of(&gateway, &call.admitted, &call.request.target);
    let client = Client { admitted: call.admitted.clone(), session, token, connector };
    let (sender, mut inbox) = mpsc::channel(WAITING);
    let exchange = Exchange { events: Some(sender), progress: client.token.is_some(), ..exchange };
    let session = Arc::clone(&client.session);
    let resumable = session.revision.has_priming_event();
    let patience = if resumable { SOON } else { PATIENCE };
    let mut call = detached(call, Arc::clone(&gateway), exchange, session, cancelled);
    let first = tokio::select! {
        biased;
        ended = &mut call => match inbox.try_recv().ok() {
            None => return json(ended),
            Some(first) => {
                call = Box::pin(std::future::ready(ended));
                Some(first)
            }
        },
        Some(first) = inbox.recv() => Some(first),
        () = tokio::time::sleep(patience) => None,
    };
    let (writer, reader) = client.session.streams().open();
    if resumable {
        writer.prime();
    }
    let tracker = gateway.detached.clone();
    tracker.spawn(Telling::new(gateway, client, writer).run(call, first, inbox));
    server::event_stream(stream::kept(reader))
}

/// Whether the client can resume a stream, and would rather have one even for a result that
/// is there at once.
pub(super) fn wants_stream(session: &Session, parts: &Parts) -> bool {
    session.revision.has_priming_event() && server::prefers_events(&parts.headers)
}

/// A result on a stream of its own.
pub(super) fn streamed(session: &Session, id: Id<'_>, result: &Json) -> Response<Body> {
    let (writer, reader) = session.streams().open();
    writer.prime();
    writer.put(&Ended::result(id, result).text);
    server::event_stream(stream::kept(reader))
}

/// The client behind a call that gets its answer alone: it cannot be asked.
pub(super) fn unasked(exchange: Exchange) -> Exchange {
    let mut exchange = exchange;
    exchange.can.profile = Profile::NONE;
    exchange
}

/// The connector that a request goes to, if nothing changes until then.
fn connector_of(gateway: &Gateway, admitted: &Admitted, target: &Target) -> Option<ConnectorId> {
    match target {
        Target::Task { id, .. } => {
            let caller = &admitted.context.caller;
            task_ids::open(gateway, caller, &admitted.vmcp, id).map(|known| known.connector)
        }
        target => park::connector_of(admitted.published().ok()?, target),
    }
}

/// A request under way in its session, until this goes.
struct UnderWay {
    session: Arc<Session>,
    id: OwnedId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.session.end(&self.id);
    }
}

/// Runs the call in a task of its own, to its end or until the client cancels it.
pub(super) fn detached(
    call: Running,
    gateway: Arc<Gateway>,
    exchange: Exchange,
    session: Arc<Session>,
    cancelled: CancellationToken,
) -> Answering {
    let lost = rejected(&call.id, &failed());
    // Also where the task never runs, or dies.
    let under_way = UnderWay { session, id: call.id.clone() };
    let (tracker, cut) = (gateway.detached.clone(), gateway.cut.clone());
    let task_of = tasks::is_wanted(&call.request).then(|| call.admitted.clone());
    let task = tracker.spawn(async move {
        let cancelled = async {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = cut.cancelled() => {}
            }
        };
        let ended = call.run(Arc::clone(&gateway), exchange, cancelled).await;
        if let Some(admitted) = task_of {
            tasks::created(&gateway, &admitted, &under_way.session, &ended.text);
        }
        drop(under_way);
        ended
    });
    Box::pin(async move { task.await.unwrap_or(lost) })
}

/// Takes a client's answer to a question of a server. One that answers nothing is ignored.
pub(super) fn answered(session: &Session, response: &envelope::Response<'_>, text: &Json) {
    let answer = match response.outcome {
        Ok(result) if result.kind() == Kind::Object => Answer::Result(result.within(text)),
        Ok(_) => question::unasked("the client sent no usable result"),
        Err(error) => Answer::Error(error.within(text)),
    };
    let id = response.id.and_then(|id| id.number());
    if !id.is_some_and(|id| session.questions().answer(id, answer)) {
        tracing::debug!("a client answered what it was not asked");
    }
}

/// Serves GET: what follows the event that the client saw last, on its stream, or the one
/// stream of the session that belongs to no request.
pub(super) fn stream(
    gateway: &Arc<Gateway>,
    admitted: &Admitted,
    parts: &Parts,
) -> Result<Response<Body>, Rejection> {
    let (session, known) = admitted.session(gateway, parts)?;
    if known == server::Session::Absent {
        // Modern clients have nothing to get.
        return Err(Rejection::verb());
    }
    server::in_session(parts, known)?;
    server::check_get(parts)?;
    let session = session.ok_or_else(Rejection::verb)?;
    let last = header::single(&parts.headers, &header::LAST_EVENT_ID)
        .map_err(|_| Rejection::invalid("the `Last-Event-ID` header is malformed"))?;
    let reader = match last {
        None => own::open(gateway, admitted, &session)?,
        Some(last) => match session.resume(last) {
            Some(reader) => reader,
            // Nobody listened for so long that nothing of it is kept.
            None if session.is_own_event(last) => own::open(gateway, admitted, &session)?,
            None => return Err(not_kept()),
        },
    };
    Ok(server::event_stream(stream::kept(reader)))
}

/// The same for every event that cannot be gone on from, whosever it was.
fn not_kept() -> Rejection {
    Rejection::invalid(
        "there is no event with this id to go on from (any more); leave `Last-Event-ID` out",
    )
}
