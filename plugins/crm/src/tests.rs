//! Every tool, as a caller sees it.

use serde_json::Value;

use super::*;

fn call(tool: &str, arguments: &str) -> Result<Value, Failure> {
    let context = Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "crm".into(),
        target: tool.into(),
        trace_parent: None,
        method: "tools/call".into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
    };
    let connector = Crm::configure("{}").unwrap();
    let result = connector.call(&context, arguments)?;
    Ok(serde_json::from_str(&result).unwrap())
}

#[test]
fn tools_answer() {
    let table = [
        ("search_contacts", r#"{"query":"NORDWIND"}"#, "/structuredContent/total", "2"),
        ("search_contacts", r#"{"query":"o","limit":1}"#, "/structuredContent/contacts/1", "null"),
        (
            "get_account",
            r#"{"account_id":"acc-1002"}"#,
            "/structuredContent/contacts/0/id",
            "\"con-2003\"",
        ),
        ("list_opportunities", r#"{"stage":"won"}"#, "/structuredContent/total_eur", "120000"),
        (
            "update_opportunity",
            r#"{"opportunity_id":"opp-3001","stage":"won"}"#,
            "/structuredContent/after/stage",
            "\"won\"",
        ),
        (
            "delete_contact",
            r#"{"contact_id":"con-2001"}"#,
            "/structuredContent/deleted",
            "\"con-2001\"",
        ),
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
    assert!(matches!(call("search_contacts", "{}"), Err(Failure::InvalidArguments(_))));
    let result = call("get_account", r#"{"account_id":"acc-0"}"#).unwrap();
    assert_eq!(result["isError"], true);
}

#[test]
fn every_listed_tool_exists() {
    let tools = Crm::configure("{}").unwrap().tools();
    assert!(!tools.is_empty());
    for tool in tools {
        let tool: Value = serde_json::from_str(&tool).unwrap();
        let name = tool["name"].as_str().unwrap();
        assert!(!matches!(call(name, "{}"), Err(Failure::Unknown)), "{name}");
    }
}
