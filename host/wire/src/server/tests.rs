//! Requests, as tables.

use http::{HeaderMap, Method, Request, StatusCode, request::Parts};
use serde_json::Value;

use super::*;
use crate::{
    json::{Limits, Raw, check},
    mcp::{Message, Revision, code},
};

type Headers<'a> = &'a [(&'a str, &'a str)];

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(Method::POST).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

fn status(result: Result<(), Rejection>) -> u16 {
    result.map_or_else(|rejection| rejection.status.as_u16(), |()| 200)
}

#[test]
fn hosts_and_origins() {
    let local = HostPolicy::new(Listener::Loopback);
    let public = HostPolicy::new(Listener::Public)
        .with_public_url("https://mcp.example.com/base")
        .and_then(|policy| policy.with_host("inner.example:8080"))
        .and_then(|policy| policy.with_origin("https://app.example.com"))
        .unwrap();
    // Host, Origin ("-" for none), status on the loopback listener, on the public one.
    let table = [
        ("127.0.0.1:8787", "-", 200, 403),
        ("localhost:1", "-", 200, 403),
        ("LOCALHOST", "http://localhost:3000", 200, 403),
        ("[::1]:8787", "http://[::1]:5", 200, 403),
        ("127.9.9.9", "https://127.0.0.1", 200, 403),
        ("mcp.example.com", "-", 403, 200),
        ("MCP.example.com:443", "https://mcp.example.com", 403, 200),
        ("mcp.example.com", "https://mcp.example.com:443", 403, 200),
        ("mcp.example.com", "http://mcp.example.com", 403, 403),
        ("mcp.example.com", "https://mcp.example.com:8443", 403, 403),
        ("mcp.example.com", "https://app.example.com", 403, 200),
        ("mcp.example.com", "http://localhost", 403, 403),
        ("inner.example:8080", "-", 403, 200),
        ("inner.example", "-", 403, 403),
        ("inner.example:80", "-", 403, 403),
        ("localhost", "https://evil.example", 403, 403),
        ("localhost", "null", 403, 403),
        ("localhost", "", 403, 403),
        ("localhost", "file://", 403, 403),
        ("localhost", "http://localhost/path", 403, 403),
        ("localhost", "http://localhost@evil.example", 403, 403),
        ("localhost", "http://localhost.evil.example", 403, 403),
        ("localhost", "http://evil.example#localhost", 403, 403),
        ("localhost", "chrome-extension://localhost", 403, 403),
        ("localhost", "javascript:alert(1)", 403, 403),
        ("evil.example", "-", 403, 403),
        ("evil.example", "http://localhost", 403, 403),
        ("localhost.evil.example", "-", 403, 403),
        ("localhost.", "-", 403, 403),
        ("93.184.216.34", "-", 403, 403),
        ("0.0.0.0:8787", "-", 403, 403),
        ("2130706433", "-", 403, 403),
        ("127.1", "-", 403, 403),
        ("[::ffff:127.0.0.1]", "-", 403, 403),
        ("user@localhost", "-", 400, 400),
        ("localhost:80@evil.example", "-", 400, 400),
        ("localhost?x", "-", 400, 400),
        ("localhost#x", "-", 400, 400),
        ("localhost/x", "-", 400, 400),
        ("localhost\\x", "-", 400, 400),
        ("localhost, evil.example", "-", 400, 400),
        ("local%68ost", "-", 400, 400),
        ("localhost:", "-", 400, 400),
        ("localhost:x", "-", 400, 400),
        ("localhost:99999", "-", 400, 400),
        ("localhost:+80", "-", 400, 400),
        ("[::1", "-", 400, 400),
        ("[::1]x", "-", 400, 400),
        ("::1", "-", 400, 400),
        ("löcalhost", "-", 400, 400),
        ("", "-", 400, 400),
    ];
    for (host, origin, on_loopback, on_public) in table {
        let mut headers = vec![("host", host)];
        if origin != "-" {
            headers.push(("origin", origin));
        }
        let parts = head("/mcp/sales", &headers);
        let found = (status(local.check(&parts)), status(public.check(&parts)));
        assert_eq!(found, (on_loopback, on_public), "{host} {origin}");
    }
}

#[test]
fn repeated_missing_and_conflicting_hosts() {
    let local = HostPolicy::new(Listener::Loopback);
    let table: &[(&str, Headers<'_>, u16)] = &[
        ("/", &[], 400),
        ("/", &[("host", "localhost"), ("host", "localhost")], 400),
        ("/", &[("host", "localhost"), ("host", "evil.example")], 400),
        ("/", &[("host", "localhost"), ("origin", "http://localhost"), ("origin", "null")], 400),
        ("http://localhost/mcp", &[("host", "localhost")], 200),
        ("http://localhost/mcp", &[], 200),
        ("http://evil.example/mcp", &[], 403),
        ("http://evil.example/mcp", &[("host", "localhost")], 400),
        ("http://localhost/mcp", &[("host", "evil.example")], 400),
        ("http://user@localhost/mcp", &[("host", "localhost")], 400),
        ("/", &[("host", "localhost"), ("x-forwarded-host", "evil.example")], 200),
        ("/", &[("host", "evil.example"), ("x-forwarded-host", "localhost")], 403),
    ];
    for (uri, headers, expected) in table {
        assert_eq!(status(local.check(&head(uri, headers))), *expected, "{uri} {headers:?}");
    }
    for bad in ["example.com", "https://a/b@c:d", "https://", "://x", "https://a b"] {
        assert!(HostPolicy::new(Listener::Public).with_origin(bad).is_err(), "{bad}");
    }
    assert!(HostPolicy::new(Listener::Public).with_public_url("https://h:1/a/b?c://d").is_ok());
    assert!(HostPolicy::new(Listener::Public).with_public_url("mcp.example.com").is_err());
}

#[test]
fn heads_of_posts() {
    let json = ("content-type", "application/json");
    let both = ("accept", "application/json, text/event-stream");
    /// JSON and events, or the status.
    type Verdict = Result<(bool, bool), u16>;
    let table: &[(Headers<'_>, Verdict)] = &[
        (&[json, both], Ok((true, true))),
        (&[json], Ok((true, true))),
        (&[("content-type", "Application/JSON; charset=utf-8"), both], Ok((true, true))),
        (&[json, ("accept", "*/*")], Ok((true, true))),
        (&[json, ("accept", "application/*;q=0.5")], Ok((true, false))),
        (&[json, ("accept", "application/json")], Ok((true, false))),
        (&[json, ("accept", "application/json"), ("accept", "text/*")], Ok((true, true))),
        (&[json, ("accept", "*/*, text/event-stream;q=0")], Ok((true, false))),
        (&[json, ("accept", "*/*, text/event-stream; Q=0.00")], Ok((true, false))),
        (&[json, ("accept", "text/event-stream")], Err(406)),
        (&[json, ("accept", "text/html")], Err(406)),
        (&[json, ("accept", "")], Err(406)),
        (&[both], Err(415)),
        (&[("content-type", "text/plain"), both], Err(415)),
        (&[("content-type", "application/json-patch+json"), both], Err(415)),
        (&[("content-type", "application/x-www-form-urlencoded"), both], Err(415)),
        (&[json, json, both], Err(415)),
        (&[json, both, ("content-encoding", "gzip")], Err(415)),
        (&[json, both, ("content-encoding", "identity"), ("content-encoding", "br")], Err(415)),
        (&[json, both, ("content-encoding", "identity")], Ok((true, true))),
    ];
    for (headers, expected) in table {
        let found = check_post(&head("/", headers));
        let found = found.map(|accept| (accept.json, accept.events)).map_err(|r| r.status.as_u16());
        assert_eq!(found, *expected, "{headers:?}");
    }
    assert_eq!(status(check_get(&head("/", &[("accept", "text/event-stream")]))), 200);
    assert_eq!(status(check_get(&head("/", &[("accept", "application/json")]))), 406);
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const V: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

/// Classifies, and says the outcome in a word: era and revision, or status and code.
fn word(headers: &[(&str, &str)], body: &str, session: Session) -> String {
    check(body.as_bytes(), &Limits::REQUEST).unwrap();
    let message = Message::parse(Raw::from_checked(body)).unwrap();
    match classify(&head("/mcp/x", headers), &message, session) {
        Ok(Incoming::Modern { revision, .. }) => format!("modern {revision}"),
        Ok(Incoming::Initialize { revision, .. }) => format!("initialize {revision}"),
        Ok(Incoming::Legacy { revision }) => format!("legacy {revision}"),
        Err(rejection) => format!("{} {}", rejection.status.as_u16(), rejection.code),
    }
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

#[test]
fn modern_requests() {
    let list = ("mcp-method", "tools/list");
    let meta = |version: &str| META.replace("2026-07-28", version);
    let table: &[(Headers<'_>, String, &str)] = &[
        (&[V, list], request("tools/list", META), "modern 2026-07-28"),
        (
            &[V, list, ("mcp-session-id", "ignored")],
            request("tools/list", META),
            "modern 2026-07-28",
        ),
        (&[list], request("tools/list", META), "400 -32020"),
        (&[V], request("tools/list", META), "400 -32020"),
        (&[V, V, list], request("tools/list", META), "400 -32020"),
        (&[V, ("mcp-method", "tools/call")], request("tools/list", META), "400 -32020"),
        (
            &[("mcp-protocol-version", "2025-11-25"), list],
            request("tools/list", META),
            "400 -32020",
        ),
        (
            &[("mcp-protocol-version", "2099-01-01"), list],
            request("tools/list", &meta("2099-01-01")),
            "400 -32022",
        ),
        (
            &[("mcp-protocol-version", "2025-11-25"), list],
            request("tools/list", &meta("2025-11-25")),
            "400 -32022",
        ),
        (&[V, list], request("tools/list", ""), "400 -32602"),
        (
            &[V, list],
            request(
                "tools/list",
                r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#,
            ),
            "400 -32602",
        ),
        (
            &[V, list],
            request("tools/list", r#""_meta":{"io.modelcontextprotocol/clientCapabilities":{}}"#),
            "400 -32602",
        ),
        (&[V, list], request("tools/list", &META.replace("{}", "[]")), "400 -32602"),
        (
            &[V, ("mcp-method", "tools/call"), ("mcp-name", "safe")],
            request("tools/call", &format!(r#""name":"evil",{META}"#)),
            "400 -32020",
        ),
        (
            &[V, ("mcp-method", "tools/call"), ("mcp-name", "safe")],
            request("tools/call", &format!(r#""name":"safe",{META}"#)),
            "modern 2026-07-28",
        ),
        (
            &[V],
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#.to_owned(),
            "modern 2026-07-28",
        ),
        (
            &[V, list],
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#.to_owned(),
            "400 -32020",
        ),
        (
            &[],
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{{META}}}}}"#
            ),
            "modern 2026-07-28",
        ),
    ];
    for (headers, body, expected) in table {
        assert_eq!(word(headers, body, Session::Absent), *expected, "{headers:?} {body}");
    }
    let known = Session::Known(Revision::V2025_11_25);
    let in_session = word(&[V, list], &request("tools/list", META), known);
    assert_eq!(in_session, "modern 2026-07-28", "a session header is ignored by modern requests");
}

#[test]
fn legacy_requests() {
    let initialize =
        |version: &str| request("initialize", &format!(r#""protocolVersion":"{version}""#));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned();
    let ping = request("ping", "");
    let known = Session::Known(Revision::V2025_06_18);
    let version = |name: &'static str| vec![("mcp-protocol-version", name)];
    let table = [
        (vec![], initialize("2025-11-25"), Session::Absent, "initialize 2025-11-25"),
        (vec![], initialize("2025-03-26"), Session::Unknown, "initialize 2025-03-26"),
        (vec![], initialize("2024-11-05"), Session::Absent, "initialize 2025-11-25"),
        (vec![], initialize("2026-07-28"), Session::Absent, "initialize 2025-11-25"),
        (vec![], initialize("1.0"), known, "initialize 2025-11-25"),
        (vec![V], initialize("2025-11-25"), Session::Absent, "initialize 2025-11-25"),
        (vec![], request("initialize", ""), Session::Absent, "400 -32602"),
        // A handshake with modern members is a fallback; without its version it is none.
        (
            vec![V],
            request("initialize", &format!(r#""protocolVersion":"2025-06-18",{META}"#)),
            Session::Absent,
            "initialize 2025-06-18",
        ),
        (
            vec![V, ("mcp-method", "initialize")],
            request("initialize", META),
            Session::Absent,
            "modern 2026-07-28",
        ),
        (vec![], ping.clone(), Session::Absent, "400 -32000"),
        (vec![], ping.clone(), Session::Unknown, "404 -32001"),
        (vec![], ping.clone(), known, "legacy 2025-06-18"),
        (version("2025-06-18"), ping.clone(), known, "legacy 2025-06-18"),
        (version("2025-11-25"), ping.clone(), known, "legacy 2025-06-18"),
        (version("2026-07-28"), ping.clone(), known, "400 -32000"),
        (version("nonsense"), ping.clone(), known, "400 -32000"),
        (version("nonsense"), ping.clone(), Session::Absent, "400 -32000"),
        (vec![("mcp-protocol-version", "2025-06-18"); 2], ping, known, "400 -32020"),
        (vec![], answer.clone(), known, "legacy 2025-06-18"),
        (vec![V], answer.clone(), Session::Absent, "400 -32000"),
        (vec![], answer, Session::Unknown, "404 -32001"),
    ];
    for (headers, body, session, expected) in table {
        assert_eq!(word(&headers, &body, session), expected, "{headers:?} {body} {session:?}");
    }
}

#[test]
fn batches_need_a_session_of_the_one_revision_that_had_them() {
    let parts = head("/", &[]);
    let table = [
        (Session::Known(Revision::V2025_03_26), Ok(Revision::V2025_03_26)),
        (Session::Known(Revision::V2025_06_18), Err(400)),
        (Session::Known(Revision::V2025_11_25), Err(400)),
        (Session::Unknown, Err(404)),
        (Session::Absent, Err(400)),
    ];
    for (session, expected) in table {
        let found = classify_batch(&parts, session).map_err(|rejection| rejection.status.as_u16());
        assert_eq!(found, expected, "{session:?}");
    }
}

#[test]
fn session_ids_are_visible_ascii() {
    let read = |headers: &[(&str, &str)]| {
        session_id(&head("/", headers))
            .map(|id| id.map(str::to_owned))
            .map_err(|r| r.status.as_u16())
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[("mcp-session-id", "a~!Z")]), Ok(Some("a~!Z".into())));
    let long = "x".repeat(257);
    for bad in ["", "a b", "é", "a\tb", &long] {
        assert_eq!(read(&[("mcp-session-id", bad)]), Err(400), "{bad:?}");
    }
    assert_eq!(read(&[("mcp-session-id", "a"), ("mcp-session-id", "a")]), Err(400));
}

#[test]
fn rejections_are_json_rpc_errors() {
    let body = request("tools/list", &META.replace("2026-07-28", "2099-01-01"));
    let message = Message::parse(Raw::from_checked(&body)).unwrap();
    let parts = head("/", &[("mcp-protocol-version", "2099-01-01"), ("mcp-method", "tools/list")]);
    let rejection = classify(&parts, &message, Session::Absent).unwrap_err();
    let response = rejection.respond(message.id());
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(answer["id"], 1);
    assert_eq!(answer["error"]["code"], code::UNSUPPORTED_PROTOCOL_VERSION);
    let data = serde_json::json!({ "supported": ["2026-07-28"], "requested": "2099-01-01" });
    assert_eq!(answer["error"]["data"], data);

    let table = [
        ("{", 400, code::PARSE_ERROR),
        (r#"{"a":1,"a":1}"#, 400, code::INVALID_REQUEST),
        ("[[[[[[", 400, code::INVALID_REQUEST),
        ("\"0123456789\"", 413, code::INVALID_REQUEST),
    ];
    for (text, status, code) in table {
        let bytes = if status == 413 { 5 } else { 100 };
        let limits = Limits { bytes, depth: 2, ..Limits::REQUEST };
        let rejection = Rejection::from(check(text.as_bytes(), &limits).unwrap_err());
        assert_eq!((rejection.status.as_u16(), rejection.code), (status, code), "{text}");
        let answer: Value = serde_json::from_slice(rejection.respond(None).body()).unwrap();
        assert!(answer["id"].is_null());
    }
    assert_eq!(Rejection::verb().respond(None).headers()["allow"], "POST, GET, DELETE");
}

#[test]
fn heads_of_answers() {
    let shown = |headers: &HeaderMap| {
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(
        shown(event_stream(()).headers()),
        ["cache-control: no-store", "content-type: text/event-stream", "x-accel-buffering: no"]
    );
    assert_eq!(
        shown(json(StatusCode::OK, ()).headers()),
        ["cache-control: no-store", "content-type: application/json"]
    );
    let taken = accepted();
    assert_eq!(
        (taken.status(), taken.body().len(), taken.headers().len()),
        (StatusCode::ACCEPTED, 0, 0)
    );
}

#[test]
fn what_is_named_first_is_preferred() {
    let table = [
        (vec![], false),
        (vec!["application/json, text/event-stream"], false),
        (vec!["text/event-stream, application/json"], true),
        (vec!["TEXT/Event-Stream; q=0.9", "application/json"], true),
        (vec!["application/json", "text/event-stream"], false),
        (vec!["text/event-stream;q=0, application/json"], false),
        (vec!["*/*"], false),
        (vec!["text/html, text/event-stream, */*"], true),
        (vec!["text/event-stream"], true),
    ];
    for (accept, expected) in table {
        let headers: Vec<_> = accept.iter().map(|&value| ("accept", value)).collect();
        let parts = head("/", &headers);
        assert_eq!(prefers_events(&parts.headers), expected, "{accept:?}");
    }
}
