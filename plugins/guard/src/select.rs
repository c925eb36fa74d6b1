//! Values by path: `query`, `filter.limit`, `paths[]`, `rows[].url`, `*`.

use serde_json::Value;

/// Every value that `path` names; none where a member on the way is missing or null.
///
/// A member is given by its name or, as `*`, all of them; `[]` stands for each element of a
/// list, and where there is no list, for the value itself. A member of what has no members is
/// an error that ends a sentence: another shape must not slip past a check.
pub(crate) fn select<'v>(value: &'v Value, path: &str) -> Result<Vec<&'v Value>, String> {
    let mut found = vec![value];
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        let depth = (part.len() - name.len()) / 2;
        if !name.is_empty() {
            let mut next = Vec::new();
            for value in found {
                members(value, name, &mut next)?;
            }
            found = next;
        }
        for _ in 0..depth {
            found = found.into_iter().flat_map(elements).collect();
        }
    }
    Ok(found)
}

fn members<'v>(value: &'v Value, name: &str, to: &mut Vec<&'v Value>) -> Result<(), String> {
    match value {
        Value::Object(members) if name == "*" => to.extend(members.values()),
        Value::Object(members) => to.extend(members.get(name)),
        Value::Null => {}
        _ => return Err(format!("cannot be judged: there is no object that could hold `{name}`")),
    }
    Ok(())
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        other => vec![other],
    }
}
