//! Answers to legacy clients.
//!
//! An operation lives in a task of its own, since a lost connection does not cancel it
//! (2025-11-25, transports); the session knows it, so that the client can cancel it by id.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use tidegate_wire::{
    client::{Event, Exchange},
    server,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    modern::json,
    respond::{PATIENCE, WAITING},
    running::{Running, failed, gone, rejected},
};
use crate::{
    gateway::Gateway,
    http::stream::{self, Answering},
    session::Session,
};

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
        return json(detached(call, gateway, exchange, session, cancelled).await);
    }
    let (sender, mut inbox) = mpsc::channel(WAITING);
    let exchange = Exchange { events: Some(sender), progress: token.is_some(), ..exchange };
    let mut call = detached(call, gateway, exchange, session, cancelled);
    tokio::select! {
        biased;
        ended = &mut call => match inbox.try_recv().ok() {
            None => json(ended),
            Some(first) => {
                let call: Answering = Box::pin(std::future::ready(ended));
                server::event_stream(stream::body(call, Some(first), Some(inbox), token))
            }
        },
        Some(first) = receive(&mut inbox) => {
            server::event_stream(stream::body(call, Some(first), Some(inbox), token))
        }
        () = tokio::time::sleep(PATIENCE) => {
            server::event_stream(stream::body(call, None, Some(inbox), token))
        }
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
    let id = call.id.clone();
    let lost = rejected(&id, &failed());
    let (tracker, cut) = (gateway.detached.clone(), gateway.cut.clone());
    let task = tracker.spawn(async move {
        let ended = tokio::select! {
            ended = call.run(gateway, exchange) => ended,
            () = cancelled.cancelled() => rejected(&id, &gone()),
            () = cut.cancelled() => rejected(&id, &gone()),
        };
        session.end(&id);
        ended
    });
    Box::pin(async move { task.await.unwrap_or(lost) })
}

async fn receive(inbox: &mut mpsc::Receiver<Event>) -> Option<Event> {
    inbox.recv().await
}
