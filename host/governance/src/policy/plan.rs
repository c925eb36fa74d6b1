//! What is already known about an operation before its arguments are: one plan per class of
//! callers, virtual MCP and operation.
//!
//! Policies without conditions are settled by their scope. Conditions about the caller, the
//! tool or the virtual MCP are settled by partial evaluation. What is left open, because it
//! looks at arguments, time or origin, is kept as a small policy set for the request itself.

use std::sync::{Arc, OnceLock};

use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, Policy, PolicySet, Request};

use super::{
    input::{Effect, Mode},
    mention::{Mentions, part},
    request::{Given, NoContext},
    rule::{Rule, ids, set},
    world::{Target, World},
};

/// Rules by number that came out one way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) permits: Vec<usize>,
    pub(super) forbids: Vec<usize>,
    pub(super) errors: Vec<usize>,
    /// What Cedar said about the first error, where it is at hand.
    pub(super) detail: Option<String>,
}

impl Outcome {
    fn add(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Permit => self.permits.push(number),
            Effect::Forbid => self.forbids.push(number),
        }
    }

    fn extend(&mut self, other: Self) {
        self.permits.extend(other.permits);
        self.forbids.extend(other.forbids);
        self.errors.extend(other.errors);
        self.detail = self.detail.take().or(other.detail);
    }

    /// Whether this, by itself, permits.
    pub(super) fn permitted(&self) -> bool {
        self.forbids.is_empty() && self.errors.is_empty() && !self.permits.is_empty()
    }

    /// Whether it refuses, whatever else permits.
    pub(super) fn refused(&self) -> bool {
        !(self.forbids.is_empty() && self.errors.is_empty())
    }
}

/// Rules of one mode.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Those whose outcome is known.
    pub(super) settled: Outcome,
    /// Those that depend on the request.
    pub(super) open: Vec<usize>,
}

/// Both modes apart.
#[derive(Debug, Default)]
struct Sides {
    enforced: Side,
    shadow: Side,
}

impl Sides {
    fn of(&mut self, rule: &Rule) -> &mut Side {
        match rule.info.mode {
            Mode::Enforce => &mut self.enforced,
            Mode::Shadow => &mut self.shadow,
        }
    }
}

/// What is known in advance.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) vmcp: Option<EntityUid>,
    pub(super) enforced: Side,
    pub(super) shadow: Side,
    /// The settled permits, by id, sorted.
    pub(super) permit_ids: Arc<[String]>,
    /// The settled shadow policies that would refuse, by id, sorted.
    pub(super) shadow_ids: Arc<[String]>,
    /// Whether an open rule could still permit.
    can_permit: bool,
    ready: OnceLock<Option<Ready>>,
}

/// The open rules, ready to be evaluated.
#[derive(Debug)]
struct Ready {
    enforced: PolicySet,
    enforced_needs: Mentions,
    shadow_permits: PolicySet,
    shadow_forbids: PolicySet,
    shadow_needs: Mentions,
    entities: Entities,
}

/// What plans are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) world: &'a World,
    pub(super) rules: &'a [Rule],
    pub(super) authorizer: &'a Authorizer,
    pub(super) principal: &'a Entity,
}

/// A rule could not be evaluated because the request does not fit.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stuck {
    #[error(transparent)]
    Context(#[from] NoContext),
    #[error("the policies that apply do not form a set")]
    Set,
}

impl Plan {
    /// Settles what can be settled among the rules with these numbers, whose scopes match.
    pub(super) fn new(
        ground: Ground<'_>,
        target: Target,
        given: &Given<'_>,
        matching: &[usize],
    ) -> Self {
        let mut sides = Sides::default();
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for number in matching {
            let Some(rule) = ground.rules.get(*number) else { continue };
            let context = rule.mentions.context;
            if !rule.mentions.conditions {
                sides.of(rule).settled.add(*number, rule.info.effect);
            } else if context != 0 && context & part::FIXED == 0 && !rule.mentions.scope {
                sides.of(rule).open.push(*number);
            } else if context & part::OPTIONAL == 0 {
                known.push(*number);
            } else {
                unknown.push(*number);
            }
        }
        for (numbers, context) in [(known, given.partly_known().ok()), (unknown, None)] {
            for (number, came_out) in settle(ground, &target, &numbers, context) {
                let Some(rule) = ground.rules.get(number) else { continue };
                match came_out {
                    CameOut::True => sides.of(rule).settled.add(number, rule.info.effect),
                    CameOut::Error => sides.of(rule).settled.errors.push(number),
                    CameOut::Open => sides.of(rule).open.push(number),
                    CameOut::False => {}
                }
            }
        }
        let Sides { enforced, shadow } = sides;
        let permits = |number: &usize| {
            ground.rules.get(*number).is_some_and(|rule| rule.info.effect == Effect::Permit)
        };
        let refusing = shadow.settled.forbids.iter().chain(&shadow.settled.errors);
        Self {
            permit_ids: ids(ground.rules, &enforced.settled.permits).into(),
            shadow_ids: ids(ground.rules, refusing).into(),
            can_permit: enforced.open.iter().any(permits),
            target,
            vmcp: given.vmcp.cloned(),
            enforced,
            shadow,
            ready: OnceLock::new(),
        }
    }

    /// Whether any request that this plan is for could be permitted.
    pub(super) fn may_permit(&self) -> bool {
        let settled = &self.enforced.settled;
        !settled.refused() && (self.can_permit || !settled.permits.is_empty())
    }

    /// The outcome of all enforced rules for one request.
    pub(super) fn decide(&self, ground: Ground<'_>, given: &Given<'_>) -> Result<Outcome, Stuck> {
        let mut outcome = self.enforced.settled.clone();
        if !self.enforced.open.is_empty() {
            let ready = self.ready(ground)?;
            let context = given.context(&ready.enforced_needs)?;
            let request = self.request(ground, context)?;
            outcome.extend(evaluate(ground, &ready.enforced, &request, &ready.entities));
        }
        Ok(outcome)
    }

    /// The outcome of all rules in shadow mode for one request; a rule that cannot be
    /// evaluated counts as an error.
    pub(super) fn decide_shadow(&self, ground: Ground<'_>, given: &Given<'_>) -> Outcome {
        let mut outcome = self.shadow.settled.clone();
        if self.shadow.open.is_empty() {
            return outcome;
        }
        let open = || -> Result<Outcome, Stuck> {
            let ready = self.ready(ground)?;
            let context = given.context(&ready.shadow_needs)?;
            let request = self.request(ground, context)?;
            // Apart, because an answer names only the policies of the effect that wins.
            let mut open = evaluate(ground, &ready.shadow_permits, &request, &ready.entities);
            open.extend(evaluate(ground, &ready.shadow_forbids, &request, &ready.entities));
            Ok(open)
        };
        match open() {
            Ok(open) => outcome.extend(open),
            Err(_) => outcome.errors.extend(&self.shadow.open),
        }
        outcome
    }

    fn request(&self, ground: Ground<'_>, context: Context) -> Result<Request, Stuck> {
        let (action, resource) = (self.target.action.clone(), self.target.resource.clone());
        Request::new(ground.principal.uid(), action, resource, context, None)
            .map_err(|e| Stuck::Context(NoContext::Cedar(e.to_string())))
    }

    fn ready(&self, ground: Ground<'_>) -> Result<&Ready, Stuck> {
        let ready = self.ready.get_or_init(|| self.make_ready(ground));
        ready.as_ref().ok_or(Stuck::Set)
    }

    fn make_ready(&self, ground: Ground<'_>) -> Option<Ready> {
        let rules = ground.rules;
        let (mut shadow_permits, mut shadow_forbids) = (Vec::new(), Vec::new());
        for number in &self.shadow.open {
            match rules.get(*number)?.info.effect {
                Effect::Permit => shadow_permits.push(*number),
                Effect::Forbid => shadow_forbids.push(*number),
            }
        }
        let needs = |numbers: &[usize]| {
            let mut needs = Mentions::default();
            let open = numbers.iter().filter_map(|number| rules.get(*number));
            open.for_each(|rule| needs.merge(&rule.mentions));
            needs
        };
        let open: Vec<usize> =
            self.enforced.open.iter().chain(&self.shadow.open).copied().collect();
        Some(Ready {
            enforced: set(rules, &self.enforced.open)?,
            enforced_needs: needs(&self.enforced.open),
            shadow_permits: set(rules, &shadow_permits)?,
            shadow_forbids: set(rules, &shadow_forbids)?,
            shadow_needs: needs(&self.shadow.open),
            entities: entities(ground, &self.target, &open)?,
        })
    }
}

/// How a rule came out of partial evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CameOut {
    True,
    False,
    Error,
    Open,
}

/// Evaluates rules without the arguments; `context` is `None` where nothing of it is known.
/// When that fails for whatever reason, everything stays open.
fn settle(
    ground: Ground<'_>,
    target: &Target,
    numbers: &[usize],
    context: Option<Context>,
) -> Vec<(usize, CameOut)> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let partial = || {
        let set = set(ground.rules, numbers)?;
        let entities = entities(ground, target, numbers)?;
        let request = Request::builder()
            .principal(ground.principal.uid())
            .action(target.action.clone())
            .resource(target.resource.clone());
        let request = match context {
            Some(context) => request.context(context).build(),
            None => request.build(),
        };
        Some(ground.authorizer.is_authorized_partial(&request, &set, &entities))
    };
    let Some(response) = partial() else {
        return numbers.iter().map(|number| (*number, CameOut::Open)).collect();
    };
    let satisfied: Vec<Policy> = response.definitely_satisfied().collect();
    let open: Vec<Policy> = response.nontrivial_residuals().collect();
    let came_out = |number: &usize| {
        let id = ground.rules.get(*number)?.policy.id();
        let came_out = if satisfied.iter().any(|policy| policy.id() == id) {
            CameOut::True
        } else if open.iter().any(|policy| policy.id() == id) {
            CameOut::Open
        } else if response.definitely_errored().any(|errored| errored == id) {
            CameOut::Error
        } else {
            CameOut::False
        };
        Some((*number, came_out))
    };
    numbers.iter().filter_map(came_out).collect()
}

/// Cedar's answer for one request, by rule numbers. Every rule of `set` is among
/// `ground.rules`, and its id is its number there.
fn evaluate(
    ground: Ground<'_>,
    set: &PolicySet,
    request: &Request,
    entities: &Entities,
) -> Outcome {
    use cedar_policy::{AuthorizationError, Decision};
    let response = ground.authorizer.is_authorized(request, set, entities);
    let number = |id: &cedar_policy::PolicyId| {
        let id: &str = id.as_ref();
        id.parse::<usize>().ok()
    };
    let reasons: Vec<usize> = response.diagnostics().reason().filter_map(number).collect();
    let errors = response.diagnostics().errors().filter_map(|error| match error {
        AuthorizationError::PolicyEvaluationError(error) => number(error.policy_id()),
    });
    let mut outcome = Outcome { errors: errors.collect(), ..Outcome::default() };
    outcome.detail = response.diagnostics().errors().next().map(ToString::to_string);
    match response.decision() {
        Decision::Allow => outcome.permits = reasons,
        Decision::Deny => outcome.forbids = reasons,
    }
    outcome
}

/// The entities that these rules can ask about.
fn entities(ground: Ground<'_>, target: &Target, numbers: &[usize]) -> Option<Entities> {
    let rules = numbers.iter().filter_map(|number| ground.rules.get(*number));
    let mut names: Vec<&EntityUid> = rules.flat_map(|rule| &rule.names).collect();
    names.extend([&target.action, &target.resource]);
    names.sort_unstable();
    names.dedup();
    let principal = ground.principal.uid();
    let known = names.into_iter().filter(|name| **name != principal);
    let known = known.filter_map(|name| ground.world.entity(name));
    let all = known.chain([ground.principal.clone()]);
    Entities::from_entities(all, None).ok()
}
