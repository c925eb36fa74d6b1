//! The JSON Schema of a shape. Mirrors [`value`](super::value): what fits the schema of
//! arguments is accepted, what is written fits the schema of results.

use serde_json::{Map, Value, json};

use super::{
    number::{INFINITY, NAN, NEGATIVE_INFINITY},
    shape::{Shape, Width},
};

/// Which way the values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Arguments, which may be written in more than one way.
    In,
    /// Results, which are always written in the same.
    Out,
}

/// Canonical base64 with padding.
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

/// The schema of one shape.
pub(super) fn of(shape: &Shape, way: Way) -> Value {
    let inner = |shape: &Shape| of(shape, way);
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(width) => integer(*width, way),
        Shape::Float32 => number(json!(f32::MIN), json!(f32::MAX)),
        Shape::Float64 => number(json!(f64::MIN), json!(f64::MAX)),
        Shape::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Shape::String => json!({ "type": "string" }),
        Shape::Bytes => {
            json!({ "type": "string", "contentEncoding": "base64", "pattern": BASE64 })
        }
        Shape::List(item) => json!({ "type": "array", "items": inner(item) }),
        Shape::Record(members) => object(members, way),
        Shape::Tuple(items) => {
            let count = items.len();
            let items: Vec<_> = items.iter().map(inner).collect();
            json!({
                "type": "array", "prefixItems": items, "minItems": count, "maxItems": count,
            })
        }
        Shape::Variant(cases) => {
            let cases: Vec<_> = cases
                .iter()
                .map(|(name, payload)| match payload {
                    None => json!({ "const": name }),
                    Some(payload) => single(name, inner(payload)),
                })
                .collect();
            json!({ "oneOf": cases })
        }
        Shape::Enum(names) => json!({ "type": "string", "enum": names }),
        Shape::Option(some) => {
            let some = match **some {
                Shape::Option(_) => single("some", inner(some)),
                _ => inner(some),
            };
            json!({ "anyOf": [some, { "type": "null" }] })
        }
        Shape::Result(ok, error) => {
            let payload =
                |payload: &Option<Box<Shape>>| payload.as_deref().map_or_else(null, inner);
            json!({ "oneOf": [single("ok", payload(ok)), single("error", payload(error))] })
        }
        Shape::Flags(names) => json!({
            "type": "array", "uniqueItems": true, "items": { "type": "string", "enum": names },
        }),
    }
}

fn null() -> Value {
    json!({ "type": "null" })
}

/// Bounds count for numbers and the pattern for strings only; no number of so few digits is
/// out of range.
fn integer(width: Width, way: Way) -> Value {
    let (least, most) = width.range();
    let bound = |number: i128| match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) => json!(number),
        _ => Value::Null,
    };
    let (least_bound, most_bound) = (bound(least), bound(most));
    if way == Way::Out || !width.is_long() {
        return json!({ "type": "integer", "minimum": least_bound, "maximum": most_bound });
    }
    let digits = if least < 0 { "^-?[0-9]{1,18}$" } else { "^[0-9]{1,19}$" };
    json!({
        "type": ["integer", "string"], "minimum": least_bound, "maximum": most_bound,
        "pattern": digits,
    })
}

fn number(least: Value, most: Value) -> Value {
    json!({ "anyOf": [
        { "type": "number", "minimum": least, "maximum": most },
        { "enum": [NAN, INFINITY, NEGATIVE_INFINITY] },
    ]})
}

/// An object with exactly these members; options may be left out of arguments.
pub(super) fn object(members: &[(String, Shape)], way: Way) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, shape) in members {
        if way == Way::Out || !matches!(shape, Shape::Option(_)) {
            required.push(name.as_str());
        }
        properties.insert(name.clone(), of(shape, way));
    }
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn single(name: &str, payload: Value) -> Value {
    let mut properties = Map::new();
    properties.insert(name.to_owned(), payload);
    json!({
        "type": "object", "properties": properties, "required": [name],
        "additionalProperties": false,
    })
}
