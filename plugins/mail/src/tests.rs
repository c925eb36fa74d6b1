//! Every tool, as a caller sees it.

use serde_json::Value;

use super::*;

fn call(tool: &str, arguments: &str) -> Result<Value, Failure> {
    let context = Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "mail".into(),
        target: tool.into(),
        trace_parent: None,
        method: "tools/call".into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
    };
    let connector = Mail::configure("{}").unwrap();
    let result = connector.call(&context, arguments)?;
    Ok(serde_json::from_str(&result).unwrap())
}

#[test]
fn tools_answer() {
    let table = [
        (
            "search_messages",
            r#"{"query":"pilot"}"#,
            "/structuredContent/messages/0/id",
            "\"msg-9002\"",
        ),
        (
            "read_message",
            r#"{"message_id":"msg-9004"}"#,
            "/structuredContent/subject",
            "\"Your trip to Hamburg\"",
        ),
        (
            "draft_message",
            r#"{"to":["a@b.de"],"subject":"s","body":"b"}"#,
            "/structuredContent/preview",
            "\"To: a@b.de\\nSubject: s\\n\\nb\"",
        ),
        (
            "send_message",
            r#"{"to":["a@b.de","c@d.fr"],"subject":"s","body":"b"}"#,
            "/structuredContent/accepted",
            "2",
        ),
        ("send_message", r#"{"to":["nobody"],"subject":"s","body":"b"}"#, "/isError", "true"),
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
    assert!(matches!(call("search_messages", "{}"), Err(Failure::InvalidArguments(_))));
    let result = call("read_message", r#"{"message_id":"msg-0"}"#).unwrap();
    assert_eq!(result["isError"], true);
}

#[test]
fn every_listed_tool_exists() {
    let tools = Mail::configure("{}").unwrap().tools();
    assert!(!tools.is_empty());
    for tool in tools {
        let tool: Value = serde_json::from_str(&tool).unwrap();
        let name = tool["name"].as_str().unwrap();
        assert!(!matches!(call(name, "{}"), Err(Failure::Unknown)), "{name}");
    }
}
