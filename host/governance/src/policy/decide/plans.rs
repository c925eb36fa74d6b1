//! Plans as they are remembered: what a call asks of the policies, and what is known about
//! that for a class of callers. Bounded, and only ever a saving: a plan can be made anew.

use std::sync::Arc;

use cedar_policy::Entity;
use identity::{Caller, CallerClass, directory::Kind};
use model::{CompletionOf, Operation as CallOperation, Prompt, ResourceRef};
use tidegate_identity as identity;
use tidegate_model as model;

use super::Policies;
use crate::policy::{
    RequestContext,
    cache::Cache,
    plan::Plan,
    slice::{ByAction, resource_matches},
    world::{Operation, uid},
};

/// How many classes of callers, and how many of their operations, are remembered.
const CLASSES: usize = 1_024;
const PLANS: usize = 16_384;

/// How many plans for resources are remembered, and the longest URI of one. Clients make up
/// URIs, so these are apart: they can push out only each other.
const RESOURCE_PLANS: usize = 2_048;
const LONGEST_URI: usize = 512;

/// What the policies know of one class of callers.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) principal: Entity,
    by_action: ByAction,
}

/// Who asks, through which virtual MCP, for what.
type PlanKey = (CallerClass, Option<usize>, Operation);

/// A plan and the class of callers it is for.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) class: Arc<Class>,
    pub(super) plan: Plan,
}

/// Everything that is remembered.
#[derive(Debug)]
pub(super) struct Plans {
    classes: Cache<CallerClass, Class>,
    of_others: Cache<PlanKey, Planned>,
    of_resources: Cache<PlanKey, Planned>,
}

impl Default for Plans {
    fn default() -> Self {
        Self {
            classes: Cache::new(CLASSES),
            of_others: Cache::new(PLANS),
            of_resources: Cache::new(RESOURCE_PLANS),
        }
    }
}

impl Policies {
    /// What a call asks of the policies; `None` for what does not exist.
    pub(super) fn operation(&self, operation: &CallOperation) -> Option<Operation> {
        let prompt = |prompt: &Prompt| self.world.offered(prompt).map(Operation::Prompt);
        let resource = |resource: &ResourceRef| Some(Operation::Resource(resource.clone()));
        match operation {
            CallOperation::CallTool(call) => self.world.callable(&call.tool).map(Operation::Tool),
            CallOperation::Task(call) => self.world.callable(&call.tool).map(Operation::Tool),
            CallOperation::GetPrompt(call) => prompt(&call.prompt),
            CallOperation::ReadResource(read) => resource(read),
            CallOperation::Complete(completion) => match &completion.of {
                CompletionOf::Prompt(of) => prompt(of),
                CompletionOf::Template(of) => resource(of),
            },
        }
    }

    /// The plan for an operation; `None` for one that does not exist.
    pub(super) fn planned(
        &self,
        caller: &Caller,
        vmcp: Option<usize>,
        operation: Operation,
    ) -> Option<Arc<Planned>> {
        let plans = match &operation {
            Operation::Resource(resource) if resource.uri.len() > LONGEST_URI => None,
            Operation::Resource(_) => Some(&self.plans.of_resources),
            _ => Some(&self.plans.of_others),
        };
        let key = (caller.class(), vmcp, operation);
        if let Some(planned) = plans.and_then(|plans| plans.get(&key)) {
            return Some(planned);
        }
        let class = match self.plans.classes.get(&caller.class()) {
            Some(class) => class,
            None => self.plans.classes.put(caller.class(), self.new_class(caller)),
        };
        let plan = self.new_plan(caller, &class, vmcp, &key.2)?;
        let planned = Planned { class, plan };
        Some(match plans {
            Some(plans) => plans.put(key, planned),
            None => Arc::new(planned),
        })
    }

    fn new_class(&self, caller: &Caller) -> Class {
        let types = &self.world.types;
        let groups = caller.groups().iter().map(|name| uid(&types.group, name));
        let roles = caller.roles().iter().map(|name| uid(&types.role, name));
        let parents: Vec<_> = groups.chain(roles).collect();
        let of = match caller.kind() {
            Kind::Person => &types.user,
            Kind::Agent => &types.agent,
        };
        let name = uid(of, caller.user().as_str());
        let numbers = self.by_principal.matching(&name, &parents);
        let scope = |number: usize| Some((number, &self.rules.get(number)?.what));
        let by_action = ByAction::new(numbers.filter_map(scope));
        let principal = Entity::new_no_attrs(name.clone(), parents.iter().cloned().collect());
        Class { principal, by_action }
    }

    fn new_plan(
        &self,
        caller: &Caller,
        class: &Class,
        vmcp: Option<usize>,
        operation: &Operation,
    ) -> Option<Plan> {
        let target = self.world.target(operation)?;
        let mut matching = class.by_action.matching(&target);
        matching.retain(|number| {
            let rule = self.rules.get(*number);
            rule.is_some_and(|rule| resource_matches(&rule.on, &target))
        });
        let vmcp = vmcp.map(|index| self.world.vmcp_uid(index));
        let request = RequestContext::default();
        let given = self.given(caller, vmcp.as_ref(), &request, operation, "");
        Some(Plan::new(self.ground(class), target, &given, &matching))
    }

    /// How many plans for resources are held now.
    #[cfg(test)]
    pub(in crate::policy) fn remembered_resources(&self) -> usize {
        self.plans.of_resources.len()
    }
}
