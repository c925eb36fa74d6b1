//! The body of an answer that is a stream of events.
//!
//! Pulled by the connection, so that a slow client holds back whoever writes; a comment now
//! and then keeps proxies from cutting a quiet stream. [`body`] carries one call and holds it:
//! dropping the body (the client has gone) drops the call. [`kept`] shows what a session
//! keeps, and holds nothing.

use std::{convert::Infallible, future::Future, pin::Pin, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tidegate_wire::{
    client::{Event, Notification},
    json::Raw,
    mcp::{
        envelope,
        method::Method,
        peek::key,
        splice::{self, Edit},
    },
    sse,
};
use tokio::sync::mpsc;

use super::mcp::Ended;
use crate::session::streams::Reader;

/// A call under way that ends in the JSON-RPC response to send.
pub(super) type Answering = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// How long a stream may stay silent.
const QUIET: Duration = Duration::from_secs(15);

/// What is still to come.
struct Open {
    call: Answering,
    notifications: Option<mpsc::Receiver<Event>>,
    token: Option<Box<str>>,
}

enum State {
    First(Vec<u8>, Open),
    Running(Open),
    Over,
}

/// The body for a call under way. `first` has been taken off the channel already; `token` is
/// the client's progress token as JSON text.
pub(super) fn body(
    call: Answering,
    first: Option<Event>,
    notifications: Option<mpsc::Receiver<Event>>,
    token: Option<Box<str>>,
) -> Body {
    let open = Open { call, notifications, token };
    let state = match first.and_then(|first| event_of(&first, open.token.as_deref())) {
        Some(event) => State::First(event, open),
        None => State::First(sse::KEEP_ALIVE.to_vec(), open),
    };
    Body::from_stream(stream::unfold(state, next))
}

/// The body for one connection to a stream that a session keeps.
pub(super) fn kept(reader: Reader) -> Body {
    Body::from_stream(stream::unfold((reader, true), |(mut reader, is_first)| async move {
        let event = match reader.ready() {
            Some(event) => event,
            // The client learns at once that there is a stream.
            None if is_first => Bytes::from_static(sse::KEEP_ALIVE),
            None => match tokio::time::timeout(QUIET, reader.next()).await {
                Ok(event) => event?,
                Err(_) => Bytes::from_static(sse::KEEP_ALIVE),
            },
        };
        Some((Ok::<_, Infallible>(event), (reader, false)))
    }))
}

async fn next(state: State) -> Option<(Result<Bytes, Infallible>, State)> {
    let mut open = match state {
        State::First(event, open) => return Some((Ok(event.into()), State::Running(open))),
        State::Running(open) => open,
        State::Over => return None,
    };
    loop {
        // Notifications come first, so that none is sent after the answer.
        let step = tokio::select! {
            biased;
            note = receive(&mut open.notifications) => Step::Note(note),
            answer = &mut open.call => Step::Answer(answer),
            () = tokio::time::sleep(QUIET) => Step::Quiet,
        };
        match step {
            Step::Note(None) => open.notifications = None,
            Step::Note(Some(note)) => {
                if let Some(event) = event_of(&note, open.token.as_deref()) {
                    return Some((Ok(event.into()), State::Running(open)));
                }
            }
            Step::Answer(answer) => {
                // The call may have told something in the very step in which it ended.
                let mut text = Vec::new();
                while let Some(note) = open.notifications.as_mut().and_then(|c| c.try_recv().ok()) {
                    text.extend(event_of(&note, open.token.as_deref()).unwrap_or_default());
                }
                text.extend(event(&answer.text));
                return Some((Ok(text.into()), State::Over));
            }
            Step::Quiet => {
                return Some((Ok(Bytes::from_static(sse::KEEP_ALIVE)), State::Running(open)));
            }
        }
    }
}

enum Step {
    Note(Option<Event>),
    Answer(Ended),
    Quiet,
}

async fn receive(channel: &mut Option<mpsc::Receiver<Event>>) -> Option<Event> {
    match channel {
        Some(channel) => channel.recv().await,
        None => std::future::pending().await,
    }
}

/// The event for a notification, with the client's own progress token; `None` for one that
/// cannot be told to this client.
fn event_of(event: &Event, token: Option<&str>) -> Option<Vec<u8>> {
    let Event::Notification(note) = event else { return None };
    message(note, token).map(|message| self::event(&message))
}

/// A notification of a server as the message for the client whose progress token this is;
/// `None` for progress that it did not ask for.
pub(super) fn message(note: &Notification, token: Option<&str>) -> Option<Vec<u8>> {
    let params = Raw::from_checked(note.params.as_str());
    let mut message = Vec::with_capacity(note.params.len() + 128);
    if note.method == Method::Progress.name() {
        let edits = [Edit::set(key::PROGRESS_TOKEN, Raw::from_checked(token?))];
        let params = splice::object(params, &edits).ok()?;
        envelope::notification(
            &mut message,
            &note.method,
            Some(Raw::from_checked(params.as_str())),
        );
    } else {
        envelope::notification(&mut message, &note.method, Some(params));
    }
    Some(message)
}

fn event(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.len() + 32);
    // A `message` event without an id has no field that could be refused.
    if sse::encode(&mut text, None, None, message).is_err() {
        text.clear();
    }
    text
}
