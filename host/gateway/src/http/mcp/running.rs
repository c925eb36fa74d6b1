//! One operation on its way to the text of its response.
//!
//! Runs the pipeline for a request and writes what came of it in the form of the client's
//! era. How the text travels is for [`super::legacy`] and [`super::modern`].

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use tidegate_model::{Answer, CallId, Json, Outcome};
use tidegate_wire::{
    client::Exchange,
    json::Raw,
    mcp::{
        Era, Id, OwnedId, Revision, code, envelope,
        peek::ErrorObject,
        splice::{self, Edit},
    },
    server::Rejection,
};

use super::admit::Admitted;
use crate::{
    call::{
        self, Request,
        refusal::{self, Wire},
    },
    gateway::Gateway,
};

/// What an operation needs to run by itself.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) admitted: Admitted,
    pub(super) request: Request,
    pub(super) revision: Revision,
    pub(super) id: OwnedId,
}

/// A response, ready to be sent.
#[derive(Debug)]
pub(in crate::http) struct Ended {
    /// The HTTP status where it travels as a whole; on a stream it is not seen.
    pub(in crate::http) status: StatusCode,
    /// The JSON-RPC message.
    pub(in crate::http) text: Vec<u8>,
    /// The `WWW-Authenticate` challenge, where it travels as a whole.
    pub(in crate::http) challenge: Option<HeaderValue>,
}

impl Ended {
    /// A result, as it is.
    pub(super) fn result(id: Id<'_>, result: &Json) -> Self {
        let mut text = Vec::with_capacity(result.len() + 64);
        envelope::result(&mut text, id, result);
        Self { status: StatusCode::OK, text, challenge: None }
    }
}

impl Running {
    /// Runs the operation to the text of its response, at the latest until `cancelled` is over.
    pub(super) async fn run(
        self,
        gateway: Arc<Gateway>,
        exchange: Exchange,
        cancelled: impl Future<Output = ()>,
    ) -> Ended {
        let Self { admitted, request, revision, id } = self;
        match admitted.published() {
            Err(rejection) => rejected(&id, &rejection),
            Ok(vmcp) => {
                let in_tool = request.is_tool();
                let context = &admitted.context;
                let done = call::run(&gateway, context, vmcp, request, exchange, cancelled).await;
                response(id.borrow(), done.id, done.outcome, revision.era(), in_tool)
            }
        }
    }
}

/// The response to an operation; `in_tool` where a refusal is to be a tool result.
pub(super) fn response(
    id: Id<'_>,
    call: CallId,
    outcome: Outcome,
    era: Era,
    in_tool: bool,
) -> Ended {
    let mut text = Vec::new();
    let mut status = StatusCode::OK;
    let mut challenge = None;
    match outcome {
        Ok(Answer::Result(result)) => of_era(&mut text, id, &result, era),
        Ok(Answer::Error(error)) => {
            status = status_of(ErrorObject::read(Raw::from(&error)).map(|error| error.code), era);
            envelope::error_raw(&mut text, id, Raw::from_checked(error.as_str()));
        }
        Err(refused) => match refusal::wire(call, &refused, in_tool) {
            Wire::ToolResult(result) => of_era(&mut text, id, &result, era),
            Wire::Error { code, message, data, challenge: asked } => {
                status = status_of(Some(code), era);
                challenge = asked.and_then(|asked| HeaderValue::from_str(&asked).ok());
                if challenge.is_some() {
                    status = StatusCode::FORBIDDEN;
                }
                envelope::error(&mut text, Some(id), code, &message, Some(&data));
            }
        },
    }
    Ended { status, text, challenge }
}

/// The HTTP status that a modern server gives an error (2026-07-28, Streamable HTTP).
fn status_of(error: Option<i64>, era: Era) -> StatusCode {
    match (era, error) {
        (Era::Modern, Some(code::METHOD_NOT_FOUND)) => StatusCode::NOT_FOUND,
        (Era::Modern, Some(error)) if code::is_modern(error) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// Writes a result in the form of the client's era: a modern one says its `resultType`, a
/// legacy one does not know the word. All other members keep their bytes.
fn of_era(text: &mut Vec<u8>, id: Id<'_>, result: &Json, era: Era) {
    const TYPE: &str = "resultType";
    let raw = Raw::from_checked(result.as_str());
    let typed = raw.may_say(TYPE) && raw.get(TYPE).is_some();
    let edited = match (era, typed) {
        (Era::Modern, false) => {
            splice::object(raw, &[Edit::set(TYPE, Raw::from_checked("\"complete\""))])
        }
        (Era::Legacy, true) => splice::object(raw, &[Edit::remove(TYPE)]),
        _ => return envelope::result(text, id, result),
    };
    envelope::result(text, id, edited.as_ref().unwrap_or(result));
}

/// A rejection as the response to a request.
pub(super) fn rejected(id: &OwnedId, rejection: &Rejection) -> Ended {
    let mut text = Vec::new();
    let Rejection { status, code, message, data } = rejection;
    envelope::error(&mut text, Some(id.borrow()), *code, message, data.as_ref());
    Ended { status: *status, text, challenge: None }
}

/// The answer to a request whose task died.
pub(super) fn failed() -> Rejection {
    Rejection::new(
        StatusCode::OK,
        code::INTERNAL_ERROR,
        "the gateway failed; the call is on record as abandoned",
    )
}
