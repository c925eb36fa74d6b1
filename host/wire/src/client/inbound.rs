//! What a server sends, sorted once and cut out of the received buffer without a copy.

use std::collections::VecDeque;

use bytes::Bytes;
use tidegate_model::{Answer, Json};

use super::{
    Exchange, Notification,
    peer::{Fault, PeerError},
};
use crate::{
    json::{self, Kind, Limits, Raw, ViolationKind},
    mcp::{
        code,
        envelope::{self, Message, OwnedId},
        method::{Method, TASK_CHANGED, TASKS_EXTENSION},
        peek::{ProgressParams, ResultPeek, ResultType},
        revision::{Era, Revision},
    },
};

/// One message from a server.
#[derive(Debug)]
pub(super) enum Inbound {
    /// The answer to the request with this number; absent when the id is none of ours or
    /// the server could not read the request.
    Answer(Option<u64>, Answer),
    /// A notification.
    Notification(Notification),
    /// A request to the client.
    Question(Asked),
}

/// A request of a server to the client.
#[derive(Debug)]
pub(super) struct Asked {
    /// The server's id for it.
    pub(super) id: OwnedId,
    /// The method.
    pub(super) method: String,
    /// Its parameters; `{}` where there are none.
    pub(super) params: Json,
}

/// Checks `bytes` strictly and sorts the message. `limit` is the size of one message.
pub(super) fn read(bytes: Bytes, limit: usize) -> Result<Inbound, PeerError> {
    Ok(sort(&check(bytes, limit)?)?)
}

fn check(bytes: Bytes, limit: usize) -> Result<Json, PeerError> {
    let limits = Limits { bytes: limit, string: limit, ..Limits::RESPONSE };
    json::checked(bytes, &limits).map_err(|violation| match violation.kind {
        ViolationKind::TooLarge => PeerError::TooLarge { limit },
        _ => Fault::Malformed(violation.to_string()).into(),
    })
}

/// Like [`read`], but where `batches` are allowed (2025-03-26 alone) an array stands for the
/// messages in it. Never empty.
pub(super) fn read_all(
    bytes: Bytes,
    limit: usize,
    batches: bool,
) -> Result<VecDeque<Inbound>, PeerError> {
    let json = check(bytes, limit)?;
    let raw = Raw::from(&json);
    if batches && envelope::is_batch(raw) && raw.elements().next().is_some() {
        let each = raw.elements().map(|message| sort(&message.within(&json)));
        return Ok(each.collect::<Result<_, _>>()?);
    }
    Ok(VecDeque::from([sort(&json)?]))
}

/// Sorts a message that has been checked.
pub(super) fn sort(json: &Json) -> Result<Inbound, Fault> {
    let message = Message::parse(Raw::from(json))
        .map_err(|malformed| Fault::Malformed(malformed.to_string()))?;
    Ok(match message {
        Message::Response(response) => {
            let number = response.id.and_then(|id| id.number());
            let answer = match response.outcome {
                Ok(result) => Answer::Result(result.within(json)),
                Err(error) => Answer::Error(error.within(json)),
            };
            Inbound::Answer(number, answer)
        }
        Message::Notification(note) => {
            let params = note.params.map_or_else(Json::empty_object, |raw| raw.within(json));
            Inbound::Notification(Notification { method: note.method.into_owned(), params })
        }
        Message::Request(request) => Inbound::Question(Asked {
            id: request.id.into_owned(),
            method: request.method.into_owned(),
            params: request.params.map_or_else(Json::empty_object, |raw| raw.within(json)),
        }),
    })
}

/// Whether an answer is one that the revision allows: an object, and of a known type.
/// `input_required` needs a client that can be asked, `task` one that declared the extension.
pub(super) fn judge(
    answer: &Answer,
    revision: Revision,
    exchange: Option<&Exchange>,
) -> Result<(), Fault> {
    let Answer::Result(result) = answer else { return Ok(()) };
    let raw = Raw::from(result);
    if raw.kind() != Kind::Object {
        return Err(Fault::Malformed("member `result` is no object".to_owned()));
    }
    if revision.era() == Era::Legacy {
        return Ok(());
    }
    match ResultPeek::read(raw) {
        Ok(peek) => match peek.result_type {
            ResultType::Complete => Ok(()),
            // Only a client can be asked; the gateway's own requests have none.
            ResultType::InputRequired if exchange.is_some() => Ok(()),
            ResultType::InputRequired => Err(Fault::ResultType("input_required".to_owned())),
            ResultType::Other(word) if word == "task" && exchange.is_some_and(takes_tasks) => {
                Ok(())
            }
            ResultType::Other(word) => {
                Err(Fault::ResultType(word.chars().take(80).collect::<String>()))
            }
        },
        Err(error) => Err(Fault::Malformed(error.to_string())),
    }
}

/// The answer to a request of a server that concerns no client: `ping` is answered, all else
/// is refused.
pub(super) fn own_answer(method: &str) -> Answer {
    if method == Method::Ping.name() {
        return Answer::Result(Json::empty_object());
    }
    let text = format!(
        r#"{{"code":{},"message":"there is no client here that could answer"}}"#,
        code::METHOD_NOT_FOUND
    );
    Answer::Error(Json::from_checked(text.into()))
}

/// The response that carries an answer back to the server.
pub(super) fn response(asked: &OwnedId, answer: &Answer) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.json().len() + 64);
    match answer {
        Answer::Result(result) => envelope::result(&mut out, asked.borrow(), result),
        Answer::Error(error) => {
            envelope::error_raw(&mut out, asked.borrow(), Raw::from_checked(error.as_str()));
        }
    }
    out
}

fn takes_tasks(exchange: &Exchange) -> bool {
    exchange.can.extensions.iter().any(|(name, _)| &**name == TASKS_EXTENSION)
}

/// Whether the notification says that a list has changed.
pub(super) fn is_list_change(note: &Notification) -> bool {
    matches!(
        Method::parse(&note.method),
        Some(Method::ToolsChanged | Method::PromptsChanged | Method::ResourcesChanged)
    )
}

/// Whether the notification is for whoever listens and not for whoever has asked something:
/// a changed list or resource, or the state of a task.
pub(super) fn is_announcement(note: &Notification) -> bool {
    is_list_change(note)
        || note.method == TASK_CHANGED
        || matches!(Method::parse(&note.method), Some(Method::ResourceUpdated | Method::TaskStatus))
}

/// Whether a notification on the stream of request `id` is for whoever asked.
pub(super) fn belongs(note: &Notification, id: u64) -> bool {
    note.method != Method::Progress.name() || progress_token(note) == Some(id)
}

/// The request that a progress notification belongs to.
pub(super) fn progress_token(note: &Notification) -> Option<u64> {
    (note.method == Method::Progress.name())
        .then(|| ProgressParams::read(Some(Raw::from(&note.params))).ok())
        .flatten()
        .and_then(|params| params.token.number())
}
