//! Values by path: `query`, `filter.limit`, `paths[]`, `rows[].url`, `*`.

use serde_json::Value;

/// Every value that `path` names. A member is given by its name or, as `*`, all of them; `[]`
/// stands for each element of an array. Where an element is asked of what is no array, the
/// value itself is named, so that another type does not slip past the check.
pub(crate) fn select<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    let mut found = vec![value];
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        let depth = (part.len() - name.len()) / 2;
        if !name.is_empty() {
            found = found.into_iter().flat_map(|value| members(value, name)).collect();
        }
        for _ in 0..depth {
            found = found.into_iter().flat_map(elements).collect();
        }
    }
    found
}

fn members<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    match value {
        Value::Object(members) if name == "*" => members.values().collect(),
        Value::Object(members) => members.get(name).into_iter().collect(),
        Value::Array(elements) if name == "*" => elements.iter().collect(),
        _ => Vec::new(),
    }
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        other => vec![other],
    }
}
