//! The method table: one line per MCP method.
//!
//! Knows what each method means here, not how its answer travels. A method of a feature that
//! this caller is not offered is answered like one that does not exist, in the way of its
//! era: what is advertised and what is answered come from one place, [`offered`].

mod handshake;
mod lists;
mod offered;
mod requests;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use sha2::{Digest, Sha256};
use tidegate_governance::catalog::PublishedVmcp;
use tidegate_model::{Json, KeyId, VmcpId};
use tidegate_wire::{
    client::{Affinity, ClientCan, Exchange, Profile},
    json::{Kind, Member, Raw},
    mcp::{
        Level, Message, Revision,
        method::{Method, TASKS_EXTENSION},
        peek::{CancelledParams, Meta, ResourceParams, SetLevelParams},
    },
    server::Rejection,
};

use super::{
    Context, Request,
    list::List,
    park::{ParkedId, Resumed},
};
use crate::{gateway::Gateway, session::Session};

pub(crate) use handshake::{client_name, initialize};
use offered::Offered;
pub(crate) use requests::undeclared_tasks;

/// How long a person may take to answer one question of a server.
const QUESTION: Duration = Duration::from_secs(600);
/// Most extensions of a client that are looked at.
const EXTENSIONS: usize = 32;
/// Longest name and settings of an extension, in bytes.
const SETTINGS: usize = 1024;

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

impl Spoken<'_> {
    /// Whether the client declared the tasks extension on this request (modern).
    pub(crate) fn takes_tasks(&self) -> bool {
        let extensions = self.meta.client_capabilities.and_then(|can| can.get("extensions"));
        extensions.is_some_and(|extensions| extensions.get(TASKS_EXTENSION).is_some())
    }
}

/// What a message gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A result, at once.
    Result(Json),
    /// An operation is to be carried out.
    Call(Box<Request>),
    /// A parked call goes on with these answers.
    Resume(Box<Request>, ParkedId, Json),
    /// A stream of notifications is to be opened.
    Listen,
    /// Nothing to say: it was a notification or a response.
    Accepted,
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

/// Everything a method is judged by.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    gateway: &'a Gateway,
    context: &'a Context,
    vmcp: &'a PublishedVmcp,
    spoken: &'a Spoken<'a>,
    message: &'a Incoming<'a>,
}

/// Finds out what a message gets.
pub(crate) async fn dispatch(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    spoken: &Spoken<'_>,
    message: &Incoming<'_>,
) -> Result<Reply, Rejection> {
    let asked = Asked { gateway, context, vmcp, spoken, message };
    match message.message {
        Message::Request(request) => request_of(asked, &request.method).await,
        Message::Notification(note) => {
            notification(asked, &note.method, note.params);
            Ok(Reply::Accepted)
        }
        Message::Response(_) => Ok(Reply::Accepted),
    }
}

async fn request_of(asked: Asked<'_>, name: &str) -> Result<Reply, Rejection> {
    let era = asked.spoken.revision.era();
    let unknown = || Err(Rejection::unknown_method(era, name));
    let offered = Offered::to(asked.context, asked.vmcp, asked.spoken.revision);
    let params = asked.message.message.params();
    if let Some(method) = requests::task_method(name, era) {
        return if offered.has_tasks() { requests::task(asked, method) } else { unknown() };
    }
    let Some(method) = Method::parse(name).filter(|method| method.is_in(era)) else {
        return unknown();
    };
    match method {
        Method::CallTool => requests::tool(asked).await,
        Method::GetPrompt if offered.prompts => requests::prompt(asked).await,
        Method::ReadResource if offered.resources => requests::resource(asked).await,
        Method::Complete if offered.completions => requests::complete(asked),
        Method::ListTools => lists::page(asked, List::Tools).await,
        Method::ListPrompts if offered.prompts => lists::page(asked, List::Prompts).await,
        Method::ListResources if offered.resources => lists::page(asked, List::Resources).await,
        Method::ListResourceTemplates if offered.resources => {
            lists::page(asked, List::Templates).await
        }
        Method::Discover => Ok(Reply::Result(handshake::discover(asked.vmcp, &offered))),
        Method::Ping => Ok(Reply::Result(Json::empty_object())),
        Method::Listen => Ok(Reply::Listen),
        Method::SetLogLevel if offered.logging => {
            let bad = |error| Rejection::params(era, &error);
            let wanted = SetLevelParams::read(params).map_err(bad)?;
            if let Some(session) = &asked.spoken.session {
                session.set_level(wanted.level);
            }
            Ok(Reply::Result(Json::empty_object()))
        }
        Method::SubscribeResource | Method::UnsubscribeResource if offered.subscribe => {
            let bad = |error| Rejection::params(era, &error);
            let resource = ResourceParams::read(params).map_err(bad)?;
            if let Some(session) = &asked.spoken.session {
                match method {
                    Method::SubscribeResource => {
                        session.subscribe(asked.gateway, asked.context, &resource.uri)?;
                        session.follows(asked.gateway).in_force().await;
                    }
                    _ => session.unsubscribe(&resource.uri),
                }
            }
            Ok(Reply::Result(Json::empty_object()))
        }
        _ => unknown(),
    }
}

fn notification(asked: Asked<'_>, name: &str, params: Option<Raw<'_>>) {
    let Some(session) = &asked.spoken.session else { return };
    match Method::parse(name) {
        Some(Method::Cancelled) => {
            // One that names nothing under way is to be ignored (2025-11-25, cancellation).
            if let Ok(CancelledParams { request_id: Some(id), .. }) = CancelledParams::read(params)
            {
                session.cancel(&id.into_owned());
            }
        }
        Some(Method::RootsChanged) => {
            for id in &asked.vmcp.vmcp.connectors {
                if let Ok(connector) = asked.context.revision.connector(id) {
                    connector.roots_changed(session.affinity());
                }
            }
        }
        _ => {}
    }
}

/// What a `ClientCapabilities` object says.
fn client_can(capabilities: Raw<'_>) -> ClientCan {
    let extensions = capabilities.get("extensions").into_iter().flat_map(Raw::members);
    let settings = |member: &Member<'_>| member.value.kind() == Kind::Object;
    // A session keeps them, so what is too long to be a setting is not one.
    let fits = |member: &Member<'_>| member.key.len() + member.value.as_str().len() <= SETTINGS;
    ClientCan {
        profile: Profile::read(capabilities),
        extensions: extensions
            .filter(|member| settings(member) && fits(member))
            .take(EXTENSIONS)
            .map(|member| (member.key.as_ref().into(), member.value.to_json()))
            .collect(),
    }
}

/// The client behind a request, as its server may meet it. Where its events go is for
/// whoever answers.
pub(crate) fn exchange(context: &Context, vmcp: &VmcpId, spoken: &Spoken<'_>) -> Exchange {
    let (affinity, can, level) = match &spoken.session {
        Some(session) => (session.affinity(), session.can.clone(), session.level()),
        None => {
            let can = spoken.meta.client_capabilities.map_or_else(ClientCan::default, client_can);
            let level = spoken.meta.log_level.as_deref().and_then(Level::parse);
            (of_person(context, vmcp), can, level)
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

/// The mark of everything one person does at one virtual MCP with modern clients: what is set
/// through one virtual MCP is not seen through another.
fn of_person(context: &Context, vmcp: &VmcpId) -> Affinity {
    let caller = &context.caller;
    let key = caller.key().map_or("", KeyId::as_str);
    let parts = [caller.org().as_str(), caller.user().as_str(), key, vmcp.as_str()];
    // No part holds a NUL.
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    let mark = digest.first_chunk::<16>().copied().unwrap_or_default();
    Affinity(u128::from_be_bytes(mark))
}
