//! Peeks, as tables.

use super::*;
use crate::json::Raw;

fn raw(text: &str) -> Option<Raw<'_>> {
    Some(Raw::from_checked(text))
}

#[test]
fn a_tool_call_is_read_exactly() {
    let params = raw(
        r#"{"x":1,"n\u0061me":"get\u002dsum","arguments":{ "a": 1.0 },"_meta":{"progressToken":7}}"#,
    );
    let call = CallToolParams::read(params).unwrap();
    assert_eq!(call.name, "get-sum");
    assert_eq!(call.arguments.unwrap().as_str(), "{ \"a\": 1.0 }");
    assert_eq!(call.meta.unwrap().as_str(), "{\"progressToken\":7}");
    for text in [r#"{"name":"x"}"#, r#"{"name":"x","arguments":null}"#] {
        let bare = CallToolParams::read(raw(text)).unwrap();
        assert_eq!((bare.arguments, bare.meta), (None, None));
    }

    let case = |found: &str, meant| PeekError::Case { found: found.into(), meant };
    let table = [
        (None, PeekError::Missing("name")),
        (raw("{}"), PeekError::Missing("name")),
        (raw(r#"{"name":7}"#), PeekError::Type("name", "a string")),
        (raw(r#"{"name":null}"#), PeekError::Type("name", "a string")),
        (raw(r#"{"name":"x","arguments":[]}"#), PeekError::Type("arguments", "an object")),
        (raw(r#"{"name":"x","_meta":"m"}"#), PeekError::Type("_meta", "an object")),
        (raw(r#"{"name":"x","Name":"y"}"#), case("Name", "name")),
        (raw(r#"{"name":"x","ARGUMENTS":{}}"#), case("ARGUMENTS", "arguments")),
        (raw(r#"{"name":"x","argumentſ":{}}"#), case("argumentſ", "arguments")),
        (raw(r#"{"name":"x","_Meta":{}}"#), case("_Meta", "_meta")),
    ];
    for (params, expected) in table {
        assert_eq!(CallToolParams::read(params), Err(expected));
    }
}

#[test]
fn folding_knows_what_laxer_parsers_know() {
    let known = ["task", "id"];
    let table = [
        ("task", None),
        ("TASK", Some("task")),
        ("taſk", Some("task")),
        ("tas\u{212a}", Some("task")),
        ("tas", None),
        ("tasks", None),
        ("Id", Some("id")),
        ("", None),
    ];
    for (found, expected) in table {
        assert_eq!(folded(found, &known), expected, "{found}");
    }
}

#[test]
fn meta_is_modern_by_its_request_keys_only() {
    let table = [
        ("{}", false),
        (r#"{"progressToken":1,"traceparent":"00-1"}"#, false),
        (r#"{"io.modelcontextprotocol/related-task":{}}"#, false),
        (r#"{"io.modelcontextprotocol/serverInfo":{}}"#, false),
        (r#"{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}"#, false),
        (r#"{"io.modelcontextprotocol/protocolVersion":7}"#, true),
        (r#"{"io.modelcontextprotocol/clientCapabilities":{}}"#, true),
        (r#"{"io.modelcontextprotocol/clientInfo":{}}"#, true),
    ];
    for (text, is_modern) in table {
        assert_eq!(Meta::of(raw(&format!("{{\"_meta\":{text}}}"))).is_modern, is_modern, "{text}");
    }
    assert_eq!(Meta::of(None), Meta::default());
    let text = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots": {}},"io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"info","progressToken":"p","traceparent":"00-a","tracestate":"s","baggage":"b"}"#;
    let meta = Meta::read(Raw::from_checked(text));
    assert_eq!(meta.protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(meta.client_capabilities.unwrap().as_str(), "{\"roots\": {}}");
    assert_eq!(meta.log_level.as_deref(), Some("info"));
    assert_eq!(meta.progress_token.unwrap().as_str(), "\"p\"");
    let trace = meta.trace();
    assert_eq!(
        [trace.traceparent, trace.tracestate, trace.baggage].map(Option::unwrap),
        ["00-a", "s", "b"]
    );
}

#[test]
fn other_parameters() {
    assert_eq!(ListParams::read(None).unwrap().cursor, None);
    assert_eq!(ListParams::read(raw(r#"{"cursor":""}"#)).unwrap().cursor.as_deref(), Some(""));
    assert!(ListParams::read(raw(r#"{"cursor":1}"#)).is_err());

    let cancelled = CancelledParams::read(raw(r#"{"requestId":"a","reason":"r"}"#)).unwrap();
    assert_eq!(cancelled.request_id.unwrap().as_str(), "\"a\"");
    assert_eq!(cancelled.reason.as_deref(), Some("r"));
    assert_eq!(CancelledParams::read(None).unwrap().request_id, None);
    assert!(CancelledParams::read(raw(r#"{"requestId":null}"#)).is_err());

    let progress = ProgressParams::read(raw(
        r#"{"progressToken":3,"progress":1.50,"total":2e1,"message":"m"}"#,
    ));
    let progress = progress.unwrap();
    assert_eq!((progress.token.number(), progress.progress.as_str()), (Some(3), "1.50"));
    assert_eq!(progress.total.unwrap().as_str(), "2e1");
    for bad in ["{}", r#"{"progressToken":1}"#, r#"{"progressToken":1,"progress":"x"}"#] {
        assert!(ProgressParams::read(raw(bad)).is_err(), "{bad}");
    }

    let initialize = InitializeParams::read(raw(
        r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#,
    ));
    let initialize = initialize.unwrap();
    assert_eq!(initialize.protocol_version, "2025-06-18");
    assert_eq!(Implementation::read(initialize.client_info.unwrap()).name, "c");
    for bad in ["{}", r#"{"protocolVersion":1}"#, r#"{"protocolVersion":"x","capabilities":7}"#] {
        assert!(InitializeParams::read(raw(bad)).is_err(), "{bad}");
    }
    assert_eq!(params_meta(raw(r#"{"_meta":{}}"#)).unwrap().unwrap().as_str(), "{}");
    assert!(params_meta(raw(r#"{"_meta":1}"#)).is_err());
}

#[test]
fn results() {
    let read = |text| ResultPeek::read(Raw::from_checked(text));
    let plain = read(r#"{"content":[]}"#).unwrap();
    assert_eq!((plain.result_type, plain.has_result_type), (ResultType::Complete, false));
    let full = read(
        r#"{"resultType":"complete","nextCursor":"","isError":true,"ttlMs":5,"cacheScope":"private","_meta":{}}"#,
    );
    let full = full.unwrap();
    assert!(full.has_result_type && full.is_error && full.meta.is_some());
    assert_eq!((full.next_cursor.as_deref(), full.ttl_ms), (Some(""), Some(5)));
    let asks = read(r#"{"resultType":"input_required"}"#).unwrap().result_type;
    assert_eq!(asks, ResultType::InputRequired);
    let task = read(r#"{"resultType":"task"}"#).unwrap().result_type;
    assert_eq!(task, ResultType::Other("task".into()));
    assert_eq!(read(r#"{"nextCursor":null}"#).unwrap().next_cursor, None);
    for bad in ["[]", "7", r#"{"resultType":1}"#, r#"{"nextCursor":7}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }

    let initialize = InitializeResult::read(Raw::from_checked(
        r#"{"protocolVersion":"2025-03-26","serverInfo":{"name":"s"},"instructions":"i"}"#,
    ));
    assert_eq!(initialize.unwrap().instructions.as_deref(), Some("i"));
    let discover = DiscoverResult::read(Raw::from_checked(
        r#"{"supportedVersions":["2026-07-28",7,"x"],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}}}"#,
    ));
    let discover = discover.unwrap();
    assert_eq!(discover.supported_versions, ["2026-07-28", "x"]);
    assert_eq!(Implementation::read(discover.server_info.unwrap()).name, "s");
    assert!(DiscoverResult::read(Raw::from_checked(r#"{"supportedVersions":"x"}"#)).is_err());
    assert!(DiscoverResult::read(Raw::from_checked("{}")).is_err());
}

#[test]
fn parameters_of_the_other_features() {
    type Read = fn(Option<Raw<'_>>) -> Result<(), PeekError>;
    let prompt: Read = |raw| GetPromptParams::read(raw).map(drop);
    let resource: Read = |raw| ResourceParams::read(raw).map(drop);
    let complete: Read = |raw| CompleteParams::read(raw).map(drop);
    let task: Read = |raw| TaskParams::read(raw).map(drop);
    let level: Read = |raw| SetLevelParams::read(raw).map(drop);
    for (read, text, good) in [
        (prompt, r#"{"name":"a","arguments":{"x":"y"},"_meta":{}}"#, true),
        (prompt, r#"{"name":"a","arguments":null,"requestState":"s"}"#, true),
        (prompt, r#"{"Name":"a","name":"b"}"#, false),
        (prompt, r#"{"name":7}"#, false),
        (resource, r#"{"uri":"test://a"}"#, true),
        (resource, r#"{"URI":"test://a","uri":"b"}"#, false),
        (resource, "{}", false),
        (
            complete,
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}"#,
            true,
        ),
        (
            complete,
            r#"{"ref":{"type":"ref/resource","uri":"t://{x}"},"argument":{"name":"a","value":"v"},"context":{"arguments":{}}}"#,
            true,
        ),
        (complete, r#"{"ref":{"type":"ref/tool"},"argument":{"name":"a","value":"v"}}"#, false),
        (complete, r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a"}}"#, false),
        (task, r#"{"taskId":"t","inputResponses":{}}"#, true),
        (task, r#"{"taskid":"t"}"#, false),
        (level, r#"{"level":"warning"}"#, true),
        (level, r#"{"level":"loud"}"#, false),
    ] {
        let json = tidegate_model::Json::parse(text).unwrap();
        assert_eq!(read(Some(Raw::from(&json))).is_ok(), good, "{text}");
    }
}

#[test]
fn members_of_a_tool_call_that_are_not_known_are_kept() {
    let text = r#"{"name":"a","task":{"ttl":1},"requestState":"s","inputResponses":{},"x":[]}"#;
    let json = tidegate_model::Json::parse(text).unwrap();
    let call = CallToolParams::read(Some(Raw::from(&json))).unwrap();
    let names: Vec<_> = call.more.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["task", "x"]);
}
