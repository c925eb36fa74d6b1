//! The small stages of the pipeline, in the order in which `run` calls them.
//!
//! Each takes what the stage before it yields and does no IO.

use std::{sync::Arc, time::Instant};

use tidegate_governance::{
    audit::Record,
    catalog::{PublishedTool, PublishedVmcp},
    policy::Permitted,
};
use tidegate_model::{Call, CallId, Json, Operation, Refusal, Stage, ToolCall};

use tidegate_upstream::Exchange;

use super::{Context, Request, Target, refusal};

/// A stopwatch with laps.
#[derive(Debug)]
pub(crate) struct Timed(Instant);

impl Timed {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Books the time since the last lap on a stage.
    pub(crate) fn lap(&mut self, record: &mut Record, stage: Stage) {
        let now = Instant::now();
        record.stage(stage, now.duration_since(self.0));
        self.0 = now;
    }
}

/// The tool of that published name, with its place in the virtual MCP. A tool that the
/// caller may not know of is refused in the words for one that does not exist.
pub(super) fn resolve<'a>(
    context: &Context,
    vmcp: &'a PublishedVmcp,
    name: &str,
    record: &mut Record,
) -> Result<(usize, &'a PublishedTool), Refusal> {
    let visible = context.revision.visible(&context.caller, vmcp);
    match vmcp.tool(name) {
        Some((place, tool)) if visible.contains(place) => Ok((place, tool)),
        _ => {
            record.asked(name);
            Err(refusal::unknown_tool(name))
        }
    }
}

/// The call in upstream terms: locks refused, defaults and locks applied, schema checked.
pub(super) fn customize(
    id: CallId,
    context: &Context,
    vmcp: &PublishedVmcp,
    tool: &PublishedTool,
    request: Request,
    exchange: &Exchange,
) -> Result<Call, Refusal> {
    let Target::Tool { arguments, more, .. } = request.target else {
        return Err(refusal::unknown_tool(""));
    };
    tool.arguments.refuse_locked(&arguments).map_err(refusal::arguments)?;
    let arguments = tool.arguments.apply(&arguments).map_err(refusal::arguments)?;
    tool.arguments.check(&arguments).map_err(refusal::arguments)?;
    Ok(Call {
        id,
        org: context.caller.org().clone(),
        vmcp: vmcp.vmcp.id.clone(),
        operation: Operation::CallTool(ToolCall { tool: Arc::clone(&tool.tool), arguments, more }),
        meta: request.meta,
        given: request.given,
        trace: context.trace.clone(),
        deadline: context.deadline.min(context.revision.patience(&tool.tool.connector)),
        pause: exchange.pause.clone(),
    })
}

/// The policy decision.
pub(super) fn authorize(
    context: &Context,
    call: Call,
    record: &mut Record,
) -> Result<Permitted<Call>, Refusal> {
    match context.revision.policies.authorize(&context.caller, call, &context.circumstances()) {
        Ok(permitted) => {
            record.permitted(&permitted);
            Ok(permitted)
        }
        Err(denial) => {
            record.denied(&denial.policies, &denial.shadow);
            Err(refusal::denial(&denial))
        }
    }
}

/// The call with a plugin's arguments: locks applied over them, schema checked. The target
/// stays what it was.
pub(super) fn replace(
    tool: &PublishedTool,
    mut call: Call,
    arguments: Json,
) -> Result<Call, Refusal> {
    let arguments = tool.arguments.apply(&arguments).map_err(refusal::arguments)?;
    tool.arguments.check(&arguments).map_err(refusal::arguments)?;
    if let Operation::CallTool(tool_call) = &mut call.operation {
        tool_call.arguments = arguments;
    }
    Ok(call)
}

/// The arguments that will be sent, where there are any.
pub(super) fn arguments(permitted: &Permitted<Call>) -> Option<&Json> {
    match &permitted.get().operation {
        Operation::CallTool(call) => Some(&call.arguments),
        Operation::GetPrompt(call) => call.arguments.as_ref(),
        Operation::Complete(completion) => Some(&completion.argument),
        Operation::ReadResource(_) | Operation::Task(_) => None,
    }
}
