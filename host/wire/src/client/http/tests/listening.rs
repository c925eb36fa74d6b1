//! What servers tell of their own accord.

use crate::client::{Heard, Wanted};

use super::*;

async fn heard(peer: &HttpPeer) -> Result<Heard, PeerError> {
    let (_keep, wanted) = watch::channel(Wanted::default());
    let (sink, _heard) = mpsc::channel(64);
    peer.listen(wanted, &[], &sink).await
}

#[tokio::test]
async fn legacy_servers_are_listened_to() {
    let capabilities = r#"{"tools":{"listChanged":true}}"#;
    let initialized = INITIALIZED.replace("{},", &format!("{capabilities},"));
    for (declares, acts, expected) in [
        (true, vec![Act::reply(405, &[], "")], Heard::Nothing),
        (true, vec![Act::json(200, "{}")], Heard::Nothing),
        (true, vec![Act::reply(404, &[], "")], Heard::Ended),
        (
            true,
            vec![
                Act::stream(),
                Act::event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#),
                Act::event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#),
                Act::event(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
                Act::end(),
            ],
            Heard::Ended,
        ),
        (false, vec![Act::Reset], Heard::Nothing),
    ] {
        let ticks = if acts.len() > 2 { 2 } else { 1 };
        let initialized = if declares { initialized.clone() } else { INITIALIZED.to_owned() };
        let mock = Mock::start(move |seen, _| match seen.at("/method").as_str() {
            Some("initialize") => {
                let headers = [("content-type", "application/json"), ("mcp-session-id", "s1")];
                vec![Act::reply(200, &headers, &result(seen, &initialized))]
            }
            Some("server/discover") => vec![Act::json(404, "{}")],
            _ if seen.method == "GET" => acts.clone(),
            _ => vec![Act::accepted()],
        })
        .await;
        let peer = peer(&mock);
        assert_eq!(heard(&peer).await.unwrap(), expected);
        assert_eq!(*peer.changes().borrow(), ticks);
        for seen in mock.seen().iter().filter(|seen| seen.method == "GET") {
            assert_eq!(seen.header("mcp-session-id"), Some("s1"));
        }
        mock.until(|mock| replies(mock).len() == ticks as usize - 1).await;
    }
    let modern = modern(|_| vec![Act::Reset]).await;
    assert_eq!(heard(&peer(&modern)).await.unwrap(), Heard::Nothing);
}

/// What a listener is doing, until it ends or the test is done with it.
struct Listener {
    wanted: watch::Sender<Wanted>,
    heard: mpsc::Receiver<Notification>,
    task: tokio::task::JoinHandle<Result<Heard, PeerError>>,
}

fn resources(uris: &[&str]) -> Wanted {
    Wanted { resources: uris.iter().map(|uri| (*uri).into()).collect(), ..Wanted::default() }
}

fn listener(peer: &Arc<HttpPeer>, uris: &[&str]) -> Listener {
    let (wanted, wants) = watch::channel(resources(uris));
    let (sink, heard) = mpsc::channel(64);
    let peer = Arc::clone(peer);
    let task = tokio::spawn(async move { peer.listen(wants, &[], &sink).await });
    Listener { wanted, heard, task }
}

fn updated(uri: &str, tag: &serde_json::Value) -> Act {
    Act::event(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}","_meta":{{"io.modelcontextprotocol/subscriptionId":{tag}}}}}}}"#
    ))
}

#[tokio::test]
async fn legacy_resources_are_subscribed_as_wanted() {
    let is_unsubscribed: fn(&Seen) -> bool = |seen| seen.at("/method") == "resources/unsubscribe";
    let mock = numbered(r#"{"resources":{"subscribe":true}}"#, move |seen| match &*seen.method {
        "GET" => vec![
            Act::stream(),
            Act::Met(is_unsubscribed),
            updated("b", &serde_json::Value::Null),
            Act::event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#),
            Act::event(r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{}}"#),
            Act::end(),
        ],
        _ if seen.at("/params/uri") == "refused" => vec![Act::json(200, &error(seen, -32_602))],
        _ => vec![Act::json(200, &result(seen, "{}"))],
    })
    .await;
    let peer = Arc::new(peer(&mock));
    let mut listener = listener(&peer, &["a", "b", "refused"]);
    mock.until(|mock| count(mock, "resources/subscribe") == 3).await;
    listener.wanted.send(resources(&["b", "c", "refused"])).unwrap();
    assert_eq!(listener.task.await.unwrap().unwrap(), Heard::Ended);
    let seen = mock.seen();
    let asked: Vec<_> = seen
        .iter()
        .filter(|seen| seen.at("/params/uri").is_string())
        .map(|seen| (seen.at("/method"), seen.at("/params/uri")))
        .map(|(method, uri)| format!("{} {}", method.as_str().unwrap(), uri.as_str().unwrap()))
        .collect();
    assert_eq!(
        asked,
        [
            "resources/subscribe a",
            "resources/subscribe b",
            "resources/subscribe refused",
            "resources/subscribe c",
            "resources/unsubscribe a",
        ]
    );
    let mut told = Vec::new();
    while let Some(note) = listener.heard.recv().await {
        told.push(note.method);
    }
    assert_eq!(told, ["notifications/resources/updated", "notifications/tasks/status"]);
}

const LISTENS: &str = r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true,"listChanged":true}}"#;

/// A modern server that answers `subscriptions/listen` with `listen`.
async fn telling(listen: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Mock {
    let discovered = DISCOVERED.replace(r#"{"tools":{}}"#, LISTENS);
    Mock::start(move |seen, _| match seen.at("/method").as_str() {
        Some("server/discover") => vec![Act::json(200, &result(seen, &discovered))],
        _ => listen(seen),
    })
    .await
}

fn acknowledged(tag: &serde_json::Value) -> Act {
    Act::event(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{tag}}},"notifications":{{}}}}}}"#
    ))
}

#[tokio::test]
async fn a_modern_stream_tells_what_was_asked_for() {
    let mock = telling(|seen| {
        let id = seen.at("/id");
        let cancelled = |id: &serde_json::Value| {
            Act::event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            ))
        };
        vec![
            Act::stream(),
            acknowledged(&id),
            updated("a", &id),
            updated("untagged", &serde_json::Value::Null),
            updated("foreign", &serde_json::json!(424_242)),
            Act::event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
            )),
            cancelled(&serde_json::json!(424_242)),
            cancelled(&id),
            updated("after", &id),
        ]
    })
    .await;
    let peer = Arc::new(peer(&mock));
    let mut listener = listener(&peer, &["a", "b\"c"]);
    let first = listener.heard.recv().await.unwrap();
    assert!(first.params.as_str().contains(r#""uri":"a""#), "{}", first.params.as_str());
    assert_eq!(listener.heard.recv().await.unwrap().method, "notifications/tools/list_changed");
    assert!(listener.heard.recv().await.is_none());
    assert_eq!(listener.task.await.unwrap().unwrap(), Heard::Ended);
    assert_eq!(*peer.changes().borrow(), 2);
    let asked = mock.seen().pop().unwrap();
    assert_eq!(
        asked.at("/params/notifications"),
        serde_json::json!({
            "toolsListChanged": true,
            "resourcesListChanged": true,
            "resourceSubscriptions": ["a", "b\"c"],
        })
    );
    assert_eq!(asked.header("mcp-method"), Some("subscriptions/listen"));
}

#[tokio::test]
async fn another_wish_opens_another_stream_before_the_old_one_is_left() {
    let is_second: fn(&Seen) -> bool =
        |seen| seen.at("/params/notifications/resourceSubscriptions/1") == "b";
    let mock = telling(move |seen| {
        let id = seen.at("/id");
        if is_second(seen) {
            let tail = [updated("new", &id), Act::Hang];
            [Act::stream(), acknowledged(&id)].into_iter().chain(tail).collect()
        } else {
            // It tells on while the other is being opened.
            let tail = [Act::Met(is_second), updated("old", &id), Act::Hang];
            [Act::stream(), acknowledged(&id)].into_iter().chain(tail).collect()
        }
    })
    .await;
    let peer = Arc::new(peer(&mock));
    let mut listener = listener(&peer, &["a"]);
    mock.until(|mock| count(mock, "subscriptions/listen") == 1).await;
    listener.wanted.send(resources(&["a", "b"])).unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(listener.heard.recv().await.unwrap().params.as_str().contains("new"));
    }
    told.sort_unstable();
    assert_eq!(told, [false, true], "both are heard");
    // The old stream is left in the end, the new one is not.
    mock.until(|mock| mock.gone() == 1).await;
    assert!(!listener.task.is_finished());
    assert_eq!(count(&mock, "subscriptions/listen"), 2);
    listener.task.abort();
    mock.until(|mock| mock.gone() == mock.connections()).await;
}

/// One client's resource is not all clients' silence.
#[tokio::test]
async fn what_a_modern_server_refuses_is_left_out_of_the_filter() {
    let is_again: fn(&Seen) -> bool = |seen| seen.at("/method") == "tools/call";
    let mock = telling(move |seen| {
        let id = seen.at("/id");
        let filter = seen.at("/params/notifications");
        if !seen.at("/method").as_str().is_some_and(|method| method.contains("listen")) {
            return vec![Act::json(200, &result(seen, "{}"))];
        }
        if filter["resourceSubscriptions"].to_string().contains("bad") {
            return vec![Act::json(400, &error(seen, -32_602))];
        }
        vec![
            Act::stream(),
            acknowledged(&id),
            Act::Met(is_again),
            updated("x:good", &id),
            Act::Hang,
        ]
    })
    .await;
    let peer = Arc::new(peer(&mock));
    // From the beginning, and later.
    let mut first = listener(&peer, &["x:bad", "x:good"]);
    let asked = |uris: &[&str]| {
        let filters = mock.seen();
        let filters = filters.iter().map(|seen| seen.at("/params/notifications"));
        let filter = serde_json::json!(uris);
        filters.filter(|found| found["resourceSubscriptions"] == filter).count()
    };
    mock.until(|_| asked(&["x:good"]) == 1).await;
    first.wanted.send(resources(&["x:bad", "x:bad2", "x:good"])).unwrap();
    mock.until(|_| asked(&["x:bad2", "x:good"]) == 1).await;
    call(&peer).await.unwrap();
    assert_eq!(first.heard.recv().await.unwrap().method, "notifications/resources/updated");
    assert!(!first.task.is_finished());
    assert_eq!(asked(&["x:good"]), 1, "the stream that was open stays");
}

/// A server that fails over one resource, or never answers, is asked for the others.
#[tokio::test]
async fn a_legacy_resource_that_fails_is_the_only_one_that_is_not_followed() {
    let mock = numbered(r#"{"resources":{"subscribe":true}}"#, |seen| match &*seen.method {
        "GET" => vec![Act::stream(), Act::Hang],
        _ => match seen.at("/params/uri").as_str() {
            Some("a") => vec![Act::reply(500, &[], "")],
            Some("b") => vec![Act::reply(403, &[], "")],
            Some("c") => vec![Act::Close],
            _ => vec![Act::json(200, &result(seen, "{}"))],
        },
    })
    .await;
    let peer = Arc::new(peer(&mock));
    let listener = listener(&peer, &["a", "b", "c", "d"]);
    mock.until(|mock| mock.seen().iter().any(|seen| seen.at("/params/uri") == "d")).await;
    listener.wanted.send(resources(&["a", "b", "c", "d", "e"])).unwrap();
    mock.until(|mock| mock.seen().iter().any(|seen| seen.at("/params/uri") == "e")).await;
    assert!(!listener.task.is_finished());
    assert_eq!(mock.seen().iter().filter(|seen| seen.at("/params/uri") == "a").count(), 1);
}

#[tokio::test]
async fn a_modern_stream_that_is_none_is_told_apart() {
    type Row = (&'static str, fn(&Seen) -> Vec<Act>, fn(&Result<Heard, PeerError>) -> bool);
    const ROWS: &[Row] = &[
        (
            "unknown method",
            |seen| vec![Act::json(404, &error(seen, -32_601))],
            |heard| matches!(heard, Ok(Heard::Nothing)),
        ),
        (
            "refused on the stream",
            |seen| vec![Act::stream(), Act::event(&error(seen, -32_603)), Act::end()],
            |heard| matches!(heard, Err(PeerError::Refused { .. })),
        ),
        (
            "no acknowledgement",
            |seen| vec![Act::stream(), updated("a", &seen.at("/id")), Act::Hang],
            |heard| matches!(heard, Err(PeerError::Protocol(Fault::Result { .. }))),
        ),
        (
            "the acknowledgement of another",
            |_| vec![Act::stream(), acknowledged(&serde_json::json!("x")), Act::Hang],
            |heard| matches!(heard, Err(PeerError::Protocol(Fault::Result { .. }))),
        ),
        (
            "ended by a result",
            |seen| {
                let end = Act::event(&result(seen, r#"{"resultType":"complete"}"#));
                vec![Act::stream(), acknowledged(&seen.at("/id")), end, Act::Hang]
            },
            |heard| matches!(heard, Ok(Heard::Ended)),
        ),
        (
            "ended by the answer of another",
            |seen| {
                let end = Act::event(r#"{"jsonrpc":"2.0","id":424242,"result":{}}"#);
                vec![Act::stream(), acknowledged(&seen.at("/id")), end, Act::Hang]
            },
            |heard| matches!(heard, Err(PeerError::Protocol(Fault::WrongId))),
        ),
        (
            "closed",
            |seen| vec![Act::stream(), acknowledged(&seen.at("/id")), Act::end()],
            |heard| matches!(heard, Ok(Heard::Ended)),
        ),
        (
            "no stream at all",
            |_| vec![Act::reply(500, &[], "")],
            |heard| matches!(heard, Err(PeerError::Status { status: 500, .. })),
        ),
    ];
    for (name, listen, fits) in ROWS {
        let mock = telling(*listen).await;
        let heard = heard(&peer(&mock)).await;
        assert!(fits(&heard), "{name}: {heard:?}");
    }
}

#[tokio::test]
async fn what_is_told_beside_a_call_reaches_the_listener() {
    let mock = telling(|seen| {
        let id = seen.at("/id");
        match seen.at("/method") == "subscriptions/listen" {
            true => vec![Act::stream(), acknowledged(&id), Act::Hang],
            false => vec![
                Act::stream(),
                Act::event(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#),
                Act::event(&result(seen, "{}")),
            ],
        }
    })
    .await;
    let peer = Arc::new(peer(&mock));
    let mut listener = listener(&peer, &[]);
    mock.until(|mock| count(mock, "subscriptions/listen") == 1).await;
    let (exchange, mut met) = client(1, Profile::NONE);
    call_as(&peer, &exchange).await.unwrap();
    assert_eq!(listener.heard.recv().await.unwrap().method, "notifications/prompts/list_changed");
    assert!(met.try_recv().is_err(), "lists are not the business of one call");
    listener.task.abort();
}

#[tokio::test]
async fn a_modern_server_is_asked_for_tasks_as_a_client_that_takes_them() {
    let capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let discovered = DISCOVERED.replace(r#"{"tools":{}}"#, capabilities);
    let mock = Mock::start(move |seen, _| {
        let id = seen.at("/id");
        match seen.at("/method").as_str() {
            Some("server/discover") => vec![Act::json(200, &result(seen, &discovered))],
            _ => vec![
                Act::stream(),
                acknowledged(&id),
                Act::event(&format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{{"taskId":{},"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#,
                    seen.at("/params/notifications/taskIds/0"),
                )),
                Act::Hang,
            ],
        }
    })
    .await;
    let peer = Arc::new(peer(&mock));
    // Resources it does not tell of: there is nothing to ask for yet.
    let mut listener = listener(&peer, &["a"]);
    for (tasks, first) in [(vec!["t-2", "t-3"], "t-2"), (vec!["t-1", "t-3"], "t-1")] {
        let tasks: std::collections::BTreeSet<Box<str>> =
            tasks.into_iter().map(Box::from).collect();
        listener.wanted.send(Wanted { tasks: tasks.clone(), ..resources(&["a"]) }).unwrap();
        let told = listener.heard.recv().await.unwrap();
        let params: serde_json::Value = told.params.read().unwrap();
        assert_eq!((&*told.method, &params["taskId"]), ("notifications/tasks", &first.into()));
        let asked = mock.seen().pop().unwrap();
        let expected = serde_json::json!({ "taskIds": tasks });
        assert_eq!(asked.at("/params/notifications"), expected);
        let can = asked.at("/params/_meta/io.modelcontextprotocol~1clientCapabilities/extensions");
        assert_eq!(can, serde_json::json!({ "io.modelcontextprotocol/tasks": {} }));
    }
    assert_eq!(count(&mock, "subscriptions/listen"), 2);
    // Without wishes there is no stream.
    listener.wanted.send(resources(&[])).unwrap();
    mock.until(|mock| mock.gone() == 2).await;
    assert!(!listener.task.is_finished());
    listener.task.abort();
}
