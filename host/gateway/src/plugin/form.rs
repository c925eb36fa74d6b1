//! The flat schemas of MCP's form elicitation, and whether what was filled in fits one.
//!
//! Only what the protocol knows there is looked at, and nothing is compiled: a pattern that a
//! guest thought up must not cost the host time.

use std::{borrow::Cow, collections::BTreeMap};

use tidegate_model::Json;
use tidegate_wire::json::{Kind, Raw};

/// Whether an object of answers fits a flat schema; if not, what is wrong, by name.
pub(super) fn check(schema: &Json, content: &Json) -> Result<(), String> {
    let schema = Raw::from(schema);
    // Each is walked once: both may be long.
    let content = by_name(Raw::from(content));
    let properties = schema.get("properties").map(by_name).unwrap_or_default();
    for name in schema.get("required").into_iter().flat_map(Raw::elements) {
        let name = name.string().unwrap_or_default();
        if !content.contains_key(&name) {
            return Err(format!("`{name}` is missing"));
        }
    }
    for (name, filled) in &content {
        match properties.get(name) {
            Some(property) => value(*property, *filled).map_err(|why| format!("`{name}` {why}"))?,
            None => return Err(format!("`{name}` was not asked for")),
        }
    }
    Ok(())
}

/// The members of an object.
fn by_name(object: Raw<'_>) -> BTreeMap<Cow<'_, str>, Raw<'_>> {
    object.members().map(|member| (member.key, member.value)).collect()
}

fn value(schema: Raw<'_>, value: Raw<'_>) -> Result<(), String> {
    let kind = schema.get("type").and_then(Raw::string).unwrap_or_default();
    match (&*kind, value.kind()) {
        ("string", Kind::String) => text(schema, value),
        ("boolean", Kind::Bool) => Ok(()),
        ("number", Kind::Number) => range(schema, value),
        ("integer", Kind::Number) if is_whole(value) => range(schema, value),
        ("array", Kind::Array) => several(schema, value),
        (kind, _) => Err(format!("is of another type than `{kind}`")),
    }
}

fn text(schema: Raw<'_>, value: Raw<'_>) -> Result<(), String> {
    let value = value.string().unwrap_or_default();
    if !is_choice(schema, &value) {
        return Err("is none of the choices".to_owned());
    }
    let length = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
    let bound = |name| schema.get(name).and_then(Raw::integer);
    if bound("minLength").is_some_and(|least| length < least) {
        return Err("is too short".to_owned());
    }
    if bound("maxLength").is_some_and(|most| length > most) {
        return Err("is too long".to_owned());
    }
    Ok(())
}

/// Whether a text is one of the choices of `enum`, `oneOf` or `anyOf`, where there are any.
fn is_choice(schema: Raw<'_>, value: &str) -> bool {
    let is = |raw: Raw<'_>| raw.string().is_some_and(|text| text == value);
    if let Some(choices) = schema.get("enum") {
        return choices.elements().any(is);
    }
    match schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        Some(choices) => choices.elements().any(|one| one.get("const").is_some_and(is)),
        None => true,
    }
}

fn number(raw: Raw<'_>) -> Option<f64> {
    raw.read::<f64>().ok()
}

fn is_whole(value: Raw<'_>) -> bool {
    number(value).is_some_and(|number| number.fract() == 0.0)
}

fn range(schema: Raw<'_>, value: Raw<'_>) -> Result<(), String> {
    let Some(value) = number(value) else { return Err("is no number".to_owned()) };
    let bound = |name| schema.get(name).and_then(number);
    if bound("minimum").is_some_and(|least| value < least) {
        return Err("is too small".to_owned());
    }
    if bound("maximum").is_some_and(|most| value > most) {
        return Err("is too large".to_owned());
    }
    Ok(())
}

fn several(schema: Raw<'_>, value: Raw<'_>) -> Result<(), String> {
    let items = schema.get("items").unwrap_or(Raw::EMPTY_OBJECT);
    let mut count = 0;
    for one in value.elements() {
        count += 1;
        let fits = one.string().is_some_and(|text| is_choice(items, &text));
        if !fits {
            return Err("holds what is none of the choices".to_owned());
        }
    }
    let bound = |name| schema.get(name).and_then(Raw::integer);
    if bound("minItems").is_some_and(|least| count < least) {
        return Err("holds too few".to_owned());
    }
    if bound("maxItems").is_some_and(|most| count > most) {
        return Err("holds too many".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_and_fits_is_taken() {
        let schema = r#"{"type":"object","required":["name"],"properties":{
            "name":{"type":"string","minLength":2,"maxLength":4},
            "why":{"type":"string","enum":["a","b"]},
            "how":{"type":"string","oneOf":[{"const":"x","title":"X"}]},
            "n":{"type":"integer","minimum":1,"maximum":9},
            "f":{"type":"number"},
            "yes":{"type":"boolean"},
            "many":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"string","enum":["p","q","r"]}}}}"#;
        let schema = Json::parse(schema.to_owned()).unwrap();
        for (content, fits) in [
            (r#"{"name":"ab"}"#, true),
            (
                r#"{"name":"äöüß","why":"a","how":"x","n":9,"f":-1.5e3,"yes":true,"many":["p","r"]}"#,
                true,
            ),
            (r#"{"name":"ab","n":2.0}"#, true),
            (r#"{}"#, false),
            (r#"{"name":"a"}"#, false),
            (r#"{"name":"abcde"}"#, false),
            (r#"{"name":1}"#, false),
            (r#"{"name":null}"#, false),
            (r#"{"name":"ab","why":"c"}"#, false),
            (r#"{"name":"ab","how":"y"}"#, false),
            (r#"{"name":"ab","n":0}"#, false),
            (r#"{"name":"ab","n":1.5}"#, false),
            (r#"{"name":"ab","n":10}"#, false),
            (r#"{"name":"ab","yes":"true"}"#, false),
            (r#"{"name":"ab","many":[]}"#, false),
            (r#"{"name":"ab","many":["p","q","r"]}"#, false),
            (r#"{"name":"ab","many":["z"]}"#, false),
            (r#"{"name":"ab","many":[{"p":1}]}"#, false),
            (r#"{"name":"ab","other":1}"#, false),
            (r#"{"name":{"deep":1}}"#, false),
        ] {
            let content = Json::parse(content.to_owned()).unwrap();
            assert_eq!(check(&schema, &content).is_ok(), fits, "{}", content.as_str());
        }
    }
}
