//! Answers to modern clients: JSON, or events that end in the answer.
//!
//! The operation lives in its connection and goes with it, until it asks the client: then
//! the answer says so, and the operation waits for the client's next request ([`round`]).

mod round;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, header};
use tidegate_model::Json;
use tidegate_wire::{client::Exchange, mcp::Era, server, sse};

use super::{
    respond::{PATIENCE, whole},
    running::{Ended, Running, rejected, response},
};
use crate::{
    call::{
        self,
        park::{self, ParkedId},
    },
    gateway::Gateway,
    http::stream::QUIET,
};
use round::{Next, Round};

/// How long a client that takes no events may wait without a sign: as long as it likes.
const NEVER: Duration = Duration::from_secs(86_400);

/// How a client takes its answer.
#[derive(Debug)]
pub(super) struct Taking {
    /// Its progress token, as JSON text.
    pub(super) token: Option<Box<str>>,
    /// Whether it takes events.
    pub(super) events: bool,
}

/// Runs an operation and answers: with JSON when it is quick and quiet, else with events.
pub(super) async fn respond(
    gateway: Arc<Gateway>,
    call: Running,
    exchange: Exchange,
    taking: Taking,
) -> Response<Body> {
    let events = taking.events;
    travel(Round::begin(gateway, call, exchange, taking), events).await
}

/// Goes on with a parked call, if the request that repeats it is permitted as well.
pub(super) async fn resume(
    gateway: Arc<Gateway>,
    call: Running,
    exchange: Exchange,
    (parked, responses): (ParkedId, Json),
    taking: Taking,
) -> Response<Body> {
    let events = taking.events;
    match admit(&gateway, &call, &exchange, parked, &responses).await {
        Err(ended) => json(ended),
        Ok(live) => travel(Round::again(gateway, call, exchange, live, taking), events).await,
    }
}

/// Judges the repeated request, puts it on record and takes the call that waits for it, with
/// its questions answered.
async fn admit(
    gateway: &Arc<Gateway>,
    call: &Running,
    exchange: &Exchange,
    parked: ParkedId,
    responses: &Json,
) -> Result<park::live::Live, Ended> {
    let Running { admitted, request, id, .. } = call;
    let vmcp = admitted.published().map_err(|rejection| rejected(id, &rejection))?;
    let context = &admitted.context;
    let (record, permitted) = call::admit_again(gateway, context, vmcp, request.clone(), exchange);
    let number = record.id();
    let refuse = |outcome| response(id.borrow(), number, outcome, Era::Modern, request.is_tool());
    if let Err(refused) = permitted {
        return Err(refuse(call::close(record, Err(refused)).await));
    }
    let Some(mut live) = gateway.parking.claim(parked).await else {
        let rejection = park::not_valid();
        let refused = park::not_waiting();
        return Err(match record.refused(&refused).await {
            Ok(()) => rejected(id, &rejection),
            Err(error) => refuse(Err(call::refusal::audit(error))),
        });
    };
    // The answers leave for the server only once it is on record who gave them.
    record.done().await.map_err(|error| refuse(Err(call::refusal::audit(error))))?;
    live.answer(responses);
    Ok(live)
}

/// Sends what a round comes to.
async fn travel(mut round: Round, events: bool) -> Response<Body> {
    let patience = if events { PATIENCE } else { NEVER };
    loop {
        match (round.next(patience).await, events) {
            (Next::Over(ended), _) => return json(ended),
            (_, false) => {}
            (Next::Event(first), true) => return server::event_stream(body(round, first)),
            (Next::Quiet, true) => {
                let first = Bytes::from_static(sse::KEEP_ALIVE);
                return server::event_stream(body(round, first));
            }
        }
    }
}

/// The body that carries the rest of a round, pulled by the connection. Dropping it (the
/// client has gone) drops the call.
fn body(round: Round, first: Bytes) -> Body {
    let state = (Some(first), Some(round));
    Body::from_stream(stream::unfold(state, |(first, round)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(first), (None, round)));
        }
        let mut round = round?;
        Some(match round.next(QUIET).await {
            Next::Event(event) => (Ok(event), (None, Some(round))),
            Next::Quiet => (Ok(Bytes::from_static(sse::KEEP_ALIVE)), (None, Some(round))),
            Next::Over(ended) => (Ok(event(&ended.text)), (None, None)),
        })
    }))
}

/// A whole answer.
pub(super) fn json(ended: Ended) -> Response<Body> {
    let mut response = whole(server::json(ended.status, Bytes::from(ended.text)));
    if let Some(challenge) = ended.challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A message as an event.
pub(super) fn event(message: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(message.len() + 32);
    // A `message` event without an id has no field that could be refused.
    if sse::encode(&mut text, None, None, message).is_err() {
        text.clear();
    }
    text.into()
}
