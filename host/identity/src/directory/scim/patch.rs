//! A patch (RFC 7644, section 3.5.2), as the big directories send it: `op` in any case, values
//! with and without a path, names with dots and brackets as keys.

use serde_json::{Map, Value};

use super::{error::ScimError, filter::Path};

/// Operations of one request at most.
const MOST: usize = 1_000;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Add,
    Replace,
    Remove,
}

/// One operation on one attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    pub(super) act: Act,
    pub(super) path: Path,
    pub(super) value: Value,
    /// The path was given as such: one that leads nowhere is an error.
    pub(super) is_named: bool,
}

/// A member of an object by its name in any case, as SCIM has it.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The operations of a request's body, in their order.
pub(super) fn operations(body: &Map<String, Value>) -> Result<Vec<Operation>, ScimError> {
    let Some(Value::Array(all)) = member(body, "Operations") else {
        return Err(ScimError::syntax("a patch has a list `Operations`"));
    };
    if all.len() > MOST {
        return Err(ScimError::too_many(format!("a patch has at most {MOST} operations")));
    }
    let mut read = Vec::with_capacity(all.len());
    for one in all {
        operation(one, &mut read)?;
    }
    Ok(read)
}

fn operation(one: &Value, read: &mut Vec<Operation>) -> Result<(), ScimError> {
    let object = one.as_object();
    let object = object.ok_or_else(|| ScimError::syntax("an operation is an object"))?;
    let act = match member(object, "op").and_then(Value::as_str) {
        Some(op) if op.eq_ignore_ascii_case("add") => Act::Add,
        Some(op) if op.eq_ignore_ascii_case("replace") => Act::Replace,
        Some(op) if op.eq_ignore_ascii_case("remove") => Act::Remove,
        _ => return Err(ScimError::syntax("`op` is `add`, `replace` or `remove`")),
    };
    let value = member(object, "value").cloned().unwrap_or_default();
    match (member(object, "path"), value) {
        (Some(Value::String(path)), value) => {
            let path = Path::parse(path)?;
            if act != Act::Remove && value.is_null() && member(object, "value").is_none() {
                return Err(ScimError::value("`add` and `replace` need a `value`"));
            }
            read.push(Operation { act, path, value, is_named: true });
        }
        (Some(Value::Null) | None, Value::Object(values)) if act != Act::Remove => {
            attributes(act, values, read);
        }
        (Some(Value::Null) | None, _) if act == Act::Remove => {
            let words = "`remove` needs a `path`";
            return Err(ScimError { kind: Some("noTarget"), ..ScimError::path(words) });
        }
        (Some(Value::Null) | None, _) => {
            return Err(ScimError::syntax("without a `path`, `value` is an object"));
        }
        (Some(_), _) => return Err(ScimError::path("`path` is a text")),
    }
    Ok(())
}

/// One operation for each attribute of an object. A name that is none is nothing we keep.
pub(super) fn attributes(act: Act, values: Map<String, Value>, read: &mut Vec<Operation>) {
    for (name, value) in values {
        if let Ok(path) = Path::parse(&name) {
            read.push(Operation { act, path, value, is_named: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Vec<Operation>, ScimError> {
        operations(body.as_object().unwrap())
    }

    #[test]
    fn every_dialect_comes_to_the_same() {
        let plain = read(json!({ "Operations": [
            { "op": "replace", "path": "active", "value": false },
        ] }));
        let plain = plain.unwrap();
        assert_eq!((plain[0].act, plain[0].path.attribute.as_str()), (Act::Replace, "active"));
        let other = read(json!({ "operations": [
            { "Op": "Replace", "value": { "active": false } },
        ] }));
        let other = other.unwrap();
        assert_eq!(
            (other[0].act, &other[0].path, &other[0].value),
            (plain[0].act, &plain[0].path, &plain[0].value)
        );
        let keyed = read(json!({ "Operations": [{ "op": "Add", "path": null, "value": {
            "name.givenName": "Ann",
            "emails[type eq \"work\"].value": "a@example.com",
            "not a name": 1,
        } }] }));
        let mut names: Vec<_> = keyed
            .unwrap()
            .iter()
            .map(|one| (one.path.attribute.clone(), one.path.sub.clone()))
            .collect();
        names.sort();
        let expected = [("emails", "value"), ("name", "givenname")];
        assert_eq!(names, expected.map(|(one, sub)| (one.to_owned(), Some(sub.to_owned()))));
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        let many: Vec<_> = (0..1_001).map(|_| json!({ "op": "remove", "path": "title" })).collect();
        for (body, kind) in [
            (json!({}), "invalidSyntax"),
            (json!({ "Operations": {} }), "invalidSyntax"),
            (json!({ "Operations": [1] }), "invalidSyntax"),
            (json!({ "Operations": [{ "path": "active", "value": true }] }), "invalidSyntax"),
            (json!({ "Operations": [{ "op": "move", "path": "a" }] }), "invalidSyntax"),
            (json!({ "Operations": [{ "op": "remove" }] }), "noTarget"),
            (json!({ "Operations": [{ "op": "remove", "value": {} }] }), "noTarget"),
            (json!({ "Operations": [{ "op": "add", "value": "x" }] }), "invalidSyntax"),
            (json!({ "Operations": [{ "op": "add", "path": "a" }] }), "invalidValue"),
            (json!({ "Operations": [{ "op": "add", "path": "a b", "value": 1 }] }), "invalidPath"),
            (json!({ "Operations": [{ "op": "add", "path": 1, "value": 1 }] }), "invalidPath"),
            (json!({ "Operations": many }), "tooMany"),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().kind, Some(kind), "{body}");
        }
    }
}
