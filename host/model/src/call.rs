//! One operation in upstream terms.
//!
//! A [`Call`] says what is to be done where, after published names have been mapped back.
//! Whether it may be done is not its business: `governance` wraps it in a permit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{CallId, ConnectorId, Json, OrgId, Prompt, Tool, UserId, VmcpId};

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
    /// Further members of `params`, for instance `task` (2025-11-25), as written.
    pub more: Vec<(Box<str>, Json)>,
}

/// `prompts/get` in upstream terms.
#[derive(Debug, Clone)]
pub struct PromptCall {
    /// The prompt, as the connector declares it.
    pub prompt: Arc<Prompt>,
    /// The `arguments` object, where the client sent one.
    pub arguments: Option<Json>,
}

/// A resource of one connector: listed, made from a template, or known from a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceRef {
    /// The connector it belongs to.
    pub connector: ConnectorId,
    /// Its original URI, or the original text of its template.
    pub uri: Box<str>,
}

/// What an argument is completed for.
#[derive(Debug, Clone)]
pub enum CompletionOf {
    /// A prompt.
    Prompt(Arc<Prompt>),
    /// A resource template.
    Template(ResourceRef),
}

/// `completion/complete` in upstream terms.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What it belongs to.
    pub of: CompletionOf,
    /// The `argument` object, as written.
    pub argument: Json,
    /// The `context` object, as written.
    pub context: Option<Json>,
}

/// A method about a task (2025-11-25 core, later the extension `io.modelcontextprotocol/tasks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskMethod {
    /// `tasks/get`.
    Get,
    /// `tasks/result` (2025-11-25): waits for the end.
    Result,
    /// `tasks/update` (extension): gives the input that a task asked for.
    Update,
    /// `tasks/cancel`.
    Cancel,
}

impl TaskMethod {
    /// The MCP method.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "tasks/get",
            Self::Result => "tasks/result",
            Self::Update => "tasks/update",
            Self::Cancel => "tasks/cancel",
        }
    }
}

/// A question about a task of one connector, or its end.
#[derive(Debug, Clone)]
pub struct TaskCall {
    /// The tool whose call became the task.
    pub tool: Arc<Tool>,
    /// What is asked.
    pub method: TaskMethod,
    /// The task's id at the connector.
    pub id: Box<str>,
    /// Further members of `params`, as written.
    pub more: Vec<(Box<str>, Json)>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Operation {
    /// `tools/call`.
    CallTool(ToolCall),
    /// `prompts/get`.
    GetPrompt(PromptCall),
    /// `resources/read`.
    ReadResource(ResourceRef),
    /// `completion/complete`.
    Complete(Completion),
    /// One of the `tasks/…` methods.
    Task(TaskCall),
}

impl Operation {
    /// The connector it goes to.
    pub fn connector(&self) -> &ConnectorId {
        match self {
            Self::CallTool(call) => &call.tool.connector,
            Self::GetPrompt(call) => &call.prompt.connector,
            Self::ReadResource(resource) => &resource.connector,
            Self::Complete(completion) => match &completion.of {
                CompletionOf::Prompt(prompt) => &prompt.connector,
                CompletionOf::Template(template) => &template.connector,
            },
            Self::Task(call) => &call.tool.connector,
        }
    }

    /// The MCP method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::CallTool(_) => "tools/call",
            Self::GetPrompt(_) => "prompts/get",
            Self::ReadResource(_) => "resources/read",
            Self::Complete(_) => "completion/complete",
            Self::Task(call) => call.method.name(),
        }
    }

    /// What it is done to, in the upstream's own word: a tool, a prompt, a URI.
    pub fn target(&self) -> &str {
        match self {
            Self::CallTool(call) => call.tool.name.as_str(),
            Self::GetPrompt(call) => call.prompt.name.as_str(),
            Self::ReadResource(resource) => &resource.uri,
            Self::Complete(completion) => match &completion.of {
                CompletionOf::Prompt(prompt) => prompt.name.as_str(),
                CompletionOf::Template(template) => &template.uri,
            },
            Self::Task(call) => call.tool.name.as_str(),
        }
    }

    /// The tool that is called, where one is.
    pub fn tool(&self) -> Option<&Arc<Tool>> {
        match self {
            Self::CallTool(call) => Some(&call.tool),
            Self::Task(call) => Some(&call.tool),
            _ => None,
        }
    }
}

/// What a modern client gives when it repeats a request that had asked for input first
/// (SEP-2322).
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The `inputResponses` object, as written.
    pub responses: Option<Json>,
    /// The connector's own `requestState`.
    pub state: Option<Box<str>>,
}

/// Time beyond the deadline that a call was given because a person is being asked; shared by
/// everybody who watches the deadline of one call.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<AtomicU64>);

impl Pause {
    /// The time given so far.
    pub fn given(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Gives this much more.
    pub fn give(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    /// Takes back what was not used.
    pub fn take_back(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_sub(micros, Ordering::Relaxed);
    }
}

/// One operation of one caller.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its id, in the audit row and in every log line about it.
    pub id: CallId,
    /// The organisation.
    pub org: OrgId,
    /// The person or agent it is for: whose credential it carries, where each has their own.
    pub user: UserId,
    /// The virtual MCP it came through.
    pub vmcp: VmcpId,
    /// What is to be done.
    pub operation: Operation,
    /// The client's `_meta`; members that belong to one hop are dropped on the way out.
    pub meta: Option<Json>,
    /// What the client gives to an earlier question of the connector.
    pub given: Option<Given>,
    /// Trace context to carry on.
    pub trace: TraceContext,
    /// The moment after which nobody waits for the answer, [`Call::pause`] apart.
    pub deadline: Instant,
    /// Time given on top while a person is asked.
    pub pause: Pause,
}
