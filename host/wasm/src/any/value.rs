//! Values between JSON and the component model, without loss in either direction, except
//! that JSON has no infinities: they become `null`.

use std::fmt::Display;

use serde_json::{Map, Value};
use wasmtime::component::{
    Val,
    types::{Type, Variant},
};

/// The value of a type; an error begins with the path below the argument.
pub(super) fn to_val(json: &Value, ty: &Type) -> Result<Val, String> {
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().ok_or_else(|| wanted("a boolean"))?),
        Type::S8 => Val::S8(integer(json)?),
        Type::U8 => Val::U8(integer(json)?),
        Type::S16 => Val::S16(integer(json)?),
        Type::U16 => Val::U16(integer(json)?),
        Type::S32 => Val::S32(integer(json)?),
        Type::U32 => Val::U32(integer(json)?),
        Type::S64 => Val::S64(integer(json)?),
        Type::U64 => Val::U64(integer(json)?),
        #[expect(clippy::cast_possible_truncation, reason = "the type has no more precision")]
        Type::Float32 => Val::Float32(number(json)? as f32),
        Type::Float64 => Val::Float64(number(json)?),
        Type::Char => Val::Char(character(json)?),
        Type::String => Val::String(text(json)?.to_owned()),
        Type::List(list) => Val::List(each(json, &list.ty())?),
        Type::Record(record) => {
            let given = json.as_object().ok_or_else(|| wanted("an object"))?;
            let mut fields = Vec::new();
            for field in record.fields() {
                let value = given.get(field.name).unwrap_or(&Value::Null);
                fields.push((field.name.to_owned(), below(field.name, value, &field.ty)?));
            }
            match given.keys().find(|key| !fields.iter().any(|(name, _)| name == *key)) {
                Some(key) => return Err(format!(" has no member `{key}`")),
                None => Val::Record(fields),
            }
        }
        Type::Tuple(tuple) => {
            let items = json.as_array().filter(|items| items.len() == tuple.types().len());
            let items =
                items.ok_or_else(|| wanted(&format!("an array of {}", tuple.types().len())))?;
            let values = items.iter().zip(tuple.types()).enumerate();
            let values = values.map(|(place, (item, ty))| below(place, item, &ty));
            Val::Tuple(values.collect::<Result<_, _>>()?)
        }
        Type::Variant(variant) => case(json, variant)?,
        Type::Enum(names) => Val::Enum(one_of(json, names.names())?),
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(to_val(json, &option.ty())?))),
        Type::Result(result) => match single(json)? {
            ("ok", value) => Val::Result(Ok(payload("ok", value, result.ok())?)),
            ("error", value) => Val::Result(Err(payload("error", value, result.err())?)),
            _ => return Err(wanted("`ok` or `error`")),
        },
        Type::Flags(flags) => {
            let items = json.as_array().ok_or_else(|| wanted("an array"))?;
            let names = items.iter().map(|item| one_of(item, flags.names()));
            Val::Flags(names.collect::<Result<_, _>>()?)
        }
        _ => return Err(" has a type that has no json".into()),
    })
}

fn wanted(what: &str) -> String {
    format!(" must be {what}")
}

fn below(place: impl Display, json: &Value, ty: &Type) -> Result<Val, String> {
    to_val(json, ty).map_err(|error| format!(" at `{place}`{error}"))
}

fn integer<T: TryFrom<i64> + TryFrom<u64>>(json: &Value) -> Result<T, String> {
    let fits = match (json.as_i64(), json.as_u64()) {
        (Some(number), _) => T::try_from(number).ok(),
        (None, Some(number)) => T::try_from(number).ok(),
        (None, None) => None,
    };
    fits.ok_or_else(|| wanted("an integer that fits its type"))
}

fn number(json: &Value) -> Result<f64, String> {
    json.as_f64().ok_or_else(|| wanted("a number"))
}

fn text(json: &Value) -> Result<&str, String> {
    json.as_str().ok_or_else(|| wanted("a string"))
}

fn character(json: &Value) -> Result<char, String> {
    let mut characters = text(json)?.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(wanted("one character")),
    }
}

fn each(json: &Value, ty: &Type) -> Result<Vec<Val>, String> {
    let items = json.as_array().ok_or_else(|| wanted("an array"))?;
    items.iter().enumerate().map(|(place, item)| below(place, item, ty)).collect()
}

fn one_of<'a>(json: &Value, mut names: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let given = text(json)?;
    names
        .find(|name| *name == given)
        .map(str::to_owned)
        .ok_or_else(|| format!(": `{given}` is none of its values"))
}

fn single(json: &Value) -> Result<(&str, &Value), String> {
    let members = json.as_object().filter(|members| members.len() == 1);
    members
        .and_then(|members| members.iter().next())
        .map(|(name, value)| (name.as_str(), value))
        .ok_or_else(|| wanted("an object of one member"))
}

fn payload(name: &str, json: &Value, ty: Option<Type>) -> Result<Option<Box<Val>>, String> {
    ty.map(|ty| below(name, json, &ty).map(Box::new)).transpose()
}

fn case(json: &Value, variant: &Variant) -> Result<Val, String> {
    let (name, value) = match json {
        Value::String(name) => (name.as_str(), None),
        other => single(other).map(|(name, value)| (name, Some(value)))?,
    };
    let case = variant
        .cases()
        .find(|case| case.name == name && case.ty.is_some() == value.is_some())
        .ok_or_else(|| format!(": `{name}` is none of its cases"))?;
    let inner = match (value, &case.ty) {
        (Some(value), Some(ty)) => Some(Box::new(below(name, value, ty)?)),
        _ => None,
    };
    Ok(Val::Variant(name.to_owned(), inner))
}

/// The JSON of a value.
pub(super) fn to_json(value: &Val) -> Value {
    match value {
        Val::Bool(value) => (*value).into(),
        Val::S8(value) => (*value).into(),
        Val::U8(value) => (*value).into(),
        Val::S16(value) => (*value).into(),
        Val::U16(value) => (*value).into(),
        Val::S32(value) => (*value).into(),
        Val::U32(value) => (*value).into(),
        Val::S64(value) => (*value).into(),
        Val::U64(value) => (*value).into(),
        Val::Float32(value) => (*value).into(),
        Val::Float64(value) => (*value).into(),
        Val::Char(value) => value.to_string().into(),
        Val::String(value) => value.as_str().into(),
        Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => {
            items.iter().map(to_json).collect()
        }
        Val::Record(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
        }
        Val::Variant(name, None) | Val::Enum(name) => name.as_str().into(),
        Val::Variant(name, Some(payload)) => member(name, Some(payload)),
        Val::Option(value) => value.as_deref().map_or(Value::Null, to_json),
        Val::Result(Ok(value)) => member("ok", value.as_deref()),
        Val::Result(Err(value)) => member("error", value.as_deref()),
        Val::Flags(names) => names.iter().map(String::as_str).collect(),
        // Functions with such types were left out when the component was read.
        Val::Map(_) | Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => {
            Value::Null
        }
    }
}

fn member(name: &str, payload: Option<&Val>) -> Value {
    let mut object = Map::new();
    object.insert(name.to_owned(), payload.map_or(Value::Null, to_json));
    Value::Object(object)
}
