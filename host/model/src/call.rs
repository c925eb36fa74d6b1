//! One operation in upstream terms.
//!
//! A [`Call`] says what is to be done where, after published names have been mapped back.
//! Whether it may be done is not its business: `governance` wraps it in a permit.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{CallId, ConnectorId, Json, OrgId, Tool, VmcpId};

/// W3C trace context, carried in headers and in `_meta` (SEP-414).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `traceparent`.
    pub traceparent: Option<String>,
    /// `tracestate`.
    pub tracestate: Option<String>,
    /// `baggage`.
    pub baggage: Option<String>,
}

/// A tool call in upstream terms.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The tool, as the connector declares it.
    pub tool: Arc<Tool>,
    /// The `arguments` object; `{}` where the client sent none.
    pub arguments: Json,
    /// The client's `_meta` without the members that belong to one hop.
    pub meta: Option<Json>,
}

/// What is to be done. Prompts, resources and completion join here.
#[derive(Debug, Clone)]
pub enum Operation {
    /// `tools/call`.
    CallTool(ToolCall),
}

impl Operation {
    /// The connector it goes to.
    pub fn connector(&self) -> &ConnectorId {
        match self {
            Self::CallTool(call) => &call.tool.connector,
        }
    }

    /// The MCP method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::CallTool(_) => "tools/call",
        }
    }
}

/// One operation of one caller.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its id, in the audit row and in every log line about it.
    pub id: CallId,
    /// The organisation.
    pub org: OrgId,
    /// The virtual MCP it came through.
    pub vmcp: VmcpId,
    /// What is to be done.
    pub operation: Operation,
    /// Trace context to carry on.
    pub trace: TraceContext,
    /// The moment after which nobody waits for the answer.
    pub deadline: Instant,
    /// Whether the client asked for progress.
    pub wants_progress: bool,
}
