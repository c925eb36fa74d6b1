//! Edits as a catalogue gets them.

use serde_json::{Value, json};

use super::*;

const SEARCH: &str = r#"{"name":"search","description":"Finds.","inputSchema":{"type":"object",
    "properties":{"query":{"type":"string","maxLength":100},"limit":{"type":"integer","maximum":50},
        "region":{"type":"string","enum":["eu","us","asia"]},"debug":{"type":"boolean"},
        "any":true,"other":{"$ref":"other.json"},"rate":{"type":["number","null"]}},
    "required":["query"],"additionalProperties":false}}"#;

fn edits(config: &Value, tools: &[&str]) -> Result<Vec<Edit>, String> {
    let scope = Scope { org: "default".into(), vmcp: "sales".into(), connector: "crm".into() };
    let tools: Vec<String> = tools
        .iter()
        .map(|tool| {
            if tool.starts_with('{') {
                (*tool).to_owned()
            } else {
                json!({ "name": tool }).to_string()
            }
        })
        .collect();
    Retool::configure(&config.to_string())?.edits(&scope, &tools)
}

/// The one edit of `search`.
fn edit(change: Value) -> Result<Edit, String> {
    let mut edits = edits(&json!({ "tools": { "search": change } }), &[SEARCH])?;
    assert_eq!(edits.len(), 1);
    Ok(edits.remove(0))
}

#[test]
fn edits_only_the_tools_that_are_there() {
    let config = json!({ "tools": {
        "search": { "name": "find", "hide": false, "defaults": { "limit": 10 }, "lock": { "region": "eu" } },
        "purge": { "hide": true },
        "elsewhere": { "hide": true } } });
    let edits = edits(&config, &["search", "purge", "other"]).unwrap();
    let names: Vec<_> = edits.iter().map(|edit| edit.tool.as_str()).collect();
    assert_eq!(names, ["search", "purge"]);
    assert_eq!(edits[0].name.as_deref(), Some("find"));
    assert_eq!(edits[0].defaults, [("limit".to_owned(), "10".to_owned())]);
    assert_eq!(edits[0].locked, [("region".to_owned(), "\"eu\"".to_owned())]);
    assert!(edits[1].hidden);
}

#[test]
fn patterns_go_before_names_and_names_win() {
    let config = json!({ "tools": {
        "*": { "hide": true, "description_suffix": " (CRM)" },
        "get_*": { "name_prefix": "crm_" },
        "get_one": { "hide": false, "description": "Gets one." } } });
    let edits = edits(&config, &["get_one", "get_all", "put"]).unwrap();
    let said: Vec<_> = edits
        .iter()
        .map(|edit| (edit.hidden, edit.name.as_deref(), edit.description.as_deref()))
        .collect();
    let expected = [
        (false, Some("crm_get_one"), Some("Gets one. (CRM)")),
        (true, None, None),
        (true, None, None),
    ];
    assert_eq!(said, expected);
}

#[test]
fn descriptions_are_replaced_or_framed() {
    let table = [
        (json!({ "description": "New." }), Some("New.")),
        (json!({ "description_prefix": "EU: " }), Some("EU: Finds.")),
        (json!({ "description": "", "description_suffix": "x" }), Some("x")),
        (json!({ "title": "Search" }), None),
    ];
    for (change, expected) in table {
        assert_eq!(edit(change.clone()).unwrap().description.as_deref(), expected, "{change}");
    }
}

#[test]
fn arguments_are_narrowed() {
    let table = [
        ("query", json!({ "max_length": 20 }), "/properties/query/maxLength", json!(20)),
        ("query", json!({ "min_length": 3 }), "/properties/query/minLength", json!(3)),
        ("query", json!({ "pattern": "^a" }), "/properties/query/pattern", json!("^a")),
        ("limit", json!({ "max": 10, "min": 1 }), "/properties/limit/maximum", json!(10)),
        ("rate", json!({ "max": 0.5 }), "/properties/rate/maximum", json!(0.5)),
        ("region", json!({ "one_of": ["eu"] }), "/properties/region/enum", json!(["eu"])),
        ("any", json!({ "one_of": [1, "a"] }), "/properties/any/enum", json!([1, "a"])),
        ("limit", json!({ "required": true }), "/required", json!(["query", "limit"])),
        ("query", json!({ "required": true }), "/required", json!(["query"])),
    ];
    for (name, narrowing, pointer, expected) in table {
        let edit = edit(json!({ "narrow": { name: narrowing } })).unwrap();
        let schema: Value = serde_json::from_str(&edit.input_schema.unwrap()).unwrap();
        assert_eq!(schema.pointer(pointer), Some(&expected), "{name} {schema}");
    }
    let edit = edit(json!({ "narrow": { "debug": { "drop": true } } })).unwrap();
    let schema: Value = serde_json::from_str(&edit.input_schema.unwrap()).unwrap();
    assert_eq!(schema.pointer("/properties/debug"), None);
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn what_does_not_fit_is_named() {
    let table = [
        (json!({ "defaults": { "gone": 1 } }), ["`search`", "`gone`", "`defaults`"]),
        (json!({ "lock": { "gone": 1 } }), ["`search`", "`gone`", "`lock`"]),
        (json!({ "narrow": { "gone": { "max": 1 } } }), ["`search`", "`gone`", "any more"]),
        (
            json!({ "lock": { "limit": 1 }, "defaults": { "limit": 2 } }),
            ["`limit`", "lock", "defaults"],
        ),
        (
            json!({ "lock": { "limit": 1 }, "narrow": { "limit": {} } }),
            ["`limit`", "lock", "narrow"],
        ),
        (
            json!({ "defaults": { "debug": true }, "narrow": { "debug": { "drop": true } } }),
            ["`debug`", "dropped", "default"],
        ),
        (json!({ "narrow": { "query": { "drop": true } } }), ["`query`", "required", "`lock`"]),
        (json!({ "narrow": { "query": { "max_length": 200 } } }), ["`query`", "maxLength", "100"]),
        (json!({ "narrow": { "limit": { "max": 51 } } }), ["`limit`", "maximum", "50"]),
        (json!({ "narrow": { "limit": { "max_length": 5 } } }), ["`limit`", "is no string", ""]),
        (
            json!({ "narrow": { "region": { "one_of": ["mars"] } } }),
            ["`region`", "mars", "any more"],
        ),
        (json!({ "narrow": { "debug": { "one_of": ["x"] } } }), ["`debug`", "string", ""]),
        (json!({ "narrow": { "other": { "one_of": [1] } } }), ["`other`", "elsewhere", ""]),
        (json!({ "name": "find it" }), ["`search`", "`find it`", "no name"]),
        (json!({ "rename": "b" }), ["rename", "", ""]),
    ];
    for (change, says) in table {
        let error = edit(change.clone()).unwrap_err();
        assert!(says.iter().all(|part| error.contains(part)), "{change}: {error}");
    }
}

#[test]
fn conflicts_between_tools_are_errors() {
    let table = [
        (json!({ "tools": { "a": { "name": "b" } } }), ["`a`", "`b`"]),
        (json!({ "tools": { "*": { "name": "x" } } }), ["`a`", "`x`"]),
        (
            json!({ "tools": { "a*": { "title": "1" }, "*": { "title": "2" } } }),
            ["`title`", "`a*`"],
        ),
        (
            json!({ "tools": { "a*": { "lock": { "x": 1 } }, "*": { "lock": { "x": 2 } } } }),
            ["`lock`", "`a`"],
        ),
        (json!({ "tools": { "gone": {} }, "strict": true }), ["`gone`", "strict"]),
        (json!({ "tools": { "gone_*": {} }, "strict": true }), ["`gone_*`", "strict"]),
    ];
    for (config, says) in table {
        let error = edits(&config, &["a", "b"]).unwrap_err();
        assert!(says.iter().all(|part| error.contains(part)), "{config}: {error}");
    }
    // The name of a hidden tool is free.
    let config = json!({ "tools": { "a": { "name": "b" }, "b": { "hide": true } } });
    assert_eq!(edits(&config, &["a", "b"]).unwrap().len(), 2);
}

#[test]
fn the_cases_hold() {
    cases::customizer::<Retool>(env!("CARGO_MANIFEST_DIR"));
}
