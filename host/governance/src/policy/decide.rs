//! Decisions.
//!
//! One path for every question: find the plan of the caller's class for the operation, add
//! what the request itself says, answer. Deny by default; a forbid wins; a policy that
//! applies and cannot be evaluated denies.

use std::{fmt, sync::Arc};

use cedar_policy::{Authorizer, EntityUid};
use identity::{Caller, SignIn};
use model::{
    Call, Operation as CallOperation, OrgId, Prompt, ResourceRef, RevisionId, Tool, VmcpId,
};
use tidegate_identity as identity;
use tidegate_model as model;

use super::{
    AdminAction, Denial, DenialKind, Permitted, PolicyInfo, RequestContext, denial,
    mention::part,
    permit::Grounds,
    plan::{Ground, Outcome, Plan, Stuck},
    read::Entry,
    request::{Given, NoContext},
    rule::{Rule, ids},
    schema::{self, SchemaFault},
    slice::ByPrincipal,
    world::{Operation, World},
};

mod plans;

use plans::{Class, Plans};

/// A permit or a refusal; refusals are large and rare, so they travel boxed.
pub type Decision<T> = Result<Permitted<T>, Box<Denial<T>>>;

/// The id that stands for the owner's permit, which no policy can take away.
const OWNER: &str = "builtin:owner";

/// What is asked, apart from who asks.
struct Asked<'a> {
    operation: Operation,
    vmcp: Option<usize>,
    context: &'a RequestContext<'a>,
}

/// The policies of one organisation at one revision, ready to decide. Shared, immutable and
/// safe to use from many tasks at once.
pub struct Policies {
    world: World,
    revision: RevisionId,
    rules: Vec<Rule>,
    infos: Vec<PolicyInfo>,
    /// How many of them are the organisation's.
    own: usize,
    by_principal: ByPrincipal,
    authorizer: Authorizer,
    plans: Plans,
    none: Arc<[String]>,
    looks_at_facts: bool,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("org", &self.world.org)
            .field("revision", &self.revision)
            .field("policies", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Policies {
    /// Takes policies that have been checked, the organisation's `own` first.
    pub(super) fn new(
        world: World,
        revision: RevisionId,
        (entries, own): (Vec<Entry>, usize),
    ) -> Self {
        let by_principal = ByPrincipal::new(entries.iter().map(|entry| &entry.policy));
        let infos = entries.iter().map(|entry| entry.info.clone()).collect();
        let rules: Vec<Rule> = entries
            .into_iter()
            .enumerate()
            .map(|(number, entry)| Rule::new(number, entry))
            .collect();
        Self {
            looks_at_facts: rules.iter().any(|rule| rule.mentions.context & part::FACTS != 0),
            by_principal,
            world,
            revision,
            rules,
            infos,
            own,
            authorizer: Authorizer::new(),
            plans: Plans::default(),
            none: Arc::from([]),
        }
    }

    /// Whether the caller may make this call with these arguments.
    ///
    /// A completion is judged as what it belongs to: getting the prompt, reading the resource
    /// whose URI is the template's text. A question about a task is permitted as long as the
    /// tool could be called at all.
    pub fn authorize(
        &self,
        caller: &Caller,
        call: Call,
        context: &RequestContext<'_>,
    ) -> Decision<Call> {
        let vmcp = self.reachable(caller, &call.org, &call.vmcp);
        let operation = self.operation(&call.operation);
        let (Some(operation), Some(_)) = (operation, vmcp) else { return Err(self.unknown(call)) };
        let arguments = match &call.operation {
            CallOperation::Task(_) => return self.still_permits(caller, call, vmcp, operation),
            CallOperation::CallTool(tool_call) => Some(tool_call.arguments.clone()),
            _ => None,
        };
        let arguments = arguments.as_ref().map_or("{}", |arguments| arguments.as_str());
        self.answer(caller, call, Asked { operation, vmcp, context }, arguments)
    }

    /// Whether the caller may perform an administrative action. The owner on the admin socket
    /// always may; whose credential is for virtual MCPs only never.
    pub fn authorize_admin(
        &self,
        caller: &Caller,
        action: AdminAction,
        context: &RequestContext<'_>,
    ) -> Decision<AdminAction> {
        if *caller.org() != self.world.org || !caller.reaches_admin() {
            return Err(self.unknown(action));
        }
        let is_owner = caller.roles().iter().any(|role| role == "owner");
        if caller.sign_in() == SignIn::AdminSocket && is_owner {
            let policies = Arc::from([OWNER.to_owned()]);
            return Ok(self.permit(action, policies, Arc::clone(&self.none)));
        }
        let asked = Asked { operation: Operation::Admin(action), vmcp: None, context };
        self.answer(caller, action, asked, "{}")
    }

    /// Whether an administrative action could be permitted at any time, from anywhere; `false`
    /// only when it is provably refused.
    pub fn could_administrate(&self, caller: &Caller, action: AdminAction) -> bool {
        let reaches = *caller.org() == self.world.org && caller.reaches_admin();
        let planned = || self.planned(caller, None, Operation::Admin(action));
        reaches && planned().is_some_and(|planned| planned.plan.may_permit())
    }

    /// Whether the caller may use this virtual MCP at all (`Action::"connect"`).
    pub fn authorize_connect(
        &self,
        caller: &Caller,
        vmcp: &VmcpId,
        context: &RequestContext<'_>,
    ) -> Decision<VmcpId> {
        self.on_vmcp(caller, vmcp, context, Operation::Connect)
    }

    /// Whether the caller may list what this virtual MCP offers (`Action::"list"`).
    pub fn authorize_list(
        &self,
        caller: &Caller,
        vmcp: &VmcpId,
        context: &RequestContext<'_>,
    ) -> Decision<VmcpId> {
        self.on_vmcp(caller, vmcp, context, Operation::List)
    }

    /// Whether any input at any time could be permitted; `false` only when every one is
    /// provably refused, or when there is no such tool or virtual MCP.
    pub fn visible(&self, caller: &Caller, vmcp: &VmcpId, tool: &Tool) -> bool {
        self.could_permit(caller, vmcp, self.world.callable(tool).map(Operation::Tool))
    }

    /// Whether getting this prompt could be permitted at any time; `false` only when it is
    /// provably refused, or when there is no such prompt or virtual MCP.
    pub fn visible_prompt(&self, caller: &Caller, vmcp: &VmcpId, prompt: &Prompt) -> bool {
        self.could_permit(caller, vmcp, self.world.offered(prompt).map(Operation::Prompt))
    }

    /// Whether reading this resource, listed or not, could be permitted at any time; `false`
    /// only when it is provably refused, or when there is no such connector or virtual MCP.
    /// A template is asked about by its text.
    pub fn visible_resource(&self, caller: &Caller, vmcp: &VmcpId, resource: &ResourceRef) -> bool {
        self.could_permit(caller, vmcp, Some(Operation::Resource(resource.clone())))
    }

    /// Whether any policy looks at `context.facts`; where none does, nobody need ask for them.
    pub fn looks_at_facts(&self) -> bool {
        self.looks_at_facts
    }

    /// Every policy of the organisation, in the order of the files.
    pub fn list(&self) -> &[PolicyInfo] {
        self.infos.get(..self.own).unwrap_or_default()
    }

    /// The policies that are in force under these everywhere.
    pub fn built_in(&self) -> &[PolicyInfo] {
        self.infos.get(self.own..).unwrap_or_default()
    }

    /// The whole schema in Cedar's JSON form, for editors and `tidegate check`.
    pub fn schema(&self) -> Result<String, SchemaFault> {
        schema::whole(&self.world)
    }

    fn could_permit(&self, caller: &Caller, vmcp: &VmcpId, operation: Option<Operation>) -> bool {
        let vmcp = self.reachable(caller, &self.world.org, vmcp);
        let (Some(operation), Some(_)) = (operation, vmcp) else { return false };
        let planned = self.planned(caller, vmcp, operation);
        planned.is_some_and(|planned| planned.plan.may_permit())
    }

    /// Permits what follows a call, as long as such a call could be made now.
    fn still_permits<T>(
        &self,
        caller: &Caller,
        subject: T,
        vmcp: Option<usize>,
        operation: Operation,
    ) -> Decision<T> {
        match self.planned(caller, vmcp, operation) {
            Some(planned) if planned.plan.may_permit() => {
                let (permits, shadow) = (&planned.plan.permit_ids, &planned.plan.shadow_ids);
                Ok(self.permit(subject, Arc::clone(permits), Arc::clone(shadow)))
            }
            _ => Err(self.unknown(subject)),
        }
    }

    fn on_vmcp(
        &self,
        caller: &Caller,
        vmcp: &VmcpId,
        context: &RequestContext<'_>,
        operation: impl FnOnce(usize) -> Operation,
    ) -> Decision<VmcpId> {
        let Some(index) = self.reachable(caller, &self.world.org, vmcp) else {
            return Err(self.unknown(vmcp.clone()));
        };
        let asked = Asked { operation: operation(index), vmcp: Some(index), context };
        self.answer(caller, vmcp.clone(), asked, "{}")
    }

    /// The number of a virtual MCP of this organisation that the caller's credential is for.
    fn reachable(&self, caller: &Caller, org: &OrgId, vmcp: &VmcpId) -> Option<usize> {
        let same = *org == self.world.org && *caller.org() == self.world.org;
        if same && caller.reaches(vmcp) { self.world.vmcp(vmcp) } else { None }
    }

    fn ground<'a>(&'a self, class: &'a Class) -> Ground<'a> {
        Ground {
            world: &self.world,
            rules: &self.rules,
            authorizer: &self.authorizer,
            principal: &class.principal,
        }
    }

    fn given<'a>(
        &'a self,
        caller: &'a Caller,
        vmcp: Option<&'a EntityUid>,
        request: &'a RequestContext<'a>,
        operation: &Operation,
        arguments: &'a str,
    ) -> Given<'a> {
        let tool = match operation {
            Operation::Tool(index) => self.world.tools.get(*index),
            _ => None,
        };
        let input = tool.map(|tool| (arguments, tool));
        Given { types: &self.world.types, caller, vmcp, request, input }
    }

    fn answer<T>(
        &self,
        caller: &Caller,
        subject: T,
        asked: Asked<'_>,
        arguments: &str,
    ) -> Decision<T> {
        let Some(planned) = self.planned(caller, asked.vmcp, asked.operation.clone()) else {
            return Err(self.unknown(subject));
        };
        let (plan, ground) = (&planned.plan, self.ground(&planned.class));
        let vmcp = plan.vmcp.as_ref();
        let given = self.given(caller, vmcp, asked.context, &asked.operation, arguments);
        if plan.enforced.open.is_empty() && plan.enforced.settled.permitted() {
            let shadow = self.shadow_refusals(plan, ground, &given);
            return Ok(self.permit(subject, Arc::clone(&plan.permit_ids), shadow));
        }
        let outcome = match plan.decide(ground, &given) {
            Ok(outcome) if outcome.permitted() => {
                let policies = ids(&self.rules, &outcome.permits).into();
                let shadow = self.shadow_refusals(plan, ground, &given);
                return Ok(self.permit(subject, policies, shadow));
            }
            Ok(outcome) => Ok(outcome),
            // What refuses whatever the request says needs no request that fits.
            Err(_) if plan.enforced.settled.refused() => Ok(plan.enforced.settled.clone()),
            Err(stuck) => Err(stuck),
        };
        let shadow = plan.decide_shadow(ground, &given);
        let shadow = shadow.permits.iter().chain(&shadow.forbids).chain(&shadow.errors);
        let refusal = Denial { shadow: ids(&self.rules, shadow), ..Denial::unexplained(subject) };
        Err(Box::new(match outcome {
            Ok(outcome) => self.refused(refusal, outcome),
            Err(stuck) => self.stuck(refusal, plan, &stuck),
        }))
    }

    /// Shadow policies that would have refused what is permitted.
    fn shadow_refusals(&self, plan: &Plan, ground: Ground<'_>, given: &Given<'_>) -> Arc<[String]> {
        if plan.shadow.open.is_empty() {
            return Arc::clone(&plan.shadow_ids);
        }
        let outcome = plan.decide_shadow(ground, given);
        ids(&self.rules, outcome.forbids.iter().chain(&outcome.errors)).into()
    }

    fn permit<T>(
        &self,
        subject: T,
        policies: Arc<[String]>,
        shadow: Arc<[String]>,
    ) -> Permitted<T> {
        Permitted::new(subject, Grounds { revision: self.revision, policies, shadow })
    }

    /// A refusal by an outcome that does not permit.
    fn refused<T>(&self, refusal: Denial<T>, outcome: Outcome) -> Denial<T> {
        if !outcome.refused() {
            return refusal;
        }
        let policies = ids(&self.rules, outcome.forbids.iter().chain(&outcome.errors));
        let (kind, general) = if outcome.forbids.is_empty() {
            (DenialKind::Error, denial::NOT_EVALUATED)
        } else {
            (DenialKind::Denied, denial::FORBIDDEN)
        };
        let forbidding = outcome.forbids.iter().filter_map(|number| self.rules.get(*number));
        let named = forbidding.filter_map(|rule| Some((&rule.info.id, rule.info.reason.as_ref()?)));
        let reason = named.min().map_or(general, |(_, reason)| reason).to_owned();
        Denial { kind, reason, policies, detail: outcome.detail, ..refusal }
    }

    /// A refusal because the request cannot be put before the policies.
    fn stuck<T>(&self, refusal: Denial<T>, plan: &Plan, stuck: &Stuck) -> Denial<T> {
        let (kind, reason) = match stuck {
            Stuck::Context(NoContext::Unfit(unfit)) => {
                (DenialKind::Unrepresentable, unfit.to_string())
            }
            _ => (DenialKind::Error, denial::NOT_EVALUATED.to_owned()),
        };
        let policies = ids(&self.rules, &plan.enforced.open);
        Denial { kind, reason, policies, detail: Some(stuck.to_string()), ..refusal }
    }

    /// A refusal of something that does not exist, which looks like one that nothing permits.
    fn unknown<T>(&self, subject: T) -> Box<Denial<T>> {
        Box::new(Denial::unexplained(subject))
    }
}
