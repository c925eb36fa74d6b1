//! Who sees what and may do what: the policy engine as callers meet it.
//!
//! Owns worlds of a few tools and callers and what must come out for each. How policies are
//! compiled and sliced is tested in `host/governance`.

use serde_json::{Value, json};

use crate::support::{Client, Era, Mock, MockTool, Reply, Rpc, Setup, TestGateway};

fn tool(name: &str, properties: Value, annotations: Value) -> MockTool {
    let schema = json!({ "type": "object", "properties": properties });
    let definition = json!({
        "name": name, "description": "x", "inputSchema": schema, "annotations": annotations,
    });
    MockTool::new(definition, |received| {
        Reply::Text(received.message["params"]["arguments"].to_string())
    })
}

async fn bank() -> Mock {
    let amount = json!({ "amount": { "type": "integer" }, "to": { "type": "string" } });
    let tools = vec![
        tool("balance", json!({}), json!({ "readOnlyHint": true })),
        tool("transfer", amount, json!({ "destructiveHint": false })),
        tool("close_account", json!({}), json!({ "destructiveHint": true })),
    ];
    Mock::start(Era::Modern, tools).await
}

const POLICIES: &str = r#"
@id("read")
permit (principal in Group::"staff", action in Action::"read_only", resource);

@id("transfer")
permit (principal in Group::"tellers", action == Action::"up/transfer", resource);

@id("limit")
@reason("more than 1000 needs a person")
forbid (principal, action == Action::"up/transfer", resource)
when { context.input has amount && context.input.amount > 1000 }
unless { principal in Role::"treasurer" };

@id("tax-havens")
@mode("shadow")
forbid (principal, action == Action::"up/transfer", resource)
when { context.input has to && context.input.to like "*island*" };
"#;

fn setup(mock: &Mock, policies: &str) -> Setup {
    Setup::new()
        .remote("up", mock, "")
        .vmcp("main", &["up"])
        .key("teller", &["staff", "tellers"])
        .key("clerk", &["staff"])
        .key("visitor", &[])
        .policy("bank", policies)
}

fn refusal(answer: &Rpc) -> &str {
    answer.message.pointer("/result/_meta/tidegate~1refusal/code").and_then(Value::as_str).unwrap()
}

#[tokio::test]
async fn everybody_sees_what_they_could_call() {
    let mock = bank().await;
    let gateway = setup(&mock, POLICIES).start().await;
    for (who, tools) in
        [("teller", &["balance", "transfer"][..]), ("clerk", &["balance"]), ("visitor", &[])]
    {
        assert_eq!(gateway.client(who, "main").tool_names().await, tools, "{who}");
        let session = gateway.client(who, "main").session("2025-11-25").await;
        assert_eq!(session.tool_names().await, tools, "{who}");
    }
}

/// An answer with what may differ between any two calls taken out.
fn bare(answer: &Rpc, name: &str) -> String {
    let mut message = answer.message.clone();
    let data = message["error"]["data"].as_object_mut().unwrap();
    assert!(data.remove("callId").is_some());
    format!("{} {}", answer.status, message.to_string().replace(name, "NAME"))
}

#[tokio::test]
async fn a_hidden_tool_is_answered_like_a_missing_one() {
    let mock = bank().await;
    let gateway = setup(&mock, POLICIES).start().await;
    let clerk = gateway.client("clerk", "main");
    let arguments =
        [json!({}), json!({ "amount": 1 }), json!({ "amount": "no number" }), json!({ "x": [1] })];
    for arguments in arguments {
        let missing =
            bare(&clerk.call("nothing_like_it", arguments.clone()).await, "nothing_like_it");
        for hidden in ["transfer", "close_account", "up__transfer"] {
            let answer = clerk.call(hidden, arguments.clone()).await;
            assert_eq!(bare(&answer, hidden), missing, "{hidden} {arguments}");
        }
    }
    let session = clerk.session("2025-11-25").await;
    let missing = bare(&session.call("nothing_like_it", json!({})).await, "nothing_like_it");
    let hidden = bare(&session.call("transfer", json!({})).await, "transfer");
    assert_eq!(hidden.split_once("\"id\"").unwrap().0, missing.split_once("\"id\"").unwrap().0);
    assert!(mock.calls("transfer").is_empty());
}

#[tokio::test]
async fn a_refusal_says_why_in_the_words_of_the_policy() {
    let mock = bank().await;
    let gateway = setup(&mock, POLICIES).start().await;
    let teller = gateway.client("teller", "main");
    let answer = teller.call("transfer", json!({ "amount": 1000 })).await;
    assert_eq!(answer.text(), r#"{"amount":1000}"#);
    let answer = teller.call("transfer", json!({ "amount": 1001 })).await;
    assert!(answer.is_tool_error() && answer.text().contains("more than 1000 needs a person"));
    assert_eq!(refusal(&answer), "policy_denied");
    let rows = gateway.audit().await;
    let row = rows.last().unwrap();
    assert_eq!(row["policies"], json!(["limit"]));
    assert_eq!((&row["status"], &row["code"]), (&json!("refused"), &json!("policy_denied")));
    assert_eq!(mock.calls("transfer").len(), 1);
}

#[tokio::test]
async fn a_shadow_policy_is_recorded_and_has_no_effect() {
    let mock = bank().await;
    let gateway = setup(&mock, POLICIES).start().await;
    let teller = gateway.client("teller", "main");
    for (to, shadow) in [("treasure island", json!(["tax-havens"])), ("home", Value::Null)] {
        let answer = teller.call("transfer", json!({ "to": to })).await;
        assert!(!answer.is_tool_error(), "{answer:?}");
        assert_eq!(gateway.audit().await.last().unwrap()["shadow"], shadow, "{to}");
    }
}

async fn check_code(gateway: &TestGateway, arguments: Value, code: &str) {
    let answer = gateway.client("teller", "main").call("transfer", arguments.clone()).await;
    assert!(answer.is_tool_error(), "{arguments}: {answer:?}");
    assert_eq!(refusal(&answer), code, "{arguments}");
}

#[tokio::test]
async fn what_cannot_be_decided_is_refused() {
    let mock = bank().await;
    let erring = r#"
        permit (principal, action, resource);
        @id("doubled")
        forbid (principal, action == Action::"up/transfer", resource)
        when { context.input has amount && context.input.amount * 2 > 100 };
    "#;
    let gateway = setup(&mock, erring).start().await;
    // Cedar alone would leave an erring forbid out and permit this.
    check_code(&gateway, json!({ "amount": i64::MAX }), "policy_error").await;
    check_code(&gateway, json!({ "amount": 51 }), "policy_denied").await;
    // What the schema calls an integer and Cedar cannot hold.
    let client = gateway.client("teller", "main");
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "transfer"),
    ];
    let params =
        crate::support::modern_params(json!({ "name": "transfer", "arguments": { "amount": 0 } }));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let huge = body.to_string().replace("\"amount\":0", "\"amount\":9223372036854775808");
    let answer = client.send(hyper::Method::POST, &headers, huge).await.rpc();
    assert_eq!(refusal(&answer), "invalid_arguments", "{answer:?}");
    assert!(mock.calls("transfer").is_empty());
    assert_eq!(client.call("transfer", json!({ "amount": 50 })).await.text(), r#"{"amount":50}"#);
}

#[tokio::test]
async fn arguments_are_held_to_the_schema_and_to_the_locks() {
    let mock = bank().await;
    let gateway = setup(&mock, "permit (principal, action, resource);")
        .file(
            "vmcps/main.toml",
            r#"
            title = "Main"
            connectors = ["up"]
            only = ["up/transfer"]
            [[tool]]
            from = "up/transfer"
            name = "pay"
            description = "Pays."
            defaults = { amount = 5 }
            locked = { to = "home" }
            "#,
        )
        .start()
        .await;
    let teller = gateway.client("teller", "main");
    let tools = teller.tools().await;
    assert_eq!(tools.len(), 1);
    assert_eq!((&tools[0]["name"], &tools[0]["description"]), (&json!("pay"), &json!("Pays.")));
    let properties = tools[0]["inputSchema"]["properties"].as_object().unwrap();
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["amount"], "a locked argument shows");
    assert_eq!(properties["amount"]["default"], 5);
    for (arguments, sent) in [
        (json!({}), json!({ "amount": 5, "to": "home" })),
        (json!({ "amount": 7 }), json!({ "amount": 7, "to": "home" })),
    ] {
        let answer = teller.call("pay", arguments).await;
        let text: Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!(text, sent);
    }
    for bad in [json!({ "to": "away" }), json!({ "to": "home" }), json!({ "amount": "7" })] {
        let answer = teller.call("pay", bad.clone()).await;
        assert_eq!(refusal(&answer), "invalid_arguments", "{bad}");
    }
    assert_eq!(teller.call("transfer", json!({})).await.code(), -32602, "the original name");
    assert_eq!(mock.calls("transfer").len(), 2);
}

async fn check_status(client: &Client, status: u16) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    assert_eq!(client.send(hyper::Method::POST, &[], body).await.status, status);
}

#[tokio::test]
async fn a_virtual_mcp_that_may_not_be_used_looks_missing() {
    let mock = bank().await;
    let policies = r#"
        permit (principal, action, resource);
        forbid (principal, action == Action::"connect", resource == VirtualMcp::"main")
        unless { principal in Group::"tellers" };
    "#;
    let gateway = setup(&mock, policies).start().await;
    assert_eq!(gateway.client("teller", "main").tool_names().await.len(), 3);
    let missing = gateway.client("clerk", "nope").request("tools/list", json!({})).await;
    let forbidden = gateway.client("clerk", "main").request("tools/list", json!({})).await;
    assert_eq!(missing.status, 404);
    assert_eq!((missing.status, missing.message), (forbidden.status, forbidden.message));
    check_status(&gateway.client("clerk", "main"), 404).await;
}

#[tokio::test]
async fn names_that_two_connectors_share_get_their_connector_in_front() {
    let first = Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("one")]).await;
    let second = Mock::start(Era::Legacy, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::new()
        .remote("first", &first, "")
        .remote("second", &second, "")
        .vmcp("main", &["first", "second"])
        .key("alice", &[])
        .policy("all", "permit (principal, action, resource);")
        .start()
        .await;
    let alice = gateway.client("alice", "main");
    assert_eq!(alice.tool_names().await, ["first__echo", "one", "second__echo"]);
    alice.call("second__echo", json!({})).await.result();
    assert_eq!((first.calls("echo").len(), second.calls("echo").len()), (0, 1));
}

#[tokio::test]
async fn who_is_forbidden_to_list_sees_an_empty_list_and_may_still_call() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let policy = "permit (principal, action, resource);\n\
                  forbid (principal, action == Action::\"list\", resource);";
    let gateway = Setup::simple(&mock).policy("all", policy).start().await;
    let client = gateway.client("alice", "main");
    assert!(client.tool_names().await.is_empty());
    assert!(!client.call("echo", json!({})).await.is_tool_error());
}
