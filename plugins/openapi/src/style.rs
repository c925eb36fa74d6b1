//! Values as the text of a path, a query, a header or a cookie (OpenAPI's `style`).

use serde_json::Value;

use crate::operation::{Parameter, Style, Target};

/// Which characters are written as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Letters, digits and `-._~`.
    Strict,
    /// Those, and what is reserved in a URL.
    Reserved,
    /// Everything: headers know no escapes.
    None,
}

/// What a value looks like: one text, several, or several with names.
enum Shape {
    One(String),
    Many(Vec<String>),
    Named(Vec<(String, String)>),
}

/// The value of a path segment or header.
pub(crate) fn inline(parameter: &Parameter<'_>, value: &Value, escape: Escape) -> String {
    let name = parameter.name;
    let explode = parameter.explode;
    let shape = shape(parameter, value, escape);
    let (first, between, with_name) = match parameter.style {
        Style::Label => (".", if explode { "." } else { "," }, false),
        Style::Matrix => (";", if explode { ";" } else { "," }, true),
        _ => ("", ",", false),
    };
    let joined = match shape {
        Shape::One(text) if with_name => return format!(";{name}={text}"),
        Shape::One(text) => text,
        Shape::Many(all) if with_name && explode => {
            all.iter().map(|one| format!("{name}={one}")).collect::<Vec<_>>().join(between)
        }
        Shape::Many(all) => all.join(between),
        Shape::Named(all) if explode => {
            all.iter().map(|(key, one)| format!("{key}={one}")).collect::<Vec<_>>().join(between)
        }
        Shape::Named(all) => flat(&all).join(between),
    };
    if with_name && !explode { format!(";{name}={joined}") } else { format!("{first}{joined}") }
}

/// Names and values of a query or cookie.
pub(crate) fn pairs(parameter: &Parameter<'_>, value: &Value) -> Vec<(String, String)> {
    // A reserved `;` would begin another cookie.
    let reserved = parameter.allow_reserved && parameter.target == Target::Query;
    let escape = if reserved { Escape::Reserved } else { Escape::Strict };
    let name = escaped(parameter.name, Escape::Strict);
    let separator = match parameter.style {
        Style::SpaceDelimited => "%20",
        Style::PipeDelimited => "%7C",
        _ => ",",
    };
    match shape(parameter, value, escape) {
        Shape::One(text) => vec![(name, text)],
        Shape::Many(all) if parameter.explode => {
            all.into_iter().map(|one| (name.clone(), one)).collect()
        }
        Shape::Many(all) => vec![(name, all.join(separator))],
        Shape::Named(all) if parameter.style == Style::DeepObject => {
            all.into_iter().map(|(key, one)| (format!("{name}%5B{key}%5D"), one)).collect()
        }
        Shape::Named(all) if parameter.explode => all,
        Shape::Named(all) => vec![(name, flat(&all).join(separator))],
    }
}

fn flat(named: &[(String, String)]) -> Vec<&str> {
    named.iter().flat_map(|(key, one)| [key.as_str(), one.as_str()]).collect()
}

fn shape(parameter: &Parameter<'_>, value: &Value, escape: Escape) -> Shape {
    let text = |value: &Value| escaped(&plain(value), escape);
    match value {
        _ if parameter.style == Style::Json => Shape::One(escaped(&value.to_string(), escape)),
        Value::Array(all) => Shape::Many(all.iter().map(text).collect()),
        Value::Object(all) => {
            Shape::Named(all.iter().map(|(key, one)| (escaped(key, escape), text(one))).collect())
        }
        one => Shape::One(text(one)),
    }
}

/// A value as text; what is nested stays JSON.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Percent-encoded as asked for.
pub(crate) fn escaped(text: &str, escape: Escape) -> String {
    if escape == Escape::None {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        // `#` would end the query.
        let reserved = escape == Escape::Reserved && b":/?@!$'()*,;[]".contains(&byte);
        if unreserved || reserved {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
