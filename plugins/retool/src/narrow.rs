//! Input schemas that take less than before.
//!
//! Adds bounds to arguments, and never loosens one: a bound that is wider than the tool's own
//! is an error. The host checks on top that nothing but narrowing happened.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Number, Value};

/// How one argument is narrowed.
#[derive(Deserialize, Default, Clone, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Narrowing {
    /// Only these values.
    one_of: Option<Vec<Value>>,
    min: Option<Number>,
    max: Option<Number>,
    min_length: Option<Number>,
    max_length: Option<Number>,
    max_items: Option<Number>,
    /// A regular expression.
    pattern: Option<String>,
    /// It has to be there.
    required: bool,
    /// It is there no longer.
    drop: bool,
}

/// Whether a bound holds from above or from below.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Least,
    Most,
}

impl Narrowing {
    pub(crate) fn drops(&self) -> bool {
        self.drop
    }

    /// The narrowed schema, or nothing where nothing is to be narrowed; an error names the
    /// argument.
    pub(crate) fn all(
        narrowings: &BTreeMap<String, Self>,
        schema: &Value,
    ) -> Result<Option<Value>, String> {
        if narrowings.is_empty() {
            return Ok(None);
        }
        let mut schema = schema.as_object().cloned().ok_or("it has no input schema to narrow")?;
        for (name, narrowing) in narrowings {
            narrowing
                .apply(name, &mut schema)
                .map_err(|text| format!("argument `{name}` {text}, see `narrow`"))?;
        }
        Ok(Some(Value::Object(schema)))
    }

    fn apply(&self, name: &str, schema: &mut Map<String, Value>) -> Result<(), String> {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        let property = properties
            .and_then(|properties| properties.get_mut(name))
            .ok_or("is not there (any more)")?;
        if self.drop {
            if is_required {
                return Err("cannot be dropped, it is required; `lock` gives it a value".to_owned());
            }
            if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                properties.remove(name);
            }
            // Else it could still be sent.
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
            return Ok(());
        }
        if *property == Value::Bool(true) {
            *property = Value::Object(Map::new());
        }
        let property = property.as_object_mut().ok_or("takes no value at all")?;
        if property.contains_key("$ref") {
            return Err("cannot be narrowed, its schema stands elsewhere".to_owned());
        }
        self.bound(property)?;
        if self.required && !is_required {
            let names = schema.entry("required").or_insert_with(|| Value::Array(Vec::new()));
            names.as_array_mut().ok_or("cannot be made required")?.push(name.into());
        }
        Ok(())
    }

    fn bound(&self, property: &mut Map<String, Value>) -> Result<(), String> {
        if let Some(values) = &self.one_of {
            choose(property, values)?;
        }
        let bounds = [
            (&self.min, "minimum", ["number", "integer"].as_slice(), Side::Least),
            (&self.max, "maximum", &["number", "integer"], Side::Most),
            (&self.min_length, "minLength", &["string"], Side::Least),
            (&self.max_length, "maxLength", &["string"], Side::Most),
            (&self.max_items, "maxItems", &["array"], Side::Most),
        ];
        for (bound, keyword, types, side) in bounds {
            if let Some(bound) = bound {
                is_one_of(property, types)?;
                tighten(property, keyword, bound, side)?;
            }
        }
        if let Some(pattern) = &self.pattern {
            is_one_of(property, &["string"])?;
            if property.get("pattern").is_some_and(|known| known != pattern.as_str()) {
                return Err("has a pattern already".to_owned());
            }
            property.insert("pattern".to_owned(), pattern.as_str().into());
        }
        Ok(())
    }
}

fn choose(property: &mut Map<String, Value>, values: &[Value]) -> Result<(), String> {
    if let Some(known) = property.get("enum").and_then(Value::as_array)
        && let Some(value) = values.iter().find(|value| !known.contains(value))
    {
        return Err(format!("does not take {value} (any more)"));
    }
    for value in values {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let numbers = ["integer", "number"];
        let fits: &[&str] = if name == "integer" { &numbers } else { &[name] };
        is_one_of(property, fits).map_err(|_| format!("does not take {value}, which is {name}"))?;
    }
    property.insert("enum".to_owned(), values.into());
    Ok(())
}

/// Whether the argument may have one of these types; one without a type may.
fn is_one_of(property: &Map<String, Value>, types: &[&str]) -> Result<(), String> {
    let fits = match property.get("type") {
        None => true,
        Some(Value::String(own)) => types.contains(&own.as_str()),
        Some(Value::Array(own)) => own.iter().any(|own| types.iter().any(|one| own == one)),
        Some(_) => false,
    };
    if fits { Ok(()) } else { Err(format!("is no {}", types.join(" or "))) }
}

fn tighten(
    property: &mut Map<String, Value>,
    keyword: &str,
    bound: &Number,
    side: Side,
) -> Result<(), String> {
    if let Some(own) = property.get(keyword).and_then(Value::as_f64)
        && let Some(bound) = bound.as_f64()
        && (side == Side::Most && bound > own || side == Side::Least && bound < own)
    {
        return Err(format!("has a narrower `{keyword}` already: {own}"));
    }
    property.insert(keyword.to_owned(), Value::Number(bound.clone()));
    Ok(())
}
