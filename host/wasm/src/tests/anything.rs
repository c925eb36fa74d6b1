//! Components that know nothing of Tidegate.

use serde_json::{Value, json as value};

use super::*;
use crate::{CallError, GuestConnector};

async fn sample() -> GuestConnector {
    let component = load("any-sample").await;
    assert_eq!(component.version(), "none");
    assert_eq!(component.config_schema(), None);
    let config = json("{}");
    let limits = Limits::CONNECTOR;
    GuestConnector::new(&Binding { limits, grants: Grants::NONE, ..binding(&component, &config) })
        .unwrap()
}

async fn tools(connector: &GuestConnector) -> Vec<Value> {
    let tools = connector.list(ListKind::Tools).await.unwrap();
    tools.iter().map(|tool| tool.read().unwrap()).collect()
}

fn everything() -> Value {
    value!({ "value": {
        "flag": true, "small": -8, "large": 18_446_744_073_709_551_615_u64, "ratio": 0.5,
        "letter": "ß", "names": ["a", ""], "pair": [7, "x"], "color": "green",
        "access": ["write"], "shape": { "square": 4 }, "maybe": null, "outcome": { "error": "no" },
    }})
}

#[tokio::test]
async fn functions_become_tools_with_schemas() {
    let connector = sample().await;
    let tools = tools(&connector).await;
    let mut names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    // `open` gives a resource, which has no JSON; the second `slug` is told by its interface.
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"echo") && names.contains(&"divide") && names.contains(&"slug"));
    assert!(!names.contains(&"open"));
    for tool in &tools {
        assert!(jsonschema::validator_for(&tool["inputSchema"]).is_ok(), "{tool}");
    }
    let echo = tools.iter().find(|tool| tool["name"] == "echo").unwrap();
    let schema = jsonschema::validator_for(&echo["inputSchema"]).unwrap();
    assert!(schema.is_valid(&everything()), "{echo}");
    let mut wrong = everything();
    wrong["value"]["small"] = value!(128);
    assert!(!schema.is_valid(&wrong));
    let divide = tools.iter().find(|tool| tool["name"] == "divide").unwrap();
    assert_eq!(divide["inputSchema"]["required"], value!(["a", "b"]));
}

#[tokio::test]
async fn values_cross_both_ways_without_loss() {
    let connector = sample().await;
    let schema = {
        let tools = tools(&connector).await;
        let echo = tools.iter().find(|tool| tool["name"] == "echo").unwrap();
        jsonschema::validator_for(&echo["outputSchema"]).unwrap()
    };
    for (member, variation) in [
        ("flag", value!(false)),
        ("shape", value!("none")),
        ("shape", value!({ "circle": 1.5 })),
        ("maybe", value!(65_535)),
        ("outcome", value!({ "ok": 255 })),
        ("access", value!([])),
        ("large", value!(0)),
    ] {
        let mut arguments = everything();
        arguments["value"][member] = variation;
        let given = Json::of(&arguments).unwrap();
        let result = connector.call(&context("echo"), &given, None).await.unwrap();
        let result: Value = result.read().unwrap();
        assert_eq!(result["structuredContent"]["result"], arguments["value"], "{member}");
        assert!(schema.is_valid(&result["structuredContent"]), "{result}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_told_by_their_place() {
    let connector = sample().await;
    let table = [
        ("small", value!(128), "`value` at `small` must be an integer that fits its type"),
        ("letter", value!("ab"), "must be one character"),
        ("color", value!("blue"), "`blue` is none of its values"),
        ("shape", value!({ "oval": 1 }), "`oval` is none of its cases"),
        ("pair", value!([1]), "must be an array of 2"),
        ("names", value!(["a", 1]), "at `names` at `1` must be a string"),
        ("extra", value!(1), "has no member `extra`"),
        ("outcome", value!({ "maybe": 1 }), "must be `ok` or `error`"),
    ];
    for (member, wrong, part) in table {
        let mut arguments = everything();
        arguments["value"][member] = wrong;
        let given = Json::of(&arguments).unwrap();
        let error = connector.call(&context("echo"), &given, None).await.unwrap_err();
        assert!(
            matches!(&error, CallError::InvalidArguments(text) if text.contains(part)),
            "{error}"
        );
    }
    let error = connector.call(&context("slug"), &json(r#"{"texts":"a"}"#), None).await;
    assert!(matches!(error, Err(CallError::InvalidArguments(_))), "{error:?}");
}

#[tokio::test]
async fn results_errors_and_silence_are_answers() {
    let connector = sample().await;
    let table = [
        ("slug", r#"{"text":"A b!"}"#, "a-b-", false),
        ("slug", r#"{"text":"A b!","max":1}"#, "a", false),
        ("divide", r#"{"a":7,"b":2}"#, "3", false),
        ("divide", r#"{"a":7,"b":0}"#, "7 cannot be divided by 0", true),
        ("forget", "{}", "done", false),
    ];
    for (tool, arguments, text, failed) in table {
        let result = connector.call(&context(tool), &json(arguments), None).await.unwrap();
        let result: Value = result.read().unwrap();
        assert_eq!(result["content"][0]["text"], text, "{tool} {arguments}");
        assert_eq!(result["isError"] == true, failed, "{tool} {arguments}");
    }
    let error = connector.call(&context("nothing"), &json("{}"), None).await.unwrap_err();
    assert!(matches!(error, CallError::Unknown), "{error}");
}
