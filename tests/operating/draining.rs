//! SIGTERM: what is under way is finished, nothing new begins, and every row is written.

use super::*;

/// `echo`, `quiet`, which waits for the first gate, and `streamed`, which waits for the second.
async fn slow() -> (Mock, Arc<Notify>, Arc<Notify>) {
    let (quiet, streamed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let note = json!({ "level": "info", "data": "under way" });
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": note });
    let tools = vec![
        MockTool::echo("echo"),
        MockTool::answering("quiet", Reply::After(Arc::clone(&quiet), done("quiet"))),
        MockTool::answering(
            "streamed",
            Reply::StreamUntil(vec![note], Arc::clone(&streamed), done("streamed")),
        ),
    ];
    (Mock::start(Era::Modern, tools).await, quiet, streamed)
}

async fn called(mock: &Mock, tool: &str, times: usize) {
    let what = format!("call {times} of `{tool}` upstream");
    eventually(&what, || async { (mock.calls(tool).len() == times).then_some(()) }).await;
}

fn streamed() -> Value {
    // Log lines are for modern requests that ask for them.
    let meta = json!({ "progressToken": 1, "io.modelcontextprotocol/logLevel": "info" });
    json!({ "name": "streamed", "_meta": meta })
}

/// How many rows of calls ended in `status`.
async fn ended_in(setup: &Setup, status: &str) -> usize {
    let rows = rows(setup).await;
    let is_one = |row: &&Value| row["status"] == status && row["method"] == "tools/call";
    rows.iter().filter(is_one).count()
}

#[tokio::test]
async fn calls_under_way_are_finished_before_the_end() {
    let (mock, quiet, gate) = slow().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = Arc::new(client.session("2025-11-25").await);
    let modern = {
        let client = client.clone();
        tokio::spawn(async move { client.call("quiet", json!({})).await })
    };
    let legacy = || {
        let session = Arc::clone(&session);
        tokio::spawn(async move { session.call("quiet", json!({})).await })
    };
    let (waiting, lost) = (legacy(), legacy());
    let mut stream = client.request_stream("tools/call", streamed()).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/message");
    called(&mock, "quiet", 3).await;
    lost.abort();

    gateway.terminate();
    eventually("the gateway not to be ready", || async {
        let ready = get(&gateway, "/readyz").await;
        assert!(ready.status == 200 || ready.body.starts_with(b"not ready"), "{ready:?}");
        (ready.status == 503).then_some(())
    })
    .await;
    assert_eq!(get(&gateway, "/healthz").await.status, 200, "it lives on");
    assert!(gateway.cli(&["status"]).await.ok, "the admin socket answers to the end");
    let late = Load::start(&client, &["echo"], 3, 0).rest().await;
    assert!(late.is_empty() && mock.calls("echo").is_empty(), "a new call was let in: {late:?}");

    gate.notify_one();
    assert_eq!(stream.next().await.unwrap()["result"]["content"][0]["text"], "streamed");
    assert_eq!(stream.next().await, None);
    for _ in 0..3 {
        quiet.notify_one();
    }
    assert_eq!(modern.await.unwrap().text(), "quiet");
    assert_eq!(waiting.await.unwrap().text(), "quiet");
    let (ended, setup) = gateway.ended().await;
    assert!(ended);
    assert_eq!(ended_in(&setup, "ok").await, 4, "with the one that nobody waited for");
    assert_eq!((mock.abandoned(), ended_in(&setup, "abandoned").await), (0, 0));
    check_sound(&setup).await;
}

#[tokio::test]
async fn calls_that_never_end_are_cut_off_and_recorded() {
    let (mock, ..) = slow().await;
    let gateway = Setup::simple(&mock).settings("[limits]\ndrain_seconds = 1").start().await;
    let client = gateway.client("alice", "main");
    let session = client.session("2025-11-25").await;
    let mut modern = client.request_stream("tools/call", streamed()).await;
    let mut legacy = session.request_stream("tools/call", streamed()).await;
    for stream in [&mut modern, &mut legacy] {
        stream.next().await.unwrap();
    }
    let lost = tokio::spawn(async move { session.call("quiet", json!({})).await });
    called(&mock, "quiet", 1).await;
    lost.abort();
    gateway.terminate();
    let (ended, setup) = gateway.ended().await;
    assert!(ended);
    assert_eq!(modern.next().await, None);
    legacy.next().await;
    assert_eq!((ended_in(&setup, "abandoned").await, ended_in(&setup, "ok").await), (3, 0));
    check_sound(&setup).await;
}

#[tokio::test]
async fn under_load_every_call_that_went_upstream_is_answered() {
    let mock = echo().await;
    for durability in ["process", "disk"] {
        let gateway = Setup::simple(&mock).durability(durability).start().await;
        let before = mock.calls("echo").len();
        let mut load = Load::start(&gateway.client("alice", "main"), &["echo"], 8, 0);
        let mut answered = load.answers(60).await;
        let (ended, setup) = gateway.stop().await;
        assert!(ended, "{durability}");
        answered.extend(load.rest().await);
        let answered: BTreeSet<&str> = answered.iter().map(String::as_str).collect();
        let calls = mock.calls("echo").split_off(before);
        let seen: BTreeSet<&str> =
            calls.iter().map(|call| trace_of(&call.message).unwrap()).collect();
        assert_eq!(answered, seen, "{durability}");
        let rows = rows(&setup).await;
        let recorded: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row["status"] == "ok")
            .filter_map(|row| row["trace"].as_str())
            .collect();
        assert_eq!(answered, recorded, "{durability}");
        check_sound(&setup).await;
    }
}
