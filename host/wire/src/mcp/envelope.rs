//! The JSON-RPC 2.0 envelope: whose turn it is, and the parts still as text.
//!
//! Reading borrows from the checked text; writing appends to a buffer. A message that two
//! parsers could take for different things (result and error, a member in another case) is
//! refused. What the parts mean is for [`super::peek`].

mod id;
mod write;

use std::borrow::Cow;

pub use id::{Id, OwnedId};
pub use write::{error, error_raw, notification, request, result};

use super::code;
use crate::json::{Kind, Raw};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// Is one.
    Response(Response<'a>),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its id, to be echoed.
    pub id: Id<'a>,
    /// The method.
    pub method: Cow<'a, str>,
    /// The parameters: an object, where there are any.
    pub params: Option<Raw<'a>>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The method.
    pub method: Cow<'a, str>,
    /// The parameters: an object, where there are any.
    pub params: Option<Raw<'a>>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The id of the request; absent when the peer could not read it (then it is an error).
    pub id: Option<Id<'a>>,
    /// The `result` member, or the `error` member.
    pub outcome: Result<Raw<'a>, Raw<'a>>,
}

/// Why text is no message; [`Malformed::code`] says how to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Malformed {
    /// The id of the request, where one could be read.
    pub id: Option<OwnedId>,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No object.
    #[error("a json-rpc message must be an object")]
    NotAnObject,
    /// An array: a batch where none is allowed.
    #[error("json-rpc batches are not accepted here; send one message per request")]
    Batch,
    /// An array without elements.
    #[error("a json-rpc batch must not be empty")]
    EmptyBatch,
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("member `jsonrpc` must be \"2.0\"")]
    Version,
    /// `id` is null, a fraction, or neither text nor number.
    #[error("member `id` must be a string or an integer")]
    Id,
    /// `method` is no string.
    #[error("member `method` must be a string that is not empty")]
    Method,
    /// `params` is no object.
    #[error("member `params` must be an object")]
    Params,
    /// None of `method`, `result`, `error`.
    #[error("a json-rpc message needs `method`, `result` or `error`")]
    Neither,
    /// More than one of them.
    #[error("a json-rpc message must have only one of `method`, `result` and `error`")]
    Ambiguous,
    /// `error` is no error object.
    #[error("member `error` must be an object with an integer `code` and a string `message`")]
    Error,
    /// A known member in another case, which some parsers would read as that member.
    #[error(
        "a member differs from a json-rpc member only by case; use `jsonrpc`, `id`, `method`, `params`, `result`, `error`"
    )]
    Case,
}

impl Malformed {
    /// The JSON-RPC error code to answer with.
    pub const fn code(&self) -> i64 {
        code::INVALID_REQUEST
    }
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        Self { id: None, fault }
    }
}

/// Whether the text is an array, so a batch.
pub fn is_batch(text: Raw<'_>) -> bool {
    text.kind() == Kind::Array
}

/// The messages of a batch; each stands for itself.
///
/// The caller decides whether batches are allowed ([`super::Revision::has_batching`]).
pub fn batch(
    text: Raw<'_>,
) -> Result<impl Iterator<Item = Result<Message<'_>, Malformed>>, Malformed> {
    match text.kind() {
        Kind::Array if text.elements().next().is_none() => Err(Fault::EmptyBatch.into()),
        Kind::Array => Ok(text.elements().map(Message::parse)),
        _ => Err(Fault::NotAnObject.into()),
    }
}

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

#[derive(Default)]
struct Parts<'a> {
    version: Option<Raw<'a>>,
    id: Option<Raw<'a>>,
    method: Option<Raw<'a>>,
    params: Option<Raw<'a>>,
    result: Option<Raw<'a>>,
    error: Option<Raw<'a>>,
    odd_case: bool,
}

impl<'a> Parts<'a> {
    fn of(text: Raw<'a>) -> Self {
        let mut parts = Self::default();
        for member in text.members() {
            match &*member.key {
                "jsonrpc" => parts.version = Some(member.value),
                "id" => parts.id = Some(member.value),
                "method" => parts.method = Some(member.value),
                // Some libraries write `null` where they have no parameters.
                "params" => parts.params = Some(member.value).filter(|params| !params.is_null()),
                "result" => parts.result = Some(member.value),
                "error" => parts.error = Some(member.value),
                other => parts.odd_case |= super::peek::folds_to_any(other, &MEMBERS),
            }
        }
        parts
    }
}

impl<'a> Message<'a> {
    /// Reads one message from text that passed [`crate::json::check`].
    ///
    /// Members it does not know are left alone.
    pub fn parse(text: Raw<'a>) -> Result<Self, Malformed> {
        match text.kind() {
            Kind::Object => {}
            Kind::Array => return Err(Fault::Batch.into()),
            _ => return Err(Fault::NotAnObject.into()),
        }
        let parts = Parts::of(text);
        let id = parts.id.and_then(Id::read);
        Self::assemble(&parts, id).map_err(|fault| Malformed { id: id.map(Id::into_owned), fault })
    }

    fn assemble(parts: &Parts<'a>, id: Option<Id<'a>>) -> Result<Self, Fault> {
        if parts.odd_case {
            return Err(Fault::Case);
        }
        if parts.version.and_then(Raw::string).as_deref() != Some("2.0") {
            return Err(Fault::Version);
        }
        if parts.params.is_some_and(|params| params.kind() != Kind::Object) {
            return Err(Fault::Params);
        }
        match (parts.method, parts.result, parts.error) {
            (Some(method), None, None) => {
                let method = method.string().filter(|name| !name.is_empty());
                let method = method.ok_or(Fault::Method)?;
                let params = parts.params;
                match (parts.id, id) {
                    (None, _) => Ok(Self::Notification(Notification { method, params })),
                    (Some(_), Some(id)) => Ok(Self::Request(Request { id, method, params })),
                    (Some(_), None) => Err(Fault::Id),
                }
            }
            (None, Some(result), None) => {
                let id = id.ok_or(Fault::Id)?;
                Ok(Self::Response(Response { id: Some(id), outcome: Ok(result) }))
            }
            (None, None, Some(error)) => {
                if parts.id.is_some_and(|raw| !raw.is_null()) && id.is_none() {
                    return Err(Fault::Id);
                }
                super::peek::ErrorObject::read(error).ok_or(Fault::Error)?;
                Ok(Self::Response(Response { id, outcome: Err(error) }))
            }
            (None, None, None) => Err(Fault::Neither),
            _ => Err(Fault::Ambiguous),
        }
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }

    /// The parameters of a request or notification.
    pub const fn params(&self) -> Option<Raw<'a>> {
        match self {
            Self::Request(request) => request.params,
            Self::Notification(notification) => notification.params,
            Self::Response(_) => None,
        }
    }

    /// The id of a request or response.
    pub const fn id(&self) -> Option<Id<'a>> {
        match self {
            Self::Request(request) => Some(request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id,
        }
    }
}

#[cfg(test)]
mod tests;
