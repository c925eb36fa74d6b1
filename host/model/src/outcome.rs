//! How an operation ends: an answer or a refusal.
//!
//! Refusals carry a stable code, a sentence for the person, and a cause for the log. How a
//! code looks on the wire is decided in one place, `gateway::call::refusal`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Json;

/// What the upstream said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The `result` member of its response.
    Result(Json),
    /// The `error` member of its response, passed on as it is.
    Error(Json),
}

impl Answer {
    /// The text of either.
    pub fn json(&self) -> &Json {
        match self {
            Self::Result(json) | Self::Error(json) => json,
        }
    }
}

/// Stable refusal codes: part of the public contract, listed in `host/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No usable credential.
    Unauthenticated,
    /// No such virtual MCP, tool, prompt or resource, or none that this caller may know of.
    NotFound,
    /// The message is not one that the protocol allows here.
    InvalidRequest,
    /// The arguments do not fit the tool's schema.
    InvalidArguments,
    /// A policy forbids it, or none permits it.
    PolicyDenied,
    /// The access token lacks a scope that this virtual MCP asks for such a tool.
    InsufficientScope,
    /// A policy could not be evaluated; fails closed.
    PolicyError,
    /// A plugin refused.
    PluginRefused,
    /// A plugin failed and is bound to fail closed.
    PluginFailed,
    /// The caller has no credential for the connector yet.
    CredentialMissing,
    /// The connector is down, its breaker is open, or it could not be reached.
    ConnectorUnavailable,
    /// The connector's queue is full.
    ConnectorBusy,
    /// The connector answered with something that is no MCP answer.
    ConnectorProtocol,
    /// The deadline passed.
    DeadlineExceeded,
    /// The client went away or cancelled.
    Cancelled,
    /// The audit log cannot record it; fails closed.
    AuditUnavailable,
    /// The gateway is stopping.
    Draining,
    /// The operation is not supported between these two protocol revisions.
    Unsupported,
    /// A fault of the gateway's own; fails closed.
    Internal,
}

impl RefusalCode {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 19] = [
        Self::Unauthenticated,
        Self::NotFound,
        Self::InvalidRequest,
        Self::InvalidArguments,
        Self::PolicyDenied,
        Self::InsufficientScope,
        Self::PolicyError,
        Self::PluginRefused,
        Self::PluginFailed,
        Self::CredentialMissing,
        Self::ConnectorUnavailable,
        Self::ConnectorBusy,
        Self::ConnectorProtocol,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::AuditUnavailable,
        Self::Draining,
        Self::Unsupported,
        Self::Internal,
    ];

    /// The spelling in answers, audit rows and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidArguments => "invalid_arguments",
            Self::PolicyDenied => "policy_denied",
            Self::InsufficientScope => "insufficient_scope",
            Self::PolicyError => "policy_error",
            Self::PluginRefused => "plugin_refused",
            Self::PluginFailed => "plugin_failed",
            Self::CredentialMissing => "credential_missing",
            Self::ConnectorUnavailable => "connector_unavailable",
            Self::ConnectorBusy => "connector_busy",
            Self::ConnectorProtocol => "connector_protocol",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Draining => "draining",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// Why an operation was not carried out or not finished.
#[derive(Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// One sentence for the person, naming nothing they may not know of.
    pub message: String,
    /// What the person can do next, where there is something.
    pub next: Option<String>,
    /// The cause, for the log only.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal without a next step or a cause.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: None, cause: None }
    }

    /// Adds what the person can do next.
    #[must_use]
    pub fn with_next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_cause(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.name())
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// The end of an operation.
pub type Outcome = Result<Answer, Refusal>;
