//! The HTTP peer against scripted servers: both eras, and everything a server gets wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_model::{Json, TraceContext};
use tokio::sync::mpsc;

use super::*;
use crate::{
    client::{
        Event, Exchange, Heard, Member, Notification, Wanted,
        egress::{AddressPolicy, Egress, Resolver, Rules},
        mock::{Act, Mock, Seen},
        peer::Fault,
    },
    mcp::revision::Revision,
};

fn peer_with(mock: &Mock, settings: HttpSettings) -> HttpPeer {
    let egress = Egress::new(Resolver::System, None).unwrap();
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let rules = Rules { allow, ..Rules::default() };
    HttpPeer::new(egress.destination(&mock.url(), rules).unwrap(), settings)
}

fn peer(mock: &Mock) -> HttpPeer {
    peer_with(mock, HttpSettings { answer_limit: 1 << 20, ..HttpSettings::default() })
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
async fn the_era_is_found_out() {
    let modern_error =
        |code: i64, data: &str| format!(r#"{{"code":{code},"message":"no","data":{data}}}"#);
    // The answer to the probe (status and `error`), and what has to follow it.
    let table = [
        (400, modern_error(-32_020, "{}"), "tools/call"),
        (400, modern_error(-32_022, r#"{"supported":["2026-07-28"]}"#), "tools/call"),
        (400, modern_error(-32_022, r#"{"supported":["2025-11-25"]}"#), "initialize"),
        (400, modern_error(-32_022, r#"{"supported":["2031-01-01"]}"#), ""),
        (400, modern_error(-32_000, "{}"), "initialize"),
        (404, modern_error(-32_601, "{}"), "initialize"),
        (405, String::new(), "initialize"),
        (500, String::new(), "initialize"),
        (200, modern_error(-32_601, "{}"), "initialize"),
        (200, modern_error(-32_602, "{}"), "initialize"),
        (401, String::new(), ""),
    ];
    for (status, error, next) in table {
        let row = format!("{status} {error}");
        let mock = Mock::start(move |seen, _| {
            let id = seen.at("/id");
            match seen.at("/method").as_str() {
                Some("server/discover") if error.is_empty() => {
                    vec![Act::reply(status, &[("content-type", "text/html")], "<html>")]
                }
                Some("server/discover") => {
                    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
                    vec![Act::json(status, &body)]
                }
                Some("initialize") => vec![Act::json(200, &result(seen, INITIALIZED))],
                Some("notifications/initialized") => vec![Act::accepted()],
                _ => vec![Act::json(200, &result(seen, "{}"))],
            }
        })
        .await;
        let outcome = call(&peer(&mock)).await;
        assert_eq!(outcome.is_ok(), !next.is_empty(), "{row}: {outcome:?}");
        assert_eq!(mock.methods().get(1).map_or("", String::as_str), next, "{row}");
    }
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
            vec![Act::reply(status, &[("content-type", "text/plain")], "gone")]
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

async fn heard(peer: &HttpPeer) -> Result<Heard, PeerError> {
    let (_keep, wanted) = watch::channel(Wanted::default());
    let (sink, _heard) = mpsc::channel(64);
    peer.listen(wanted, &[], &sink).await
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

/// The responses that were sent to the server.
fn replies(mock: &Mock) -> Vec<Seen> {
    let is_reply = |seen: &Seen| seen.method == "POST" && seen.at("/method").is_null();
    mock.seen().into_iter().filter(is_reply).collect()
}

#[tokio::test]
async fn questions_are_answered_while_the_call_goes_on() {
    let mock = legacy(|seen| match seen.at("/method").as_str() {
        Some("tools/call") => vec![
            Act::stream(),
            Act::event(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#),
            Act::event(r#"{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{}}"#),
            Act::event(&result(seen, "{}")),
        ],
        _ => vec![Act::accepted()],
    })
    .await;
    call(&peer(&mock)).await.unwrap();
    mock.until(|mock| replies(mock).len() == 2).await;
    let mut replies = replies(&mock);
    replies.sort_by_key(|seen| seen.at("/id") == 7);
    assert_eq!(
        (replies[0].at("/id"), replies[0].at("/result")),
        ("p".into(), serde_json::json!({}))
    );
    assert_eq!((replies[1].at("/id"), replies[1].at("/error/code")), (7.into(), (-32_601).into()));
    assert_eq!(replies[1].header("mcp-session-id"), Some("s1"));
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

#[tokio::test]
async fn errors_of_the_server_are_answers() {
    for status in [200, 400, 404] {
        let mock = modern(move |seen| vec![Act::json(status, &error(seen, -32_601))]).await;
        let answer = call(&peer(&mock)).await.unwrap();
        let expected = Json::parse(r#"{"code":-32601,"message":"no"}"#).unwrap();
        assert_eq!(answer, Answer::Error(expected), "{status}");
    }
}

type Fits = fn(&PeerError) -> bool;
type Wrong = fn(&Seen) -> Vec<Act>;

const MALFORMED: Fits = |error| matches!(error, PeerError::Protocol(Fault::Malformed(_)));
const WRONG_ID: Fits = |error| matches!(error, PeerError::Protocol(Fault::WrongId));
const TOO_LARGE: Fits = |error| matches!(error, PeerError::TooLarge { .. });
const BROKEN: Fits = |error| matches!(error, PeerError::Egress(_)) && !error.nothing_sent();
const CLOSED: Fits = |error| matches!(error, PeerError::Closed);
const KIND: Fits = |error| matches!(error, PeerError::Protocol(Fault::ContentType(_)));
const STATUS: Fits = |error| matches!(error, PeerError::Status { .. });
/// What a server gets wrong, and what is made of it.
const BAD_ANSWERS: &[(&str, Wrong, Fits)] = &[
    ("garbage", |_| vec![Act::json(200, "{]")], MALFORMED),
    ("nothing", |_| vec![Act::json(200, "")], MALFORMED),
    ("duplicate key", |seen| vec![Act::json(200, &result(seen, r#"{"a":1,"a":2}"#))], MALFORMED),
    ("lone surrogate", |seen| vec![Act::json(200, &result(seen, r#"{"a":"\ud800"}"#))], MALFORMED),
    ("deep", |seen| vec![Act::json(200, &result(seen, &"[".repeat(100_000)))], MALFORMED),
    ("two answers", |seen| vec![Act::json(200, &result(seen, "{}").repeat(2))], MALFORMED),
    ("a batch", |seen| vec![Act::json(200, &format!("[{}]", result(seen, "{}")))], MALFORMED),
    ("no object", |seen| vec![Act::json(200, &result(seen, "1"))], MALFORMED),
    (
        "both",
        |seen| vec![Act::json(200, &result(seen, r#"{},"error":{"code":1,"message":"x"}"#))],
        MALFORMED,
    ),
    (
        "a request",
        |_| vec![Act::json(200, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)],
        MALFORMED,
    ),
    (
        "wrong id",
        |_| vec![Act::json(200, r#"{"jsonrpc":"2.0","id":424242,"result":{}}"#)],
        WRONG_ID,
    ),
    (
        "id as text",
        |seen| {
            vec![Act::json(
                200,
                &format!(r#"{{"jsonrpc":"2.0","id":"{}","result":{{}}}}"#, seen.at("/id")),
            )]
        },
        WRONG_ID,
    ),
    (
        "null id",
        |_| vec![Act::json(200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#)],
        STATUS,
    ),
    (
        "result type",
        |seen| vec![Act::json(200, &result(seen, r#"{"resultType":"surprise"}"#))],
        |e| matches!(e, PeerError::Protocol(Fault::ResultType(_))),
    ),
    (
        "input required",
        |seen| vec![Act::json(200, &result(seen, r#"{"resultType":"input_required"}"#))],
        |e| matches!(e, PeerError::Protocol(Fault::ResultType(_))),
    ),
    (
        "2 MB",
        |seen| {
            vec![Act::json(200, &result(seen, &format!(r#"{{"a":"{}"}}"#, "x".repeat(2 << 20))))]
        },
        TOO_LARGE,
    ),
    (
        "an endless event",
        |_| {
            let mut acts = vec![Act::stream(), Act::chunk("data: ")];
            acts.extend((0..40).map(|_| Act::chunk(&"x".repeat(1 << 16))));
            acts.push(Act::Hang);
            acts
        },
        TOO_LARGE,
    ),
    ("html", |_| vec![Act::reply(200, &[("content-type", "text/html")], "<p>")], KIND),
    ("no type", |_| vec![Act::reply(200, &[], "{}")], KIND),
    ("accepted", |_| vec![Act::accepted()], KIND),
    (
        "gzip",
        |_| {
            vec![Act::reply(
                200,
                &[("content-type", "application/json"), ("content-encoding", "gzip")],
                "x",
            )]
        },
        |e| matches!(e, PeerError::Protocol(Fault::ContentEncoding(_))),
    ),
    ("500", |_| vec![Act::reply(500, &[], "oh")], STATUS),
    ("401", |_| vec![Act::reply(401, &[], "")], |e| matches!(e, PeerError::Unauthorized(401))),
    (
        "redirect",
        |_| vec![Act::reply(307, &[("location", "http://169.254.169.254/")], "")],
        |e| matches!(e, PeerError::Egress(_)),
    ),
    ("closed", |_| vec![Act::Close], BROKEN),
    ("reset", |_| vec![Act::Reset], BROKEN),
    (
        "cut off",
        |_| {
            vec![
                Act::raw(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
                ),
                Act::Close,
            ]
        },
        BROKEN,
    ),
    ("stream ends", |_| vec![Act::stream(), Act::chunk(": nothing\n\n"), Act::end()], CLOSED),
    ("stream is cut", |_| vec![Act::stream(), Act::chunk("data: {\"json"), Act::Close], BROKEN),
    ("stream of garbage", |_| vec![Act::stream(), Act::event("{]")], MALFORMED),
    (
        "stream with a wrong id",
        |_| vec![Act::stream(), Act::event(r#"{"jsonrpc":"2.0","id":424242,"result":{}}"#)],
        WRONG_ID,
    ),
];

#[tokio::test]
async fn bad_answers_are_typed_errors() {
    for (name, wrong, fits) in BAD_ANSWERS {
        let mock = modern(*wrong).await;
        match call(&peer(&mock)).await {
            Err(error) => assert!(fits(&error), "{name}: {error:?}"),
            Ok(answer) => panic!("{name}: {}", answer.json().as_str()),
        }
        assert_eq!(mock.methods().iter().filter(|m| *m == "tools/call").count(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_modern_server_that_became_legacy_is_probed_again() {
    let is_legacy = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&is_legacy);
    let mock = Mock::start(move |seen, _| {
        match (seen.at("/method").as_str(), now.load(Ordering::SeqCst)) {
            (Some("server/discover"), false) => vec![Act::json(200, &result(seen, DISCOVERED))],
            (Some("tools/call"), true) if seen.header("mcp-method").is_some() => {
                vec![Act::reply(400, &[], "what is this")]
            }
            (Some("server/discover"), true) => vec![Act::reply(400, &[], "what is this")],
            (Some("initialize"), _) => vec![Act::json(200, &result(seen, INITIALIZED))],
            (Some("notifications/initialized"), _) => vec![Act::accepted()],
            _ => vec![Act::json(200, &result(seen, "{}"))],
        }
    })
    .await;
    let peer = peer(&mock);
    call(&peer).await.unwrap();
    is_legacy.store(true, Ordering::SeqCst);
    assert!(call(&peer).await.is_err(), "the call that finds out is not repeated");
    call(&peer).await.unwrap();
    assert_eq!(peer.info().unwrap().revision, Revision::V2025_06_18);
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
