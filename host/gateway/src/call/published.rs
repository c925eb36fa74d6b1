//! The way out: what a connector said, in published terms and in the client's era.
//!
//! URIs and task ids become the virtual MCP's, what the connector says of its own hop is left
//! out; nothing else of an answer is touched.

use std::sync::Arc;

use tidegate_governance::catalog::uris::Rewrite;
use tidegate_model::{Answer, Call, ConnectorId, Json, Operation, TaskMethod, Tool};
use tidegate_wire::{
    json::{Kind, Raw},
    mcp::{
        code,
        peek::ErrorObject,
        splice::{self, Edit},
    },
};

use super::{
    Scene,
    hop::{self, Related},
    tasks,
};

/// What has to be known of a call to publish its answer.
#[derive(Debug)]
pub(super) struct Published {
    connector: ConnectorId,
    what: What,
}

#[derive(Debug)]
enum What {
    Tool(Arc<Tool>),
    Task(Arc<Tool>, TaskMethod),
    Prompt,
    Resource,
    Completion,
}

impl Published {
    /// Takes note of a call before it leaves.
    pub(super) fn of(call: &Call) -> Self {
        let what = match &call.operation {
            Operation::CallTool(call) => What::Tool(Arc::clone(&call.tool)),
            Operation::Task(task) => What::Task(Arc::clone(&task.tool), task.method),
            Operation::GetPrompt(_) => What::Prompt,
            Operation::ReadResource(_) => What::Resource,
            Operation::Complete(_) => What::Completion,
        };
        Self { connector: call.operation.connector().clone(), what }
    }

    /// The answer as the client is to see it; `modern` is the client's era.
    pub(super) fn answer(&self, scene: Scene<'_>, answer: Answer, modern: bool) -> Answer {
        let Scene { gateway, context, vmcp } = scene;
        let result = match answer {
            Answer::Result(result) => result,
            Answer::Error(error) => {
                let error = vmcp.uris.rewrite(&self.connector, Rewrite::Error, &error);
                return Answer::Error(in_era(error, modern));
            }
        };
        let uris = |what| vmcp.uris.rewrite(&self.connector, what, &result);
        let related = match &self.what {
            What::Tool(_) | What::Task(..) => Related::Published,
            What::Prompt | What::Resource | What::Completion => Related::Unknown,
        };
        let result = match &self.what {
            What::Tool(tool) => {
                tasks::publish(gateway, context, vmcp, tool, uris(Rewrite::ToolResult))
            }
            What::Task(tool, method) => {
                let what = match method {
                    TaskMethod::Result => Rewrite::ToolResult,
                    _ => Rewrite::Task,
                };
                tasks::publish(gateway, context, vmcp, tool, uris(what))
            }
            What::Prompt => uris(Rewrite::PromptResult),
            What::Resource => cacheable(uris(Rewrite::ReadResult), modern),
            What::Completion => result,
        };
        Answer::Result(hop::past(result, related))
    }
}

/// A legacy server's "no such resource" has another code in the modern era (SEP-2164).
fn in_era(error: Json, modern: bool) -> Json {
    let raw = Raw::from(&error);
    let missing = ErrorObject::read(raw).is_some_and(|it| it.code == code::RESOURCE_NOT_FOUND);
    if !modern || !missing {
        return error;
    }
    let code = code::INVALID_PARAMS.to_string();
    splice::object(raw, &[Edit::set("code", Raw::from_checked(&code))]).unwrap_or(error)
}

/// What was read, with how long it may be kept (SEP-2549): what the server says, and nothing
/// where it says nothing; never for others than this person, who alone was permitted to read.
fn cacheable(result: Json, modern: bool) -> Json {
    let raw = Raw::from(&result);
    let input = raw.get("resultType").and_then(Raw::string).is_some_and(|it| it != "complete");
    if !modern || input {
        return result;
    }
    let mut edits = vec![Edit::set("cacheScope", Raw::from_checked("\"private\""))];
    let ttl = raw.get("ttlMs").filter(|ttl| ttl.kind() == Kind::Number);
    if ttl.and_then(Raw::integer).is_none_or(|ttl| ttl < 0) {
        edits.push(Edit::set("ttlMs", Raw::from_checked("0")));
    }
    splice::object(raw, &edits).unwrap_or(result)
}
