//! What the Rust SDK's server answers and how it asks, in the way of each era.
//!
//! Owns the contents of `offer.json` and the questions in it. Which method leads here is in
//! `server`.

use std::{collections::BTreeMap, sync::LazyLock};

use rmcp::{
    RoleServer,
    model::{
        CallToolResponse, CallToolResult, CustomRequest, ErrorCode, ErrorData, InputRequests,
        InputRequiredResult, ProtocolVersion, ServerRequest,
    },
    service::RequestContext,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// What all servers offer.
pub(in crate::peers) static OFFER: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../offer.json")).unwrap());

const STATE: &str = "the state of round one";

/// A request that a client waits for.
pub(super) type Context = RequestContext<RoleServer>;

/// Whether the request is of 2026-07-28.
pub(super) fn modern(context: &Context) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version == ProtocolVersion::V_2026_07_28)
}

/// A value of the SDK from its JSON.
pub(super) fn of_json<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A result that is complete; the SDK takes the type away again for legacy clients.
pub(super) fn complete<T: DeserializeOwned>(mut members: Value) -> Result<T, ErrorData> {
    members["resultType"] = json!("complete");
    of_json(members)
}

fn result(members: Value) -> Result<CallToolResponse, ErrorData> {
    Ok(complete::<CallToolResult>(members)?.into())
}

/// A result with one text.
pub(super) fn texted(words: &str) -> Result<CallToolResponse, ErrorData> {
    result(json!({ "content": [{ "type": "text", "text": words }] }))
}

/// The resource that is linked and embedded.
pub(super) fn note() -> Value {
    json!({ "uri": "test://note", "mimeType": "text/plain", "text": "a note" })
}

/// The error for what is not offered.
pub(super) fn unknown(what: &str, name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("there is no {what} {name}"), None)
}

/// The error for a fault of the server's.
pub(super) fn failed(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::new(ErrorCode::INTERNAL_ERROR, error.to_string(), None)
}

/// An answer in words.
pub(super) fn spoken(key: &str, answer: &Value) -> String {
    let text = |pointer| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match key {
        "sample" => text("/content/text").to_owned(),
        "ask" => format!("{} {}", text("/action"), text("/content/name")),
        "visit" => text("/action").to_owned(),
        _ => text("/roots/0/uri").to_owned(),
    }
}

/// The answers, or what the client has to come back with.
pub(super) enum Asked {
    Answers(Vec<Value>),
    Required(InputRequiredResult),
}

/// Puts questions to the client, in the way of its era.
pub(super) async fn ask(
    context: &Context,
    keys: &[&str],
    given: (Option<BTreeMap<String, Value>>, Option<String>),
) -> Result<Asked, ErrorData> {
    if !modern(context) {
        let mut answers = Vec::new();
        for key in keys {
            answers.push(put(context, key).await?);
        }
        return Ok(Asked::Answers(answers));
    }
    if let (Some(responses), state) = given {
        if state.as_deref() != Some(STATE) {
            return Err(ErrorData::invalid_params(format!("the state is now {state:?}"), None));
        }
        return Ok(Asked::Answers(keys.iter().map(|key| responses[*key].clone()).collect()));
    }
    let mut requests = InputRequests::new();
    for key in keys {
        requests.insert((*key).to_owned(), of_json(OFFER["questions"][key].clone())?);
    }
    Ok(Asked::Required(InputRequiredResult::new(Some(requests), Some(STATE.to_owned()))))
}

/// One question to a legacy client.
async fn put(context: &Context, key: &str) -> Result<Value, ErrorData> {
    let question = &OFFER["questions"][key];
    let mut params = question.get("params").cloned();
    if key == "visit"
        && let Some(params) = &mut params
    {
        params["elicitationId"] = json!("visit-1");
    }
    let request = CustomRequest::new(question["method"].as_str().unwrap_or_default(), params);
    let answer = context.peer.send_request(ServerRequest::CustomRequest(request)).await;
    of_json(json!(answer.map_err(failed)?))
}

/// Tools that always answer the same.
pub(super) fn plain(
    name: &str,
    arguments: &Map<String, Value>,
) -> Option<Result<CallToolResponse, ErrorData>> {
    let members = match name {
        "echo" => return Some(texted(arguments.get("message")?.as_str()?)),
        "forecast" => {
            let forecast = json!({ "city": arguments.get("city"), "degrees": 21.5 });
            let content = json!([{ "type": "text", "text": forecast.to_string() }]);
            json!({ "content": content, "structuredContent": forecast })
        }
        "fail" => {
            let content = json!([{ "type": "text", "text": "no such customer" }]);
            json!({ "content": content, "isError": true })
        }
        "links" => json!({ "content": [
            { "type": "resource_link", "uri": "test://note", "name": "Note" },
            { "type": "resource", "resource": note() },
        ] }),
        _ => return None,
    };
    Some(result(members))
}
