//! What clients get wrong, byte by byte: every kind of bad input gets the protocol's own
//! answer, reaches no upstream, and does no harm to the next call.
//!
//! Owns the tables of bodies, heads and sessions. What the words of a refusal mean is not
//! looked at here.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{
    Client, Era, Mock, MockTool, Received, Reply, Response, Session, Setup, TestGateway,
    modern_params,
};

const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A `tools/call` of `echo` as text, so that what is wrong in it stays wrong.
fn call_text(arguments: &str) -> String {
    message_text(&format!(
        r#""method":"tools/call","params":{{"name":"echo","arguments":{arguments},"_meta":{META}}}"#
    ))
}

fn message_text(members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#)
}

fn nested(depth: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
}

async fn gateway() -> (Mock, TestGateway) {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    (mock, gateway)
}

/// A call that is in order still is, and it is the only one that went upstream.
async fn check_unharmed(client: &Client, mock: &Mock) {
    let answer = client.call("echo", json!({ "message": "still here" })).await;
    assert_eq!(answer.text(), r#"{"message":"still here"}"#);
    assert_eq!(mock.calls("echo").len(), 1, "something else went upstream");
}

fn check_refused(what: &str, response: &Response, status: u16, code: i64) {
    assert_eq!(response.status, status, "{what}: {response:?}");
    let message = response.json();
    assert_eq!(message["jsonrpc"], "2.0", "{what}: {message}");
    assert_eq!(message["error"]["code"], code, "{what}: {message}");
    assert!(message["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
}

/// Bodies that are no JSON, no JSON that is let in, or no JSON-RPC.
fn bad_bodies() -> Vec<(&'static str, Vec<u8>, u16, i64)> {
    let text = |what, text: String, code| (what, text.into_bytes(), 400, code);
    let message = |what, members: &str| text(what, message_text(members), -32600);
    let whole = |what, whole: &str, code| text(what, whole.to_owned(), code);
    let mut bodies = vec![
        whole("nothing", "", -32700),
        whole("half an object", r#"{"jsonrpc":"#, -32700),
        whole("text", "hello", -32700),
        whole("two messages", &call_text("{}").repeat(2), -32700),
        whole("a comma too many", r#"{"jsonrpc":"2.0",}"#, -32700),
        whole("a number in the style of C", &call_text(r#"{"a":0x1}"#), -32700),
        whole("not a number", &call_text(r#"{"a":NaN}"#), -32700),
        whole("a raw line break in a string", &call_text("{\"a\":\"\n\"}"), -32700),
        whole("an unknown escape", &call_text(r#"{"a":"\x41"}"#), -32700),
        text("a lone surrogate", call_text(r#"{"a":"\ud800"}"#), -32700),
        text(
            "a key twice at the top",
            message_text(r#""method":"ping","method":"tools/call""#),
            -32600,
        ),
        text("a key twice in the arguments", call_text(r#"{"a":1,"a":2}"#), -32600),
        text("a key twice, once escaped", call_text(r#"{"a":1,"\u0061":2}"#), -32600),
        text("too deep", call_text(&nested(70)), -32600),
        text("far too deep", call_text(&nested(100_000)), -32600),
        text("too many members", call_text(&many_members(10_001)), -32600),
        whole("a string", r#""tools/call""#, -32600),
        whole("null", "null", -32600),
        whole("no version", r#"{"id":1,"method":"ping"}"#, -32600),
        whole("another version", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        whole("a version that is a number", r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, -32600),
        whole("an id that is null", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        whole("an id that is a fraction", r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        whole("an id that is an object", r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        message("no method", r#""params":{}"#),
        message("a method that is a number", r#""method":7"#),
        message("an empty method", r#""method":"""#),
        message("parameters in an array", r#""method":"ping","params":[]"#),
        message("a request and a response", r#""method":"ping","result":{}"#),
        message("a result and an error", r#""result":{},"error":{"code":1,"message":"m"}"#),
        message("a member in another case", r#""method":"ping","Method":"tools/call""#),
        whole("a batch", &format!("[{}]", call_text("{}")), -32600),
        whole("an empty batch", "[]", -32600),
    ];
    let mut not_text = call_text(r#"{"a":"?"}"#).into_bytes();
    not_text.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    bodies.push(("no UTF-8", not_text, 400, -32700));
    bodies.push((
        "a byte order mark",
        format!("\u{feff}{}", call_text("{}")).into_bytes(),
        400,
        -32700,
    ));
    bodies.push((
        "too large",
        call_text(&format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20))).into_bytes(),
        413,
        -32600,
    ));
    bodies
}

fn many_members(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_harms_nobody() {
    let (mock, gateway) = gateway().await;
    let client = gateway.client("alice", "main");
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    for (what, body, status, code) in bad_bodies() {
        check_refused(what, &client.send(Method::POST, &headers, body).await, status, code);
    }
    check_unharmed(&client, &mock).await;
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_sent() {
    let (_mock, gateway) = gateway().await;
    let client = gateway.client("alice", "main");
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "nope")];
    for id in ["7", "-1", "\"a\"", "\"\"", "123456789012345678901234567890", "\"\\u00e4\""] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"nope","params":{{"_meta":{META}}}}}"#);
        let response = client.send(Method::POST, &headers, body).await;
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(text.contains(&format!("\"id\":{id}")), "{id}: {text}");
    }
}

/// A modern request with something wrong around or in it.
struct Wrong {
    what: &'static str,
    headers: &'static [(&'static str, &'static str)],
    method: &'static str,
    params: Value,
    status: u16,
    code: i64,
}

fn echo() -> Value {
    modern_params(json!({ "name": "echo", "arguments": {} }))
}

fn without(member: &str) -> Value {
    let mut params = echo();
    let removed = params["_meta"].as_object_mut().unwrap().remove(member);
    assert!(removed.is_some(), "{member}");
    params
}

fn with(member: &str, value: Value) -> Value {
    let mut params = echo();
    params[member] = value;
    params
}

fn at_version(version: &str) -> Value {
    let mut params = echo();
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = version.into();
    params
}

fn wrong_requests() -> Vec<Wrong> {
    let wrong = |what, headers, params, status, code| Wrong {
        what,
        headers,
        method: "tools/call",
        params,
        status,
        code,
    };
    let mut all = vec![
        wrong("another method in the head", &[("mcp-method", "tools/list")], echo(), 400, -32020),
        wrong("another tool in the head", &[("mcp-name", "other")], echo(), 400, -32020),
        wrong(
            "another revision in the head",
            &[("mcp-protocol-version", "2025-11-25")],
            echo(),
            400,
            -32020,
        ),
        wrong(
            "a revision that is not spoken",
            &[("mcp-protocol-version", "2099-01-01")],
            at_version("2099-01-01"),
            400,
            -32022,
        ),
        wrong("no revision", &[], without("io.modelcontextprotocol/protocolVersion"), 400, -32602),
        wrong(
            "no capabilities",
            &[],
            without("io.modelcontextprotocol/clientCapabilities"),
            400,
            -32602,
        ),
        wrong("an unknown tool", &[("mcp-name", "nope")], with("name", json!("nope")), 200, -32602),
        wrong("arguments in an array", &[], with("arguments", json!([1])), 400, -32602),
        wrong("arguments in a string", &[], with("arguments", json!("{}")), 400, -32602),
        wrong("a name in another case", &[], with("Name", json!("echo")), 400, -32602),
        wrong("another content type", &[("content-type", "text/plain")], echo(), 415, -32600),
        wrong("a compressed body", &[("content-encoding", "gzip")], echo(), 415, -32600),
        wrong("no answer is acceptable", &[("accept", "text/html")], echo(), 406, -32600),
        wrong(
            "a page of another origin",
            &[("origin", "https://evil.example")],
            echo(),
            403,
            -32600,
        ),
        wrong("an origin of nothing", &[("origin", "null")], echo(), 403, -32600),
        wrong("another host", &[("host", "evil.example")], echo(), 403, -32600),
        wrong("a malformed session id", &[("mcp-session-id", "a b")], echo(), 400, -32600),
    ];
    for method in ["tools/destroy", "initialise", "resources/list", "prompts/get", "ping"] {
        all.push(Wrong {
            what: "an unknown method",
            headers: &[],
            method,
            params: modern_params(json!({})),
            status: 404,
            code: -32601,
        });
    }
    all
}

#[tokio::test]
async fn heads_and_bodies_must_agree_and_be_understood() {
    let (mock, gateway) = gateway().await;
    let client = gateway.client("alice", "main");
    for wrong in wrong_requests() {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": wrong.method, "params": wrong.params });
        let mut headers = Client::modern_headers(wrong.method, &wrong.params);
        headers.extend(wrong.headers);
        let response = client.send(Method::POST, &headers, body.to_string()).await;
        check_refused(wrong.what, &response, wrong.status, wrong.code);
    }
    let unknown = client.request("tools/call", json!({ "name": "nope" })).await;
    assert_eq!(unknown.message["error"]["data"]["code"], "not_found");
    check_unharmed(&client, &mock).await;
}

#[tokio::test]
async fn an_unsupported_revision_is_told_the_supported_ones() {
    let (_mock, gateway) = gateway().await;
    let client = gateway.client("alice", "main");
    let params = at_version("2031-01-01");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut headers = Client::modern_headers("tools/call", &params);
    headers.push(("mcp-protocol-version", "2031-01-01"));
    let error = client.send(Method::POST, &headers, body.to_string()).await.json()["error"].clone();
    assert_eq!(error["data"], json!({ "supported": ["2026-07-28"], "requested": "2031-01-01" }));
}

#[tokio::test]
async fn other_verbs_and_other_paths_are_not_there() {
    let (_mock, gateway) = gateway().await;
    let client = gateway.client("alice", "main");
    for verb in [Method::GET, Method::PUT, Method::PATCH] {
        let response = client.send(verb.clone(), &[], "").await;
        assert_eq!(response.status, 405, "{verb}");
        assert!(response.header("allow").contains("POST"), "{verb}: {response:?}");
    }
    for path in ["/mcp/nope", "/mcp", "/mcp/main/more", "/o/other/mcp/main", "/nothing"] {
        let there = Client { path: path.to_owned(), ..client.clone() };
        let body = call_text("{}");
        let status = there.send(Method::POST, &[], body).await.status;
        assert!(status == 404 || status == 401, "{path}: {status}");
    }
}

#[tokio::test]
async fn without_a_good_key_nobody_comes_in() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let setup = Setup::simple(&mock)
        .vmcp("other", &["up"])
        .key("late", &["staff"])
        .key("scoped", &["staff"]);
    let setup = amended(setup, "keys/late.toml", "expires = \"2020-01-01\"");
    let gateway = amended(setup, "keys/scoped.toml", "vmcps = [\"other\"]").start().await;
    let good = gateway.key("alice").to_owned();
    let cut = good.get(..good.len() - 1).unwrap();
    let flipped = format!("{cut}{}", if good.ends_with('A') { 'B' } else { 'A' });
    let bad = [
        ("no scheme", good.clone()),
        ("another scheme", format!("Basic {good}")),
        ("nothing", "Bearer ".to_owned()),
        ("no key", "Bearer hello".to_owned()),
        ("a key cut short", format!("Bearer {cut}")),
        ("a wrong secret", format!("Bearer {flipped}")),
        ("an unknown id", format!("Bearer {}", good.replace("alice", "mallory"))),
        ("an expired key", format!("Bearer {}", gateway.key("late"))),
    ];
    let anybody = gateway.anonymous("main");
    let nobody = anybody.send(Method::POST, &[], call_text("{}")).await;
    for (what, authorization) in &bad {
        let headers = [("authorization", authorization.as_str())];
        let response = anybody.send(Method::POST, &headers, call_text("{}")).await;
        assert_eq!(response.status, 401, "{what}");
        assert!(response.header("www-authenticate").starts_with("Bearer"), "{what}: {response:?}");
        assert_eq!(response.body, nobody.body, "{what} is told apart");
    }
    // Nobody learns which virtual MCPs exist, neither without a key nor with one for another.
    let elsewhere = gateway.anonymous("nope").send(Method::POST, &[], call_text("{}")).await;
    assert_eq!((elsewhere.status, &elsewhere.body), (nobody.status, &nobody.body));
    let missing = gateway.client("scoped", "nope").send(Method::POST, &[], call_text("{}")).await;
    let foreign = gateway.client("scoped", "main").send(Method::POST, &[], call_text("{}")).await;
    assert_eq!((missing.status.as_u16(), &missing.body), (404, &foreign.body));
    assert_eq!(gateway.client("scoped", "other").tool_names().await, ["echo"]);
    assert!(mock.calls("echo").is_empty());
}

/// The same with a line added to a file.
fn amended(setup: Setup, name: &str, line: &str) -> Setup {
    let text = std::fs::read_to_string(setup.config().join(name)).unwrap();
    setup.file(name, &format!("{text}{line}\n"))
}

async fn post(session: &Session, body: &str) -> Response {
    session.send(Method::POST, body.to_owned()).await
}

#[tokio::test]
async fn legacy_sessions_keep_their_rules() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    let alice = gateway.client("alice", "main");
    let session = alice.session("2025-11-25").await;
    let id = session.id.clone().unwrap();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let send = |client: Client, headers: Vec<(&'static str, String)>| async move {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.send(Method::POST, &headers, ping).await.status.as_u16()
    };
    let named = |id: &str| vec![("mcp-session-id", id.to_owned())];
    let bob = gateway.client("bob", "main");
    let version = |id: &str, version: &str| {
        let mut headers = named(id);
        headers.push(("mcp-protocol-version", version.to_owned()));
        headers
    };
    for (what, client, headers, status) in [
        ("the session", alice.clone(), named(&id), 200),
        ("no session", alice.clone(), vec![], 400),
        ("an unknown session", alice.clone(), named("nope"), 404),
        ("somebody else's session", bob, named(&id), 404),
        ("a version that was never spoken", alice.clone(), version(&id, "1999-01-01"), 400),
        ("the modern version in a session", alice.clone(), version(&id, "2026-07-28"), 400),
    ] {
        assert_eq!(send(client, headers).await, status, "{what}");
    }
    let unknown = session.request("tools/destroy", json!({})).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (200, -32601));
    assert_eq!(session.request("ping", json!({})).await.result(), &json!({}));
    assert_eq!(session.notify("notifications/made-up", json!({})).await.status, 202);
    assert_eq!(
        session.notify("notifications/cancelled", json!({ "requestId": 99 })).await.status,
        202
    );
    let batch = format!("[{ping}]");
    assert_eq!(post(&session, &batch).await.status, 400, "a batch at 2025-11-25");
    assert_eq!(
        session.call("echo", json!({ "message": "hi" })).await.text(),
        r#"{"message":"hi"}"#
    );
    assert!(session.close().await.status.is_success());
    assert_eq!(post(&session, ping).await.status, 404, "a closed session");
}

#[tokio::test]
async fn initialize_agrees_on_a_revision_that_both_speak() {
    let (_mock, gateway) = gateway().await;
    let client = gateway.client("alice", "main");
    for (asked, given) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": asked, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
        }});
        let rpc = client.send(Method::POST, &[], body.to_string()).await.rpc();
        assert_eq!(rpc.result()["protocolVersion"], given, "{asked}");
    }
}

#[tokio::test]
async fn batches_belong_to_one_revision() {
    let (mock, gateway) = gateway().await;
    let session = gateway.client("alice", "main").session("2025-03-26").await;
    let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"b"}}}"#;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/made-up"}"#;
    let answers = post(&session, &format!("[{ping},{note},{call},{{\"id\":3}}]")).await.json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!(answers[0]["result"], json!({}));
    assert_eq!(answers[1]["result"]["content"][0]["text"], r#"{"message":"b"}"#);
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(3), &json!(-32600)));
    assert_eq!(post(&session, &format!("[{note}]")).await.status, 202);
    assert_eq!(post(&session, "[]").await.status, 400);
    assert_eq!(post(&session, &format!("[{}]", vec![call; 65].join(","))).await.status, 400);
    assert_eq!(mock.calls("echo").len(), 1);
}

#[tokio::test]
async fn what_is_not_understood_is_passed_on_byte_for_byte() {
    let odd = r#"{"structuredContent":{"z":1.50,"a":"\u00e9","n":1e400},"content":[{"type":"text","text":"x","unknown":[1,2]}],"futureMember":{"deep":[null]},"resultType":"complete"}"#;
    let body = move |received: &Received| {
        let id = received.message["id"].clone();
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{odd}}}"#);
        Reply::Raw(200, "application/json", text.into())
    };
    let tool =
        json!({ "name": "odd", "inputSchema": { "type": "object" }, "futureHint": { "x": 1.0 } });
    let mock = Mock::start(Era::Modern, vec![MockTool::new(tool, body)]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let arguments =
        r#"{ "b" : 1.50 , "a":"\u00e9\/", "big":123456789012345678901234567890, "A":{} }"#;
    let call = message_text(&format!(
        r#""method":"tools/call","params":{{"name":"odd","arguments":{arguments},"future":true,"_meta":{META}}}"#
    ));
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "odd")];
    let response = client.send(Method::POST, &headers, call).await;
    let answered = String::from_utf8(response.body.to_vec()).unwrap();
    // `resultType` may be written anew; all other members stand as the upstream wrote them.
    for part in odd.trim_matches(['{', '}']).split(r#","resultType""#).take(1) {
        assert!(answered.contains(part), "{answered}");
    }
    let sent = mock.calls("odd");
    let sent = String::from_utf8(sent[0].body.to_vec()).unwrap();
    assert!(sent.contains(arguments), "{sent}");
    let listed = client.tools().await;
    assert_eq!(listed[0]["futureHint"], json!({ "x": 1.0 }));
}

#[tokio::test]
async fn long_lists_come_in_pages_whose_cursors_are_the_callers_own() {
    let tools = (0..7).map(|n| MockTool::echo(&format!("t{n}"))).collect();
    let mock = Mock::start(Era::Modern, tools).await;
    let gateway =
        Setup::simple(&mock).key("bob", &["other"]).settings("[limits]\npage = 3").start().await;
    let alice = gateway.client("alice", "main");
    assert_eq!(alice.tool_names().await, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
    let first = alice.request("tools/list", json!({})).await;
    let cursor = first.result()["nextCursor"].as_str().unwrap().to_owned();
    let mut forged = cursor.clone().into_bytes();
    forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let bob = gateway.client("bob", "main");
    for (what, client, cursor) in [
        ("a forged cursor", &alice, forged.as_str()),
        ("an empty cursor", &alice, ""),
        ("nonsense", &alice, "???"),
        ("another caller's cursor", &bob, cursor.as_str()),
    ] {
        let answer = client.request("tools/list", json!({ "cursor": cursor })).await;
        assert_eq!(answer.code(), -32602, "{what}");
    }
    let typed = alice.request("tools/list", json!({ "cursor": 7 })).await;
    assert_eq!(typed.code(), -32602);
}
