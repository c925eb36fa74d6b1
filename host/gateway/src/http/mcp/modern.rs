//! Answers to modern clients: JSON, or events that end in the answer.
//!
//! The operation lives in its connection and goes with it.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use tidegate_wire::{
    client::{Event, Exchange},
    server,
};
use tokio::sync::mpsc;

use super::{
    respond::{PATIENCE, WAITING, whole},
    running::{Ended, Running},
};
use crate::{
    gateway::Gateway,
    http::stream::{self, Answering},
};

/// Runs an operation and answers: with JSON when it is quick and quiet, else with events.
pub(super) async fn respond(
    gateway: Arc<Gateway>,
    call: Running,
    exchange: Exchange,
    token: Option<Box<str>>,
    events: bool,
) -> Response<Body> {
    if !events {
        return json(call.run(gateway, exchange).await);
    }
    let (sender, inbox) = mpsc::channel(WAITING);
    let exchange = Exchange { events: Some(sender), progress: token.is_some(), ..exchange };
    let mut inbox = Some(inbox);
    let mut call: Answering = Box::pin(call.run(gateway, exchange));
    tokio::select! {
        biased;
        ended = &mut call => finished(ended, inbox, token),
        Some(first) = receive(&mut inbox) => {
            server::event_stream(stream::body(call, Some(first), inbox, token))
        }
        () = tokio::time::sleep(PATIENCE) => {
            server::event_stream(stream::body(call, None, inbox, token))
        }
    }
}

/// A whole answer.
pub(super) fn json(ended: Ended) -> Response<Body> {
    whole(server::json(ended.status, Bytes::from(ended.text)))
}

async fn receive(channel: &mut Option<mpsc::Receiver<Event>>) -> Option<Event> {
    channel.as_mut()?.recv().await
}

/// The answer to a call that has ended: JSON, unless notifications are still to be told first.
fn finished(
    ended: Ended,
    mut inbox: Option<mpsc::Receiver<Event>>,
    token: Option<Box<str>>,
) -> Response<Body> {
    match inbox.as_mut().and_then(|channel| channel.try_recv().ok()) {
        None => json(ended),
        Some(first) => {
            let call: Answering = Box::pin(std::future::ready(ended));
            server::event_stream(stream::body(call, Some(first), inbox, token))
        }
    }
}
