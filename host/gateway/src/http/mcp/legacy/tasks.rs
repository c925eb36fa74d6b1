//! Tasks that the calls of a session have become (experimental in 2025-11-25).
//!
//! Owns which of them the client is told about: those that it was given an id of. Ids are
//! sealed and opened by [`crate::call::tasks`].

use tidegate_governance::catalog::Rewrite;
use tidegate_model::{ConnectorId, Json};
use tidegate_wire::{
    json::Raw,
    mcp::{
        Message,
        splice::{self, Edit},
    },
};

use crate::{
    call::{
        Request, Target,
        hop::{self, Related},
        tasks,
    },
    gateway::Gateway,
    http::mcp::admit::Admitted,
    session::Session,
};

/// States after which nothing comes.
const LAST: [&str; 3] = ["completed", "failed", "cancelled"];

/// Whether the request wants a task in place of a result.
pub(super) fn is_wanted(request: &Request) -> bool {
    match &request.target {
        Target::Tool { more, .. } => more.iter().any(|(name, _)| &**name == "task"),
        _ => false,
    }
}

/// Takes note of the task in a response, if there is one.
pub(super) fn created(gateway: &Gateway, admitted: &Admitted, session: &Session, response: &[u8]) {
    let Ok(text) = std::str::from_utf8(response) else { return };
    let Ok(Message::Response(response)) = Message::parse(Raw::from_checked(text)) else { return };
    let id = response.outcome.ok().and_then(|result| result.get("task")?.get("taskId")?.string());
    let Some(published) = id else { return };
    let caller = &admitted.context.caller;
    if let Some(known) = tasks::open(gateway, caller, &admitted.vmcp, &published)
        && session.follows(gateway).follow_task(&known.connector, &known.id)
    {
        session.tasks().insert((known.connector, known.id), published.into());
    }
}

/// The state of a task in published terms; `None` for one that is not the session's.
pub(super) fn status(
    gateway: &Gateway,
    session: &Session,
    connector: ConnectorId,
    params: &Json,
) -> Option<Json> {
    let raw = Raw::from(params);
    let place = (connector, Box::from(raw.get("taskId")?.string()?.as_ref()));
    let published = session.tasks().get(&place).cloned()?;
    let state = raw.get("status").and_then(Raw::string);
    if state.is_some_and(|state| LAST.contains(&&*state)) {
        session.tasks().remove(&place);
        session.follows(gateway).unfollow_task(&place.0, &place.1);
    }
    let revision = gateway.revision(session.org().as_str())?;
    let vmcp = revision.snapshot.vmcp(session.vmcp().as_str())?;
    let params = vmcp.uris.rewrite(&place.0, Rewrite::Task, params);
    let params = hop::past(params, Related::Is(&published));
    let published = Json::of(&published).ok()?;
    splice::object(Raw::from(&params), &[Edit::set("taskId", Raw::from(&published))]).ok()
}
