//! What the service is told: the body of the request.
//!
//! Events go by the names of the interceptor draft of the protocol (SEP-2624): the method,
//! and whether it is the request or the response. JSON that came in goes out as it is.

use serde_json::json;
use tidegate_plugin::Context;

/// A method in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) method: &'static str,
    pub(crate) phase: &'static str,
}

impl Event {
    pub(crate) const CALL: Self = Self::of("tools/call");
    pub(crate) const PROMPT: Self = Self::of("prompts/get");
    pub(crate) const READ: Self = Self::of("resources/read");

    const fn of(method: &'static str) -> Self {
        Self { method, phase: "request" }
    }

    /// On the way to the connector.
    pub(crate) const fn request(self) -> Self {
        Self { phase: "request", ..self }
    }

    /// On the way back.
    pub(crate) const fn response(self) -> Self {
        Self { phase: "response", ..self }
    }
}

/// The JSON that the decision is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    None,
    Arguments(&'a str),
    Result(&'a str),
    Error(&'a str),
}

/// The body of the request.
pub(crate) fn body(event: Event, context: &Context, payload: Payload<'_>) -> String {
    let mut body = json!({
        "event": event.method,
        "phase": event.phase,
        "context": {
            "callId": context.call_id,
            "org": context.org,
            "vmcp": context.vmcp,
            "connector": context.connector,
            "target": context.target,
            "user": context.user,
            "groups": context.groups,
            "client": context.client,
        },
    })
    .to_string();
    let (name, json) = match payload {
        Payload::None => return body,
        Payload::Arguments(json) => ("arguments", json),
        Payload::Result(json) => ("result", json),
        Payload::Error(json) => ("error", json),
    };
    body.pop();
    body.reserve(json.len() + 16);
    body.push_str(&format!(",\"{name}\":"));
    body.push_str(json);
    body.push('}');
    body
}
