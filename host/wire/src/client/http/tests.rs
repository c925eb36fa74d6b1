//! The HTTP peer against scripted servers: both eras, and everything a server gets wrong.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tidegate_model::{Json, TraceContext};
use tokio::sync::mpsc;

use super::*;
use crate::{
    client::{
        ClientCan, Event, Exchange, Member, Notification,
        egress::{AddressPolicy, Egress, Resolver, Rules},
        mock::{Act, Mock, Seen},
        peer::Fault,
    },
    mcp::{Level, revision::Revision},
};

mod bad_answers;
mod eras;
mod listening;
mod questions;
mod resumption;
mod sessions;

fn peer_with(mock: &Mock, settings: HttpSettings) -> HttpPeer {
    let egress = Egress::new(Resolver::System, None).unwrap();
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let rules = Rules { allow, ..Rules::default() };
    HttpPeer::new(egress.destination(&mock.url(), rules).unwrap(), settings)
}

fn peer(mock: &Mock) -> HttpPeer {
    peer_with(mock, HttpSettings { answer_limit: 1 << 20, ..HttpSettings::default() })
}

/// The responses that were sent to the server.
fn replies(mock: &Mock) -> Vec<Seen> {
    let is_reply = |seen: &Seen| seen.method == "POST" && seen.at("/method").is_null();
    mock.seen().into_iter().filter(is_reply).collect()
}

fn result(seen: &Seen, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.at("/id"))
}

fn error(seen: &Seen, code: i64) -> String {
    let id = seen.at("/id");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no"}}}}"#)
}

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mock","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"mock","version":"1"}}"#;

/// A modern server whose answer to `tools/call` is `call`.
async fn modern(call: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Mock {
    Mock::start(move |seen, _| match seen.at("/method").as_str() {
        Some("server/discover") => vec![Act::json(200, &result(seen, DISCOVERED))],
        _ => call(seen),
    })
    .await
}

/// A legacy server with a session, whose answer to all else is `call`.
async fn legacy(call: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Mock {
    Mock::start(move |seen, _| match (seen.at("/method").as_str(), seen.header("mcp-session-id")) {
        (Some("initialize"), _) => {
            let headers = [("content-type", "application/json"), ("mcp-session-id", "s1")];
            vec![Act::reply(200, &headers, &result(seen, INITIALIZED))]
        }
        (_, None) => vec![Act::json(
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#,
        )],
        (Some("notifications/initialized"), _) => vec![Act::accepted()],
        _ => call(seen),
    })
    .await
}

/// A legacy server that declares `capabilities` and calls its sessions `s1`, `s2` and so on;
/// its answer to all but the handshake is `call`.
async fn numbered(
    capabilities: &str,
    call: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> Mock {
    let initialized = INITIALIZED.replace("{},", &format!("{capabilities},"));
    let count = AtomicUsize::new(0);
    Mock::start(move |seen, _| match (seen.at("/method").as_str(), &*seen.method) {
        (Some("server/discover"), _) => vec![Act::json(404, "{}")],
        (Some("initialize"), _) => {
            let id = format!("s{}", count.fetch_add(1, Ordering::SeqCst) + 1);
            let headers = [("content-type", "application/json"), ("mcp-session-id", &*id)];
            vec![Act::reply(200, &headers, &result(seen, &initialized))]
        }
        (Some("notifications/initialized"), _) | (_, "DELETE") => vec![Act::accepted()],
        (None, "POST") => vec![Act::accepted()],
        _ => call(seen),
    })
    .await
}

/// A client that can be asked, and what reaches it.
fn client(affinity: u128, profile: Profile) -> (Exchange, mpsc::Receiver<Event>) {
    let (events, met) = mpsc::channel(32);
    let exchange = Exchange {
        affinity: Some(Affinity(affinity)),
        can: ClientCan { profile, ..ClientCan::default() },
        progress: true,
        events: Some(events),
        patience: Duration::from_secs(30),
        ..Exchange::default()
    };
    (exchange, met)
}

async fn call_as(peer: &HttpPeer, exchange: &Exchange) -> Result<Answer, PeerError> {
    let outgoing =
        Outgoing { method: "tools/call", exchange: Some(exchange), ..Outgoing::default() };
    peer.request(&outgoing).await
}

fn count(mock: &Mock, method: &str) -> usize {
    mock.methods().iter().filter(|found| *found == method).count()
}

async fn call(peer: &HttpPeer) -> Result<Answer, PeerError> {
    let arguments = Json::parse(r#"{"a": 1}"#).unwrap();
    let params = [("name", Member::Text("écho")), ("arguments", Member::Json(&arguments))];
    let outgoing = Outgoing {
        method: "tools/call",
        params: &params,
        name: Some("écho"),
        ..Outgoing::default()
    };
    peer.request(&outgoing).await
}

#[tokio::test]
async fn modern_requests_carry_everything() {
    let mock = modern(|seen| vec![Act::json(200, &result(seen, r#"{ "x":  1.0}"#))]).await;
    let peer = peer(&mock);
    for _ in 0..2 {
        assert_eq!(call(&peer).await.unwrap().json().as_str(), r#"{ "x":  1.0}"#);
    }
    assert_eq!(mock.methods(), ["server/discover", "tools/call", "tools/call"]);
    assert_eq!(mock.connections(), 1);
    let seen = &mock.seen()[1];
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?w6ljaG8=?="),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.at("/params/name"), "écho");
    assert_eq!(seen.at("/params/_meta/io.modelcontextprotocol~1protocolVersion"), "2026-07-28");
    let info = peer.info().unwrap();
    assert_eq!((info.revision, info.name.as_deref()), (Revision::LATEST, Some("mock")));
}

#[tokio::test]
async fn legacy_servers_get_a_session() {
    let mock = legacy(|seen| vec![Act::json(200, &result(seen, "{}"))]).await;
    let peer = peer(&mock);
    call(&peer).await.unwrap();
    call(&peer).await.unwrap();
    assert_eq!(
        mock.methods(),
        ["server/discover", "initialize", "notifications/initialized", "tools/call", "tools/call"]
    );
    let seen = mock.seen();
    assert_eq!(seen[1].at("/params/protocolVersion"), "2025-11-25");
    assert_eq!(seen[3].header("mcp-session-id"), Some("s1"));
    assert_eq!(seen[3].header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(seen[3].header("mcp-method"), None);
    assert_eq!(peer.info().unwrap().revision, Revision::V2025_06_18);
    peer.close(&[]).await;
    let last = mock.seen().pop().unwrap();
    assert_eq!((last.method.as_str(), last.header("mcp-session-id")), ("DELETE", Some("s1")));
}

#[tokio::test]
async fn a_silent_probe_falls_back() {
    let mock = Mock::start(|seen, _| match seen.at("/method").as_str() {
        Some("server/discover") => vec![Act::Hang],
        Some("initialize") => vec![Act::json(200, &result(seen, INITIALIZED))],
        Some("notifications/initialized") => vec![Act::accepted()],
        _ => vec![Act::json(200, &result(seen, "{}"))],
    })
    .await;
    let probe_timeout = Duration::from_millis(50);
    let peer = peer_with(&mock, HttpSettings { probe_timeout, ..HttpSettings::default() });
    call(&peer).await.unwrap();
}

#[tokio::test]
async fn sessions_that_expired_are_set_up_anew_once() {
    for status in [404, 400] {
        let expired = AtomicBool::new(false);
        let mock = legacy(move |seen| {
            if expired.swap(true, Ordering::SeqCst) {
                return vec![Act::json(200, &result(seen, "{}"))];
            }
            let text = [("content-type", "text/plain")];
            vec![Act::reply(status, &text, "No valid Session-Id provided")]
        })
        .await;
        let peer = peer(&mock);
        let mut changes = peer.changes();
        call(&peer).await.unwrap();
        let methods = mock.methods();
        assert_eq!(methods.iter().filter(|method| *method == "tools/call").count(), 2);
        assert_eq!(methods.iter().filter(|method| *method == "initialize").count(), 2);
        assert_eq!(*changes.borrow_and_update(), 2);
    }
    let mock = legacy(|_| vec![Act::reply(404, &[], "")]).await;
    assert!(matches!(call(&peer(&mock)).await, Err(PeerError::Status { status: 404, .. })));
    assert_eq!(mock.methods().iter().filter(|method| *method == "tools/call").count(), 2);
}

/// A session is not given up over a request that the server does not like.
#[tokio::test]
async fn a_bad_request_costs_no_session() {
    let refused = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no"}}"#;
    for (act, is_answer) in
        [(Act::json(400, refused), true), (Act::reply(400, &[], "bad arguments"), false)]
    {
        let mock = legacy(move |_| vec![act.clone()]).await;
        let peer = peer(&mock);
        for _ in 0..2 {
            match call(&peer).await {
                Ok(Answer::Error(error)) => assert!(is_answer, "{}", error.as_str()),
                Err(PeerError::Status { status: 400, error: None }) => assert!(!is_answer),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(count(&mock, "tools/call"), 2, "each was sent once");
        assert_eq!(count(&mock, "initialize"), 1);
    }
}

#[tokio::test]
async fn many_callers_share_one_set_up() {
    let mock = legacy(|seen| vec![Act::json(200, &result(seen, "{}"))]).await;
    let peer = Arc::new(peer(&mock));
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let peer = Arc::clone(&peer);
            tokio::spawn(async move { call(&peer).await })
        })
        .collect();
    for answer in calls {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(mock.methods().iter().filter(|method| *method == "initialize").count(), 1);
}

async fn noted(mock: &Mock) -> (Result<Answer, PeerError>, Vec<Notification>) {
    let peer = peer(mock);
    let (tx, mut rx) = mpsc::channel(8);
    let level = Some(crate::mcp::Level::Debug);
    let exchange = Exchange { progress: true, level, events: Some(tx), ..Exchange::default() };
    let outgoing =
        Outgoing { method: "tools/call", exchange: Some(&exchange), ..Outgoing::default() };
    let answer = peer.request(&outgoing).await;
    drop(exchange);
    let mut notes = Vec::new();
    while let Some(Event::Notification(note)) = rx.recv().await {
        notes.push(note);
    }
    (answer, notes)
}

fn progress(token: &serde_json::Value, at: u32) -> Act {
    Act::event(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{at}}}}}"#
    ))
}

#[tokio::test]
async fn progress_of_this_request_comes_through() {
    let mock = modern(|seen| {
        let token = seen.at("/params/_meta/progressToken");
        let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
        vec![
            Act::stream(),
            Act::chunk(": comment\n\nid: 1\ndata:\n\n"),
            progress(&token, 1),
            progress(&serde_json::json!(999), 5),
            progress(&serde_json::json!("other"), 6),
            Act::event(log),
            progress(&token, 2),
            Act::event(&result(seen, r#"{"ok":true}"#)),
            Act::end(),
        ]
    })
    .await;
    let (answer, notes) = noted(&mock).await;
    assert_eq!(answer.unwrap(), Answer::Result(Json::parse(r#"{"ok":true}"#).unwrap()));
    let shown: Vec<_> = notes.iter().map(|note| note.params.as_str()).collect();
    let token = mock.seen()[1].at("/id");
    assert_eq!(
        shown,
        [
            format!(r#"{{"progressToken":{token},"progress":1}}"#),
            r#"{"level":"info"}"#.to_owned(),
            format!(r#"{{"progressToken":{token},"progress":2}}"#),
        ]
    );
}

#[tokio::test]
async fn a_flood_of_progress_is_dropped_not_kept() {
    let mock = modern(|seen| {
        let token = seen.at("/params/_meta/progressToken");
        let mut acts = vec![Act::stream()];
        acts.extend((0..500).map(|at| progress(&token, at)));
        acts.push(Act::event(&result(seen, "{}")));
        acts
    })
    .await;
    let (answer, notes) = noted(&mock).await;
    answer.unwrap();
    assert_eq!(notes.len(), 8, "as many as the channel holds");
}

#[tokio::test]
async fn list_changes_tick() {
    let mock = modern(|seen| {
        let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        vec![Act::stream(), Act::event(note), Act::event(&result(seen, "{}")), Act::end()]
    })
    .await;
    let peer = peer(&mock);
    call(&peer).await.unwrap();
    assert_eq!(*peer.changes().borrow(), 2, "one for the session, one for the list");
    call(&peer).await.unwrap();
    assert_eq!(mock.connections(), 1, "a stream that ended properly frees its connection");
}

#[tokio::test]
async fn dropping_a_request_cancels_it() {
    let mock = modern(|_| vec![Act::stream(), Act::chunk(": open\n\n"), Act::Hang]).await;
    let peer_ = peer(&mock);
    tokio::select! {
        answer = call(&peer_) => panic!("{answer:?}"),
        () = mock.until(|mock| mock.methods().contains(&"tools/call".to_owned())) => {}
    }
    mock.until(|mock| mock.gone() == 1).await;
    assert!(!mock.methods().contains(&"notifications/cancelled".to_owned()));

    let mock = legacy(|seen| match seen.at("/method").as_str() {
        Some("tools/call") => vec![Act::Hang],
        _ => vec![Act::accepted()],
    })
    .await;
    let peer_ = peer(&mock);
    tokio::select! {
        answer = call(&peer_) => panic!("{answer:?}"),
        () = mock.until(|mock| mock.methods().contains(&"tools/call".to_owned())) => {}
    }
    mock.until(|mock| mock.methods().contains(&"notifications/cancelled".to_owned())).await;
    let seen = mock.seen();
    let asked = seen.iter().find(|seen| seen.at("/method") == "tools/call").unwrap();
    let told = seen.iter().find(|seen| seen.at("/method") == "notifications/cancelled").unwrap();
    assert_eq!(told.at("/params/requestId"), asked.at("/id"));
    assert_eq!(told.header("mcp-session-id"), Some("s1"));
}

/// To close a stream is no cancellation in the legacy era.
#[tokio::test]
async fn a_stream_that_cannot_be_read_on_cancels_its_request() {
    let mock = legacy(|seen| match seen.at("/method").as_str() {
        Some("tools/call") => vec![Act::stream(), Act::event("{]"), Act::Hang],
        _ => vec![Act::accepted()],
    })
    .await;
    let peer = peer(&mock);
    assert!(matches!(call(&peer).await, Err(PeerError::Protocol(_))));
    mock.until(|mock| count(mock, "notifications/cancelled") == 1).await;
}

#[tokio::test]
async fn errors_of_the_server_are_answers() {
    for status in [200, 400, 404] {
        let mock = modern(move |seen| vec![Act::json(status, &error(seen, -32_601))]).await;
        let answer = call(&peer(&mock)).await.unwrap();
        let expected = Json::parse(r#"{"code":-32601,"message":"no"}"#).unwrap();
        assert_eq!(answer, Answer::Error(expected), "{status}");
    }
}

#[tokio::test]
async fn trace_context_travels_in_headers_and_meta() {
    let mock = modern(|seen| vec![Act::json(200, &result(seen, "{}"))]).await;
    let trace = TraceContext {
        traceparent: Some("00-a-b-01".into()),
        tracestate: Some("bad\nvalue".into()),
        baggage: None,
    };
    let outgoing = Outgoing { method: "tools/call", trace: Some(&trace), ..Outgoing::default() };
    peer(&mock).request(&outgoing).await.unwrap();
    let seen = mock.seen().pop().unwrap();
    assert_eq!(seen.header("traceparent"), Some("00-a-b-01"));
    assert_eq!(seen.header("tracestate"), None);
    assert_eq!(seen.at("/params/_meta/traceparent"), "00-a-b-01");
}
