//! How a mock MCP server answers one request.
//!
//! Owns the turning of a scripted answer into bytes on the wire, the wrong ones included.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Response, body::Frame};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The body of a mock's response.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A scripted answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A `result`.
    Result(Value),
    /// An `error`.
    Error(Value),
    /// A result whose only content is this text.
    Text(String),
    /// Notifications on an event stream, then a `result`.
    Stream(Vec<Value>, Value),
    /// Notifications on an event stream; the `result` follows when the test says so.
    StreamUntil(Vec<Value>, Arc<Notify>, Value),
    /// These requests to the client on an event stream, each once the one before was
    /// answered; then a `result` whose text is the array of the answers.
    Ask(Vec<Value>),
    /// This `result`, once the test says so.
    After(Arc<Notify>, Value),
    /// This status, content type and body, whatever they are.
    Raw(u16, &'static str, Bytes),
    /// A body of this content type that is cut off after these bytes.
    Cut(&'static str, Bytes),
    /// Never an answer.
    Hang,
    /// The connection is closed in place of an answer.
    Reset,
}

impl Reply {
    /// The response to the request `id`; an error closes the connection.
    pub(crate) async fn into_response(self, id: &Value) -> std::io::Result<Response<Body>> {
        match self {
            Self::Result(result) => Ok(message(200, &answer(id, "result", &result))),
            Self::Error(error) => Ok(message(200, &answer(id, "error", &error))),
            Self::Text(text) => Ok(message(200, &answer(id, "result", &text_result(&text)))),
            Self::Stream(before, result) => {
                let last = answer(id, "result", &result);
                Ok(events(stream::iter(before.into_iter().chain([last]))))
            }
            Self::StreamUntil(before, go_on, result) => {
                let last = answer(id, "result", &result);
                let last = stream::once(async move {
                    go_on.notified().await;
                    last
                });
                Ok(events(stream::iter(before).chain(last)))
            }
            Self::After(go_on, result) => {
                go_on.notified().await;
                Ok(message(200, &answer(id, "result", &result)))
            }
            Self::Ask(_) => Err(std::io::Error::other("only a mock can wait for answers")),
            Self::Raw(status, kind, body) => Ok(whole(status, kind, body)),
            Self::Cut(kind, body) => {
                let broken = std::io::ErrorKind::ConnectionReset.into();
                let frames = stream::iter([Ok(Frame::data(body)), Err(broken)]);
                let response = Response::builder().header("content-type", kind);
                Ok(response.body(StreamBody::new(frames).boxed_unsync()).unwrap())
            }
            Self::Hang => std::future::pending().await,
            Self::Reset => Err(std::io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// A tool result whose only content is `text`, complete for either era.
pub(crate) fn text_result(text: &str) -> Value {
    json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": text }],
        "isError": false,
    })
}

/// A response; `member` is `result` or `error`.
pub(super) fn answer(id: &Value, member: &str, value: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, member: value })
}

/// One JSON message as a response.
pub(crate) fn message(status: u16, message: &Value) -> Response<Body> {
    whole(status, "application/json", Bytes::from(message.to_string()))
}

/// A response with this body.
pub(crate) fn whole(status: u16, kind: &str, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let response = Response::builder().status(status).header("content-type", kind);
    response.body(body).unwrap()
}

/// A response that streams these messages.
pub(super) fn events(messages: impl Stream<Item = Value> + Send + 'static) -> Response<Body> {
    let frames = messages.map(|message| {
        Ok(Frame::data(Bytes::from(format!("event: message\ndata: {message}\n\n"))))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(body).unwrap()
}
