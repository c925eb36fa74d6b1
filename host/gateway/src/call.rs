//! THE pipeline: one operation from resolve to its durable audit row.
//!
//! Owns the order of the stages and nothing else: each stage's work is its own layer's. The
//! types of earlier stages are what later ones accept, so leaving one out does not compile;
//! that arguments changed by a plugin are checked and authorized again stands below in so
//! many words. Refusals become wire answers in [`refusal`] alone. Read `run` first.

pub(crate) mod cursor;
pub(crate) mod hop;
pub(crate) mod list;
pub(crate) mod methods;
pub(crate) mod park;
mod published;
pub(crate) mod refusal;
pub(crate) mod stage;
pub(crate) mod tasks;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_governance::{
    audit::Record,
    catalog::{PublishedTool, PublishedVmcp},
    policy::{Permitted, RequestContext},
};
use tidegate_identity::Caller;
use tidegate_model::{
    Answer, Call, CallId, ConnectorId, Given, Json, Outcome, Refusal, RefusalCode, Stage,
    TaskMethod, Timestamp, TraceContext,
};
use tidegate_upstream::{Armed, Exchange};

use tidegate_wire::client::within;

use crate::{facts::SessionFacts, gateway::Gateway, plugin::Interception, revision::Revision};
use published::Published;
use stage::Found;
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
    /// What plugins noted of the caller's session; `None` where nobody looks at it or notes
    /// anything, or where it cannot be read.
    pub(crate) facts: Option<Arc<SessionFacts>>,
}

impl Context {
    /// What policies see of the circumstances.
    pub(crate) fn circumstances(&self) -> RequestContext<'_> {
        RequestContext {
            at: self.at,
            source: self.source,
            client: self.client.as_deref(),
            facts: self.facts.as_ref().map(|facts| facts.held()),
        }
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

impl Target {
    /// The MCP method.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Tool { .. } => "tools/call",
            Self::Prompt { .. } => "prompts/get",
            Self::Resource { .. } => "resources/read",
            Self::Complete { .. } => "completion/complete",
            Self::Task { method, .. } => method.name(),
        }
    }
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
        self.target.method()
    }
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its id.
    pub(crate) id: CallId,
    /// The answer, in published terms and as its client may be asked, or why there is none.
    pub(crate) outcome: Outcome,
}

/// Runs one operation and records it; returns when the row is durable. Once `cancelled` is
/// over nothing more is sent, and the operation ends as cancelled. What a modern client is
/// asked in place of an answer is judged and on record as well.
pub(crate) async fn run(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    request: Request,
    exchange: Exchange,
    cancelled: impl Future<Output = ()>,
) -> Done {
    let counting = gateway.metrics.begin();
    let mut record = gateway.open_record(context, &vmcp.vmcp.id, request.method());
    let pause = exchange.pause.clone();
    let mut connector = None;
    let scene = Scene { gateway, context, vmcp };
    let (profile, patience) = (exchange.can.profile, exchange.patience);
    let asks = exchange.relays_input.then(|| request.target.clone());
    let stages = stages(scene, request, exchange, &mut record, &mut connector);
    let outcome = tokio::select! {
        // A call that begins when it is cancelled already sends nothing.
        biased;
        () = cancelled => Err(refusal::cancelled()),
        outcome = within(context.deadline, &pause, stages) => {
            outcome.unwrap_or_else(|| Err(refusal::deadline()))
        }
    };
    let id = record.id();
    // Before the row is closed, so that it says what is answered.
    let outcome = match asks {
        Some(target) => {
            let (vmcp, target) = (&vmcp.vmcp.id, &target);
            let round = park::table::Round { context, vmcp, target, profile, patience };
            park::outward(gateway, round, connector.as_ref(), outcome).await
        }
        None => outcome,
    };
    let outcome = close(record, outcome).await;
    counting.end(&outcome);
    Done { id, outcome }
}

/// Resolves, customizes and authorizes a request that goes on with a parked call. Nothing is
/// sent; the record is the resuming request's own and has yet to be closed.
pub(crate) fn admit_again(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    request: Request,
    exchange: &Exchange,
) -> (Record, Result<(), Refusal>) {
    let mut record = gateway.open_record(context, &vmcp.vmcp.id, request.method());
    let mut timed = Timed::start();
    let scene = Scene { gateway, context, vmcp };
    let admitted = admit(scene, request, exchange, &mut record, &mut timed);
    (record, admitted.map(drop))
}

/// Where an operation happens and for whom: the same for every stage.
#[derive(Debug, Clone, Copy)]
struct Scene<'a> {
    gateway: &'a Gateway,
    context: &'a Context,
    vmcp: &'a PublishedVmcp,
}

/// A call that was permitted.
struct Admitted<'a> {
    permitted: Permitted<Call>,
    /// The place of the tool that it is to, or whose task it is about.
    place: Option<usize>,
    /// The tool, where it is called.
    tool: Option<&'a PublishedTool>,
}

fn admit<'a>(
    scene: Scene<'a>,
    request: Request,
    exchange: &Exchange,
    record: &mut Record,
    timed: &mut Timed,
) -> Result<Admitted<'a>, Refusal> {
    let Scene { context, vmcp, .. } = scene;
    let (target, rest) = stage::parts(request);
    let found = stage::resolve(scene, target, record)?;
    match &found {
        Found::Tool { tool, .. } => record.tool(&tool.tool),
        Found::Other(operation) => record.target(operation),
    }
    timed.lap(record, Stage::Resolve);

    let (operation, place, tool) = match found {
        Found::Tool { place, tool, arguments, more } => {
            let arguments = stage::customize(tool, &arguments)?;
            (stage::tool_call(tool, arguments, more), Some(place), Some(tool))
        }
        Found::Other(operation) => {
            let place = stage::place_of_task(vmcp, &operation);
            (operation, place, None)
        }
    };
    let call = stage::call(record.id(), context, vmcp, operation, rest, exchange);
    timed.lap(record, Stage::Customize);

    let permitted = stage::authorize(context, call, record)?;
    timed.lap(record, Stage::Authorize);
    Ok(Admitted { permitted, place, tool })
}

async fn stages(
    scene: Scene<'_>,
    request: Request,
    exchange: Exchange,
    record: &mut Record,
    reached: &mut Option<ConnectorId>,
) -> Outcome {
    let Scene { context, vmcp, .. } = scene;
    let mut timed = Timed::start();
    let Admitted { permitted, place, tool } = admit(scene, request, &exchange, record, &mut timed)?;

    let chain = context.revision.chain(&vmcp.vmcp.id, place);
    let mut run = chain.begin(context, permitted.get());
    let permitted = match (run.before(&permitted, record).await?, tool) {
        // INVARIANT: what a plugin changed is locked, checked and authorized like a new call.
        (Interception::Changed(arguments), Some(tool)) => {
            let call = stage::replace(tool, permitted.into_inner(), arguments)?;
            stage::authorize(context, call, record)?
        }
        (Interception::Answered(result), _) => {
            timed.lap(record, Stage::PluginsBefore);
            return Ok(Answer::Result(result));
        }
        (Interception::Unchanged | Interception::Changed(_), _) => permitted,
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

    let published = Published::of(permitted.get());
    let task = stage::task_method(permitted.get());
    let modern = exchange.relays_input;
    let exchange = asking(exchange, vmcp, connector.id());
    let armed =
        Armed::new(permitted, injection, receipt).map_err(refusal::internal)?.told(run.told());
    *reached = Some(connector.id().clone());
    let answer = connector.call(armed, exchange).await;
    let answer = answer.map_err(|error| refusal::connector(connector.id(), error))?;
    timed.lap(record, Stage::Connector);

    let answer = stage::after(run, task, answer, record).await?;
    timed.lap(record, Stage::PluginsAfter);
    Ok(published.answer(scene, answer, modern))
}

/// Where several services stand behind one endpoint, a question says which one asks.
fn asking(exchange: Exchange, vmcp: &PublishedVmcp, connector: &ConnectorId) -> Exchange {
    if vmcp.uris.is_identity() {
        return exchange;
    }
    Exchange { asker: Some(connector.as_str().into()), ..exchange }
}

/// Closes the record; an outcome that cannot be recorded is not given out.
pub(crate) async fn close(record: Record, outcome: Outcome) -> Outcome {
    match outcome {
        Ok(answer) => match record.answered(&answer).await {
            Ok(()) => Ok(answer),
            Err(error) => Err(refusal::audit(error)),
        },
        Err(refused) => {
            refusal::log(record.id(), &refused);
            let closed = match refused.code {
                RefusalCode::Cancelled => record.abandoned().await,
                _ => record.refused(&refused).await,
            };
            match closed {
                Ok(()) => Err(refused),
                Err(error) => Err(refusal::audit(error)),
            }
        }
    }
}
