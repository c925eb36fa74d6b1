//! The harness itself: a client and a mock with no gateway in between.
//!
//! What fails here is the harness; what fails elsewhere is the gateway.

use std::sync::Arc;

use hyper::Method;
use serde_json::json;
use tokio::sync::Notify;

use super::{Client, Era, Mock, MockTool, Reply, eventually, reply::text_result};

fn to(mock: &Mock) -> Client {
    Client::new(mock.address, "/mcp")
}

#[tokio::test]
async fn a_mock_speaks_the_revisions_it_was_made_for() {
    let mock = |era| Mock::start(era, vec![MockTool::echo("a"), MockTool::echo("b")]);
    for era in [Era::Modern, Era::Both] {
        let mock = mock(era).await;
        let client = to(&mock);
        assert_eq!(client.tool_names().await, ["a", "b"], "{era:?}");
        let answer = client.call("a", json!({ "message": "hi" })).await;
        assert_eq!(answer.text(), r#"{"message":"hi"}"#);
        assert_eq!(mock.calls("a")[0].header("mcp-name"), "a");
    }
    for era in [Era::Legacy, Era::Both] {
        let mock = mock(era).await;
        let session = to(&mock).session("2025-06-18").await;
        assert_eq!(session.initialized["protocolVersion"], "2025-06-18", "{era:?}");
        assert_eq!(session.tool_names().await, ["a", "b"]);
        assert_eq!(session.call("b", json!({})).await.text(), "{}");
        assert_eq!(session.close().await.status, 204);
    }
    let legacy = mock(Era::Legacy).await;
    assert_eq!(to(&legacy).send(Method::POST, &[], "{}").await.status, 400);
    let modern = mock(Era::Modern).await;
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize" });
    let refused = to(&modern).send(Method::POST, &[], initialize.to_string()).await;
    assert_eq!((refused.status.as_u16(), refused.rpc().code()), (400, -32022));
}

#[tokio::test]
async fn pages_are_followed_to_the_last() {
    let tools = (0..7).map(|n| MockTool::echo(&format!("t{n}"))).collect();
    let mock = Mock::start(Era::Modern, tools).await;
    mock.set_page(3);
    assert_eq!(to(&mock).tool_names().await.len(), 7);
    assert_eq!(mock.received().len(), 3);
    mock.set_tools(vec![MockTool::echo("only")]);
    assert_eq!(to(&mock).tool_names().await, ["only"]);
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece_and_giving_up_is_noticed() {
    let go_on = Arc::new(Notify::new());
    let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress" });
    let reply = Reply::StreamUntil(vec![progress], Arc::clone(&go_on), text_result("done"));
    let tools = vec![MockTool::answering("slow", reply), MockTool::answering("never", Reply::Hang)];
    let mock = Mock::start(Era::Modern, tools).await;
    let client = to(&mock);
    let ask = || client.request_stream("tools/call", json!({ "name": "slow" }));

    let mut stream = ask().await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/progress");
    go_on.notify_one();
    assert_eq!(stream.next().await.unwrap()["result"]["content"][0]["text"], "done");
    assert!(stream.next().await.is_none());
    assert_eq!(mock.abandoned(), 0);

    let mut stream = ask().await;
    stream.next().await.unwrap();
    drop(stream);
    eventually("the stream to be given up", || async { (mock.abandoned() == 1).then_some(()) })
        .await;

    let never = tokio::spawn(async move {
        client.call("never", json!({})).await;
    });
    eventually("the call", || async { (mock.calls("never").len() == 1).then_some(()) }).await;
    never.abort();
    eventually("the call to be given up", || async { (mock.abandoned() == 2).then_some(()) }).await;
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_unknown() {
    let mock = Mock::start(Era::Legacy, vec![MockTool::echo("a")]).await;
    let session = to(&mock).session("2025-11-25").await;
    mock.forget_sessions();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    assert_eq!(session.send(Method::POST, body).await.status, 404);
}
