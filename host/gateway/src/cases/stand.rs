//! The stand: a component, bound as a case says, and run as a gateway runs it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use tidegate_model::{Answer, Clock, Json, Reply, Round, Verdict};
use tidegate_wasm::{
    BindError, Binding, CallContext, Component, Counts, Customizer, Event, Failure, Grants,
    GuestConnector, Interceptor, Line, ListKind, Reach, Scope, capabilities::http::HttpReach,
};
use tidegate_wire::client::egress::{Egress, Resolver};

use super::{
    doubles::{self, CaseClock, Doubles},
    expectation,
    file::{AnswerGiven, Case, CaseEvent, KindGiven, ReplyGiven},
    said::Said,
    scene::{About, Scene},
    surroundings::{limits, method, scene},
    web::{self, Asked, Web},
};
use crate::config::plugin::PluginLimits;

/// What somebody chose for all cases, over what the cases say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen {
    /// The configuration.
    pub(crate) config: Option<Json>,
    /// What is granted.
    pub(crate) grants: Option<Grants>,
    /// What it may use.
    pub(crate) limits: Option<PluginLimits>,
    /// Names of credentials, where there is no case to name them.
    pub(crate) credentials: Vec<String>,
    /// Instances made ahead.
    pub(crate) spares: usize,
}

/// How a case went.
#[derive(Debug)]
pub(crate) struct Tried {
    /// What the component said.
    pub(crate) said: Said,
    /// What it handed over, where its hook may.
    pub(crate) state: Option<Bytes>,
    /// What it wrote into its log.
    pub(crate) lines: Vec<Line>,
    /// The session's facts afterwards, sorted.
    pub(crate) facts: Vec<String>,
    /// The values that are expected, as they are.
    pub(super) values: BTreeMap<String, Option<String>>,
    /// What it sent.
    pub(crate) requests: Vec<Asked>,
    /// How long it took.
    pub(crate) spent: Duration,
    /// What it used; nothing where it could not be bound.
    pub(crate) counts: Counts,
    /// How it falls short of what the case expects.
    pub(crate) unmet: Vec<String>,
}

/// Tries cases, one after another.
#[derive(Debug)]
pub(crate) struct Stand {
    clock: Arc<CaseClock>,
    egress: Arc<Egress>,
    number: AtomicU64,
}

/// A component in the place where a case wants it.
#[derive(Debug)]
enum Guest {
    Interceptor(Interceptor),
    Customizer(Customizer),
    Connector(GuestConnector),
}

/// A case that is ready to run, as often as somebody wants.
#[derive(Debug)]
pub(crate) struct Ready<'c> {
    case: &'c Case,
    scene: Scene,
    guest: Guest,
    doubles: Doubles,
    web: Web,
}

impl Stand {
    /// With the clock that the sandbox of the components has.
    pub(crate) fn new(clock: Arc<CaseClock>) -> anyhow::Result<Self> {
        let egress = Egress::new(Resolver::System, None)?;
        Ok(Self { clock, egress, number: AtomicU64::new(0) })
    }

    /// Tries one case. An error is the case's own: it names somebody who cannot be.
    pub(crate) async fn try_case(
        &self,
        component: &Component,
        case: &Case,
        chosen: &Chosen,
    ) -> anyhow::Result<Tried> {
        let mut tried = match self.ready(component, case, chosen).await? {
            Ok(ready) => ready.try_it().await?,
            Err(error) => Tried::unbound(&error),
        };
        tried.unmet = expectation::unmet(case, &tried);
        Ok(tried)
    }

    /// Binds a component as a case wants it.
    pub(crate) async fn ready<'c>(
        &self,
        component: &Component,
        case: &'c Case,
        chosen: &Chosen,
    ) -> anyhow::Result<Result<Ready<'c>, BindError>> {
        self.clock.set(case.now);
        let scene = scene(case, self.clock.now()).context("`context`")?;
        let doubles = Doubles::new(&self.clock, (&scene.org, &scene.user, &scene.vmcp)).await?;
        doubles.fill(&case.values, &case.facts).await?;
        let web = Web::start(&case.http).await?;
        let hosts = web::hosts(&case.http)?;
        let reach = Reach {
            state: Some(doubles.space()),
            credentials: doubles::credentials(case.credentials.as_ref(), &hosts),
            http: Some(Arc::new(HttpReach::stand_in(Arc::clone(&self.egress), web.address, hosts))),
        };
        let needed = || component.capabilities().iter().copied().collect();
        let of_case = || case.grants.as_ref().map(|all| all.iter().copied().collect());
        let config = chosen.config.clone().or_else(|| case.config.clone());
        let config = config.unwrap_or_else(Json::empty_object);
        // A name of its own: what one case breaks is no breaker's business in the next.
        let name = format!("case-{}", self.number.fetch_add(1, Ordering::Relaxed));
        let binding = Binding {
            name: &name,
            component,
            config: &config,
            grants: chosen.grants.or_else(of_case).unwrap_or_else(needed),
            limits: limits(case, chosen),
            reach,
        };
        let guest = match case.event {
            CaseEvent::Edits => Customizer::new(&binding).map(Guest::Customizer),
            event if event.is_connectors() => GuestConnector::new(&binding).map(Guest::Connector),
            _ => Interceptor::new(&binding).map(Guest::Interceptor),
        };
        Ok(guest.map(|guest| Ready { case, scene, guest, doubles, web }))
    }
}

impl Ready<'_> {
    /// Runs the hook once, with all rounds that the case has replies for.
    pub(crate) async fn run(&self) -> anyhow::Result<(Said, Option<Bytes>)> {
        match &self.guest {
            Guest::Interceptor(interceptor) => self.intercept(interceptor).await,
            Guest::Customizer(customizer) => Ok((self.edit(customizer).await, None)),
            Guest::Connector(connector) => Ok((self.serve(connector).await?, None)),
        }
    }

    /// What it used so far.
    pub(crate) fn counts(&self) -> Counts {
        match &self.guest {
            Guest::Interceptor(guest) => guest.counts(),
            Guest::Customizer(guest) => guest.counts(),
            Guest::Connector(guest) => guest.counts(),
        }
    }

    fn lines(&self) -> Vec<Line> {
        match &self.guest {
            Guest::Interceptor(guest) => guest.lines(0),
            Guest::Customizer(guest) => guest.lines(0),
            Guest::Connector(guest) => guest.lines(0),
        }
    }

    async fn try_it(self) -> anyhow::Result<Tried> {
        let began = Instant::now();
        let (said, state) = self.run().await?;
        let spent = began.elapsed();
        let keys = self.case.expect_values.iter().flatten().map(|(key, _)| key);
        Ok(Tried {
            said,
            state,
            lines: self.lines(),
            facts: self.doubles.facts().all(),
            values: self.doubles.values(keys).await?,
            requests: self.web.asked(),
            spent,
            counts: self.counts(),
            unmet: Vec::new(),
        })
    }

    fn context(&self) -> anyhow::Result<CallContext> {
        use CaseEvent as E;
        let facts = Some(self.doubles.facts());
        let method = method(self.case)?;
        let about = match self.case.event {
            E::Shown => return Ok(self.scene.of_listing(method, facts)),
            E::OnQuestion => return Ok(self.scene.of_question(method, facts)?),
            E::BeforePrompt | E::AfterPrompt | E::Prompt => About::Prompt,
            E::BeforeRead | E::AfterRead | E::Read => About::Resource,
            E::BeforeCompletion | E::AfterCompletion => About::Completion,
            _ => About::Tool,
        };
        self.scene.of_operation(about, facts).context("`context.target`")
    }

    async fn intercept(&self, guest: &Interceptor) -> anyhow::Result<(Said, Option<Bytes>)> {
        use CaseEvent as E;
        let (case, call) = (self.case, self.context()?);
        let (event, is_before) = match case.event {
            E::BeforeCall => (Event::Call, true),
            E::BeforePrompt => (Event::Prompt, true),
            E::BeforeRead => (Event::Read, true),
            E::BeforeCompletion => (Event::Completion, true),
            E::AfterCall => (Event::Call, false),
            E::AfterPrompt => (Event::Prompt, false),
            E::AfterRead => (Event::Read, false),
            E::AfterCompletion => (Event::Completion, false),
            E::Shown => return Ok((self.show(guest, &call).await, None)),
            _ => {
                let none = Json::empty_object();
                let params = case.params.as_ref().unwrap_or(&none);
                return Ok((verdict(guest.question(&call, params).await), None));
            }
        };
        if is_before {
            return Ok(self.before(guest, event, &call).await);
        }
        let answer = match &case.answer {
            Some(AnswerGiven::Error(json)) => Answer::Error(json.clone()),
            Some(AnswerGiven::Result(json)) => Answer::Result(json.clone()),
            None => Answer::Result(Json::empty_object()),
        };
        let state = case.state.clone().map(Bytes::from);
        Ok((verdict(guest.after(event, &call, &answer, state).await), None))
    }

    async fn before(
        &self,
        guest: &Interceptor,
        event: Event,
        call: &CallContext,
    ) -> (Said, Option<Bytes>) {
        let none = Json::empty_object();
        let arguments = self.case.arguments.as_ref().unwrap_or(&none);
        let mut replies = self.case.replies.iter().flatten();
        let state = self.case.state.clone().map(Bytes::from);
        let mut round = Round { number: 0, reply: None, state };
        loop {
            let before = match guest.before(event, call, arguments, &round).await {
                Ok(before) => before,
                Err(failure) => return (Said::failed(&failure), None),
            };
            let asks = matches!(before.verdict, Verdict::Ask(_));
            let Some(reply) = asks.then(|| replies.next()).flatten() else {
                return (Said::Verdict(before.verdict), before.state);
            };
            let reply = match reply {
                ReplyGiven::Accept(json) => Reply::Accept(json.clone()),
                ReplyGiven::Decline => Reply::Decline,
                ReplyGiven::Cancel => Reply::Cancel,
            };
            let number = round.number.saturating_add(1);
            round = Round { number, reply: Some(reply), state: before.state };
        }
    }

    async fn show(&self, guest: &Interceptor, call: &CallContext) -> Said {
        let kind = self.case.kind.unwrap_or(KindGiven::Tools).kind();
        let items = self.case.items.as_deref().unwrap_or_default();
        match guest.shown(call, kind, items).await {
            Ok(shown) => Said::Shown(shown),
            Err(failure) => Said::failed(&failure),
        }
    }

    async fn edit(&self, guest: &Customizer) -> Said {
        let Scene { org, vmcp, connector, .. } = self.scene.clone();
        let tools = self.case.tools.as_deref().unwrap_or_default();
        match guest.edits(&Scope { org, vmcp, connector }, tools).await {
            Ok(edits) => Said::Edits(edits),
            Err(failure) => Said::failed(&failure),
        }
    }

    async fn serve(&self, guest: &GuestConnector) -> anyhow::Result<Said> {
        use CaseEvent as E;
        let kind = match self.case.event {
            E::ListTools => ListKind::Tools,
            E::ListPrompts => ListKind::Prompts,
            E::ListResources => ListKind::Resources,
            E::ListTemplates => ListKind::Templates,
            E::Describe => {
                let described = guest.describe().await;
                return Ok(described.map_or_else(|error| Said::failed(&error), Said::described));
            }
            event => {
                let call = self.context()?;
                let none = Json::empty_object();
                let arguments = self.case.arguments.as_ref().unwrap_or(&none);
                return Ok(Said::called(match event {
                    E::Prompt => guest.prompt(&call, arguments).await,
                    E::Read => guest.read(&call).await,
                    _ => guest.call(&call, arguments, None).await,
                }));
            }
        };
        let listed = guest.list(kind).await;
        Ok(listed.map_or_else(|error| Said::failed(&error), |items| Said::listed(&items)))
    }
}

impl Tried {
    fn unbound(error: &BindError) -> Self {
        Self {
            said: Said::unbound(error),
            state: None,
            lines: Vec::new(),
            facts: Vec::new(),
            values: BTreeMap::new(),
            requests: Vec::new(),
            spent: Duration::ZERO,
            counts: Counts::default(),
            unmet: Vec::new(),
        }
    }
}

fn verdict(said: Result<Verdict, Failure>) -> Said {
    said.map_or_else(|failure| Said::failed(&failure), Said::Verdict)
}
