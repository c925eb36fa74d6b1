//! Clients that get the less usual things wrong, in both eras: names in heads, states, ids of
//! any size, `_meta`, event ids. Each gets the protocol's own answer and harms nobody.
//!
//! What is wrong with whole bodies and heads is for `wire`, with states for `asking`, with
//! streams that go on for `resuming`.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    conformance::Fixture,
    support::{
        Client, Era, Mock, MockTool, Reply, Response, Session, Setup, TestGateway, modern_params,
    },
};

const INVALID_PARAMS: i64 = -32602;
const HEADER_MISMATCH: i64 = -32020;

async fn fixture() -> (Fixture, TestGateway) {
    let fixture = Fixture::start("modern").await;
    let url = &fixture.url;
    let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    let gateway = Setup::new()
        .file("connectors/up.toml", &connector)
        .vmcp("main", &["up"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
        .start()
        .await;
    (fixture, gateway)
}

/// A client that can be asked and knows tasks.
fn able(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
        "elicitation": { "form": {} }, "sampling": {}, "roots": {},
        "extensions": { "io.modelcontextprotocol/tasks": {} },
    });
    modern_params(params)
}

/// A modern request with these headers on top of the right ones, `mcp-name` apart.
async fn send(client: &Client, method: &str, params: &Value, name: Option<&str>) -> Response {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut headers = Client::modern_headers(method, params);
    headers.retain(|(header, _)| *header != "mcp-name");
    headers.extend(name.map(|name| ("mcp-name", name)));
    client.send(Method::POST, &headers, body.to_string()).await
}

#[tokio::test]
async fn the_name_in_the_head_is_the_one_in_the_body_whatever_is_named() {
    let (_fixture, gateway) = fixture().await;
    let client = gateway.client("alice", "main");
    let prompts = client.request("prompts/list", json!({})).await;
    let prompt = prompts.result()["prompts"][0]["name"].as_str().unwrap().to_owned();
    let resources = client.request("resources/list", json!({})).await;
    let resource = resources.result()["resources"][0]["uri"].as_str().unwrap().to_owned();
    for (method, member, name) in [
        ("prompts/get", "name", prompt.as_str()),
        ("resources/read", "uri", resource.as_str()),
        ("tasks/get", "taskId", "a-task"),
        ("tasks/update", "taskId", "a-task"),
        ("tasks/cancel", "taskId", "a-task"),
    ] {
        let params = able(json!({ member: name, "inputResponses": {} }));
        let encoded = |text: &str| {
            use base64::{Engine, engine::general_purpose::STANDARD};
            format!("=?base64?{}?=", STANDARD.encode(text))
        };
        let good = encoded(name);
        let twice = encoded(&good);
        let cut = good.replace("?=", "=?=");
        let upper = name.to_uppercase();
        for (what, head) in [
            ("another", Some("other")),
            ("in capitals", Some(upper.as_str())),
            ("wrapped twice", Some(twice.as_str())),
            ("with bad padding", Some(cut.as_str())),
            ("with a bad alphabet", Some("=?base64?*?=")),
            ("empty", Some("")),
            ("missing", None),
        ] {
            let refused = send(&client, method, &params, head).await;
            let (status, rpc) = (refused.status, refused.rpc());
            assert_eq!((status.as_u16(), rpc.code()), (400, HEADER_MISMATCH), "{method} {what}");
        }
        for head in [name, good.as_str()] {
            let rpc = send(&client, method, &params, Some(head)).await.rpc();
            let code = rpc.message.pointer("/error/code").and_then(Value::as_i64);
            let is_task = member == "taskId";
            assert_eq!(code, is_task.then_some(INVALID_PARAMS), "{method} {head}: {rpc:?}");
        }
    }
}

#[tokio::test]
async fn a_state_is_of_one_method() {
    let (_fixture, gateway) = fixture().await;
    let client = gateway.client("alice", "main");
    let tool = "test_input_required_result_elicitation";
    let asked = client.request("tools/call", able(json!({ "name": tool, "arguments": {} }))).await;
    assert_eq!(asked.result()["resultType"], "input_required", "{asked:?}");
    let state = &asked.result()["requestState"];
    assert!(state.is_string(), "{asked:?}");
    let key = asked.result()["inputRequests"].as_object().unwrap().keys().next().unwrap();
    let given = json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
    let prompts = client.request("prompts/list", json!({})).await;
    let prompt = &prompts.result()["prompts"][0]["name"];
    let resources = client.request("resources/list", json!({})).await;
    let resource = &resources.result()["resources"][0]["uri"];
    for (method, mut params) in [
        ("prompts/get", json!({ "name": prompt })),
        ("prompts/get", json!({ "name": tool })),
        ("resources/read", json!({ "uri": resource })),
    ] {
        params["requestState"] = state.clone();
        params["inputResponses"] = given.clone();
        let refused = client.request(method, able(params)).await;
        assert_eq!(refused.code(), INVALID_PARAMS, "{method}: {refused:?}");
    }
    // It is good all the while.
    let params = json!({
        "name": tool, "arguments": {}, "requestState": state, "inputResponses": given,
    });
    let answer = client.request("tools/call", able(params)).await;
    assert!(answer.text().contains("Ada"), "{answer:?}");
}

#[tokio::test]
async fn responses_and_states_of_wrong_types_are_refused() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    for (member, wrong) in [
        ("inputResponses", json!([])),
        ("inputResponses", json!("{}")),
        ("inputResponses", json!(7)),
        ("inputResponses", json!(true)),
        ("requestState", json!(7)),
        ("requestState", json!({})),
        ("requestState", json!(["s"])),
        ("requestState", json!("")),
        ("requestState", json!("x".repeat(100_000))),
    ] {
        let mut params = json!({ "name": "echo", "arguments": {} });
        params[member] = wrong.clone();
        let refused = client.request("tools/call", able(params)).await;
        assert_eq!(refused.code(), INVALID_PARAMS, "{member}");
    }
    assert!(mock.calls("echo").is_empty(), "something went upstream");
    assert_eq!(client.call("echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn batches_are_refused_outside_the_one_revision_that_has_them() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": modern_params(json!({ "name": "echo", "arguments": {} })) });
    let headers = Client::modern_headers("tools/call", &call["params"]);
    let batch = json!([call]).to_string();
    let modern = client.send(Method::POST, &headers, batch.clone()).await;
    assert_eq!((modern.status.as_u16(), modern.rpc().code()), (400, -32600));
    for revision in ["2025-06-18", "2025-11-25"] {
        let session = client.session(revision).await;
        let refused = session.send(Method::POST, batch.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.rpc().code()), (400, -32600), "{revision}");
    }
    assert!(mock.calls("echo").is_empty(), "something went upstream");
}

#[tokio::test]
async fn an_id_under_way_is_taken_for_other_methods_too() {
    let gate = Arc::new(Notify::new());
    let done = json!({ "content": [{ "type": "text", "text": "done" }] });
    let slow = MockTool::answering("slow", Reply::After(Arc::clone(&gate), done));
    let mock = Mock::start(Era::Legacy, vec![slow]).await;
    mock.set_resources(&["a:b"]);
    let gateway = Setup::simple(&mock).start().await;
    let session = Arc::new(gateway.client("alice", "main").session("2025-11-25").await);
    let message = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
    };
    let first = tokio::spawn({
        let (session, call) =
            (Arc::clone(&session), message("tools/call", json!({ "name": "slow" })));
        async move { session.send(Method::POST, call).await }
    });
    crate::support::eventually("the call", || async {
        (mock.calls("slow").len() == 1).then_some(())
    })
    .await;
    for (method, params) in
        [("resources/read", json!({ "uri": "a:b" })), ("tools/call", json!({ "name": "slow" }))]
    {
        let again = session.send(Method::POST, message(method, params)).await;
        assert_eq!(again.status, 400, "{method}: {again:?}");
        assert_eq!(again.json()["error"]["code"], -32600, "{method}");
    }
    gate.notify_one();
    assert_eq!(first.await.unwrap().rpc().text(), "done");
}

/// An answer's text, so that its id can be looked at as it was written.
fn text(response: &Response) -> String {
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[tokio::test]
async fn an_id_of_any_size_comes_back_or_is_refused_and_is_never_mangled() {
    let mock = Mock::start(Era::Legacy, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = client.session("2025-11-25").await;
    let params = modern_params(json!({ "name": "echo", "arguments": {} }));
    let headers = Client::modern_headers("tools/call", &params);
    let legacy = json!({ "name": "echo", "arguments": {}, "_meta": { "progressToken": 1 } });
    let message = |id: &str, params: &Value| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
    };
    let good = [
        "0".to_owned(),
        "-0".to_owned(),
        "9".repeat(400),
        format!("-{}", "1".repeat(1_000)),
        format!("\"{}\"", "x".repeat(100_000)),
        r#""\ud83d\ude00\/\u0000""#.to_owned(),
        r#""""#.to_owned(),
    ];
    for id in &good {
        let shown: String = id.chars().take(20).collect();
        let expected = format!(r#""id":{id},"#);
        let modern = client.send(Method::POST, &headers, message(id, &params)).await;
        assert!(text(&modern).contains(&expected), "{shown}: {:?}", modern.status);
        assert!(text(&modern).contains(r#""text":"{}""#), "{shown}: {:?}", modern.status);
        let legacy = session.send(Method::POST, message(id, &legacy)).await;
        assert!(text(&legacy).contains(&expected), "{shown}: {:?}", legacy.status);
    }
    let calls = mock.calls("echo").len();
    for id in [
        "1.0".to_owned(),
        "1e3".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "true".to_owned(),
        "1".repeat(2_000),
        format!("\"{}\"", "x".repeat(2 << 20)),
    ] {
        let shown: String = id.chars().take(20).collect();
        for refused in [
            client.send(Method::POST, &headers, message(&id, &params)).await,
            session.send(Method::POST, message(&id, &legacy)).await,
        ] {
            assert!(matches!(refused.status.as_u16(), 400 | 413), "{shown}: {:?}", refused.status);
            assert!(refused.json()["id"].is_null(), "{shown}");
        }
    }
    assert_eq!(mock.calls("echo").len(), calls, "something went upstream");
}

#[tokio::test]
async fn a_meta_that_is_no_object_is_refused() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = client.session("2025-11-25").await;
    for meta in [json!(7), json!("x"), json!([{}]), json!(false)] {
        let params = json!({ "name": "echo", "arguments": {}, "_meta": meta });
        let refused = send(&client, "tools/call", &params, Some("echo")).await;
        let status = refused.status.as_u16();
        assert_eq!((status, refused.rpc().code()), (400, INVALID_PARAMS), "{meta}");
        let refused = session.request("tools/call", params).await;
        assert_eq!(refused.code(), INVALID_PARAMS, "{meta}");
    }
    assert!(mock.calls("echo").is_empty(), "something went upstream");
    assert_eq!(session.call("echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn whoever_listens_without_an_id_hears_nothing() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let params = modern_params(json!({ "notifications": { "toolsListChanged": true } }));
    let headers = Client::modern_headers("subscriptions/listen", &params);
    for (id, status) in [("", 202), (r#""id":null,"#, 400), (r#""id":1.5,"#, 400)] {
        let body =
            format!(r#"{{"jsonrpc":"2.0",{id}"method":"subscriptions/listen","params":{params}}}"#);
        // The whole response is read: it ends.
        let response = client.send(Method::POST, &headers, body).await;
        assert_eq!(response.status.as_u16(), status, "{id}: {response:?}");
        assert_ne!(response.header("content-type"), "text/event-stream", "{id}");
    }
}

#[tokio::test]
async fn an_event_id_that_nobody_gave_resumes_nothing() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = client.session("2025-11-25").await;
    let params = json!({ "name": "echo", "arguments": {}, "_meta": { "progressToken": 1 } });
    let mut stream = session.request_stream("tools/call", params).await;
    while stream.next().await.is_some() {}
    let last = stream.last.clone();
    let mut all: Vec<String> = [
        "0",
        "-1",
        "1.0.0",
        "..",
        "a.b.c",
        "\u{9}",
        "18446744073709551616",
        "%00",
        "1,2",
        "null",
        "../../x",
        "=?base64?MA==?=",
        "\u{e9}",
    ]
    .map(str::to_owned)
    .into();
    all.push("x".repeat(8_000));
    if let Some(last) = &last {
        let (head, _) = last.rsplit_once('.').unwrap_or((last, ""));
        all.extend(
            [
                format!("{head}.18446744073709551615"),
                format!("{head}.99999999999999999999999"),
                format!("{head}.-1"),
                format!("{head}.+0"),
                format!("{last} "),
                last.to_uppercase(),
            ]
            .into_iter()
            .filter(|one| one.trim() != last),
        );
    }
    for id in &all {
        let named: &str = session.id.as_deref().unwrap();
        let headers = [
            ("mcp-session-id", named),
            ("mcp-protocol-version", "2025-11-25"),
            ("last-event-id", id),
        ];
        let refused = client.send(Method::GET, &headers, "").await;
        assert_eq!(refused.status, 400, "{id:?}: {refused:?}");
        // A modern request has nothing to do with it.
        let params = modern_params(json!({ "name": "echo", "arguments": {} }));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let mut headers = Client::modern_headers("tools/call", &params);
        headers.push(("last-event-id", id));
        let answer = client.send(Method::POST, &headers, body.to_string()).await;
        assert_eq!(answer.rpc().text(), "{}", "{id:?}");
    }
    assert_eq!(Session::call(&session, "echo", json!({})).await.text(), "{}");
}
