//! Requests of modern clients that need more than one round.
//!
//! A server that asks mid-call needs an answer that a modern client can only give by
//! repeating its request (SEP-2322). Owns the sealed `requestState` that ties the rounds
//! together ([`state`]), the questions on their way to a client ([`question`]), and calls
//! that wait for one, parked ([`live`], [`table`]). Knows no HTTP.

pub(crate) mod live;
pub(crate) mod question;
mod relay;
mod state;
pub(crate) mod table;

use http::StatusCode;
use serde_json::json;
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_model::{ConnectorId, Given, Json, Refusal, RefusalCode};
use tidegate_wire::{
    json::{Kind, Raw},
    mcp::{
        Era, code,
        peek::{ErrorObject, PeekError},
        splice::{self, Edit},
    },
    server::Rejection,
};

use super::{Context, Reference, Target, refusal};
use crate::gateway::Gateway;
pub(crate) use relay::outward;
pub(crate) use state::LIFETIME;
use state::State;
pub(crate) use table::ParkedId;

/// What a request says about earlier rounds.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// Nothing: it is the first round, or is to be carried out as if it were.
    Fresh,
    /// This goes to the server with the request.
    Given(Given),
    /// It goes on with this call, whose questions get these responses.
    Parked(ParkedId, Json),
    /// The person declined what the server demands first; this is the result. It is on record.
    Declined(Json),
}

/// Reads `inputResponses` and `requestState` of a modern request for `target`. A state that
/// was not made for this very request, or is too old, is rejected with -32602.
///
/// `text` is the body of which `params` is a view.
pub(crate) async fn read_given(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    target: &Target,
    (params, text): (Option<Raw<'_>>, &Json),
) -> Result<Resumed, Rejection> {
    let get = |name| params.and_then(|params| params.get(name)).filter(|raw| !raw.is_null());
    let wrong = |name, kind| Rejection::params(Era::Modern, &PeekError::Type(name, kind));
    let responses = match get("inputResponses") {
        Some(raw) if raw.kind() != Kind::Object => {
            return Err(wrong("inputResponses", "an object"));
        }
        raw => raw.map(|raw| raw.within(text)),
    };
    let Some(state) = get("requestState") else {
        return Ok(match responses {
            None => Resumed::Fresh,
            // Servers may do without a state.
            responses => Resumed::Given(Given { responses, state: None }),
        });
    };
    let handle = state.string().ok_or_else(|| wrong("requestState", "a string"))?;
    let state = state::open(gateway, context, &vmcp.vmcp.id, target, &handle);
    match state.ok_or_else(not_valid)? {
        State::Upstream { connector, state, answered } => {
            // What one server said is never told to another.
            if Some(connector) != connector_of(vmcp, target) {
                return Err(not_valid());
            }
            let responses = merged(responses, answered);
            Ok(Resumed::Given(Given { responses, state: state.map(Into::into) }))
        }
        State::Parked { id } => {
            Ok(Resumed::Parked(id, responses.unwrap_or_else(Json::empty_object)))
        }
        State::Again { keys, words } => {
            let accepted = |key: &String| {
                let response = responses.as_ref().and_then(|all| Raw::from(all).get(key));
                let action = response.and_then(|one| one.get("action")).and_then(Raw::string);
                action.is_some_and(|action| action == "accept")
            };
            if keys.iter().all(accepted) {
                return Ok(Resumed::Fresh);
            }
            declined(gateway, context, vmcp, target, words).await
        }
    }
}

/// The client's responses with those that plugins gave in its place, which count.
fn merged(responses: Option<Json>, answered: Option<String>) -> Option<Json> {
    let Some(answered) = answered.and_then(|text| Json::parse(text).ok()) else {
        return responses;
    };
    let Some(responses) = responses else { return Some(answered) };
    let members: Vec<_> = Raw::from(&answered).members().collect();
    let edits: Vec<_> = members.iter().map(|it| Edit::set(&it.key, it.value)).collect();
    splice::object(Raw::from(&responses), &edits).ok()
}

/// The end of a request whose person did not go where the server sent them.
async fn declined(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    target: &Target,
    words: String,
) -> Result<Resumed, Rejection> {
    if !matches!(target, Target::Tool { .. }) {
        return Err(Rejection::new(StatusCode::OK, code::SERVER_ERROR, words));
    }
    let record = gateway.open_record(context, &vmcp.vmcp.id, target.method());
    let refused = Refusal::new(RefusalCode::Cancelled, words);
    record.refused(&refused).await.map_err(|error| unrecorded(&refusal::audit(error)))?;
    let result = json!({
        "resultType": "complete",
        "content": [{"type": "text", "text": refused.message}],
        "isError": true,
    });
    Ok(Resumed::Declined(Json::of(&result).unwrap_or_default()))
}

fn unrecorded(refused: &Refusal) -> Rejection {
    let words = refusal::sentence(refused);
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL_ERROR, words)
}

/// The answer to a state that does not open, is over, or is being used already: one answer
/// for all, so that nobody learns which.
pub(crate) fn not_valid() -> Rejection {
    let words = "this state is not valid (any more); send the request anew, without it";
    Rejection::new(StatusCode::BAD_REQUEST, code::INVALID_PARAMS, words)
}

/// The same for the record.
pub(crate) fn not_waiting() -> Refusal {
    Refusal::new(RefusalCode::InvalidRequest, "no call waits under this state (any more)")
}

/// The connector that stands behind a published name or URI now; `None` for a task, whose id
/// says it.
pub(crate) fn connector_of(vmcp: &PublishedVmcp, target: &Target) -> Option<ConnectorId> {
    match target {
        Target::Tool { name, .. } => vmcp.tool(name).map(|(_, one)| one.tool.connector.clone()),
        Target::Prompt { name, .. } => {
            vmcp.prompt(name).map(|(_, one)| one.prompt.connector.clone())
        }
        Target::Resource { uri } => vmcp.uris.locate(uri).map(|place| place.connector),
        Target::Complete { of: Reference::Prompt(name), .. } => {
            vmcp.prompt(name).map(|(_, one)| one.prompt.connector.clone())
        }
        Target::Complete { of: Reference::Template(uri), .. } => {
            vmcp.uris.locate(uri).map(|place| place.connector)
        }
        Target::Task { .. } => None,
    }
}

/// The message of an error object, cut to what a state may hold.
fn words_of(error: &Json) -> String {
    let message = ErrorObject::read(Raw::from(error)).map(|error| error.message.into_owned());
    message.unwrap_or_default().chars().take(500).collect()
}

#[cfg(test)]
mod tests;
