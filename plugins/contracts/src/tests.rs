//! Every tool, as a caller sees it.

use serde_json::Value;

use super::*;

fn call(tool: &str, arguments: &str) -> Result<Value, Failure> {
    let context = Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "contracts".into(),
        target: tool.into(),
        trace_parent: None,
        method: "tools/call".into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
    };
    let connector = Contracts::configure("{}").unwrap();
    let result = connector.call(&context, arguments)?;
    Ok(serde_json::from_str(&result).unwrap())
}

#[test]
fn tools_answer() {
    let table = [
        (
            "search_contracts",
            r#"{"query":"cold chain"}"#,
            "/structuredContent/contracts/0/id",
            "\"ctr-502\"",
        ),
        (
            "search_contracts",
            r#"{"query":"agreement","status":"active"}"#,
            "/structuredContent/total",
            "1",
        ),
        (
            "get_contract",
            r#"{"contract_id":"ctr-501"}"#,
            "/structuredContent/clauses/0/number",
            "\"4.1\"",
        ),
        ("contract_summary", r#"{"contract_id":"ctr-503"}"#, "/structuredContent/clauses", "2"),
    ];
    for (tool, arguments, pointer, expected) in table {
        let result = call(tool, arguments).unwrap();
        let found = result.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found.to_string(), expected, "{tool} {arguments}: {result}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    assert!(matches!(call("nothing", "{}"), Err(Failure::Unknown)));
    assert!(matches!(call("search_contracts", "{}"), Err(Failure::InvalidArguments(_))));
    let result = call("get_contract", r#"{"contract_id":"ctr-0"}"#).unwrap();
    assert_eq!(result["isError"], true);
}

#[test]
fn every_listed_tool_exists() {
    let tools = Contracts::configure("{}").unwrap().tools();
    assert!(!tools.is_empty());
    for tool in tools {
        let tool: Value = serde_json::from_str(&tool).unwrap();
        let name = tool["name"].as_str().unwrap();
        assert!(!matches!(call(name, "{}"), Err(Failure::Unknown)), "{name}");
    }
}
