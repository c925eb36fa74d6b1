//! Policies as decisions see them: conditions, scopes and a number.

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicyId, PolicySet, ResourceConstraint, pst,
};

use super::{input::PolicyInfo, mention::Mentions, read::Entry};

/// One policy, as far as decisions are concerned.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its conditions. A plan takes only rules whose scope matches, so the scope itself is
    /// not evaluated again.
    pub(super) policy: Policy,
    /// Its action scope.
    pub(super) what: ActionConstraint,
    /// Its resource scope.
    pub(super) on: ResourceConstraint,
    pub(super) mentions: Mentions,
    /// The entities that its conditions name.
    pub(super) names: Vec<EntityUid>,
    pub(super) info: PolicyInfo,
}

impl Rule {
    /// Takes a checked policy; `number` becomes its id, so that answers need no search.
    pub(super) fn new(number: usize, entry: Entry) -> Self {
        let whole = entry.policy;
        let policy = without_scope(&whole).unwrap_or_else(|| whole.clone());
        Self {
            names: policy.entity_literals(),
            what: whole.action_constraint(),
            on: whole.resource_constraint(),
            policy: policy.new_id(PolicyId::new(number.to_string())),
            mentions: entry.mentions,
            info: entry.info,
        }
    }
}

/// The same conditions for any principal, action and resource. `None` if Cedar cannot take
/// it apart; then the whole policy does as well.
fn without_scope(policy: &Policy) -> Option<Policy> {
    use pst::{ActionConstraint, PrincipalConstraint, ResourceConstraint, StaticPolicy, Template};
    let tree = policy.to_pst().ok()?;
    let body = tree.body();
    let (who, what) = (PrincipalConstraint::Any, ActionConstraint::Any);
    let bare = Template::new(body.id.clone(), body.effect, who, what, ResourceConstraint::Any);
    let bare = bare.try_with_clauses(body.clauses().iter().cloned()).ok()?;
    let bare = StaticPolicy::try_from(bare).ok()?;
    Policy::from_pst(pst::Policy::Static(bare)).ok()
}

/// The rules with these numbers as a policy set; `None` for a number that was never given.
pub(super) fn set(rules: &[Rule], numbers: &[usize]) -> Option<PolicySet> {
    let mut set = PolicySet::new();
    for number in numbers {
        set.add(rules.get(*number)?.policy.clone()).ok()?;
    }
    Some(set)
}

/// The ids of the rules with these numbers, sorted.
pub(super) fn ids<'a>(rules: &[Rule], numbers: impl IntoIterator<Item = &'a usize>) -> Vec<String> {
    let named = numbers.into_iter().filter_map(|number| rules.get(*number));
    let mut ids: Vec<String> = named.map(|rule| rule.info.id.clone()).collect();
    ids.sort_unstable();
    ids
}
