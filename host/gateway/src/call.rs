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

use crate::{
    facts::SessionFacts,
    gateway::Gateway,
    plugin::{Interception, Passage, questions::Asked},
    revision::Revision,
};
use published::Published;
use stage::Found;
pub(crate) use stage::Timed;

/// Most times that one request goes on with what plugins answered in its client's place.
const ROUNDS: usize = 16;

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
    let mut reached = Reached::default();
    let scene = Scene { gateway, context, vmcp };
    let (profile, patience) = (exchange.can.profile, exchange.patience);
    let asks = exchange.relays_input.then(|| request.target.clone());
    let stages = stages(scene, request, exchange, &mut record, &mut reached);
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
            park::outward(gateway, round, &reached, outcome).await
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

/// How far an operation came.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// The connector that it was handed to.
    pub(crate) connector: Option<ConnectorId>,
    /// What plugins answered to the connector's questions in the client's place, by name.
    pub(crate) answered: Option<Json>,
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
    stage::step_up(scene, &permitted)?;
    timed.lap(record, Stage::Authorize);
    Ok(Admitted { permitted, place, tool })
}

async fn stages(
    scene: Scene<'_>,
    request: Request,
    exchange: Exchange,
    record: &mut Record,
    reached: &mut Reached,
) -> Outcome {
    let Scene { context, vmcp, .. } = scene;
    let mut timed = Timed::start();
    let Admitted { permitted, place, tool } = admit(scene, request, &exchange, record, &mut timed)?;

    let chain = context.revision.chain(&vmcp.vmcp.id, &permitted.get().operation, place);
    let mut run = chain.begin(context, permitted.get());
    let published = Published::of(permitted.get());
    let modern = exchange.relays_input;
    let permitted = match run.before(&permitted, record, &exchange).await? {
        Interception::Unchanged => permitted,
        // INVARIANT: what a plugin changed is checked and authorized like a new call.
        Interception::Changed(arguments) => {
            let call = stage::replace(tool, permitted.into_inner(), arguments)?;
            stage::authorize(context, call, record)?
        }
        Interception::Answered(result) => {
            timed.lap(record, Stage::PluginsBefore);
            return Ok(published.answer(scene, Answer::Result(result), modern));
        }
    };
    if let Some(arguments) = stage::arguments(&permitted) {
        record.arguments(arguments);
    }
    timed.lap(record, Stage::PluginsBefore);

    let task = stage::task_method(permitted.get());
    let sending = Sending { scene, exchange: asking(exchange, vmcp, permitted.get()), modern };
    let answer = match sending.send(permitted, &mut run, (record, &mut timed), reached).await? {
        Asked::Client(result, answered) => {
            reached.answered = answered;
            return Ok(published.answer(scene, Answer::Result(result), modern));
        }
        Asked::Nothing(answer) => answer,
        Asked::Nobody(_) => return Err(refusal::too_many_rounds()),
    };

    let answer = stage::after(run, task, answer, record).await?;
    timed.lap(record, Stage::PluginsAfter);
    Ok(published.answer(scene, answer, modern))
}

/// What stays the same however often a connector goes on with one call.
struct Sending<'a> {
    scene: Scene<'a>,
    exchange: Exchange,
    /// The client's era.
    modern: bool,
}

impl Sending<'_> {
    /// Sends a permitted call. Where plugins answer all that the connector asks, it goes on
    /// with their answers, each time permitted and on record anew.
    async fn send(
        &self,
        permitted: Permitted<Call>,
        run: &mut Passage<'_>,
        (record, timed): (&mut Record, &mut Timed),
        reached: &mut Reached,
    ) -> Result<Asked, Refusal> {
        let context = self.scene.context;
        let mut permitted = permitted;
        let mut asked = None;
        for _ in 0..ROUNDS {
            let may_go_on = self.modern && run.sees_questions();
            let again = may_go_on.then(|| permitted.get().clone());
            let answer = self.once(permitted, run, (record, timed), reached).await?;
            let said = match self.modern {
                true => run.asked(answer, record).await?,
                false => Asked::Nothing(answer),
            };
            match (said, again) {
                (Asked::Nobody(given), Some(call)) => {
                    let call = Call { given: Some(given.clone()), ..call };
                    asked = Some(Asked::Nobody(given));
                    permitted = stage::authorize(context, call, record)?;
                }
                (said, _) => return Ok(said),
            }
        }
        asked.ok_or_else(refusal::too_many_rounds)
    }

    async fn once(
        &self,
        permitted: Permitted<Call>,
        run: &mut Passage<'_>,
        (record, timed): (&mut Record, &mut Timed),
        reached: &mut Reached,
    ) -> Result<Answer, Refusal> {
        let context = self.scene.context;
        let connector = context.revision.connector(permitted.get().operation.connector())?;
        let injection = connector.credential().obtain(&permitted).await;
        let injection = injection.map_err(refusal::credential)?;
        timed.lap(record, Stage::Credential);

        let receipt = record.intent(&permitted).await.map_err(refusal::audit)?;
        timed.lap(record, Stage::Intent);

        let is_component = context.revision.is_component(connector.id());
        let told = is_component.then(|| run.told(context, permitted.get()));
        let mut armed = Armed::new(permitted, injection, receipt).map_err(refusal::internal)?;
        if let Some(told) = told {
            armed = armed.told(told);
        }
        reached.connector = Some(connector.id().clone());
        let exchange = self.exchange.clone();
        let send = |exchange| connector.call(armed, exchange);
        let answer = run.carrying(record, exchange, send).await?;
        let answer = answer.map_err(|error| refusal::connector(connector.id(), error))?;
        timed.lap(record, Stage::Connector);
        Ok(answer)
    }
}

/// Where several services stand behind one endpoint, a question says which one asks.
fn asking(exchange: Exchange, vmcp: &PublishedVmcp, call: &Call) -> Exchange {
    if vmcp.uris.is_identity() {
        return exchange;
    }
    let connector = call.operation.connector();
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
