//! What a plugin may ask a person: a short message and one of the flat schemas of MCP's form
//! elicitation.
//!
//! A client shows it and the host checks the reply against it, so both have bounds.

use std::borrow::Cow;

use tidegate_model::Ask;
use tidegate_wire::json::{Kind, Raw};

/// Bytes of the message.
const MESSAGE: usize = 4 << 10;
/// Bytes of the schema.
const SCHEMA: usize = 64 << 10;
/// Properties, and names of required ones.
const PROPERTIES: usize = 64;

/// Whether a person may be asked this.
pub(super) fn check(ask: &Ask) -> Result<(), String> {
    if ask.message.len() > MESSAGE {
        return Err(format!("the message of a question has more than {MESSAGE} bytes"));
    }
    if ask.schema.bytes().len() > SCHEMA {
        return Err(format!("the schema of a question has more than {SCHEMA} bytes"));
    }
    let schema = Raw::from(&ask.schema);
    if kind(schema).as_deref() != Some("object") {
        return Err("the schema of a question is no object".to_owned());
    }
    refers_to_nothing(schema)?;
    let properties = schema.get("properties").unwrap_or(Raw::EMPTY_OBJECT);
    if properties.kind() != Kind::Object {
        return Err("the `properties` of a question's schema are no object".to_owned());
    }
    if properties.members().nth(PROPERTIES).is_some() {
        return Err(format!("a question's schema has more than {PROPERTIES} properties"));
    }
    for property in properties.members() {
        refers_to_nothing(property.value)?;
        if !is_flat(property.value) {
            return Err(format!("`{}` of a question's schema has no primitive type", property.key));
        }
    }
    schema.get("required").map_or(Ok(()), required)
}

fn required(names: Raw<'_>) -> Result<(), String> {
    if names.elements().nth(PROPERTIES).is_some() {
        return Err(format!("a question's schema requires more than {PROPERTIES} properties"));
    }
    let is_name = |name: Raw<'_>| name.kind() == Kind::String;
    if names.kind() == Kind::Array && names.elements().all(is_name) {
        Ok(())
    } else {
        Err("what a question's schema requires is no list of names".to_owned())
    }
}

fn kind(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    raw.get("type").and_then(Raw::string)
}

fn refers_to_nothing(raw: Raw<'_>) -> Result<(), String> {
    match raw.get("$ref") {
        Some(_) => Err("a question's schema has a `$ref`".to_owned()),
        None => Ok(()),
    }
}

/// A primitive, or several of a list of choices.
fn is_flat(property: Raw<'_>) -> bool {
    match kind(property).as_deref() {
        Some("string" | "number" | "integer" | "boolean") => true,
        Some("array") => property.get("items").is_some_and(is_choices),
        _ => false,
    }
}

/// Choices by value, or by value and title.
fn is_choices(items: Raw<'_>) -> bool {
    let is_text = |raw: Raw<'_>| raw.kind() == Kind::String;
    let is_const = |one: Raw<'_>| one.get("const").is_some_and(is_text);
    let kind = items.get("type");
    if kind.is_some_and(|kind| kind.string().as_deref() != Some("string")) {
        return false;
    }
    if items.get("$ref").is_some() {
        return false;
    }
    match (items.get("enum"), items.get("anyOf").or_else(|| items.get("oneOf"))) {
        (Some(choices), None) => choices.kind() == Kind::Array && choices.elements().all(is_text),
        (None, Some(choices)) => choices.kind() == Kind::Array && choices.elements().all(is_const),
        _ => false,
    }
}
