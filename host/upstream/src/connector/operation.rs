//! Operations as requests of the protocol: method, members of `params`, mirrored headers.
//!
//! The one place that knows how an operation is written. Whether a server of its era knows
//! the method is not looked at: it says so itself.

use http::{HeaderName, HeaderValue};
use tidegate_model::{Call, Completion, CompletionOf, Json, Operation, TaskMethod, Tool, ToolCall};
use tidegate_wire::{
    client::{Exchange, Member, Outgoing, PeerInfo},
    json::{Raw, write_string},
    mcp::{Era, header::HeaderParams},
};

/// Members of a tool call that are written from elsewhere, whatever a client wrote.
const OF_A_CALL: [&str; 5] = ["name", "arguments", "_meta", "inputResponses", "requestState"];
/// The same of a question about a task.
const OF_A_TASK: [&str; 2] = ["taskId", "_meta"];

/// A call as the parts of a request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    call: &'a Call,
    exchange: &'a Exchange,
    /// `ref` of a completion, the only member that is built.
    reference: Option<Json>,
}

impl<'a> Request<'a> {
    pub(super) fn new(call: &'a Call, exchange: &'a Exchange) -> Self {
        let reference = match &call.operation {
            Operation::Complete(completion) => Some(reference(completion)),
            _ => None,
        };
        Self { call, exchange, reference }
    }

    /// The call.
    pub(super) fn call(&self) -> &'a Call {
        self.call
    }

    /// The client.
    pub(super) fn exchange(&self) -> &'a Exchange {
        self.exchange
    }

    /// The members of `params`, for a server that said this of itself.
    pub(super) fn params(&self, info: Option<&PeerInfo>) -> Vec<(&str, Member<'_>)> {
        match &self.call.operation {
            Operation::CallTool(call) => tool_params(call, takes_task(info)),
            Operation::GetPrompt(call) => {
                let name = ("name", Member::Text(call.prompt.name.as_str()));
                let arguments =
                    call.arguments.as_ref().map(|json| ("arguments", Member::Json(json)));
                std::iter::once(name).chain(arguments).collect()
            }
            Operation::ReadResource(resource) => vec![("uri", Member::Text(&resource.uri))],
            Operation::Complete(completion) => {
                let reference = self.reference.as_ref().map(|json| ("ref", Member::Json(json)));
                let argument = ("argument", Member::Json(&completion.argument));
                let context =
                    completion.context.as_ref().map(|json| ("context", Member::Json(json)));
                reference.into_iter().chain([argument]).chain(context).collect()
            }
            Operation::Task(call) => std::iter::once(("taskId", Member::Text(&call.id)))
                .chain(more(&call.more, &OF_A_TASK))
                .collect(),
        }
    }

    /// The request, with members from [`Request::params`] and headers of this transport.
    pub(super) fn outgoing<'r>(
        &'r self,
        params: &'r [(&'r str, Member<'r>)],
        headers: &'r [(HeaderName, HeaderValue)],
    ) -> Outgoing<'r> {
        Outgoing {
            method: self.call.operation.method(),
            params,
            meta: self.call.meta.as_ref(),
            name: self.mirrored(),
            headers,
            trace: Some(&self.call.trace),
            exchange: Some(self.exchange),
            given: self.call.given.as_ref(),
        }
    }

    /// The value of `Mcp-Name`.
    fn mirrored(&self) -> Option<&str> {
        match &self.call.operation {
            Operation::CallTool(call) => Some(call.tool.name.as_str()),
            Operation::GetPrompt(call) => Some(call.prompt.name.as_str()),
            Operation::ReadResource(resource) => Some(&resource.uri),
            Operation::Complete(_) => None,
            Operation::Task(call) => match call.method {
                TaskMethod::Get | TaskMethod::Update | TaskMethod::Cancel => Some(&call.id),
                // Of 2025-11-25 alone, which mirrors nothing.
                TaskMethod::Result => None,
            },
        }
    }
}

/// The `Mcp-Param-*` headers of a tool call, as this definition of the tool wants them. Of
/// no meaning to a legacy server, which ignores them.
pub(super) fn mirrored_arguments(
    tool: &Tool,
    arguments: &Json,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let params = HeaderParams::compile(Raw::from(&tool.input_schema)).unwrap_or_default();
    params.headers(Some(Raw::from(arguments))).collect::<Vec<_>>().into_iter()
}

fn tool_params(call: &ToolCall, takes_task: bool) -> Vec<(&str, Member<'_>)> {
    let known = [
        ("name", Member::Text(call.tool.name.as_str())),
        ("arguments", Member::Json(&call.arguments)),
    ];
    let more = more(&call.more, &OF_A_CALL).filter(|(name, _)| takes_task || *name != "task");
    known.into_iter().chain(more).collect()
}

/// Whether a server is sent the `task` of a tool call: a legacy one that declared tasks. One
/// that has not said anything yet is sent it; without tasks it has to ignore it (2025-11-25).
fn takes_task(info: Option<&PeerInfo>) -> bool {
    info.is_none_or(|info| info.revision.era() == Era::Legacy && info.declares(&["tasks"]))
}

fn more<'a>(
    members: &'a [(Box<str>, Json)],
    ours: &'static [&str],
) -> impl Iterator<Item = (&'a str, Member<'a>)> {
    let not_ours = move |(name, _): &&(Box<str>, Json)| !ours.contains(&&**name);
    members.iter().filter(not_ours).map(|(name, value)| (&**name, Member::Json(value)))
}

fn reference(completion: &Completion) -> Json {
    let (kind, key, value) = match &completion.of {
        CompletionOf::Prompt(prompt) => ("ref/prompt", "name", prompt.name.as_str()),
        CompletionOf::Template(template) => ("ref/resource", "uri", &*template.uri),
    };
    let mut out = format!(r#"{{"type":"{kind}","{key}":"#).into_bytes();
    write_string(&mut out, value);
    out.push(b'}');
    Json::from_checked(out.into())
}
