//! The Cedar schema: the base file plus one action per tool.
//!
//! Written in Cedar's JSON form, where any text can be the name of an action or an
//! attribute. Policies are checked against small schemas (`check` says why); `whole` is the
//! one for people and editors.

use cedar_policy::{Schema, SchemaFragment};
use serde_json::{Map, Value, json};

use super::{
    shape::{Record, Shape},
    world::World,
};

/// The base schema, as it is documented for people.
pub const BASE: &str = include_str!("../../../../policies/schema.cedarschema");

/// The base schema or the generated part is not accepted by Cedar; a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("the policy schema is not valid: {0}")]
pub struct SchemaFault(String);

/// The base file, read.
pub(super) fn base() -> Result<SchemaFragment, SchemaFault> {
    let (fragment, _) =
        SchemaFragment::from_cedarschema_str(BASE).map_err(|e| SchemaFault(e.to_string()))?;
    Ok(fragment)
}

/// The ids of the actions that exist without any tool.
pub(super) fn base_actions(base: &SchemaFragment) -> Result<Vec<String>, SchemaFault> {
    let schema = Schema::from_schema_fragments([base.clone()]);
    let schema = schema.map_err(|e| SchemaFault(e.to_string()))?;
    Ok(schema.actions().map(|action| action.id().unescaped().to_owned()).collect())
}

/// One generated action.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Action {
    /// Its id.
    pub(super) id: String,
    /// The groups it belongs to.
    pub(super) groups: Vec<&'static str>,
    /// The type of `context.input`.
    pub(super) input: Record,
}

/// The base with these actions.
pub(super) fn with_actions(
    base: &SchemaFragment,
    actions: &[Action],
) -> Result<Schema, SchemaFault> {
    let named = actions.iter().map(|action| (action.id.clone(), action_json(action)));
    let fragment = json!({ "": { "entityTypes": {}, "actions": named.collect::<Map<_, _>>() } });
    let fragment = SchemaFragment::from_json_value(fragment);
    let fragment = fragment.map_err(|e| SchemaFault(e.to_string()))?;
    Schema::from_schema_fragments([base.clone(), fragment]).map_err(|e| SchemaFault(e.to_string()))
}

/// The schema of everything that exists, in Cedar's JSON form.
pub(super) fn whole(world: &World) -> Result<String, SchemaFault> {
    let mut json = base()?.to_json_value().map_err(|e| SchemaFault(e.to_string()))?;
    let actions = json.get_mut("").and_then(|namespace| namespace.get_mut("actions"));
    if let Some(actions) = actions.and_then(Value::as_object_mut) {
        for known in &world.tools {
            let action = Action {
                id: known.id.clone(),
                groups: known.action_groups().collect(),
                input: known.input().clone(),
            };
            actions.insert(action.id.clone(), action_json(&action));
        }
    }
    Ok(json.to_string())
}

fn action_json(action: &Action) -> Value {
    let groups: Vec<Value> = action.groups.iter().map(|group| json!({ "id": group })).collect();
    json!({
        "memberOf": groups,
        "appliesTo": {
            "principalTypes": ["User", "Agent"],
            "resourceTypes": ["Tool"],
            "context": { "type": "Record", "attributes": {
                "vmcp": { "type": "Entity", "name": "VirtualMcp" },
                "client": { "type": "Entity", "name": "Client", "required": false },
                "auth": { "type": "String" },
                "time": { "type": "Extension", "name": "datetime" },
                "weekday": { "type": "String" },
                "source": { "type": "Extension", "name": "ipaddr", "required": false },
                "session": { "type": "EntityOrCommon", "name": "Session" },
                "facts": { "type": "Set", "element": { "type": "String" } },
                "input": record_json(&action.input),
            } },
        },
    })
}

fn record_json(record: &Record) -> Value {
    let member = |(name, member): (&std::sync::Arc<str>, &super::shape::Member)| {
        let mut json = shape_json(&member.shape);
        if let Some(json) = json.as_object_mut() {
            json.insert("required".into(), member.required.into());
        }
        (name.to_string(), json)
    };
    json!({
        "type": "Record",
        "attributes": record.members.iter().map(member).collect::<Map<_, _>>(),
    })
}

fn shape_json(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "Boolean" }),
        Shape::Long => json!({ "type": "Long" }),
        Shape::Decimal => json!({ "type": "Extension", "name": "decimal" }),
        Shape::Text => json!({ "type": "String" }),
        Shape::Set(item) => json!({ "type": "Set", "element": shape_json(item) }),
        Shape::Record(record) => record_json(record),
    }
}
