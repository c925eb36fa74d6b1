//! The JSON Schema of a WIT type. Mirrors [`value`](super::value): what fits the one is
//! accepted by the other.

use serde_json::{Map, Value, json};
use wasmtime::component::types::Type;

/// The schema of one type, or why it has none.
pub(super) fn of(ty: &Type) -> Result<Value, String> {
    Ok(match ty {
        Type::Bool => json!({ "type": "boolean" }),
        Type::S8 => range(i8::MIN, i8::MAX),
        Type::U8 => range(u8::MIN, u8::MAX),
        Type::S16 => range(i16::MIN, i16::MAX),
        Type::U16 => range(u16::MIN, u16::MAX),
        Type::S32 => range(i32::MIN, i32::MAX),
        Type::U32 => range(u32::MIN, u32::MAX),
        Type::S64 => range(i64::MIN, i64::MAX),
        Type::U64 => range(u64::MIN, u64::MAX),
        Type::Float32 | Type::Float64 => json!({ "type": "number" }),
        Type::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Type::String => json!({ "type": "string" }),
        Type::List(list) => json!({ "type": "array", "items": of(&list.ty())? }),
        Type::Record(record) => object(record.fields().map(|field| (field.name, field.ty)))?,
        Type::Tuple(tuple) => {
            let items = tuple.types().map(|ty| of(&ty)).collect::<Result<Vec<_>, _>>()?;
            let count = items.len();
            json!({ "type": "array", "prefixItems": items, "minItems": count, "maxItems": count })
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| one_case(case.name, case.ty.as_ref()));
            json!({ "oneOf": cases.collect::<Result<Vec<_>, _>>()? })
        }
        Type::Enum(names) => json!({ "enum": names.names().collect::<Vec<_>>() }),
        Type::Option(option) => match option.ty() {
            Type::Option(_) => return Err("an option within an option has no json".into()),
            inner => json!({ "anyOf": [of(&inner)?, { "type": "null" }] }),
        },
        Type::Result(result) => json!({
            "oneOf": [
                single("ok", result.ok().as_ref())?,
                single("error", result.err().as_ref())?,
            ]
        }),
        Type::Flags(flags) => json!({
            "type": "array", "uniqueItems": true,
            "items": { "enum": flags.names().collect::<Vec<_>>() },
        }),
        Type::Own(_) | Type::Borrow(_) => return Err("a resource has no json".into()),
        _ => return Err("it uses a type that has no json".into()),
    })
}

fn range(least: impl Into<serde_json::Number>, most: impl Into<serde_json::Number>) -> Value {
    json!({ "type": "integer", "minimum": least.into(), "maximum": most.into() })
}

/// An object with exactly these members; options may be left out.
pub(super) fn object<'a>(members: impl Iterator<Item = (&'a str, Type)>) -> Result<Value, String> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, ty) in members {
        if !matches!(ty, Type::Option(_)) {
            required.push(name);
        }
        properties.insert(name.to_owned(), of(&ty)?);
    }
    Ok(json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    }))
}

/// A case without a payload is its name, with one an object of one member.
fn one_case(name: &str, payload: Option<&Type>) -> Result<Value, String> {
    match payload {
        None => Ok(json!({ "const": name })),
        payload => single(name, payload),
    }
}

fn single(name: &str, payload: Option<&Type>) -> Result<Value, String> {
    let payload = payload.map_or_else(|| Ok(json!({ "type": "null" })), of)?;
    let mut properties = Map::new();
    properties.insert(name.to_owned(), payload);
    Ok(json!({
        "type": "object", "properties": properties, "required": [name],
        "additionalProperties": false,
    }))
}
