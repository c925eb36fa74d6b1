//! The MCP endpoint: Streamable HTTP of both eras on one URL.
//!
//! Decides who may come in, reads the body once and strictly, and hands each message to
//! `call::methods`. Every refusal here is the transport's own; what an operation is refused
//! with comes from `call::refusal`.

mod admit;
mod legacy;
mod listen;
mod modern;
mod respond;
mod running;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method as Verb, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tidegate_model::{Json, Refusal, RefusalCode, VmcpId};
use tidegate_wire::{
    json::{self, Raw},
    mcp::{Message, OwnedId, code, envelope, header, peek::Meta},
    server::{self, Accept, Incoming, Rejection},
};
use tokio::time::{Instant, timeout_at};

use super::listener::Peer;
use crate::{
    call::{
        Context,
        methods::{self, Reply, Spoken},
        refusal,
    },
    gateway::Gateway,
    jobs::reap,
};
use admit::{Admitted, NotAdmitted, admit};
pub(super) use admit::{credential, source};
pub(super) use running::Ended;

/// Where a request came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The organisation in the URL.
    pub(super) org: &'a str,
    /// The virtual MCP in the URL.
    pub(super) vmcp: &'a str,
    /// The other end of the connection.
    pub(super) peer: Peer,
}

/// A rejection and the request it answers, where that could be read.
struct Refused {
    rejection: Rejection,
    id: Option<OwnedId>,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, id: None }
    }
}

/// Serves one HTTP request.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    place: Place<'_>,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match answer(gateway, place, &parts, body).await {
        Ok(response) => response,
        Err(Refused { rejection, id }) => {
            respond::whole(rejection.respond(id.as_ref().map(OwnedId::borrow)))
        }
    }
}

async fn answer(
    gateway: Arc<Gateway>,
    place: Place<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Refused> {
    gateway.hosts.check(parts)?;
    if gateway.stopping.is_cancelled() {
        let words = "the gateway is stopping; try again in a moment";
        return Err(
            Rejection::new(StatusCode::SERVICE_UNAVAILABLE, code::SERVER_ERROR, words).into()
        );
    }
    let admitted = match admit(&gateway, place, parts).await {
        Ok(admitted) => admitted,
        Err(NotAdmitted::SignIn { presented }) => {
            return Ok(respond::sign_in(&gateway, place, presented));
        }
        Err(NotAdmitted::Nothing) => return Err(admit::nothing_here().into()),
    };
    // Kept aside for the row of a request that turns out to be none.
    let (aside, context, vmcp) =
        (Arc::clone(&gateway), admitted.context.clone(), admitted.vmcp.clone());
    let answer = match parts.method {
        Verb::POST => post(gateway, admitted, parts, body).await,
        Verb::DELETE => delete(&gateway, &admitted, parts),
        Verb::GET => legacy::stream(&gateway, &admitted, parts).map_err(Refused::from),
        _ => Err(Rejection::verb().into()),
    };
    if let Err(Refused { rejection, .. }) = &answer {
        record(&aside, &context, &vmcp, rejection).await?;
    }
    answer
}

/// Puts a rejected request of a known caller on record.
async fn record(
    gateway: &Gateway,
    context: &Context,
    vmcp: &VmcpId,
    rejection: &Rejection,
) -> Result<(), Refused> {
    let refused = Refusal::new(RefusalCode::InvalidRequest, rejection.message.clone());
    let record = gateway.open_record(context, vmcp, "rejected");
    record.refused(&refused).await.map_err(|error| {
        let words = refusal::sentence(&refusal::audit(error));
        Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL_ERROR, words).into()
    })
}

fn delete(
    gateway: &Gateway,
    admitted: &Admitted,
    parts: &Parts,
) -> Result<Response<Body>, Refused> {
    let context = &admitted.context;
    let id = server::session_id(parts)?;
    let known = match id {
        None => server::Session::Absent,
        Some(id) => match gateway.sessions.close(id, &context.caller, &admitted.vmcp, context.at) {
            Some(session) => {
                reap::release(gateway, &session);
                return Ok(respond::whole(server::session_ended()));
            }
            None => server::Session::Unknown,
        },
    };
    server::in_session(parts, known)?;
    Err(Rejection::verb().into())
}

async fn post(
    gateway: Arc<Gateway>,
    admitted: Admitted,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Refused> {
    let accept = server::check_post(parts)?;
    let text = read(body, gateway.config.limits.body).await?;
    let text = json::checked(text, &gateway.json_limits).map_err(Rejection::from)?;
    let raw = Raw::from_checked(text.as_str());
    if envelope::is_batch(raw) {
        return batch(gateway, admitted, parts, &text).await;
    }
    let message = Message::parse(raw)
        .map_err(|bad| Refused { rejection: Rejection::from(&bad), id: bad.id })?;
    let id = message.id().map(|id| id.into_owned());
    one(gateway, admitted, parts, &text, &message, accept)
        .await
        .map_err(|rejection| Refused { rejection, id })
}

/// A single message.
async fn one(
    gateway: Arc<Gateway>,
    mut admitted: Admitted,
    parts: &Parts,
    text: &Json,
    message: &Message<'_>,
    accept: Accept,
) -> Result<Response<Body>, Rejection> {
    let (session, known) = admitted.session(&gateway, parts)?;
    let spoken = match server::classify(parts, message, known)? {
        Incoming::Initialize { revision, params } => {
            let opened = methods::initialize(
                &gateway,
                &admitted.context,
                admitted.published()?,
                revision,
                &params,
            )?;
            let mut response = respond::result(message.id(), &opened.result);
            if let Ok(value) = HeaderValue::from_str(&opened.session) {
                response.headers_mut().insert(header::SESSION_ID, value);
            }
            return Ok(response);
        }
        Incoming::Modern { revision, meta } => {
            admitted.context.client = methods::client_name(meta.client_info);
            Spoken { revision, session: None, meta }
        }
        Incoming::Legacy { revision } => {
            admitted.context.client =
                session.as_ref().and_then(|session| session.client.as_deref().map(str::to_owned));
            Spoken { revision, session, meta: Meta::of(message.params()) }
        }
    };
    if let (Some(session), Message::Response(response)) = (&spoken.session, message) {
        legacy::answered(session, response, text);
        return Ok(respond::whole(server::accepted()));
    }
    admitted.context.trace = spoken.meta.trace();
    let incoming = methods::Incoming { headers: &parts.headers, text, message };
    let reply =
        methods::dispatch(&gateway, &admitted.context, admitted.published()?, &spoken, &incoming)
            .await?;
    match (reply, message.id()) {
        (Reply::Result(result), id) => Ok(match (id, &spoken.session) {
            (Some(id), Some(session)) if legacy::wants_stream(session, parts) => {
                legacy::streamed(session, id, &result)
            }
            (id, _) => respond::result(id, &result),
        }),
        (Reply::Call(request), Some(id)) => {
            let call = respond::Calling::new(admitted, *request, &spoken, id, accept)?;
            Ok(call.respond(gateway).await)
        }
        (Reply::Resume(request, parked, responses), Some(id)) => {
            let call = respond::Calling::new(admitted, *request, &spoken, id, accept)?;
            Ok(call.resume(gateway, parked, responses).await)
        }
        (Reply::Listen, Some(id)) => {
            listen::respond(gateway, admitted, &spoken, message.params(), id, accept).await
        }
        (Reply::Accepted, _) | (_, None) => Ok(respond::whole(server::accepted())),
    }
}

/// Most messages in a batch.
const BATCH: usize = 64;
/// Most bytes of the answers to a batch before another message of it is looked at.
const BATCH_ANSWERS: usize = 16 << 20;
/// How long a body may make no progress.
const BODY_IDLE: Duration = Duration::from_secs(15);
/// The least rate of a body in bytes per second, beyond the first [`BODY_IDLE`].
const BODY_RATE: usize = 1024;

/// An array of messages, in a 2025-03-26 session: each in turn, answers together.
async fn batch(
    gateway: Arc<Gateway>,
    mut admitted: Admitted,
    parts: &Parts,
    text: &Json,
) -> Result<Response<Body>, Refused> {
    let (session, known) = admitted.session(&gateway, parts)?;
    let revision = server::classify_batch(parts, known)?;
    admitted.context.client =
        session.as_ref().and_then(|session| session.client.as_deref().map(str::to_owned));
    let messages = envelope::batch(Raw::from_checked(text.as_str()))
        .map_err(|bad| Refused { rejection: Rejection::from(&bad), id: bad.id })?;
    let mut answers = Vec::new();
    let messages: Vec<_> = messages.take(BATCH + 1).collect();
    if messages.len() > BATCH {
        let words = format!("a batch holds at most {BATCH} messages; send the rest apart");
        return Err(Rejection::invalid(words).into());
    }
    for message in messages {
        if answers.len() > BATCH_ANSWERS {
            let words = "the answers to this batch are too large together; send less at once";
            return Err(Rejection::invalid(words).into());
        }
        let answer = match &message {
            Err(bad) => {
                let mut answer = Vec::new();
                envelope::error(
                    &mut answer,
                    bad.id.as_ref().map(OwnedId::borrow),
                    bad.code(),
                    &bad.to_string(),
                    None,
                );
                Some(answer)
            }
            Ok(Message::Response(response)) => {
                if let Some(session) = &session {
                    legacy::answered(session, response, text);
                }
                None
            }
            Ok(message) => {
                let meta = Meta::of(message.params());
                let spoken = Spoken { revision, session: session.clone(), meta };
                let incoming = methods::Incoming { headers: &parts.headers, text, message };
                respond::in_batch(&gateway, &admitted, &spoken, &incoming).await
            }
        };
        if let Some(answer) = answer {
            answers.push(if answers.is_empty() { b'[' } else { b',' });
            answers.extend_from_slice(&answer);
        }
    }
    if answers.is_empty() {
        return Ok(respond::whole(server::accepted()));
    }
    answers.push(b']');
    Ok(respond::whole(server::json(StatusCode::OK, Bytes::from(answers))))
}

/// Reads a body of at most `limit` bytes.
///
/// A body that stands still, or comes so slowly that somebody means it, is given up (408).
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Rejection> {
    let began = Instant::now();
    let mut body = Limited::new(body, limit);
    let mut read = BytesMut::new();
    loop {
        let seconds = u64::try_from(read.len() / BODY_RATE).unwrap_or(u64::MAX);
        let until = began + BODY_IDLE + Duration::from_secs(seconds.min(3_600));
        let idle = Instant::now() + BODY_IDLE;
        match timeout_at(until.min(idle), body.frame()).await {
            Err(_) => {
                let words = "the body did not arrive in time";
                let status = StatusCode::REQUEST_TIMEOUT;
                return Err(Rejection::new(status, code::INVALID_REQUEST, words));
            }
            Ok(None) => return Ok(read.freeze()),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    read.extend_from_slice(&data);
                }
            }
            Ok(Some(Err(error))) => return Err(unreadable(&*error, limit)),
        }
    }
}

fn unreadable(error: &(dyn std::error::Error + 'static), limit: usize) -> Rejection {
    if error.is::<LengthLimitError>() {
        let words = format!("the body is larger than {limit} bytes");
        return Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, code::INVALID_REQUEST, words);
    }
    Rejection::invalid("the body did not arrive whole")
}
