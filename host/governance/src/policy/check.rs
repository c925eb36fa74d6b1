//! Strict validation of conditions against the schema.
//!
//! Cedar's validator looks at a policy once per action, which is hopeless for a thousand
//! policies on two thousand tools. A policy can tell two tools apart only by what it names and
//! by the arguments it mentions, so each one is checked against one tool of every kind that it
//! can tell apart, and policies with the same needs share a schema.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use cedar_policy::{
    ActionConstraint, Effect, PolicySet, ResourceConstraint, SchemaFragment, ValidationError,
    ValidationMode, ValidationWarning, Validator,
};

use super::{
    mention::{Attributes, part},
    read::{self, Entry, Reading},
    schema::{self, Action, SchemaFault},
    text,
    world::{KnownTool, World},
};

/// Ids of actions that stand for any tool; no tool has such a name, as no connector has.
const STAND_INS: [&str; 8] = ["*/0", "*/1", "*/2", "*/3", "*/4", "*/5", "*/6", "*/7"];

/// What is said of a policy that permits administration together with everything else.
pub const PERMITS_ADMINISTRATION: &str = "it permits administration too; name an action, such as \
    `action in [Action::\"connect\", Action::\"list\", Action::\"call_tool\", \
    Action::\"get_prompt\", Action::\"read_resource\"]`";

/// How many named tools one shared schema holds at most.
const TOOLS_AT_ONCE: usize = 24;

/// Checks every policy that can be checked; problems and flags go into `reading`.
pub(super) fn check(
    reading: &mut Reading<'_>,
    world: &World,
    base: &SchemaFragment,
) -> Result<(), SchemaFault> {
    let all = LazyCell::new(|| arguments_of(world.tools.iter()));
    for index in 0..reading.entries.len() {
        misspelt_arguments(reading, world, &all, index);
        permits_administration(reading, index);
    }
    let mut alike: BTreeMap<(Attributes, bool), Vec<usize>> = BTreeMap::new();
    for (index, entry) in reading.entries.iter().enumerate().filter(|(_, e)| e.checkable) {
        let key = (entry.mentions.input.clone(), is_broad(entry));
        alike.entry(key).or_default().push(index);
    }
    for ((arguments, broad), members) in alike {
        let kinds = if broad { kinds(world, &arguments) } else { Vec::new() };
        let mut rest = members.as_slice();
        while !rest.is_empty() {
            let (batch, named) = take_batch(reading, world, rest);
            let (now, later) = rest.split_at(batch);
            rest = later;
            let mut actions = kinds.clone();
            for tool in named {
                actions.retain(|action| action.id != tool.id);
                actions.push(action_of(tool, &arguments));
            }
            let schema = schema::with_actions(base, &actions)?;
            validate(reading, &Validator::new(schema), now);
        }
    }
    Ok(())
}

/// Whether a policy's scope takes in tools that it does not name.
fn is_broad(entry: &Entry) -> bool {
    let tool = |id: &str| id.contains('/');
    match entry.policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(name) => !tool(name.id().unescaped()),
        ActionConstraint::In(names) => !names.iter().all(|name| tool(name.id().unescaped())),
    }
}

fn action_of(known: &KnownTool, arguments: &Attributes) -> Action {
    Action {
        id: known.id.clone(),
        groups: known.action_groups().collect(),
        input: known.input().project(|name| arguments.has(name)),
    }
}

/// One action for every kind of tool that a policy can tell apart when it names none and
/// looks at these arguments only. Without arguments all groups are covered, whether or not a
/// tool is in them today.
fn kinds(world: &World, arguments: &Attributes) -> Vec<Action> {
    if arguments.is_empty() {
        let class = |(bits, id): (usize, &&str)| {
            let member = |bit: usize, name| (bits & bit != 0).then_some(name);
            let groups = [
                Some("call_tool"),
                member(1, "read_only"),
                member(2, "destructive"),
                member(4, "open_world"),
            ];
            Action {
                id: (*id).to_owned(),
                groups: groups.into_iter().flatten().collect(),
                input: Default::default(),
            }
        };
        let possible = STAND_INS.iter().enumerate().filter(|(bits, _)| bits & 3 != 3);
        return possible.map(class).collect();
    }
    let mut kinds: Vec<Action> = Vec::new();
    let mut seen = BTreeSet::new();
    for known in &world.tools {
        let action = action_of(known, arguments);
        if seen.insert(format!("{:?}{:?}", action.groups, action.input)) {
            kinds.push(action);
        }
    }
    kinds
}

/// How many of `members` fit into one schema, and the tools that these name.
fn take_batch<'a>(
    reading: &Reading<'_>,
    world: &'a World,
    members: &[usize],
) -> (usize, Vec<&'a KnownTool>) {
    let mut named: BTreeMap<&str, &KnownTool> = BTreeMap::new();
    let mut count = 0;
    for index in members {
        let actions = reading.entries.get(*index).map(|entry| entry.actions.as_slice());
        let tools = actions.unwrap_or_default().iter().filter_map(|id| world.tool(id));
        let tools: Vec<&KnownTool> = tools.collect();
        if count > 0 && named.len() + tools.len() > TOOLS_AT_ONCE {
            break;
        }
        named.extend(tools.into_iter().map(|tool| (tool.id.as_str(), tool)));
        count += 1;
    }
    (count, named.into_values().collect())
}

fn validate(reading: &mut Reading<'_>, validator: &Validator, members: &[usize]) {
    let mut set = PolicySet::new();
    let mut by_id = BTreeMap::new();
    for index in members {
        let Some(entry) = reading.entries.get(*index) else { continue };
        // A repeated id is a problem of its own, and the set takes only the first.
        if set.add(entry.policy.clone()).is_ok() {
            by_id.insert(entry.info.id.clone(), *index);
        }
    }
    let result = validator.validate(&set, ValidationMode::Strict);
    for error in result.validation_errors() {
        let Some(index) = by_id.get(error.policy_id().as_ref() as &str) else { continue };
        // Unknown actions have been reported with better words.
        if matches!(error, ValidationError::UnrecognizedActionId(_)) {
            continue;
        }
        let at = read::offset_of(error).unwrap_or_default();
        let (message, meant) = read::explain(error, &error.to_string());
        let message = STAND_INS
            .iter()
            .fold(message, |text, id| text.replace(&format!("Action::\"{id}\""), "the tools"));
        reading.problem(*index, at, message, meant);
    }
    for warning in result.validation_warnings() {
        let Some(index) = by_id.get(warning.policy_id().as_ref() as &str) else { continue };
        match warning {
            ValidationWarning::ImpossiblePolicy(_)
            | ValidationWarning::InvalidActionApplication(_) => {
                let flag =
                    "as things stand it never applies: its scope or its conditions fit no call";
                reading.flag(*index, flag.into());
            }
            ValidationWarning::BidiCharsInString(_)
            | ValidationWarning::BidiCharsInIdentifier(_) => {
                let at = read::offset_of(warning).unwrap_or_default();
                let (message, _) = read::explain(warning, &warning.to_string());
                reading.problem(*index, at, message, None);
            }
            other => {
                let (message, _) = read::explain(other, &other.to_string());
                reading.flag(*index, message);
            }
        }
    }
}

fn arguments_of<'a>(tools: impl Iterator<Item = &'a KnownTool>) -> BTreeSet<&'a str> {
    tools.flat_map(|tool| tool.input().members.keys().map(AsRef::as_ref)).collect()
}

/// An argument that no tool has, with a name close to one that a tool does have: most likely
/// a mistake, and one that Cedar would let pass after `has`. `all` are those of every tool.
fn misspelt_arguments<'a>(
    reading: &mut Reading<'_>,
    world: &'a World,
    all: &dyn Deref<Target = BTreeSet<&'a str>>,
    index: usize,
) {
    let Some(entry) = reading.entries.get(index).filter(|entry| entry.checkable) else { return };
    let Attributes::Named(names) = &entry.mentions.input else { return };
    if names.is_empty() {
        return;
    }
    let named = || arguments_of(entry.actions.iter().filter_map(|id| world.tool(id)));
    let known: &BTreeSet<&str> = if is_broad(entry) { all } else { &named() };
    let unknown = names.iter().filter(|name| !known.contains(name.as_ref()));
    let found: Vec<(String, String)> = unknown
        .filter_map(|name| {
            let near = text::nearest(name, known.iter().copied())?;
            Some((name.to_string(), near.to_owned()))
        })
        .collect();
    for (name, near) in found {
        let at = read::find(reading.text(index), &name);
        let message = format!("no tool that this policy can match has the argument `{name}`");
        reading.problem(index, at, message, Some(near));
        // Cedar would say the same again, less helpfully.
        if let Some(entry) = reading.entries.get_mut(index) {
            entry.checkable = false;
        }
    }
}

/// A permit for every action is one for administration too, which is seldom meant. Conditions
/// that look at what is done may keep it from that; those that look at who asks do not.
fn permits_administration(reading: &mut Reading<'_>, index: usize) {
    let Some(entry) = reading.entries.get(index) else { return };
    let (policy, looks_at) = (&entry.policy, &entry.mentions);
    let is_narrowed = looks_at.target || looks_at.context & (part::VMCP | part::INPUT) != 0;
    let everything = policy.effect() == Effect::Permit
        && policy.action_constraint() == ActionConstraint::Any
        && policy.resource_constraint() == ResourceConstraint::Any
        && !is_narrowed;
    if everything {
        reading.flag(index, PERMITS_ADMINISTRATION.into());
    }
}
