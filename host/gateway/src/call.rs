//! THE pipeline: one operation from resolve to its durable audit row.
//!
//! Owns the order of the stages and nothing else: each stage's work is its own layer's. The
//! types of earlier stages are what later ones accept, so leaving one out does not compile;
//! that arguments changed by a plugin are checked and authorized again stands below in so
//! many words. Refusals become wire answers in [`refusal`] alone. Read `run` first.

pub(crate) mod cursor;
pub(crate) mod list;
pub(crate) mod methods;
pub(crate) mod refusal;
mod stage;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_governance::{audit::Record, catalog::PublishedVmcp, policy::RequestContext};
use tidegate_identity::Caller;
use tidegate_model::{
    Answer, CallId, Given, Json, Outcome, Refusal, RefusalCode, Stage, TaskMethod, Timestamp,
    TraceContext,
};
use tidegate_upstream::{Armed, Exchange};

use tidegate_wire::client::within;

use crate::{gateway::Gateway, plugin::Interception, revision::Revision};
pub(crate) use stage::Timed;

/// Who asks, under which revision and circumstances: the same for every stage.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The one revision this operation reads.
    pub(crate) revision: Arc<Revision>,
    /// Who asks.
    pub(crate) caller: Caller,
    /// When the request was read.
    pub(crate) at: Timestamp,
    /// Where it came from.
    pub(crate) source: Option<IpAddr>,
    /// What the client calls itself: display and policy context, never proof.
    pub(crate) client: Option<String>,
    /// Trace context.
    pub(crate) trace: TraceContext,
    /// The moment after which nobody waits.
    pub(crate) deadline: Instant,
    /// How long authentication took.
    pub(crate) authenticated_in: Duration,
}

impl Context {
    /// What policies see of the circumstances.
    pub(crate) fn circumstances(&self) -> RequestContext<'_> {
        RequestContext { at: self.at, source: self.source, client: self.client.as_deref() }
    }
}

/// What a client asks for, in published terms.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// `tools/call`.
    Tool {
        /// The published name.
        name: String,
        /// The arguments; `{}` where the client sent none.
        arguments: Json,
        /// Further members of the parameters, as written.
        more: Vec<(Box<str>, Json)>,
    },
    /// `prompts/get`.
    Prompt {
        /// The published name.
        name: String,
        /// The arguments, where there are any.
        arguments: Option<Json>,
    },
    /// `resources/read`.
    Resource {
        /// The published URI.
        uri: String,
    },
    /// `completion/complete`.
    Complete {
        /// What it belongs to.
        of: Reference,
        /// The `argument` object.
        argument: Json,
        /// The `context` object.
        context: Option<Json>,
    },
    /// A `tasks/…` method.
    Task {
        /// Which one.
        method: TaskMethod,
        /// The published id.
        id: String,
        /// Further members of the parameters, as written.
        more: Vec<(Box<str>, Json)>,
    },
}

/// What an argument is completed for, in published terms.
#[derive(Debug, Clone)]
pub(crate) enum Reference {
    /// A prompt, by name.
    Prompt(String),
    /// A resource template, by its text.
    Template(String),
}

/// A request as the client sent it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// What is asked for.
    pub(crate) target: Target,
    /// The client's `_meta`.
    pub(crate) meta: Option<Json>,
    /// What the client gives to an earlier question (modern).
    pub(crate) given: Option<Given>,
}

impl Request {
    /// Whether it is a tool call, so that the model reads what it is refused with.
    pub(crate) fn is_tool(&self) -> bool {
        matches!(self.target, Target::Tool { .. })
    }

    /// The MCP method.
    pub(crate) fn method(&self) -> &'static str {
        match &self.target {
            Target::Tool { .. } => "tools/call",
            Target::Prompt { .. } => "prompts/get",
            Target::Resource { .. } => "resources/read",
            Target::Complete { .. } => "completion/complete",
            Target::Task { method, .. } => method.name(),
        }
    }
}

/// Runs one operation and records it; returns when the row is durable.
pub(crate) async fn run(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    request: Request,
    exchange: Exchange,
) -> (CallId, Outcome) {
    let counting = gateway.metrics.begin();
    let mut record = gateway.open_record(context, &vmcp.vmcp.id, request.method());
    let pause = exchange.pause.clone();
    let stages = stages(context, vmcp, request, exchange, &mut record);
    let outcome = within(context.deadline, &pause, stages).await;
    let outcome = outcome.unwrap_or_else(|| Err(refusal::deadline()));
    let id = record.id();
    let outcome = close(record, outcome).await;
    counting.end(&outcome);
    (id, outcome)
}

async fn stages(
    context: &Context,
    vmcp: &PublishedVmcp,
    request: Request,
    exchange: Exchange,
    record: &mut Record,
) -> Outcome {
    let mut timed = Timed::start();
    let Target::Tool { name, .. } = &request.target else {
        return Err(Refusal::new(RefusalCode::Unsupported, "not served yet"));
    };
    let (place, tool) = stage::resolve(context, vmcp, name, record)?;
    record.tool(&tool.tool);
    timed.lap(record, Stage::Resolve);

    let call = stage::customize(record.id(), context, vmcp, tool, request, &exchange)?;
    timed.lap(record, Stage::Customize);

    let permitted = stage::authorize(context, call, record)?;
    timed.lap(record, Stage::Authorize);

    let chain = context.revision.chain(&vmcp.vmcp.id, place);
    let mut run = chain.begin(context, permitted.get());
    let permitted = match run.before(&permitted, record).await? {
        Interception::Unchanged => permitted,
        // INVARIANT: what a plugin changed is locked, checked and authorized like a new call.
        Interception::Changed(arguments) => {
            let call = stage::replace(tool, permitted.into_inner(), arguments)?;
            stage::authorize(context, call, record)?
        }
        Interception::Answered(result) => {
            timed.lap(record, Stage::PluginsBefore);
            return Ok(Answer::Result(result));
        }
    };
    if let Some(arguments) = stage::arguments(&permitted) {
        record.arguments(arguments);
    }
    timed.lap(record, Stage::PluginsBefore);

    let connector = context.revision.connector(permitted.get().operation.connector())?;
    let injection = connector.credential().obtain(&permitted).map_err(refusal::credential)?;
    timed.lap(record, Stage::Credential);

    let receipt = record.intent(&permitted).await.map_err(refusal::audit)?;
    timed.lap(record, Stage::Intent);

    let armed =
        Armed::new(permitted, injection, receipt).map_err(refusal::internal)?.told(run.told());
    let answer = connector.call(armed, exchange).await;
    let answer = answer.map_err(|error| refusal::connector(connector.id(), error))?;
    timed.lap(record, Stage::Connector);

    let answer = run.after(answer, record).await?;
    timed.lap(record, Stage::PluginsAfter);
    Ok(answer)
}

/// Closes the record; an outcome that cannot be recorded is not given out.
async fn close(record: Record, outcome: Outcome) -> Outcome {
    match outcome {
        Ok(answer) => match record.answered(&answer).await {
            Ok(()) => Ok(answer),
            Err(error) => Err(refusal::audit(error)),
        },
        Err(refused) => {
            refusal::log(record.id(), &refused);
            match record.refused(&refused).await {
                Ok(()) => Err(refused),
                Err(error) => Err(refusal::audit(error)),
            }
        }
    }
}
