//! The small stages of the pipeline, in the order in which `run` calls them.
//!
//! Each takes what the stage before it yields and does no IO.

use std::{sync::Arc, time::Instant};

use tidegate_governance::{
    audit::Record,
    catalog::{PublishedTool, PublishedVmcp},
    policy::Permitted,
};
use tidegate_identity::issuer::Resource;
use tidegate_model::{
    Answer, Call, CallId, Completion, CompletionOf, ConnectorId, Json, Operation, Prompt,
    PromptCall, Refusal, ResourceRef, Stage, TaskCall, TaskMethod, ToolCall, ToolName,
};
use tidegate_upstream::Exchange;
use tidegate_wire::{
    json::{Kind, Raw},
    mcp::splice::{self, Edit},
};

use super::{Context, Reference, Request, Scene, Target, list::List, refusal};
use crate::{gateway::Gateway, plugin::Passage};

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

/// What a request is about, found in the catalogue.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A tool, with its place in the virtual MCP.
    Tool { place: usize, tool: &'a PublishedTool, arguments: Json, more: Vec<(Box<str>, Json)> },
    /// Anything else; nothing of it is customized.
    Other(Operation),
}

/// Finds what a request is about. What the caller may not know of is refused in the words for
/// what does not exist.
pub(super) fn resolve<'a>(
    scene: Scene<'a>,
    target: Target,
    record: &mut Record,
) -> Result<Found<'a>, Refusal> {
    let Scene { gateway, context, vmcp } = scene;
    let found = match target {
        Target::Tool { name, arguments, more } => match visible_tool(context, vmcp, &name) {
            Some((place, tool)) => return Ok(Found::Tool { place, tool, arguments, more }),
            None => Err((name, refusal::unknown_tool as fn(&str) -> Refusal)),
        },
        Target::Prompt { name, arguments } => match visible_prompt(context, vmcp, &name) {
            Some(prompt) => Ok(Operation::GetPrompt(PromptCall { prompt, arguments })),
            None => Err((name, refusal::unknown_prompt as fn(&str) -> Refusal)),
        },
        Target::Resource { uri } => match visible_resource(context, vmcp, &uri) {
            Some(resource) => Ok(Operation::ReadResource(resource)),
            None => Err((uri, refusal::unknown_resource as fn(&str) -> Refusal)),
        },
        Target::Complete { of, argument, context: given } => {
            let complete = |of| Operation::Complete(Completion { of, argument, context: given });
            match of {
                Reference::Prompt(name) => match visible_prompt(context, vmcp, &name) {
                    Some(prompt) => Ok(complete(CompletionOf::Prompt(prompt))),
                    None => Err((name, refusal::unknown_prompt as fn(&str) -> Refusal)),
                },
                Reference::Template(uri) => match visible_resource(context, vmcp, &uri) {
                    Some(template) => Ok(complete(CompletionOf::Template(template))),
                    None => Err((uri, refusal::unknown_resource as fn(&str) -> Refusal)),
                },
            }
        }
        Target::Task { method, id, more } => {
            match task(gateway, context, vmcp, method, &id, more) {
                Some(task) => Ok(Operation::Task(task)),
                None => Err((id, refusal::unknown_task as fn(&str) -> Refusal)),
            }
        }
    };
    match found {
        Ok(operation) => Ok(Found::Other(operation)),
        Err((name, refuse)) => {
            record.asked(&name);
            Err(refuse(&name))
        }
    }
}

/// The tool of that published name, with its place, if the caller may know of it.
pub(super) fn visible_tool<'a>(
    context: &Context,
    vmcp: &'a PublishedVmcp,
    name: &str,
) -> Option<(usize, &'a PublishedTool)> {
    let (place, tool) = vmcp.tool(name)?;
    let visible = context.revision.visible(&context.caller, vmcp, List::Tools);
    visible.contains(place).then_some((place, tool))
}

fn visible_prompt(
    context: &Context,
    vmcp: &PublishedVmcp,
    name: &str,
) -> Option<Arc<tidegate_model::Prompt>> {
    let (place, found) = vmcp.prompt(name)?;
    let visible = context.revision.visible(&context.caller, vmcp, List::Prompts);
    visible.contains(place).then(|| Arc::clone(&found.prompt))
}

/// The resource or template published as that text, listed or not, if the caller may know of it.
pub(crate) fn visible_resource(
    context: &Context,
    vmcp: &PublishedVmcp,
    uri: &str,
) -> Option<ResourceRef> {
    let resource = vmcp.uris.locate(uri)?;
    // A connector without resources has none to read; nobody needs to ask it.
    let has_resources =
        vmcp.features.get(&resource.connector).is_some_and(|features| features.resources);
    let policies = &context.revision.policies;
    let may_know =
        has_resources && policies.visible_resource(&context.caller, &vmcp.vmcp.id, &resource);
    may_know.then_some(resource)
}

fn task(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    method: TaskMethod,
    id: &str,
    more: Vec<(Box<str>, Json)>,
) -> Option<TaskCall> {
    let known = super::tasks::open(gateway, &context.caller, &vmcp.vmcp.id, id)?;
    let place = place_of(vmcp, &known.connector, &known.tool)?;
    let visible = context.revision.visible(&context.caller, vmcp, List::Tools);
    let tool = vmcp.tools.get(place).filter(|_| visible.contains(place))?;
    Some(TaskCall { tool: Arc::clone(&tool.tool), method, id: known.id, more })
}

/// The place of the tool whose task an operation is about.
pub(super) fn place_of_task(vmcp: &PublishedVmcp, operation: &Operation) -> Option<usize> {
    let Operation::Task(task) = operation else { return None };
    place_of(vmcp, &task.tool.connector, &task.tool.name)
}

/// The place of the tool that a connector calls so.
pub(super) fn place_of(
    vmcp: &PublishedVmcp,
    connector: &ConnectorId,
    name: &ToolName,
) -> Option<usize> {
    vmcp.tools.iter().position(|one| one.tool.connector == *connector && one.tool.name == *name)
}

/// The arguments of a tool call in upstream terms: locks refused, defaults and locks applied,
/// schema checked.
pub(super) fn customize(tool: &PublishedTool, arguments: &Json) -> Result<Json, Refusal> {
    tool.arguments.refuse_locked(arguments).map_err(refusal::arguments)?;
    let arguments = tool.arguments.apply(arguments).map_err(refusal::arguments)?;
    tool.arguments.check(&arguments).map_err(refusal::arguments)?;
    Ok(arguments)
}

/// The call of what was found.
pub(super) fn call(
    id: CallId,
    context: &Context,
    vmcp: &PublishedVmcp,
    operation: Operation,
    request: Rest,
    exchange: &Exchange,
) -> Call {
    Call {
        id,
        org: context.caller.org().clone(),
        user: context.caller.user().clone(),
        vmcp: vmcp.vmcp.id.clone(),
        deadline: context.deadline.min(context.revision.patience(operation.connector())),
        operation,
        meta: request.meta,
        given: request.given,
        trace: context.trace.clone(),
        pause: exchange.pause.clone(),
    }
}

/// What of a request is left when its target has been found.
#[derive(Debug)]
pub(super) struct Rest {
    meta: Option<Json>,
    given: Option<tidegate_model::Given>,
}

/// Takes a request apart.
pub(super) fn parts(request: Request) -> (Target, Rest) {
    (request.target, Rest { meta: request.meta, given: request.given })
}

/// A tool call in upstream terms.
pub(super) fn tool_call(
    tool: &PublishedTool,
    arguments: Json,
    more: Vec<(Box<str>, Json)>,
) -> Operation {
    Operation::CallTool(ToolCall { tool: Arc::clone(&tool.tool), arguments, more })
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

/// Refuses a call of a tool that asks for more than the caller's access token has. Further
/// input for a tool's task counts as a call of it.
pub(super) fn step_up(scene: Scene<'_>, permitted: &Permitted<Call>) -> Result<(), Refusal> {
    let Scene { gateway, context, vmcp } = scene;
    let Some(held) = context.caller.scopes() else { return Ok(()) };
    let tool = match &permitted.get().operation {
        Operation::CallTool(call) => &call.tool,
        Operation::Task(task) if task.method == TaskMethod::Update => &task.tool,
        _ => return Ok(()),
    };
    let Some(config) = context.revision.resources.vmcps.get(&vmcp.vmcp.id) else { return Ok(()) };
    let needed = config.scopes(tool.class);
    if held.covers(needed) {
        return Ok(());
    }
    let resource = Resource::Vmcp(vmcp.vmcp.id.clone());
    let challenge = gateway.challenge(context.caller.org(), &resource);
    let challenge = challenge.map(|challenge| challenge.step_up(held.with(needed)));
    Err(refusal::step_up(challenge.unwrap_or_default()))
}

/// The call with a plugin's arguments: of a tool locked and held to its schema, of a prompt
/// held to what it declares. The target stays what it was.
pub(super) fn replace(
    tool: Option<&PublishedTool>,
    mut call: Call,
    arguments: Json,
) -> Result<Call, Refusal> {
    match (&mut call.operation, tool) {
        (Operation::CallTool(call), Some(tool)) => {
            let arguments = tool.arguments.apply(&arguments).map_err(refusal::arguments)?;
            tool.arguments.check(&arguments).map_err(refusal::arguments)?;
            call.arguments = arguments;
        }
        (Operation::GetPrompt(call), _) => {
            of_prompt(&call.prompt, &arguments).map_err(refusal::bad_arguments)?;
            call.arguments = Some(arguments);
        }
        (Operation::Complete(completion), _) => {
            of_completion(&arguments).map_err(refusal::bad_arguments)?;
            completion.argument = arguments;
        }
        // Neither has arguments, so that a plugin's have no place to go.
        _ => return Err(refusal::bad_arguments("nothing here has arguments".to_owned())),
    }
    Ok(call)
}

/// Whether these are arguments that the prompt takes: strings, under names that it declares,
/// none of those missing that it requires.
fn of_prompt(prompt: &Prompt, arguments: &Json) -> Result<(), String> {
    let declared = Raw::from(&prompt.definition).get("arguments");
    let declared = declared.filter(|declared| declared.kind() == Kind::Array);
    let named = |one: Raw<'_>, name: &str| {
        one.get("name").and_then(Raw::string).is_some_and(|declared| declared == name)
    };
    let arguments = Raw::from(arguments);
    for member in arguments.members() {
        if member.value.kind() != Kind::String {
            return Err(format!("the argument `{}` of a prompt must be a string", member.key));
        }
        if declared.is_some_and(|all| !all.elements().any(|one| named(one, &member.key))) {
            return Err(format!("the prompt has no argument `{}`", member.key));
        }
    }
    for one in declared.into_iter().flat_map(Raw::elements) {
        let name = one.get("name").and_then(Raw::string).unwrap_or_default();
        let is_required = one.get("required").and_then(Raw::boolean) == Some(true);
        if is_required && arguments.get(&name).is_none() {
            return Err(format!("the prompt needs the argument `{name}`"));
        }
    }
    Ok(())
}

/// Whether this is the `argument` of a completion.
fn of_completion(argument: &Json) -> Result<(), String> {
    let raw = Raw::from(argument);
    let is_text = |name| raw.get(name).is_some_and(|it| it.kind() == Kind::String);
    if is_text("name") && is_text("value") && raw.members().count() == 2 {
        return Ok(());
    }
    Err("the argument of a completion has a `name` and a `value`, both strings".to_owned())
}

/// The arguments that will be sent, where there are any.
pub(crate) fn arguments(permitted: &Permitted<Call>) -> Option<&Json> {
    match &permitted.get().operation {
        Operation::CallTool(call) => Some(&call.arguments),
        Operation::GetPrompt(call) => call.arguments.as_ref(),
        Operation::Complete(completion) => Some(&completion.argument),
        Operation::ReadResource(_) | Operation::Task(_) => None,
    }
}

/// What is asked about a task, where the call is about one.
pub(super) fn task_method(call: &Call) -> Option<TaskMethod> {
    match &call.operation {
        Operation::Task(task) => Some(task.method),
        _ => None,
    }
}

/// The plugins on the way back. What a task came to is the result of its tool: the same
/// plugins see it, wherever it stands in the answer.
pub(super) async fn after(
    mut run: Passage<'_>,
    task: Option<TaskMethod>,
    answer: Answer,
    record: &mut Record,
) -> Result<Answer, Refusal> {
    let whole = match (task, answer) {
        // Neither holds a result.
        (Some(TaskMethod::Update | TaskMethod::Cancel), answer) => return Ok(answer),
        (Some(TaskMethod::Get), Answer::Result(whole)) => whole,
        (_, answer) => return run.after(answer, record).await,
    };
    let whole = run.asked_by_task(whole, record).await?;
    let Some(inner) = Raw::from(&whole).get("result").map(|raw| raw.within(&whole)) else {
        return Ok(Answer::Result(whole));
    };
    match run.after(Answer::Result(inner.clone()), record).await? {
        Answer::Result(seen) if seen == inner => Ok(Answer::Result(whole)),
        Answer::Result(seen) => {
            let edit = Edit::set("result", Raw::from_checked(seen.as_str()));
            let whole = splice::object(Raw::from(&whole), &[edit]);
            whole.map(Answer::Result).map_err(refusal::internal)
        }
        error => Ok(error),
    }
}
