//! The method table: one line per MCP method.
//!
//! Knows what each method means here, not how its answer travels. A method of the core
//! protocol that is not served yet is answered like one that does not exist, in the way of
//! its era, and no capability for it is advertised.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_model::{Json, Refusal};
use tidegate_wire::{
    client::{Affinity, ClientCan, Exchange, Profile},
    json::{Kind, Member, Raw},
    mcp::{
        Era, Level, Message, Revision, code,
        method::Method,
        peek::{
            CallToolParams, CancelledParams, InitializeParams, ListParams, Meta, PeekError, key,
            params_meta,
        },
    },
    server::Rejection,
};

use super::{Context, Request, Target, list::Page, refusal};
use crate::{gateway::Gateway, session::Session};

/// How long a person may take to answer one question of a server.
const QUESTION: Duration = Duration::from_secs(600);
/// Most extensions of a client that are looked at.
const EXTENSIONS: usize = 32;

/// How long a modern client may keep a list or a discovery, in milliseconds: not at all, since
/// what is visible can change with the next revision and there is no stream to say so yet.
const TTL_MS: u64 = 0;

/// How a message speaks: its revision, its legacy session, its `_meta`.
#[derive(Debug)]
pub(crate) struct Spoken<'a> {
    /// The revision.
    pub(crate) revision: Revision,
    /// The session, in the legacy era.
    pub(crate) session: Option<Arc<Session>>,
    /// The reserved members of `_meta`.
    pub(crate) meta: Meta<'a>,
}

/// What a message gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A result, at once.
    Result(Json),
    /// A tool is to be called.
    Call(Box<Request>),
    /// Nothing to say: it was a notification or a response.
    Accepted,
}

/// A session that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The result of `initialize`.
    pub(crate) result: Json,
    /// The session's id.
    pub(crate) session: Box<str>,
}

/// Finds out what a message gets.
pub(crate) async fn dispatch(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    spoken: &Spoken<'_>,
    message: &Incoming<'_>,
) -> Result<Reply, Rejection> {
    let era = spoken.revision.era();
    let (request, is_request) = match message.message {
        Message::Request(request) => ((&*request.method, request.params), true),
        Message::Notification(note) => ((&*note.method, note.params), false),
        Message::Response(_) => return Ok(Reply::Accepted),
    };
    let (name, params) = request;
    let method = Method::parse(name).filter(|method| method.is_in(era));
    match (method, is_request) {
        (Some(Method::CallTool), true) => {
            call_tool(context, vmcp, spoken.revision.era(), message).map(Box::new).map(Reply::Call)
        }
        (Some(Method::ListTools), true) => {
            list_tools(gateway, context, vmcp, spoken.revision, params).await.map(Reply::Result)
        }
        (Some(Method::Discover), true) => Ok(Reply::Result(discover(vmcp))),
        (Some(Method::Ping), true) => Ok(Reply::Result(Json::empty_object())),
        (Some(Method::Cancelled), false) => Ok(cancelled(spoken, params)),
        (_, false) => Ok(Reply::Accepted),
        (_, true) => Err(Rejection::unknown_method(era, name)),
    }
}

/// A message and what surrounds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    /// The headers it came with.
    pub(crate) headers: &'a HeaderMap,
    /// The whole body, of which the message is a view.
    pub(crate) text: &'a Json,
    /// The message.
    pub(crate) message: &'a Message<'a>,
}

/// Opens a legacy session.
pub(crate) fn initialize(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    revision: Revision,
    params: &InitializeParams<'_>,
) -> Result<Opened, Rejection> {
    let client = client_name(params.client_info);
    let can = params.capabilities.map_or_else(ClientCan::default, client_can);
    let session = gateway
        .sessions
        .open(&context.caller, &vmcp.vmcp.id, revision, (client.as_deref(), can), context.at)
        .map_err(|refused| {
            Rejection::new(StatusCode::SERVICE_UNAVAILABLE, code::SERVER_ERROR, refused.to_string())
        })?;
    let mut result = json!({
        "protocolVersion": revision.name(),
        "capabilities": capabilities(),
        "serverInfo": server_info(vmcp, revision),
    });
    instruct(&mut result, vmcp);
    Ok(Opened { result: Json::of(&result).unwrap_or_default(), session })
}

/// The name in a `clientInfo`; display only.
pub(crate) fn client_name(info: Option<Raw<'_>>) -> Option<String> {
    let name = info?.get("name")?.string()?;
    Some(name.chars().filter(|c| !c.is_control()).take(120).collect())
}

/// What a `ClientCapabilities` object says.
fn client_can(capabilities: Raw<'_>) -> ClientCan {
    let extensions = capabilities.get("extensions").into_iter().flat_map(Raw::members);
    let settings = |member: &Member<'_>| member.value.kind() == Kind::Object;
    ClientCan {
        profile: Profile::read(capabilities),
        extensions: extensions
            .filter(settings)
            .take(EXTENSIONS)
            .map(|member| (member.key.as_ref().into(), member.value.to_json()))
            .collect(),
    }
}

/// The client behind a request, as its server may meet it. Where its events go is for
/// whoever answers.
pub(crate) fn exchange(context: &Context, spoken: &Spoken<'_>) -> Exchange {
    let (affinity, can, level) = match &spoken.session {
        Some(session) => (session.affinity(), session.can.clone(), session.level()),
        None => {
            let can = spoken.meta.client_capabilities.map_or_else(ClientCan::default, client_can);
            let level = spoken.meta.log_level.as_deref().and_then(Level::parse);
            (of_person(context), can, level)
        }
    };
    Exchange {
        affinity: Some(affinity),
        can,
        level,
        relays_input: spoken.session.is_none(),
        patience: QUESTION,
        ..Exchange::default()
    }
}

/// The mark of everything one person does with modern clients.
fn of_person(context: &Context) -> Affinity {
    let (org, user) = (context.caller.org().as_str(), context.caller.user().as_str());
    let digest = Sha256::digest([org.as_bytes(), &[0], user.as_bytes()].concat());
    let mark = digest.first_chunk::<16>().copied().unwrap_or_default();
    Affinity(u128::from_be_bytes(mark))
}

fn discover(vmcp: &PublishedVmcp) -> Json {
    let revisions = [
        Revision::V2026_07_28,
        Revision::V2025_11_25,
        Revision::V2025_06_18,
        Revision::V2025_03_26,
    ];
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": revisions.map(Revision::name),
        "capabilities": capabilities(),
        "ttlMs": TTL_MS,
        "cacheScope": "private",
        "_meta": {key::SERVER_INFO: server_info(vmcp, Revision::V2026_07_28)},
    });
    instruct(&mut result, vmcp);
    Json::of(&result).unwrap_or_default()
}

fn capabilities() -> serde_json::Value {
    json!({"tools": {}})
}

fn server_info(vmcp: &PublishedVmcp, revision: Revision) -> serde_json::Value {
    let mut info = json!({"name": "tidegate", "version": env!("CARGO_PKG_VERSION")});
    if revision >= Revision::V2025_06_18
        && let Some(info) = info.as_object_mut()
    {
        info.insert("title".into(), vmcp.vmcp.title.as_str().into());
    }
    info
}

fn instruct(result: &mut serde_json::Value, vmcp: &PublishedVmcp) {
    if let (Some(result), Some(text)) = (result.as_object_mut(), &vmcp.vmcp.instructions) {
        result.insert("instructions".into(), text.as_str().into());
    }
}

fn cancelled(spoken: &Spoken<'_>, params: Option<Raw<'_>>) -> Reply {
    // A cancellation that names nothing under way is to be ignored (2025-11-25, cancellation).
    if let (Some(session), Ok(CancelledParams { request_id: Some(id), .. })) =
        (&spoken.session, CancelledParams::read(params))
    {
        session.cancel(&id.into_owned());
    }
    Reply::Accepted
}

fn call_tool(
    context: &Context,
    vmcp: &PublishedVmcp,
    era: Era,
    message: &Incoming<'_>,
) -> Result<Request, Rejection> {
    let bad = |error: PeekError| Rejection::params(era, &error);
    let params = message.message.params();
    let call = CallToolParams::read(params).map_err(bad)?;
    // A hidden tool must not be told from a missing one by what its headers are held to.
    if era == Era::Modern
        && let Some((place, tool)) = vmcp.tool(&call.name)
        && context.revision.visible(&context.caller, vmcp).contains(place)
    {
        tool.headers.agree(message.headers, call.arguments)?;
    }
    let arguments = call.arguments.map_or_else(Json::empty_object, |raw| raw.within(message.text));
    Ok(Request {
        meta: params_meta(params).map_err(bad)?.map(|raw| raw.within(message.text)),
        target: Target::Tool { name: call.name.into_owned(), arguments, more: Vec::new() },
        given: None,
    })
}

async fn list_tools(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    revision: Revision,
    params: Option<Raw<'_>>,
) -> Result<Json, Rejection> {
    let era = revision.era();
    let visible = context.revision.visible(&context.caller, vmcp);
    let cursor = ListParams::read(params).map_err(|error| Rejection::params(era, &error))?.cursor;
    let after = match cursor {
        None => None,
        Some(cursor) => {
            let name = gateway.cursors.open(&context.caller, &vmcp.vmcp.id, &cursor);
            let place = name.and_then(|name| vmcp.tool(&name)).map(|(place, _)| place);
            Some(place.ok_or_else(|| {
                Rejection::new(
                    StatusCode::OK,
                    code::INVALID_PARAMS,
                    "this cursor is not valid (any more); start the list anew",
                )
            })?)
        }
    };
    let result = match visible.page_after(after) {
        Some(page) => page_text(gateway, context, vmcp, page, era),
        None => page_text(gateway, context, vmcp, &Page::empty(), era),
    };
    let record = gateway.open_record(context, &vmcp.vmcp.id, Method::ListTools.name());
    record.done().await.map_err(|error| of_refusal(&refusal::audit(error)))?;
    Ok(result)
}

/// The result of a list method around a page that is text already.
fn page_text(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    page: &Page,
    era: Era,
) -> Json {
    let mut text = Vec::with_capacity(page.tools.len() + 256);
    text.extend_from_slice(br#"{"tools":"#);
    text.extend_from_slice(&page.tools);
    if let Some(last) = &page.last {
        text.extend_from_slice(br#","nextCursor":""#);
        // Base64url needs no escape.
        text.extend_from_slice(
            gateway.cursors.seal(&context.caller, &vmcp.vmcp.id, last).as_bytes(),
        );
        text.push(b'"');
    }
    if era == Era::Modern {
        text.extend_from_slice(br#","resultType":"complete","ttlMs":"#);
        text.extend_from_slice(TTL_MS.to_string().as_bytes());
        text.extend_from_slice(br#","cacheScope":"private""#);
    }
    text.push(b'}');
    Json::from_checked(text.into())
}

/// A refusal outside a tool call.
fn of_refusal(refused: &Refusal) -> Rejection {
    Rejection::new(StatusCode::OK, code::INTERNAL_ERROR, refusal::sentence(refused))
}
