//! The only place where a refusal gets its code, its words and its form on the wire.
//!
//! Sentences never tell a hidden thing from a missing one. A refused tool call is a tool
//! result with `isError` (SEP-1303: the model reads it and can act), except where the
//! protocol has an error of its own.

use serde_json::json;
use tidegate_governance::{
    audit::AuditError,
    catalog::BadArguments,
    policy::{Denial, DenialKind},
};
use tidegate_model::{CallId, ConnectorId, Json, Refusal, RefusalCode};
use tidegate_upstream::{connector::ConnectorError, credential::CredentialError};
use tidegate_wire::mcp::code;

/// How a refusal looks to an MCP client.
#[derive(Debug)]
pub(crate) enum Wire {
    /// A tool result with `isError: true`.
    ToolResult(Json),
    /// A JSON-RPC error, and where more rights help, what to ask for.
    Error {
        /// Its code.
        code: i64,
        /// Its message.
        message: String,
        /// Its data.
        data: Json,
        /// The `WWW-Authenticate` challenge that goes with it, under HTTP 403.
        challenge: Option<String>,
    },
}

/// Puts a refusal into its wire form; `in_tool` for a tool call, whose model reads it.
pub(crate) fn wire(id: CallId, refusal: &Refusal, in_tool: bool) -> Wire {
    let details =
        json!({"code": refusal.code.name(), "callId": id.to_string(), "next": refusal.next});
    let error = |code| Wire::Error {
        code,
        message: sentence(refusal),
        data: Json::of(&details).unwrap_or_default(),
        challenge: None,
    };
    match refusal.code {
        RefusalCode::NotFound => error(code::INVALID_PARAMS),
        RefusalCode::InsufficientScope => Wire::Error {
            code: code::SERVER_ERROR,
            message: sentence(refusal),
            data: Json::of(&details).unwrap_or_default(),
            challenge: refusal.cause.as_deref().and_then(|cause| {
                cause.downcast_ref::<StepUp>().map(|StepUp(challenge)| challenge.clone())
            }),
        },
        RefusalCode::AuditUnavailable | RefusalCode::Internal | RefusalCode::Draining => {
            error(code::INTERNAL_ERROR)
        }
        RefusalCode::Unsupported if !in_tool => error(code::METHOD_NOT_FOUND),
        RefusalCode::InvalidArguments if !in_tool => error(code::INVALID_PARAMS),
        // Nobody waits for what the model could read.
        RefusalCode::Cancelled => error(code::SERVER_ERROR),
        _ if !in_tool => error(code::SERVER_ERROR),
        _ => {
            let result = json!({
                "content": [{"type": "text", "text": sentence(refusal)}],
                "isError": true,
                "_meta": {"tidegate/refusal": details},
            });
            Json::of(&result).map_or_else(|_| error(code::INTERNAL_ERROR), Wire::ToolResult)
        }
    }
}

/// The sentence for a person, with what they can do next.
pub(crate) fn sentence(refusal: &Refusal) -> String {
    match &refusal.next {
        Some(next) => format!("{}; {next}", refusal.message),
        None => refusal.message.clone(),
    }
}

/// Logs a refusal once, with its cause.
pub(crate) fn log(id: CallId, refusal: &Refusal) {
    let cause = refusal.cause.as_deref().map(chain).unwrap_or_default();
    match refusal.code {
        RefusalCode::Internal
        | RefusalCode::AuditUnavailable
        | RefusalCode::PolicyError
        | RefusalCode::PluginFailed => {
            tracing::error!(call.id = %id, code = refusal.code.name(), cause, "{}", refusal.message);
        }
        _ => {
            tracing::debug!(call.id = %id, code = refusal.code.name(), cause, "{}", refusal.message)
        }
    }
}

/// An error and its sources in one line.
fn chain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}

/// No tool of that name, or none this caller may know of.
pub(crate) fn unknown_tool(name: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("unknown tool `{}`", shown(name)))
}

/// No prompt of that name, or none this caller may know of.
pub(crate) fn unknown_prompt(name: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("unknown prompt `{}`", shown(name)))
}

/// No such resource, or none this caller may know of.
pub(crate) fn unknown_resource(uri: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("unknown resource `{}`", shown(uri)))
}

/// No such task, or none of this caller's.
pub(crate) fn unknown_task(_id: &str) -> Refusal {
    // The id is a handle: it is not repeated.
    Refusal::new(RefusalCode::NotFound, "unknown task")
}

/// A name in a sentence: short, without control characters.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(128).collect()
}

/// The client does not want it any more, or the process ends.
pub(crate) fn cancelled() -> Refusal {
    Refusal::new(RefusalCode::Cancelled, "the request was cancelled")
}

/// The deadline has passed.
pub(crate) fn deadline() -> Refusal {
    Refusal::new(RefusalCode::DeadlineExceeded, "the call took longer than it may")
        .with_next("try again, or ask for less at once")
}

/// Arguments that do not fit.
pub(crate) fn arguments(bad: BadArguments) -> Refusal {
    let message = bad.to_string();
    Refusal::new(RefusalCode::InvalidArguments, message).with_cause(bad)
}

/// A plugin's arguments that do not fit what is no tool.
pub(crate) fn bad_arguments(why: String) -> Refusal {
    Refusal::new(RefusalCode::InvalidArguments, why)
        .with_next("ask an administrator to look at the plugins")
}

/// A connector that asks again and again.
pub(crate) fn too_many_rounds() -> Refusal {
    let words = "the server asks for input again and again";
    Refusal::new(RefusalCode::ConnectorProtocol, words)
        .with_next("ask an administrator to look at the connector")
}

/// The challenge that a refusal for want of scopes carries to the wire.
#[derive(Debug, thiserror::Error)]
#[error("the access token lacks a scope")]
struct StepUp(String);

/// The access token lacks scopes: `challenge` names all that the call needs.
pub(crate) fn step_up(challenge: String) -> Refusal {
    Refusal::new(
        RefusalCode::InsufficientScope,
        "your client's access does not cover such a tool at this virtual MCP",
    )
    .with_next("let the client ask you for more")
    .with_cause(StepUp(challenge))
}

/// A policy decision against the call.
pub(crate) fn denial<T>(denial: &Denial<T>) -> Refusal {
    match denial.kind {
        DenialKind::Denied => Refusal::new(RefusalCode::PolicyDenied, denial.reason.clone())
            .with_next("ask an administrator if you need it"),
        DenialKind::Error => Refusal::new(RefusalCode::PolicyError, denial.reason.clone())
            .with_next("ask an administrator to look at the policies"),
        DenialKind::Unrepresentable => {
            Refusal::new(RefusalCode::InvalidArguments, denial.reason.clone())
        }
    }
}

/// A credential that cannot be used.
pub(crate) fn credential(error: CredentialError) -> Refusal {
    Refusal::new(
        RefusalCode::CredentialMissing,
        "the gateway has no usable credential for this tool's service",
    )
    .with_next("ask an administrator to set it")
    .with_cause(error)
}

/// The audit log cannot be written.
pub(crate) fn audit(error: AuditError) -> Refusal {
    Refusal::new(
        RefusalCode::AuditUnavailable,
        "the call cannot be recorded, so it was not let through",
    )
    .with_next("ask an administrator to look at the audit log")
    .with_cause(error)
}

/// A fault of the gateway's own.
pub(crate) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Refusal {
    Refusal::new(RefusalCode::Internal, "the gateway failed, so the call was not let through")
        .with_cause(error)
}

/// A connector's failure; its name is known to the caller, who was permitted to call it.
pub(crate) fn connector(connector: &ConnectorId, error: ConnectorError) -> Refusal {
    error.refusal(connector.as_str())
}
