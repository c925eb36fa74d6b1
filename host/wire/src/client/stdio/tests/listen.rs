//! Listening to what a server tells of its own accord, in both eras.

use std::collections::BTreeSet;

use super::{questions::legacy, *};
use crate::client::Wanted;

type Listening = tokio::task::JoinHandle<Result<Heard, PeerError>>;

struct Listener {
    wanted: watch::Sender<Wanted>,
    heard: mpsc::Receiver<Notification>,
    listening: Listening,
}

fn resources(uris: &[&str]) -> Wanted {
    Wanted {
        resources: uris.iter().map(|uri| Box::from(*uri)).collect::<BTreeSet<_>>(),
        ..Wanted::default()
    }
}

fn listen(peer: &Arc<StdioPeer>, uris: &[&str]) -> Listener {
    let (wanted, wishes) = watch::channel(resources(uris));
    let (sink, heard) = mpsc::channel(64);
    let peer = Arc::clone(peer);
    let listening = tokio::spawn(async move { peer.listen(wishes, &sink).await });
    Listener { wanted, heard, listening }
}

fn note(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

fn tagged(id: &Value, mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
    params
}

const UPDATED: &str = "notifications/resources/updated";
const TOOLS: &str = "notifications/tools/list_changed";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

fn follows() -> Value {
    json!({"resources": {"subscribe": true}, "tools": {"listChanged": true}})
}

#[tokio::test(start_paused = true)]
async fn a_legacy_server_is_asked_for_the_difference() {
    let (peer, mut server) = legacy(follows()).await;
    let mut listener = listen(&peer, &["a:1", "a:2"]);
    let mut changes = peer.changes();
    for uri in ["a:1", "a:2"] {
        let request = server.next().await.unwrap();
        assert_eq!(request["method"], "resources/subscribe");
        assert_eq!(request["params"], json!({"uri": uri}));
        // Updates pass while questions of ours are open.
        server.say(&note(UPDATED, json!({"uri": uri}))).await;
        assert_eq!(listener.heard.recv().await.unwrap().method, UPDATED);
        server.answer(&request, json!({})).await;
    }
    listener.wanted.send_replace(resources(&["a:2", "a:3"]));
    for (method, uri) in [("resources/unsubscribe", "a:1"), ("resources/subscribe", "a:3")] {
        let request = server.next().await.unwrap();
        assert_eq!((&request["method"], &request["params"]["uri"]), (&json!(method), &json!(uri)));
        server.refuse(&request).await;
    }
    // What was refused is asked for again with the next change.
    listener.wanted.send_replace(resources(&["a:2", "a:3", "a:4"]));
    for uri in ["a:3", "a:4"] {
        let request = server.next().await.unwrap();
        assert_eq!(request["params"]["uri"], uri);
        server.answer(&request, json!({})).await;
    }
    server.say(&note(TOOLS, json!({}))).await;
    changes.changed().await.unwrap();
    assert_eq!(listener.heard.recv().await.unwrap().method, TOOLS);
    server.say(&note("notifications/tasks/status", json!({"taskId": "t"}))).await;
    assert_eq!(listener.heard.recv().await.unwrap().params.as_str(), r#"{"taskId":"t"}"#);
    drop(server);
    assert_eq!(listener.listening.await.unwrap().unwrap(), Heard::Ended);
}

#[tokio::test(start_paused = true)]
async fn wishes_that_stay_as_they_are_are_still_wishes() {
    for modern in [false, true] {
        let (peer, mut server) = if modern { telling().await } else { legacy(follows()).await };
        let mut listener = listen(&peer, &["a:1"]);
        drop(listener.wanted);
        let request = server.next().await.unwrap();
        let mut params = json!({"uri": "a:1"});
        if modern {
            server.say(&note(ACKNOWLEDGED, tagged(&request["id"], json!({})))).await;
            params = tagged(&request["id"], params);
        } else {
            server.answer(&request, json!({})).await;
        }
        server.say(&note(UPDATED, params.clone())).await;
        assert_eq!(listener.heard.recv().await.unwrap().method, UPDATED);
        // Nobody hears it any more: it ends with the next.
        drop(listener.heard);
        server.say(&note(UPDATED, params)).await;
        assert_eq!(listener.listening.await.unwrap().unwrap(), Heard::Ended);
        assert!(!peer.is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_tells_nothing_is_not_listened_to() {
    let (peer, _server) = legacy(json!({"resources": {}, "tools": {"listChanged": false}})).await;
    assert_eq!(listen(&peer, &["a:1"]).listening.await.unwrap().unwrap(), Heard::Nothing);
    let (peer, _server) = modern().await;
    assert_eq!(listen(&peer, &["a:1"]).listening.await.unwrap().unwrap(), Heard::Nothing);
}

/// A modern server that tells of lists and resources.
async fn telling() -> (Arc<StdioPeer>, Server) {
    telling_of(follows()).await
}

/// A modern server with these capabilities.
async fn telling_of(capabilities: Value) -> (Arc<StdioPeer>, Server) {
    let (ours, mut server) = pipes();
    let (reader, writer) = split(ours);
    let settings = settings();
    let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
        let probe = server.next().await.unwrap();
        let mut result = discovered();
        result["capabilities"] = capabilities;
        server.answer(&probe, result).await;
    });
    (Arc::new(peer.unwrap()), server)
}

/// Sees a listen request with this filter, and agrees to it.
async fn opened(server: &mut Server, filter: Value) -> Value {
    let request = server.next().await.unwrap();
    assert_eq!(request["method"], "subscriptions/listen");
    assert_eq!(request["params"]["notifications"], filter);
    let params = tagged(&request["id"], json!({"notifications": filter}));
    server.say(&note(ACKNOWLEDGED, params)).await;
    request["id"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_modern_server_is_listened_to_without_a_gap() {
    let (peer, mut server) = telling().await;
    let mut listener = listen(&peer, &[]);
    let mut changes = peer.changes();
    let old = opened(&mut server, json!({"toolsListChanged": true})).await;
    server.say(&note(TOOLS, tagged(&old, json!({})))).await;
    assert_eq!(listener.heard.recv().await.unwrap().method, TOOLS);
    changes.changed().await.unwrap();
    listener.wanted.send_replace(resources(&["a:1"]));
    let request = server.next().await.unwrap();
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]});
    assert_eq!(request["params"]["notifications"], filter);
    let new = request["id"].clone();
    // Until the new one is acknowledged, the old one holds.
    server.say(&note(TOOLS, tagged(&old, json!({})))).await;
    assert_eq!(listener.heard.recv().await.unwrap().method, TOOLS);
    server.say(&note(ACKNOWLEDGED, tagged(&new, json!({})))).await;
    let cancelled = server.next().await.unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], old);
    // What bears the tag of nothing that is open is nobody's.
    for id in [&old, &json!(999), &json!("x"), &json!(null)] {
        server.say(&note(UPDATED, tagged(id, json!({"uri": "a:0"})))).await;
    }
    server.say(&note(UPDATED, json!({"uri": "a:0"}))).await;
    server.say(&note(UPDATED, tagged(&new, json!({"uri": "a:1"})))).await;
    let heard: Value = listener.heard.recv().await.unwrap().params.read().unwrap();
    assert_eq!(heard["uri"], "a:1");
    // Every kind of notification with its tag is passed on, known or not.
    server.say(&note("notifications/tasks", tagged(&new, json!({"taskId": "t"})))).await;
    assert_eq!(listener.heard.recv().await.unwrap().method, "notifications/tasks");
    server.answer(&json!({"id": new}), json!({"resultType": "complete"})).await;
    assert_eq!(listener.listening.await.unwrap().unwrap(), Heard::Ended);
}

/// One client's resource is not all clients' silence.
#[tokio::test(start_paused = true)]
async fn what_a_modern_server_refuses_is_left_out_of_the_filter() {
    let (peer, mut server) = telling().await;
    let mut listener = listen(&peer, &["a:1"]);
    let filter = |uris: &[&str]| json!({"toolsListChanged": true, "resourceSubscriptions": uris});
    let id = opened(&mut server, filter(&["a:1"])).await;
    for (uris, is_silent) in [(&["a:1", "a:2"], false), (&["a:1", "a:3"], true)] {
        listener.wanted.send_replace(resources(uris));
        let request = server.next().await.unwrap();
        assert_eq!(request["params"]["notifications"], filter(uris));
        if is_silent {
            assert_eq!(server.next().await.unwrap()["params"]["requestId"], request["id"]);
        } else {
            server.refuse_with(&request, -32_602).await;
        }
        // The old one holds.
        server.say(&note(TOOLS, tagged(&id, json!({})))).await;
        assert_eq!(listener.heard.recv().await.unwrap().method, TOOLS);
    }
    assert!(!listener.listening.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_modern_server_is_asked_for_tasks_as_a_client_that_takes_them() {
    const CAN: &str = "io.modelcontextprotocol/clientCapabilities";
    let extension = json!({"io.modelcontextprotocol/tasks": {}});
    let tools = json!({"listChanged": true});
    let (peer, mut server) = telling_of(json!({"tools": tools, "extensions": extension})).await;
    let mut listener = listen(&peer, &[]);
    let request = server.next().await.unwrap();
    let can = &request["params"]["_meta"][CAN];
    assert!(can["sampling"].is_object() && can.get("extensions").is_none(), "{request}");
    server.say(&note(ACKNOWLEDGED, tagged(&request["id"], json!({})))).await;

    let tasks = BTreeSet::from(["t-2".into(), "t-1".into()]);
    listener.wanted.send_replace(Wanted { tasks, ..resources(&["a:1"]) });
    let request = server.next().await.unwrap();
    let filter = json!({"toolsListChanged": true, "taskIds": ["t-1", "t-2"]});
    assert_eq!(request["params"]["notifications"], filter);
    assert_eq!(request["params"]["_meta"][CAN]["extensions"], extension);
    let id = request["id"].clone();
    server.say(&note(ACKNOWLEDGED, tagged(&id, json!({})))).await;
    assert_eq!(server.next().await.unwrap()["method"], "notifications/cancelled");
    server.say(&note("notifications/tasks", tagged(&id, json!({"taskId": "t-1"})))).await;
    assert_eq!(listener.heard.recv().await.unwrap().method, "notifications/tasks");
    listener.listening.abort();
}

#[tokio::test(start_paused = true)]
async fn a_legacy_server_that_has_nothing_but_tasks_is_listened_to() {
    let (peer, mut server) = legacy(json!({"tasks": {}})).await;
    let tasks = BTreeSet::from(["t-1".into()]);
    let mut listener = listen(&peer, &[]);
    listener.wanted.send_replace(Wanted { tasks, ..Wanted::default() });
    server.say(&note("notifications/tasks/status", json!({"taskId": "t-2"}))).await;
    assert_eq!(listener.heard.recv().await.unwrap().method, "notifications/tasks/status");
    listener.listening.abort();
}

#[tokio::test(start_paused = true)]
async fn listening_to_a_modern_server_ends_in_one_way_or_another() {
    #[derive(Debug, Clone, Copy)]
    enum End {
        Result,
        Cancelled,
        Refused,
        Unknown,
        Silent,
        Early,
        Closed,
        Dropped,
    }
    for end in [
        End::Result,
        End::Cancelled,
        End::Refused,
        End::Unknown,
        End::Silent,
        End::Early,
        End::Closed,
        End::Dropped,
    ] {
        let (peer, mut server) = telling().await;
        let listener = listen(&peer, &[]);
        let request = server.next().await.unwrap();
        let id = request["id"].clone();
        if matches!(end, End::Result | End::Cancelled | End::Dropped) {
            server.say(&note(ACKNOWLEDGED, tagged(&id, json!({})))).await;
        }
        match end {
            End::Result => server.answer(&request, json!({})).await,
            End::Cancelled => {
                server.say(&note("notifications/cancelled", json!({"requestId": id}))).await;
            }
            End::Unknown => server.refuse(&request).await,
            End::Refused => {
                let error = json!({"code": -32602, "message": "too much"});
                let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
                server.say(&answer.to_string()).await;
            }
            End::Early => server.say(&note(TOOLS, tagged(&id, json!({})))).await,
            End::Silent => {}
            End::Closed => drop(server),
            End::Dropped => {
                listener.listening.abort();
                assert!(listener.listening.await.unwrap_err().is_cancelled());
                let cancelled = server.next().await.unwrap();
                assert_eq!(cancelled["params"]["requestId"], id);
                continue;
            }
        }
        let outcome = listener.listening.await.unwrap();
        let expected = match end {
            End::Result | End::Cancelled | End::Closed => matches!(outcome, Ok(Heard::Ended)),
            End::Unknown => matches!(outcome, Ok(Heard::Nothing)),
            End::Refused => matches!(outcome, Err(PeerError::Refused { .. })),
            End::Silent => matches!(outcome, Err(PeerError::Silent("subscriptions/listen"))),
            End::Early | End::Dropped => matches!(outcome, Err(PeerError::Protocol(_))),
        };
        assert!(expected, "{end:?}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_cannot_cancel_a_call() {
    let (peer, mut server) = modern().await;
    let call = ask(&peer, None);
    let request = server.next().await.unwrap();
    server.say(&note("notifications/cancelled", json!({"requestId": request["id"]}))).await;
    server.answer(&request, json!({"done": 1})).await;
    assert_eq!(call.await.unwrap().unwrap().json().as_str(), r#"{"done":1}"#);
}
