//! Streams of legacy clients that are cut off, and how they go on.
//!
//! Owns event ids, what is sent again and to whom, and the stream of a session that belongs
//! to no request. What is told on it is the same as in `listening`, for another era.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Era, EventStream, Mock, MockTool, Received, Reply, Session, Setup, TestGateway, eventually,
};

fn done(text: &str) -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
}

fn progress(received: &Received, step: usize) -> Value {
    let token = &received.message["params"]["_meta"]["progressToken"];
    let message = "x".repeat(2_000);
    let params = json!({ "progressToken": token, "progress": step, "message": message });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
}

/// A tool that tells of its progress so many times and waits for the gate.
fn steps(name: &str, count: usize, gate: &Arc<Notify>) -> MockTool {
    let gate = Arc::clone(gate);
    let definition = json!({ "name": name, "inputSchema": { "type": "object" } });
    MockTool::new(definition, move |received: &Received| {
        let before = (1..=count).map(|step| progress(received, step)).collect();
        Reply::StreamUntil(before, Arc::clone(&gate), done("done"))
    })
}

struct Set {
    mock: Mock,
    gateway: TestGateway,
    gate: Arc<Notify>,
}

async fn start() -> Set {
    let gate = Arc::new(Notify::new());
    let tools = vec![steps("three", 3, &gate), steps("many", 2_000, &gate), MockTool::echo("echo")];
    let mock = Mock::start(Era::Modern, tools).await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    Set { mock, gateway, gate }
}

async fn call(session: &Session, tool: &str) -> EventStream {
    let params = json!({ "name": tool, "_meta": { "progressToken": "t" } });
    session.request_stream("tools/call", params).await
}

/// The steps of progress and the text of the answer that are left on a stream.
async fn rest(stream: &mut EventStream) -> (Vec<u64>, Option<String>) {
    let (mut steps, mut text) = (Vec::new(), None);
    while let Some(message) = stream.next().await {
        match message["params"]["progress"].as_u64() {
            Some(step) => steps.push(step),
            None => {
                let answer = message["result"]["content"][0]["text"].as_str();
                assert!(text.is_none(), "two answers: {message}");
                text = Some(answer.unwrap_or_else(|| panic!("{message}")).to_owned());
            }
        }
    }
    (steps, text)
}

#[tokio::test]
async fn every_event_has_an_id_and_newer_streams_begin_with_an_empty_one() {
    let Set { mock: _mock, gateway, gate } = start().await;
    let mut all = std::collections::HashSet::new();
    for (revision, primed) in [("2025-03-26", false), ("2025-06-18", false), ("2025-11-25", true)] {
        let session = gateway.client("alice", "main").session(revision).await;
        for _ in 0..2 {
            gate.notify_one();
            let mut stream = call(&session, "three").await;
            let mut messages = 0;
            let mut is_first = true;
            while let Some(event) = stream.next_event().await {
                let is_empty = event.message.is_none();
                assert_eq!(is_empty, primed && is_first, "{revision}: {event:?}");
                assert_eq!(event.retry.is_some(), is_empty, "{revision}: {event:?}");
                assert!(all.insert(event.id.clone().unwrap()), "{revision}: {event:?} again");
                (is_first, messages) = (false, messages + usize::from(!is_empty));
            }
            assert_eq!(messages, 4, "{revision}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_cut_off_goes_on_where_it_was() {
    let Set { mock: _mock, gateway, gate } = start().await;
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = gateway.client("alice", "main").session(revision).await;
        let mut stream = call(&session, "three").await;
        assert_eq!(stream.next().await.unwrap()["params"]["progress"], 1);
        let after_one = stream.last.clone().unwrap();
        assert_eq!(stream.next().await.unwrap()["params"]["progress"], 2);
        drop(stream);

        // While it runs: what was not seen comes again, and then what is new.
        let mut stream = session.listen(Some(&after_one)).await;
        assert_eq!(stream.status, 200, "{revision}");
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        for step in [2, 3] {
            assert_eq!(stream.next().await.unwrap()["params"]["progress"], step, "{revision}");
        }
        // A later connection takes over, and the first ends without an answer.
        let mut later = session.listen(Some(stream.last.as_deref().unwrap())).await;
        assert_eq!(stream.next().await, None, "{revision}");
        gate.notify_one();
        assert_eq!(rest(&mut later).await, (vec![], Some("done".into())), "{revision}");

        // After its end it can still be fetched, as often as it has to be.
        for _ in 0..2 {
            let mut again = session.listen(Some(&after_one)).await;
            assert_eq!(rest(&mut again).await, (vec![2, 3], Some("done".into())), "{revision}");
        }
        let last = later.last.clone().unwrap();
        assert_eq!(rest(&mut session.listen(Some(&last)).await).await, (vec![], None));
    }
}

#[tokio::test]
async fn an_id_that_is_not_the_clients_own_resumes_nothing() {
    let Set { mock: _mock, gateway, gate } = start().await;
    let client = gateway.client("alice", "main");
    let session = client.session("2025-11-25").await;
    let other = client.session("2025-11-25").await;
    let bob = gateway.client("bob", "main").session("2025-11-25").await;
    let mut stream = call(&session, "three").await;
    stream.next().await.unwrap();
    let id = stream.last.clone().unwrap();
    // The other sessions have a stream of the same place in them.
    let mut of_other = call(&other, "three").await;
    let mut of_bob = call(&bob, "three").await;
    of_other.next().await.unwrap();
    of_bob.next().await.unwrap();

    let refused = |session: Arc<Session>, last: String| async move {
        let stream = session.listen(Some(&last)).await;
        (stream.status.as_u16(), stream.headers["content-type"].to_str().unwrap().to_owned())
    };
    let (other, bob) = (Arc::new(other), Arc::new(bob));
    let session = Arc::new(session);
    let mut answers = Vec::new();
    for (who, last) in [
        (&other, id.clone()),
        (&bob, id.clone()),
        (&session, of_bob.last.clone().unwrap()),
        (&session, "never".to_owned()),
        (&session, format!("{id}0")),
        (&session, format!("{}.99.0", id.split('.').next().unwrap())),
        (&session, "9".repeat(300)),
    ] {
        answers.push(refused(Arc::clone(who), last).await);
    }
    let refusal = (400, "application/json".to_owned());
    assert_eq!(answers, vec![refusal; answers.len()], "all look the same");
    // Naming the session of somebody else is no way either.
    let named = session.id.clone().unwrap();
    let headers = [("mcp-session-id", named.as_str()), ("last-event-id", id.as_str())];
    let stolen = gateway.client("bob", "main").send(Method::GET, &headers, "").await;
    assert_eq!(stolen.status, 404);

    // Nobody lost a message by it.
    for stream in [&mut stream, &mut of_other, &mut of_bob] {
        gate.notify_one();
        let (steps, text) = rest(stream).await;
        assert_eq!((steps, text), (vec![2, 3], Some("done".into())));
    }
}

#[tokio::test]
async fn a_client_that_is_away_is_asked_when_it_comes_back() {
    let gate = Arc::new(Notify::new());
    let definition = json!({ "name": "ask", "inputSchema": { "type": "object" } });
    let asks = MockTool::new(definition, |received| {
        let own = &received.message["id"];
        let question = |n| {
            let id = format!("{own}-{n}");
            json!({ "jsonrpc": "2.0", "id": id, "method": "roots/list", "params": {} })
        };
        Reply::Ask(vec![question(1), question(2)])
    });
    let mock = Mock::start(Era::Legacy, vec![asks, steps("three", 3, &gate)]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = Session::open_as(client, "2025-11-25", json!({ "roots": {} })).await;
    let mut stream = session.request_stream("tools/call", json!({ "name": "ask" })).await;
    let first = stream.next().await.unwrap();
    let last = stream.last.clone().unwrap();
    drop(stream);
    // The answer needs no stream, and the next question waits for one.
    session.answer(&first, json!({ "result": { "roots": [] } })).await;
    let mut stream = session.listen(Some(&last)).await;
    let second = stream.next().await.unwrap();
    assert_ne!(second["id"], first["id"]);
    session.answer(&second, json!({ "result": { "roots": [1] } })).await;
    let (steps, text) = rest(&mut stream).await;
    assert_eq!((steps, text.as_deref()), (vec![], Some(r#"[{"roots":[]},{"roots":[1]}]"#)));
}

#[tokio::test]
async fn what_nobody_reads_is_not_kept_without_end() {
    let Set { mock, gateway, gate } = start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    let mut stream = call(&session, "many").await;
    stream.next().await.unwrap();
    let last = stream.last.clone().unwrap();
    drop(stream);
    // The upstream has got rid of everything before its answer, so nothing held it up.
    gate.notify_one();
    eventually("the call's row", || async {
        let rows = gateway.audit().await;
        rows.iter().any(|row| row["tool"] == "many" && row["status"] == "ok").then_some(())
    })
    .await;
    assert_eq!(mock.abandoned(), 0);
    let mut stream = session.listen(Some(&last)).await;
    let (steps, text) = rest(&mut stream).await;
    assert_eq!(text.as_deref(), Some("done"), "the answer is never dropped");
    assert!(steps.is_sorted() && steps.len() < 1_000, "{}", steps.len());
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let Set { mock: _mock, gateway, gate } = start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    let lazy = [call(&session, "many").await, call(&session, "many").await];
    // Its calls come to their ends, and so do others of the same session.
    for _ in &lazy {
        gate.notify_one();
    }
    eventually("the rows of the calls", || async {
        let rows = gateway.audit().await;
        let done = rows.iter().filter(|row| row["tool"] == "many" && row["status"] == "ok");
        (done.count() == 2).then_some(())
    })
    .await;
    assert_eq!(session.call("echo", json!({})).await.text(), "{}");
    for mut stream in lazy {
        let (steps, text) = rest(&mut stream).await;
        assert_eq!(text.as_deref(), Some("done"));
        assert!(steps.is_sorted() && !steps.is_empty());
    }
}

#[tokio::test]
async fn who_names_events_first_gets_a_stream_even_for_what_is_there_at_once() {
    let Set { mock: _mock, gateway, .. } = start().await;
    for (revision, streams) in [("2025-06-18", false), ("2025-11-25", true)] {
        let client = gateway.client("alice", "main");
        let session = client.session(revision).await;
        let body = json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list" }).to_string();
        let id = session.id.clone().unwrap();
        let own = ("mcp-session-id", id.as_str());
        let accept = ("accept", "text/event-stream, application/json");
        let mut stream = client.stream(Method::POST, &[own, accept], body).await;
        let kind = stream.headers["content-type"].to_str().unwrap() == "text/event-stream";
        assert_eq!(kind, streams, "{revision}");
        if streams {
            let first = stream.next_event().await.unwrap();
            assert!(first.message.is_none() && first.retry.is_some(), "{first:?}");
            let list = stream.next().await.unwrap();
            assert_eq!(
                (&list["id"], list["result"]["tools"].as_array().unwrap().len()),
                (&json!("l"), 3)
            );
            assert_eq!(stream.next().await, None);
            // It was lost on the way: here it is again.
            let mut again = session.listen(first.id.as_deref()).await;
            assert_eq!(again.next().await, Some(list));
        }
    }
}
