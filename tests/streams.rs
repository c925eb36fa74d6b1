//! A call while it runs: progress, cancellation and questions, in all four pairs of eras.
//!
//! Owns what must come out the same whichever era client and upstream speak. The upstream is
//! held back by gates, so that what is seen to happen happens while the call runs.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Client, Era, EventStream, Mock, MockTool, Received, Reply, Response, Session, Setup,
    TestGateway, eventually,
};

const PAIRS: [(Era, Era); 4] = [
    (Era::Modern, Era::Modern),
    (Era::Modern, Era::Legacy),
    (Era::Legacy, Era::Modern),
    (Era::Legacy, Era::Legacy),
];

fn done(text: &str) -> Value {
    let content = json!([{ "type": "text", "text": text }]);
    json!({ "resultType": "complete", "content": content, "isError": false })
}

/// A tool that is open about what it does, of no particular class.
fn tool(name: &str, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> MockTool {
    let schema = json!({ "type": "object" });
    MockTool::new(json!({ "name": name, "inputSchema": schema }), script)
}

/// The progress token that the gateway made for this call.
fn token(received: &Received) -> &Value {
    &received.message["params"]["_meta"]["progressToken"]
}

fn progress(received: &Received, done: u64) -> Value {
    let params = json!({ "progressToken": token(received), "progress": done, "message": "on it" });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
}

/// An upstream whose slow tools wait for the gate.
struct Upstream {
    mock: Mock,
    gate: Arc<Notify>,
}

impl Upstream {
    async fn start(era: Era) -> Self {
        let gate = Arc::new(Notify::new());
        let (streamed, quiet) = (Arc::clone(&gate), Arc::clone(&gate));
        let tools = vec![
            MockTool::echo("echo"),
            tool("streamed", move |received| {
                let before = vec![progress(received, 1), progress(received, 2)];
                Reply::StreamUntil(before, Arc::clone(&streamed), done("streamed"))
            }),
            tool("quiet", move |_| Reply::After(Arc::clone(&quiet), done("quiet"))),
        ];
        Self { mock: Mock::start(era, tools).await, gate }
    }

    /// Waits until the upstream has got that many calls of the tool.
    async fn called(&self, tool: &str, times: usize) -> Received {
        let what = format!("call {times} of `{tool}` upstream");
        eventually(&what, || async { self.mock.calls(tool).get(times - 1).cloned() }).await
    }

    /// How often the upstream was told that nobody waits for this call, in the way of its era.
    fn told(&self, call: &Received) -> usize {
        let is_cancelled = |one: &Received| {
            one.method() == "notifications/cancelled"
                && one.message["params"]["requestId"] == call.message["id"]
        };
        if call.header("mcp-session-id").is_empty() {
            self.mock.abandoned()
        } else {
            self.mock.received().iter().filter(|one| is_cancelled(one)).count()
        }
    }

    async fn given_up(&self, who: &str, call: &Received) {
        let what = format!("{who}: the cancellation upstream");
        eventually(&what, || async { (self.told(call) == 1).then_some(()) }).await;
    }
}

/// A client of either era.
enum Caller {
    Modern(Client),
    Legacy(Session),
}

impl Caller {
    async fn of(gateway: &TestGateway, era: Era) -> Self {
        let client = gateway.client("alice", "main");
        match era {
            Era::Legacy => Self::Legacy(client.session("2025-11-25").await),
            _ => Self::Modern(client),
        }
    }

    async fn stream(&self, params: Value) -> EventStream {
        match self {
            Self::Modern(client) => client.request_stream("tools/call", params).await,
            Self::Legacy(session) => session.request_stream("tools/call", params).await,
        }
    }

    async fn tool_names(&self) -> Vec<String> {
        match self {
            Self::Modern(client) => client.tool_names().await,
            Self::Legacy(session) => session.tool_names().await,
        }
    }

    async fn text(&self, tool: &str, arguments: Value) -> String {
        let answer = match self {
            Self::Modern(client) => client.call(tool, arguments).await,
            Self::Legacy(session) => session.call(tool, arguments).await,
        };
        answer.text().to_owned()
    }
}

fn streamed(token: &Value) -> Value {
    json!({ "name": "streamed", "arguments": {}, "_meta": { "progressToken": token } })
}

#[tokio::test]
async fn lists_calls_and_progress_cross_the_eras() {
    for (ours, theirs) in PAIRS {
        let who = format!("{ours:?} client, {theirs:?} upstream");
        let upstream = Upstream::start(theirs).await;
        let gateway = Setup::simple(&upstream.mock).start().await;
        let caller = Caller::of(&gateway, ours).await;
        assert_eq!(caller.tool_names().await, ["echo", "streamed", "quiet"], "{who}");
        let echoed = caller.text("echo", json!({ "message": "hi" })).await;
        assert_eq!(echoed, r#"{"message":"hi"}"#, "{who}");
        assert!(token(&upstream.called("echo", 1).await).is_null(), "{who}: nobody asked for it");

        let tokens = [json!("a \"token\""), json!(7), json!(-3), json!("7"), json!("")];
        for (times, own) in (1..).zip(&tokens) {
            let mut stream = caller.stream(streamed(own)).await;
            assert_eq!(stream.status, 200, "{who}");
            assert_eq!(stream.headers["content-type"], "text/event-stream", "{who}");
            for step in [1, 2] {
                let note = stream.next().await.unwrap();
                assert_eq!(note["method"], "notifications/progress", "{who}");
                let expected =
                    json!({ "progressToken": own, "progress": step, "message": "on it" });
                assert_eq!(note["params"], expected, "{who}");
            }
            // Only now does the upstream get to its answer.
            upstream.gate.notify_one();
            let answer = stream.next().await.unwrap();
            assert_eq!(answer["result"]["content"][0]["text"], "streamed", "{who}: {answer}");
            let kind = answer["result"].get("resultType").and_then(Value::as_str);
            assert_eq!(kind, (ours == Era::Modern).then_some("complete"), "{who}: {answer}");
            assert_eq!(stream.next().await, None, "{who}");
            let sent = upstream.called("streamed", times).await;
            assert!(token(&sent).is_number(), "{who}: not a token of the gateway's own: {sent:?}");
        }
        assert_eq!(upstream.mock.given_up(), [""; 0], "{who}");
    }
}

#[tokio::test]
async fn progress_that_was_not_asked_for_is_not_sent() {
    for (ours, theirs) in PAIRS {
        let who = format!("{ours:?} client, {theirs:?} upstream");
        let foreign = json!({ "progressToken": "somebody else's", "progress": 1 });
        let foreign =
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": foreign });
        let chatty = tool("chatty", move |received| {
            Reply::Stream(vec![foreign.clone(), progress(received, 1)], done("chatty"))
        });
        let mock = Mock::start(theirs, vec![chatty]).await;
        let gateway = Setup::simple(&mock).start().await;
        let caller = Caller::of(&gateway, ours).await;
        assert_eq!(caller.text("chatty", json!({})).await, "chatty", "{who}");
        let wanted = json!({ "name": "chatty", "_meta": { "progressToken": "mine" } });
        let answer = match &caller {
            Caller::Modern(client) => client.request("tools/call", wanted).await,
            Caller::Legacy(session) => session.request("tools/call", wanted).await,
        };
        let tokens: Vec<_> =
            answer.before.iter().map(|note| &note["params"]["progressToken"]).collect();
        assert_eq!(tokens, ["mine"], "{who}");
    }
}

/// The last audit row of `tool`, once there is one.
async fn row_of(gateway: &TestGateway, tool: &str) -> Value {
    eventually(&format!("the row of `{tool}`"), || async {
        let rows = gateway.audit().await;
        let is_row = |row: &&Value| row["tool"] == tool && row["phase"] == "outcome";
        rows.iter().rev().find(is_row).cloned()
    })
    .await
}

fn check_abandoned(who: &str, row: &Value) {
    assert_eq!((&row["status"], &row["code"]), (&json!("abandoned"), &json!("cancelled")), "{who}");
    assert_eq!(row["caller"]["user"], "alice@example.com", "{who}: {row}");
}

#[tokio::test]
async fn a_modern_client_that_goes_away_cancels_its_call() {
    for theirs in [Era::Modern, Era::Legacy] {
        let upstream = Upstream::start(theirs).await;
        let gateway = Setup::simple(&upstream.mock).start().await;
        let client = gateway.client("alice", "main");

        // While events arrive.
        let who = format!("streaming from a {theirs:?} upstream");
        let mut stream = client.request_stream("tools/call", streamed(&json!(1))).await;
        stream.next().await.unwrap();
        drop(stream);
        let call = upstream.called("streamed", 1).await;
        upstream.given_up(&who, &call).await;
        check_abandoned(&who, &row_of(&gateway, "streamed").await);

        // Before any byte of an answer.
        let who = format!("waiting for a {theirs:?} upstream");
        let before = upstream.mock.abandoned();
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.call("quiet", json!({})).await })
        };
        let call = upstream.called("quiet", 1).await;
        waiting.abort();
        let what = format!("{who}: the stream upstream to be closed");
        eventually(&what, || async { (upstream.mock.abandoned() > before).then_some(()) }).await;
        if theirs == Era::Legacy {
            upstream.given_up(&who, &call).await;
        }
        check_abandoned(&who, &row_of(&gateway, "quiet").await);

        let metrics = gateway.ops("/metrics").send(Method::GET, &[], "").await;
        let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
        assert!(metrics.contains(r#"tidegate_calls_total{end="cancelled"} 2"#), "{metrics}");
        assert_eq!(client.call("echo", json!({})).await.text(), "{}", "{who}: afterwards");
    }
}

/// A call of `quiet` in a session, with an id of the test's own choosing.
fn quiet(session: &Arc<Session>, id: &Value) -> tokio::task::JoinHandle<Response> {
    let params = json!({ "name": "quiet", "arguments": {} });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let session = Arc::clone(session);
    tokio::spawn(async move { session.send(Method::POST, body.to_string()).await })
}

#[tokio::test]
async fn a_legacy_client_cancels_by_saying_so() {
    for theirs in [Era::Modern, Era::Legacy] {
        let who = format!("a {theirs:?} upstream");
        let upstream = Upstream::start(theirs).await;
        let gateway = Setup::simple(&upstream.mock).start().await;
        let session = Arc::new(gateway.client("alice", "main").session("2025-11-25").await);
        for (times, id) in (1..).zip([json!("one"), json!(900)]) {
            let (kept, call) = (quiet(&session, &json!("kept")), quiet(&session, &id));
            upstream.called("quiet", times * 2).await;
            let calls = upstream.mock.calls("quiet");
            // What is under way under other ids, of other types too, is not meant.
            for other in [json!("900"), json!(1), json!("on"), Value::Null] {
                session.notify("notifications/cancelled", json!({ "requestId": other })).await;
            }
            let told = session.notify("notifications/cancelled", json!({ "requestId": id })).await;
            assert_eq!(told.status, 202, "{who}");
            let answer = call.await.unwrap().json();
            assert_eq!(answer["id"], id, "{who}");
            assert_eq!(answer["error"]["code"], -32000, "{who}: {answer}");
            check_abandoned(&who, &row_of(&gateway, "quiet").await);
            let what = format!("{who}: the streams upstream to be closed");
            eventually(&what, || async { (upstream.mock.abandoned() == times).then_some(()) })
                .await;
            if theirs == Era::Legacy {
                let told = || calls.iter().map(|call| upstream.told(call)).sum::<usize>();
                let what = format!("{who}: the cancellation upstream");
                eventually(&what, || async { (told() == times).then_some(()) }).await;
            }
            // One of the two is gone, so one permit is for the other.
            upstream.gate.notify_one();
            let kept = kept.await.unwrap().rpc();
            assert_eq!(kept.text(), "quiet", "{who}: another call was cancelled");
        }
    }
}

#[tokio::test]
async fn a_legacy_client_that_loses_its_connection_cancels_nothing() {
    for theirs in [Era::Modern, Era::Legacy] {
        let who = format!("a {theirs:?} upstream");
        let upstream = Upstream::start(theirs).await;
        let gateway = Setup::simple(&upstream.mock).start().await;
        let client = gateway.client("alice", "main");
        let session = Arc::new(client.session("2025-06-18").await);
        let mut stream = session.request_stream("tools/call", streamed(&json!("t"))).await;
        stream.next().await.unwrap();
        let waiting = quiet(&session, &json!("w"));
        let call = upstream.called("quiet", 1).await;
        drop(stream);
        waiting.abort();
        // A modern call that is given up after them: by the time the upstream knows of this
        // one, the gateway has noticed all three.
        let mut stream = client.request_stream("tools/call", streamed(&json!(1))).await;
        stream.next().await.unwrap();
        drop(stream);
        let last = upstream.called("streamed", 2).await;
        upstream.given_up(&who, &last).await;

        assert_eq!(
            upstream.told(&upstream.called("streamed", 1).await),
            usize::from(theirs == Era::Modern),
            "{who}"
        );
        if theirs == Era::Legacy {
            assert_eq!(upstream.told(&call), 0, "{who}");
        }
        let both = |rows: &[Value]| {
            rows.iter().filter(|row| row["status"] == "ok" && row["method"] == "tools/call").count()
        };
        eventually(&format!("{who}: both rows"), || async {
            upstream.gate.notify_one();
            (both(&gateway.audit().await) == 2).then_some(())
        })
        .await;
        assert_eq!(session.call("echo", json!({})).await.text(), "{}", "{who}: afterwards");
    }
}

#[tokio::test]
async fn a_deadline_cancels_upstream_as_well() {
    for theirs in [Era::Modern, Era::Legacy] {
        let who = format!("a {theirs:?} upstream");
        let upstream = Upstream::start(theirs).await;
        let setup = Setup::simple(&upstream.mock).settings("[limits]\ncall_ms = 300");
        let gateway = setup.start().await;
        let answer = gateway.client("alice", "main").call("quiet", json!({})).await;
        assert!(answer.is_tool_error(), "{who}: {answer:?}");
        let call = upstream.called("quiet", 1).await;
        upstream.given_up(&who, &call).await;
        let row = row_of(&gateway, "quiet").await;
        assert_eq!(
            (&row["status"], &row["code"]),
            (&json!("refused"), &json!("deadline_exceeded"))
        );
    }
}

/// A tool that asks `method` in the middle of a call and goes on when the test says so.
fn asking(method: &'static str, gate: &Arc<Notify>) -> MockTool {
    let gate = Arc::clone(gate);
    tool("asking", move |received| {
        let params = json!({ "message": "what is your name?", "requestedSchema": {} });
        let question = json!({ "jsonrpc": "2.0", "id": "q", "method": method, "params": params });
        let before = vec![question, progress(received, 1)];
        Reply::StreamUntil(before, Arc::clone(&gate), done("without an answer"))
    })
}

#[tokio::test]
async fn a_question_in_the_middle_is_refused_and_the_call_goes_on() {
    for method in ["elicitation/create", "sampling/createMessage", "roots/list", "ping"] {
        for (ours, theirs) in PAIRS {
            let who = format!("{method}: {ours:?} client, {theirs:?} upstream");
            let gate = Arc::new(Notify::new());
            let mock = Mock::start(theirs, vec![asking(method, &gate)]).await;
            let gateway = Setup::simple(&mock).start().await;
            let caller = Caller::of(&gateway, ours).await;
            let params = json!({ "name": "asking", "_meta": { "progressToken": 5 } });
            let mut stream = caller.stream(params).await;
            let first = stream.next().await.unwrap();
            assert_eq!(first["method"], "notifications/progress", "{who}: {first}");
            if theirs == Era::Legacy {
                // A modern server may not ask on a stream, and there is no way to answer it.
                let reply = eventually(&format!("{who}: a reply"), || async {
                    let received = mock.received();
                    received.iter().find(|one| one.message["id"] == "q").cloned()
                })
                .await;
                let code = reply.message["error"]["code"].as_i64();
                assert_eq!(code, (method != "ping").then_some(-32601), "{who}: {reply:?}");
            }
            gate.notify_one();
            let answer = stream.next().await.unwrap();
            let text = &answer["result"]["content"][0]["text"];
            assert_eq!(text, "without an answer", "{who}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_asks_who_cannot_answer_comes_to_an_end() {
    let wanted = json!({ "name": { "method": "elicitation/create", "params": {} } });
    let reply =
        json!({ "resultType": "input_required", "inputRequests": wanted, "requestState": "s" });
    let mock =
        Mock::start(Era::Modern, vec![MockTool::answering("ask", Reply::Result(reply))]).await;
    let gateway = Setup::simple(&mock).start().await;
    // A legacy client that cannot be asked has put every question aside.
    for (ours, calls) in [(Era::Modern, 1), (Era::Legacy, 17)] {
        let before = mock.calls("ask").len();
        let text = Caller::of(&gateway, ours).await.text("ask", json!({})).await;
        assert_eq!(mock.calls("ask").len() - before, calls, "{ours:?}: {text}");
    }
}

#[tokio::test]
async fn who_takes_no_events_gets_the_answer_alone() {
    let upstream = Upstream::start(Era::Modern).await;
    let gateway = Setup::simple(&upstream.mock).start().await;
    let client = gateway.client("alice", "main");
    let params = crate::support::modern_params(streamed(&json!("t")));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut headers = Client::modern_headers("tools/call", &params);
    headers.push(("accept", "application/json"));
    upstream.gate.notify_one();
    let response = client.send(Method::POST, &headers, body.to_string()).await;
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.rpc().text(), "streamed");
}
