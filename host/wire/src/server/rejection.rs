//! A refusal of the transport itself: status, code, sentence.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tidegate_model::Json;

use super::respond;
use crate::{
    json::{Violation, ViolationKind},
    mcp::{Era, Id, Malformed, code, envelope::error, header::HeaderMismatch, peek::PeekError},
};

/// Why a request goes no further, and how that is said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The HTTP status.
    pub status: StatusCode,
    /// The JSON-RPC code.
    pub code: i64,
    /// The sentence.
    pub message: Cow<'static, str>,
    /// The `data` member.
    pub data: Option<Json>,
}

impl Rejection {
    /// A refusal without data.
    pub fn new(status: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }

    /// 400 with `-32600`.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::INVALID_REQUEST, message)
    }

    /// No such method: 404 in the modern era, 200 in the legacy one.
    pub fn unknown_method(era: Era, method: &str) -> Self {
        let status = match era {
            Era::Modern => StatusCode::NOT_FOUND,
            Era::Legacy => StatusCode::OK,
        };
        let name: String = method.chars().take(80).collect();
        Self::new(status, code::METHOD_NOT_FOUND, format!("method `{name}` is not known here"))
    }

    /// Parameters that do not fit: 400 in the modern era, 200 in the legacy one.
    pub fn params(era: Era, error: &PeekError) -> Self {
        let status = match era {
            Era::Modern => StatusCode::BAD_REQUEST,
            Era::Legacy => StatusCode::OK,
        };
        Self::new(status, code::INVALID_PARAMS, error.to_string())
    }

    /// 405, for a verb that the endpoint does not have.
    pub fn verb() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            code::SERVER_ERROR,
            "this endpoint takes POST, and GET and DELETE within a session",
        )
    }

    /// Adds the `data` member.
    #[must_use]
    pub fn with_data(mut self, data: Json) -> Self {
        self.data = Some(data);
        self
    }

    /// The whole answer; without an id if none could be read.
    pub fn respond(&self, id: Option<Id<'_>>) -> Response<Bytes> {
        let mut body = Vec::new();
        error(&mut body, id, self.code, &self.message, self.data.as_ref());
        let mut response = respond::json(self.status, Bytes::from(body));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            let verbs = HeaderValue::from_static("POST, GET, DELETE");
            response.headers_mut().insert(header::ALLOW, verbs);
        }
        response
    }
}

impl From<Violation> for Rejection {
    fn from(violation: Violation) -> Self {
        let status = match violation.kind {
            ViolationKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let is_grammar = violation.kind.is_grammar();
        let code = if is_grammar { code::PARSE_ERROR } else { code::INVALID_REQUEST };
        Self::new(status, code, violation.to_string())
    }
}

impl From<&Malformed> for Rejection {
    fn from(malformed: &Malformed) -> Self {
        Self::new(StatusCode::BAD_REQUEST, malformed.code(), malformed.to_string())
    }
}

impl From<HeaderMismatch> for Rejection {
    fn from(mismatch: HeaderMismatch) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::HEADER_MISMATCH, mismatch.to_string())
    }
}
