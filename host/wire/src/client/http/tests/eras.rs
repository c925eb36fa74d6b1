//! Which era a server is of, and what a modern one's refusals mean.

use super::*;

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
async fn a_legacy_server_that_became_modern_is_set_up_again() {
    let is_modern = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&is_modern);
    let mock = Mock::start(move |seen, _| {
        let legacy = seen.header("mcp-method").is_none();
        match (seen.at("/method").as_str(), now.load(Ordering::SeqCst)) {
            (_, true) if legacy => {
                let data = r#"{"supported":["2026-07-28"],"requested":"2025-06-18"}"#;
                let no = refusal(seen, code::UNSUPPORTED_PROTOCOL_VERSION, data, true);
                vec![Act::json(400, &no)]
            }
            (Some("server/discover"), true) => vec![Act::json(200, &result(seen, DISCOVERED))],
            (Some("server/discover"), false) => vec![Act::reply(400, &[], "what is this")],
            (Some("initialize"), _) => vec![Act::json(200, &result(seen, INITIALIZED))],
            (Some("notifications/initialized"), _) => vec![Act::accepted()],
            _ => vec![Act::json(200, &result(seen, "{}"))],
        }
    })
    .await;
    let peer = peer(&mock);
    call(&peer).await.unwrap();
    is_modern.store(true, Ordering::SeqCst);
    call(&peer).await.unwrap();
    assert_eq!(peer.info().unwrap().revision, Revision::V2026_07_28);
    // The same code with another status is a server's own, and an answer like any other.
    let own = Mock::start(|seen, _| match seen.at("/method").as_str() {
        Some("server/discover") => vec![Act::reply(400, &[], "what is this")],
        Some("initialize") => vec![Act::json(200, &result(seen, INITIALIZED))],
        Some("notifications/initialized") => vec![Act::accepted()],
        _ => vec![Act::json(200, &refusal(seen, code::UNSUPPORTED_PROTOCOL_VERSION, "7", true))],
    })
    .await;
    let peer = self::peer(&own);
    assert!(matches!(call(&peer).await, Ok(Answer::Error(_))));
    assert_eq!(own.methods().iter().filter(|method| *method == "tools/call").count(), 1);
}

#[tokio::test]
async fn a_modern_server_that_fails_is_no_reason_to_list_anew() {
    let mock = modern(|_| vec![Act::reply(500, &[], "")]).await;
    let peer = peer(&mock);
    for _ in 0..3 {
        call(&peer).await.unwrap_err();
    }
    assert_eq!(count(&mock, "server/discover"), 3, "it may be another one by now");
    assert_eq!(*peer.changes().borrow(), 1, "but it is the same");
}

/// A refusal of a modern server, with our id or none.
fn refusal(seen: &Seen, code: i64, data: &str, with_id: bool) -> String {
    let id = if with_id { seen.at("/id") } else { serde_json::Value::Null };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no","data":{data}}}}}"#
    )
}

#[tokio::test]
async fn stale_headers_are_told_apart() {
    for (status, with_id) in [(400, true), (400, false), (200, true)] {
        let mock = modern(move |seen| {
            vec![Act::json(status, &refusal(seen, code::HEADER_MISMATCH, "{}", with_id))]
        })
        .await;
        let error = call(&peer(&mock)).await.unwrap_err();
        assert!(matches!(error, PeerError::HeaderMismatch(_)), "{status} {with_id}: {error:?}");
        assert!(error.nothing_sent());
        assert_eq!(count(&mock, "tools/call"), 1);
    }
}

#[tokio::test]
async fn a_missing_capability_is_an_answer() {
    for with_id in [true, false] {
        let data = r#"{"requiredCapabilities":{"sampling":{}}}"#;
        let mock = modern(move |seen| {
            let body = refusal(seen, code::MISSING_CLIENT_CAPABILITY, data, with_id);
            vec![Act::json(400, &body)]
        })
        .await;
        let Answer::Error(error) = call(&peer(&mock)).await.unwrap() else { panic!("a result") };
        assert!(error.as_str().contains("requiredCapabilities"), "{}", error.as_str());
    }
}

#[tokio::test]
async fn an_unsupported_version_is_negotiated_once() {
    // What the server lists, and the methods that follow the first call.
    for (listed, expected) in [
        (r#"["2026-07-28"]"#, vec!["server/discover", "tools/call"]),
        (
            r#"["2025-11-25"]"#,
            vec!["server/discover", "initialize", "notifications/initialized", "tools/call"],
        ),
    ] {
        let is_legacy = listed.contains("2025");
        let calls = AtomicUsize::new(0);
        let mock = Mock::start(move |seen, _| {
            let data = format!(r#"{{"supported":{listed},"requested":"2026-07-28"}}"#);
            let no = refusal(seen, code::UNSUPPORTED_PROTOCOL_VERSION, &data, true);
            let first = calls.load(Ordering::SeqCst) == 0;
            match seen.at("/method").as_str() {
                Some("server/discover") if first => {
                    vec![Act::json(200, &result(seen, DISCOVERED))]
                }
                Some("server/discover") => vec![Act::json(400, &no)],
                Some("initialize") => vec![Act::json(200, &result(seen, INITIALIZED))],
                Some("notifications/initialized") => vec![Act::accepted()],
                _ => {
                    calls.fetch_add(1, Ordering::SeqCst);
                    match is_legacy && !first {
                        true => vec![Act::json(200, &result(seen, "{}"))],
                        false => vec![Act::json(400, &no)],
                    }
                }
            }
        })
        .await;
        let outcome = call(&peer(&mock)).await;
        if is_legacy {
            outcome.unwrap();
        } else {
            let Err(PeerError::Revision(names)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(names, ["2026-07-28"]);
        }
        assert_eq!(mock.methods()[2..], expected, "{listed}");
    }
}

#[tokio::test]
async fn a_url_that_takes_no_messages_is_told_apart() {
    for status in [400, 404, 405] {
        let mock = Mock::start(move |_, _| {
            vec![Act::reply(status, &[("content-type", "text/html")], "<html>")]
        })
        .await;
        let error = call(&peer(&mock)).await.unwrap_err();
        assert!(matches!(error, PeerError::NotStreamable(found) if found == status), "{error:?}");
        assert!(error.nothing_sent());
    }
    let mock = Mock::start(|_, _| vec![Act::reply(500, &[], "")]).await;
    let error = call(&peer(&mock)).await.unwrap_err();
    assert!(matches!(error, PeerError::Status { status: 500, .. }), "{error:?}");
}

#[tokio::test]
async fn old_ways_of_modern_servers_are_accepted() {
    let mock = modern(|seen| vec![Act::json(200, &result(seen, r#"{"content":[]}"#))]).await;
    let answer = call(&peer(&mock)).await.unwrap();
    assert_eq!(answer.json().as_str(), r#"{"content":[]}"#, "without a result type");
    let mock = modern(|seen| vec![Act::json(200, &error(seen, code::RESOURCE_NOT_FOUND))]).await;
    assert!(matches!(call(&peer(&mock)).await.unwrap(), Answer::Error(_)));
}

#[tokio::test]
async fn only_methods_that_mirror_a_name_send_one() {
    let mock = modern(|seen| vec![Act::json(200, &result(seen, "{}"))]).await;
    let peer = peer(&mock);
    for (method, mirrored) in [
        ("tools/call", true),
        ("prompts/get", true),
        ("resources/read", true),
        ("tasks/get", true),
        ("tasks/update", true),
        ("tasks/cancel", true),
        ("completion/complete", false),
    ] {
        let outgoing = Outgoing { method, name: Some("n"), ..Outgoing::default() };
        peer.request(&outgoing).await.unwrap();
        let seen = mock.seen().pop().unwrap();
        assert_eq!(seen.header("mcp-name"), mirrored.then_some("n"), "{method}");
        assert_eq!(seen.header("mcp-method"), Some(method));
    }
}
