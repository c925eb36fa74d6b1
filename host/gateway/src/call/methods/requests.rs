//! From the parameters of a request to what the pipeline is asked to do.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::json;
use tidegate_model::{Json, TaskMethod};
use tidegate_wire::{
    json::Raw,
    mcp::{
        Era, code,
        method::TASKS_EXTENSION,
        peek::{
            CallToolParams, CompleteParams, CompletionRef, GetPromptParams, PeekError,
            ResourceParams, TaskParams, params_meta,
        },
    },
    server::Rejection,
};

use super::{Asked, Reply, Resumed};
use crate::call::{Reference, Request, Target, park, stage};

/// The task method of that name in an era: `tasks/update` came with the extension,
/// `tasks/result` ended with the core protocol's tasks.
pub(super) fn task_method(name: &str, era: Era) -> Option<TaskMethod> {
    match (name, era) {
        ("tasks/get", _) => Some(TaskMethod::Get),
        ("tasks/cancel", _) => Some(TaskMethod::Cancel),
        ("tasks/result", Era::Legacy) => Some(TaskMethod::Result),
        ("tasks/update", Era::Modern) => Some(TaskMethod::Update),
        _ => None,
    }
}

/// `tools/call`.
pub(super) async fn tool(asked: Asked<'_>) -> Result<Reply, Rejection> {
    let call = read(asked, CallToolParams::read)?;
    // A hidden tool must not be told from a missing one by what its headers are held to.
    if asked.spoken.revision.era() == Era::Modern
        && let Some((_, tool)) = stage::visible_tool(asked.context, asked.vmcp, &call.name)
    {
        tool.headers.agree(asked.message.headers, call.arguments)?;
    }
    let arguments = call.arguments.map_or_else(Json::empty_object, |raw| within(asked, raw));
    let more = others(asked, call.more);
    resumable(asked, Target::Tool { name: call.name.into_owned(), arguments, more }).await
}

/// `prompts/get`.
pub(super) async fn prompt(asked: Asked<'_>) -> Result<Reply, Rejection> {
    let params = read(asked, GetPromptParams::read)?;
    let arguments = params.arguments.map(|raw| within(asked, raw));
    resumable(asked, Target::Prompt { name: params.name.into_owned(), arguments }).await
}

/// `resources/read`.
pub(super) async fn resource(asked: Asked<'_>) -> Result<Reply, Rejection> {
    let params = read(asked, ResourceParams::read)?;
    resumable(asked, Target::Resource { uri: params.uri.into_owned() }).await
}

/// `completion/complete`.
pub(super) fn complete(asked: Asked<'_>) -> Result<Reply, Rejection> {
    let params = read(asked, CompleteParams::read)?;
    let target = Target::Complete {
        of: match params.of {
            CompletionRef::Prompt(name) => Reference::Prompt(name.into_owned()),
            CompletionRef::Template(uri) => Reference::Template(uri.into_owned()),
        },
        argument: within(asked, params.argument),
        context: params.context.map(|raw| within(asked, raw)),
    };
    Ok(Reply::Call(Box::new(request(asked, target)?)))
}

/// A `tasks/…` method.
pub(super) fn task(asked: Asked<'_>, method: TaskMethod) -> Result<Reply, Rejection> {
    if asked.spoken.revision.era() == Era::Modern && !asked.spoken.takes_tasks() {
        return Err(undeclared_tasks("its methods"));
    }
    let params = read(asked, TaskParams::read)?;
    let more = others(asked, params.more);
    let target = Target::Task { method, id: params.id.into_owned(), more };
    Ok(Reply::Call(Box::new(request(asked, target)?)))
}

/// `what` is the tasks extension's: who did not declare that cannot use it (SEP-2663).
pub(crate) fn undeclared_tasks(what: &str) -> Rejection {
    let words = format!("declare the extension `{TASKS_EXTENSION}` to use {what}");
    let data = json!({"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}});
    let code = code::MISSING_CLIENT_CAPABILITY;
    Rejection::new(StatusCode::BAD_REQUEST, code, words)
        .with_data(Json::of(&data).unwrap_or_default())
}

/// A request that may be the repetition of one that was asked for input (SEP-2322).
async fn resumable(asked: Asked<'_>, target: Target) -> Result<Reply, Rejection> {
    let mut request = request(asked, target)?;
    if asked.spoken.revision.era() == Era::Legacy {
        return Ok(Reply::Call(Box::new(request)));
    }
    let Asked { gateway, context, vmcp, message, .. } = asked;
    let params = message.message.params();
    let given = (params, message.text);
    match park::read_given(gateway, context, vmcp, &request.target, given).await? {
        Resumed::Fresh => {}
        Resumed::Given(given) => request.given = Some(given),
        Resumed::Parked(id, responses) => {
            return Ok(Reply::Resume(Box::new(request), id, responses));
        }
        Resumed::Declined(result) => return Ok(Reply::Result(result)),
    }
    Ok(Reply::Call(Box::new(request)))
}

fn request(asked: Asked<'_>, target: Target) -> Result<Request, Rejection> {
    let meta = read(asked, params_meta)?.map(|raw| within(asked, raw));
    Ok(Request { target, meta, given: None })
}

fn read<'a, T>(
    asked: Asked<'a>,
    read: fn(Option<Raw<'a>>) -> Result<T, PeekError>,
) -> Result<T, Rejection> {
    let era = asked.spoken.revision.era();
    read(asked.message.message.params()).map_err(|error| Rejection::params(era, &error))
}

fn within(asked: Asked<'_>, raw: Raw<'_>) -> Json {
    raw.within(asked.message.text)
}

fn others(asked: Asked<'_>, more: Vec<(Cow<'_, str>, Raw<'_>)>) -> Vec<(Box<str>, Json)> {
    more.into_iter().map(|(name, raw)| (name.as_ref().into(), within(asked, raw))).collect()
}
