//! Which policies can match: by principal once per class of callers, then by action and
//! resource once per operation.
//!
//! Cedar's authorizer walks every policy it is given, so it is given only those whose scope
//! matches. The tests hold slices and the whole set to the same answers.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

use super::world::Target;

/// A principal scope, as something to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Anyone,
    Is(EntityTypeName),
    One(EntityUid),
    In(EntityUid),
    IsIn(EntityTypeName, EntityUid),
}

/// An action scope, as something to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    Anything,
    One(EntityUid),
    In(EntityUid),
}

/// All policies by principal scope; a policy is a number here.
#[derive(Debug, Default)]
pub(super) struct ByPrincipal {
    policies: HashMap<Who, Vec<usize>>,
}

impl ByPrincipal {
    /// Indexes the policies.
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut index = Self::default();
        for (number, policy) in policies.enumerate() {
            let key = match policy.principal_constraint() {
                PrincipalConstraint::Any => Who::Anyone,
                PrincipalConstraint::In(group) => Who::In(group),
                PrincipalConstraint::Eq(one) => Who::One(one),
                PrincipalConstraint::Is(of) => Who::Is(of),
                PrincipalConstraint::IsIn(of, group) => Who::IsIn(of, group),
            };
            index.policies.entry(key).or_default().push(number);
        }
        index
    }

    /// Those whose principal scope takes in a caller with these groups and roles.
    pub(super) fn matching<'a>(
        &'a self,
        principal: &'a EntityUid,
        parents: &'a [EntityUid],
    ) -> impl Iterator<Item = usize> + 'a {
        let of = principal.type_name();
        let above = std::iter::once(principal).chain(parents);
        let above = above.flat_map(|name| {
            [Who::In(name.clone()), Who::IsIn(of.clone(), name.clone())].into_iter()
        });
        let keys = [Who::Anyone, Who::Is(of.clone()), Who::One(principal.clone())];
        let found = keys.into_iter().chain(above).filter_map(|key| self.policies.get(&key));
        found.flatten().copied()
    }
}

/// Policies of one class of callers, by action scope.
#[derive(Debug, Default)]
pub(super) struct ByAction {
    policies: HashMap<What, Vec<usize>>,
}

impl ByAction {
    /// Indexes rules by number and action scope.
    pub(super) fn new<'a>(rules: impl Iterator<Item = (usize, &'a ActionConstraint)>) -> Self {
        let mut index = Self::default();
        let mut add = |key, number| index.policies.entry(key).or_default().push(number);
        for (number, scope) in rules {
            match scope {
                ActionConstraint::Any => add(What::Anything, number),
                ActionConstraint::Eq(action) => add(What::One(action.clone()), number),
                ActionConstraint::In(actions) => {
                    let different: HashSet<&EntityUid> = actions.iter().collect();
                    different.into_iter().for_each(|action| add(What::In(action.clone()), number));
                }
            }
        }
        index
    }

    /// Those whose action scope takes in the target's action, ascending, each once.
    pub(super) fn matching(&self, target: &Target) -> Vec<usize> {
        let above = std::iter::once(&target.action).chain(&target.action_groups);
        let above = above.map(|name| What::In(name.clone()));
        let keys = [What::Anything, What::One(target.action.clone())].into_iter().chain(above);
        let found = keys.filter_map(|key| self.policies.get(&key)).flatten().copied();
        let mut found: Vec<usize> = found.collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Whether a resource scope takes in the target's resource.
pub(super) fn resource_matches(scope: &ResourceConstraint, target: &Target) -> bool {
    let within =
        |name: &EntityUid| target.resource == *name || target.resource_parents.contains(name);
    let is = |of: &EntityTypeName| target.resource.type_name() == of;
    match scope {
        ResourceConstraint::Any => true,
        ResourceConstraint::In(name) => within(name),
        ResourceConstraint::Eq(name) => target.resource == *name,
        ResourceConstraint::Is(of) => is(of),
        ResourceConstraint::IsIn(of, name) => is(of) && within(name),
    }
}
