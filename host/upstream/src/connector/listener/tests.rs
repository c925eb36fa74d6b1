//! Listening again and again, over pipes and with time that stands still.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tidegate_model::Json;
use tidegate_wire::{
    client::stdio::{StdioPeer, StdioSettings},
    mcp::Era,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

use super::*;

#[test]
fn notifications_become_updates() {
    let params = Json::parse(r#"{"taskId":"t"}"#).unwrap();
    for (method, expected) in [
        ("notifications/tools/list_changed", Some(Update::Changed(List::Tools))),
        ("notifications/prompts/list_changed", Some(Update::Changed(List::Prompts))),
        ("notifications/resources/list_changed", Some(Update::Changed(List::Resources))),
        ("notifications/resources/updated", Some(Update::Resource(params.clone()))),
        ("notifications/tasks/status", Some(Update::Task(params.clone()))),
        ("notifications/tasks", Some(Update::Task(params.clone()))),
        ("notifications/message", None),
        ("notifications/vendor", None),
    ] {
        let note = Notification { method: method.into(), params: params.clone() };
        assert_eq!(update(note), expected, "{method}");
    }
}

/// A legacy server that tells of one update when it is asked for, and goes away.
async fn short_lived(input: DuplexStream, mut output: DuplexStream) {
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        let (id, uri) = (&message["id"], &message["params"]["uri"]);
        let result = match message["method"].as_str() {
            Some("initialize") => {
                json!({"protocolVersion": "2025-11-25", "capabilities": {"resources": {"subscribe": true}}})
            }
            Some("resources/subscribe") => json!({}),
            _ => continue,
        };
        let mut said = format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "result": result}));
        if uri.is_string() {
            let method = "notifications/resources/updated";
            let note = json!({"jsonrpc": "2.0", "method": method, "params": {"uri": uri}});
            said.push_str(&format!("{note}\n"));
        }
        output.write_all(said.as_bytes()).await.unwrap();
        if uri.is_string() {
            return;
        }
    }
}

async fn connect() -> Result<Peer, ConnectorError> {
    let (input, writer) = duplex(64 * 1024);
    let (reader, output) = duplex(64 * 1024);
    tokio::spawn(short_lived(input, output));
    let settings = StdioSettings {
        name: "files".into(),
        era: Some(Era::Legacy),
        probe_timeout: Duration::from_secs(1),
        setup_timeout: Duration::from_secs(5),
        answer_limit: 1 << 20,
    };
    Ok(Peer::Stdio(Arc::new(StdioPeer::over(reader, writer, &settings).await?)))
}

#[tokio::test(start_paused = true)]
async fn what_is_followed_is_asked_for_again_at_each_new_server() {
    let listener = Listener::new();
    let mut updates = listener.updates();
    let resources = ["a:1".into()].into();
    listener.follow(Wanted { resources, ..Wanted::default() });
    let found = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&found);
    listener.begin(move |_| {
        // Each second time the server is not there.
        let there = count.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        async move {
            match there {
                true => connect().await.map(|peer| (peer, Vec::new())),
                false => Err(tidegate_wire::client::PeerError::Closed.into()),
            }
        }
    });
    for _ in 0..3 {
        let update = updates.recv().await.unwrap();
        assert_eq!(update, Update::Resource(Json::parse(r#"{"uri":"a:1"}"#).unwrap()));
    }
    assert_eq!(found.load(Ordering::Relaxed), 6);
    // Beginning again while it listens changes nothing.
    listener.begin(|_| std::future::ready(Err(ConnectorError::Closed)));
    updates.recv().await.unwrap();
    listener.end();
    assert!(found.load(Ordering::Relaxed) >= 8);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_is_closed_is_listened_to_no_more() {
    let listener = Listener::new();
    listener.begin(|_| std::future::ready(Err(ConnectorError::Closed)));
    let task = listener.task.lock().unwrap().take().unwrap();
    task.await.unwrap();
}
