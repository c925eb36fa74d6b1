//! WASI is there, so that ordinary components load, and gives nothing.

use serde_json::Value;

use super::*;
use crate::{Capability, GuestConnector};

async fn greedy(grants: Grants) -> GuestConnector {
    let component = load("wasi-sample").await;
    let config = json("{}");
    let limits = Limits::CONNECTOR;
    GuestConnector::new(&Binding { limits, grants, ..binding(&component, &config) }).unwrap()
}

async fn ask(connector: &GuestConnector, tool: &str, arguments: &str) -> Value {
    let result = connector.call(&context(tool), &json(arguments), None).await.unwrap();
    let result: Value = result.read().unwrap();
    result["structuredContent"]["result"].clone()
}

#[tokio::test]
async fn nothing_of_the_machine_is_seen() {
    let none = greedy(Grants::NONE).await;
    let table = [
        ("environment", "{}", "[]"),
        ("arguments", "{}", "[]"),
        ("directories", "{}", "0"),
        ("lookup", r#"{"name":"localhost"}"#, "false"),
        // Without the capability the clocks stand still.
        ("seconds", "{}", "0"),
        ("elapsed", "{}", "0"),
        ("print", r#"{"text":"to the log\nand on"}"#, "null"),
    ];
    for (tool, arguments, expected) in table {
        assert_eq!(ask(&none, tool, arguments).await.to_string(), expected, "{tool}");
    }
    let first = ask(&none, "random", "{}").await;
    assert_eq!(first.as_str().unwrap().len(), 12, "eight bytes in Base64");
    assert_eq!(ask(&none, "random", "{}").await, first, "without the capability it repeats");
}

#[tokio::test]
async fn clock_and_random_come_with_their_grants() {
    let granted = greedy([Capability::Clock, Capability::Random].into_iter().collect()).await;
    assert_eq!(ask(&granted, "seconds", "{}").await, 43_200);
    let first = ask(&granted, "random", "{}").await;
    assert_ne!(ask(&granted, "random", "{}").await, first);
    assert_eq!(ask(&granted, "environment", "{}").await, Value::Array(Vec::new()));
}
