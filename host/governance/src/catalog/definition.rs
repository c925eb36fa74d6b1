//! A published tool definition: the connector's text with a few members exchanged.
//!
//! All other members keep their bytes and their order, so unknown ones survive.

use std::collections::BTreeMap;

use tidegate_model::Json;
use tidegate_wire::{
    json::Raw,
    mcp::splice::{self, Edit},
};

/// The definition with `members` set (in place where it has them, at the end where not).
/// A definition that is no object comes back as it is.
pub(super) fn with_members(definition: &Json, members: &[(&str, Json)]) -> Json {
    let edits: Vec<Edit<'_>> = members
        .iter()
        .map(|(name, value)| Edit::set(name, Raw::from_checked(value.as_str())))
        .collect();
    if edits.is_empty() {
        return definition.clone();
    }
    splice::object(Raw::from_checked(definition.as_str()), &edits)
        .unwrap_or_else(|_| definition.clone())
}

/// The definition with a string member set.
pub(super) fn with_text(definition: &Json, member: &str, text: &str) -> Json {
    match Json::of(text) {
        Ok(text) => with_members(definition, &[(member, text)]),
        Err(_) => definition.clone(),
    }
}

/// An input schema without the locked arguments, and with the defaults shown and no longer
/// required. `None` where nothing changes or the schema is no object.
pub(super) fn narrowed(
    schema: &Json,
    defaults: &BTreeMap<String, Json>,
    locked: &BTreeMap<String, Json>,
) -> Option<Json> {
    if defaults.is_empty() && locked.is_empty() {
        return None;
    }
    let mut tree: serde_json::Value = schema.read().ok()?;
    let object = tree.as_object_mut()?;
    if let Some(properties) =
        object.get_mut("properties").and_then(serde_json::Value::as_object_mut)
    {
        properties.retain(|name, _| !locked.contains_key(name));
        for (name, value) in defaults {
            let shown = properties.get_mut(name).and_then(serde_json::Value::as_object_mut);
            if let (Some(shown), Ok(value)) = (shown, value.read()) {
                shown.insert("default".into(), value);
            }
        }
    }
    if let Some(required) = object.get_mut("required").and_then(serde_json::Value::as_array_mut) {
        required.retain(|name| {
            name.as_str()
                .is_none_or(|name| !locked.contains_key(name) && !defaults.contains_key(name))
        });
    }
    Json::of(&tree).ok()
}
