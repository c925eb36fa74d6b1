//! Tools that need more than the scope `mcp`.

use hyper::Method;
use serde_json::json;

use super::bed::{Bed, quoted};
use crate::support::{Client, modern_params};

const STEP_UP: &str = "title = \"main\"\nconnectors = [\"up\"]\n\
    step_up = [\"write\", \"destructive\"]\n";

#[tokio::test]
async fn a_tool_that_needs_more_asks_for_all_of_it_at_once() {
    let bed = Bed::open(|setup| setup.file("vmcps/main.toml", STEP_UP).key("bot", &[])).await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &client, "mcp").await;
    let access = bed.with("main", &tokens);
    // What only reads is free, and what needs more is on the list all the same.
    assert!(!access.call("echo", json!({})).await.is_tool_error());
    assert_eq!(access.tool_names().await, ["echo", "note", "erase"]);

    for (tool, scopes) in [("note", "mcp mcp:write"), ("erase", "mcp mcp:write mcp:destructive")] {
        let params = modern_params(json!({ "name": tool, "arguments": {} }));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let headers = Client::modern_headers("tools/call", &params);
        let refused = access.send(Method::POST, &headers, body.to_string()).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        let challenge = refused.header("www-authenticate");
        assert_eq!(quoted(challenge, "error"), "insufficient_scope");
        assert_eq!(quoted(challenge, "scope"), scopes);
        assert!(quoted(challenge, "resource_metadata").ends_with("/mcp/main"));
        let data = &refused.rpc().message["error"]["data"];
        assert_eq!(data["code"], "insufficient_scope", "{data}");
    }
    assert!(bed.mock.calls("note").is_empty() && bed.mock.calls("erase").is_empty());
    let row = bed.rows("tools/call").await.pop().unwrap();
    assert_eq!(row["code"], "insufficient_scope", "{row}");

    // With what the challenge named it goes through, and only that far.
    let more = bed.connect("main", &client, "mcp mcp:write").await;
    assert_eq!(more["scope"], "mcp mcp:write");
    let access = bed.with("main", &more);
    assert_eq!(access.call("note", json!({})).await.text(), "done");
    assert_eq!(access.call("erase", json!({})).await.status, 403);
    // Where nothing more is asked, nor for keys, scopes do not matter.
    let other = bed.connect("other", &client, "mcp").await;
    assert_eq!(bed.with("other", &other).call("erase", json!({})).await.text(), "done");
    assert_eq!(bed.gateway.client("bot", "main").call("erase", json!({})).await.text(), "done");
}

#[tokio::test]
async fn a_tool_that_policy_hides_or_refuses_asks_for_nothing() {
    let policies = "forbid (principal, action == Action::\"up/erase\", resource);\n\
                    forbid (principal, action == Action::\"up/note\", resource)\n\
                    when { context.time > datetime(\"2000-01-01\") };";
    let bed =
        Bed::open(|setup| setup.file("vmcps/main.toml", STEP_UP).policy("no", policies)).await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &client, "mcp").await;
    let access = bed.with("main", &tokens);
    assert_eq!(access.call("erase", json!({})).await.code(), -32602);
    let refused = access.call("note", json!({})).await;
    let code = &refused.result()["_meta"]["tidegate/refusal"]["code"];
    assert_eq!(code, "policy_denied", "{refused:?}");
}
