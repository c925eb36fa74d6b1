//! One message from outside: the strict pass, the envelope, where it belongs and every peek.
//!
//! Holds that nothing panics, that the pass accepts nothing that serde refuses, that whatever
//! is cut out is a part of what came, and that an id goes back as it was written.

use bytes::Bytes;
use http::{HeaderMap, Request, request::Parts};
use serde_json::value::RawValue;
use tidegate_model::{ConnectorId, Json};
use tidegate_wire::{
    json::{Kind, Limits, Raw, checked},
    mcp::{
        Message, Revision,
        envelope::{self, Id},
        header::{self, HeaderParams},
        lists::Entries,
        peek::{
            CallToolParams, CancelledParams, CompleteParams, DiscoverResult, ErrorObject,
            GetPromptParams, InitializeParams, InitializeResult, ListParams, Meta, ProgressParams,
            ResourceParams, ResultPeek, SetLevelParams, TaskParams,
        },
        tools::Listing,
    },
    server::{Incoming, Session, classify, classify_batch},
};

/// Takes any bytes for a message.
pub(crate) fn run(data: &[u8]) {
    let request = checked(Bytes::copy_from_slice(data), &Limits::REQUEST);
    let response = checked(Bytes::copy_from_slice(data), &Limits::RESPONSE);
    assert!(response.is_ok() || request.is_err(), "a client may send what a server may not");
    let Ok(json) = response else { return };
    let text = json.as_str();
    assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "serde refuses what was accepted");
    let raw = Raw::from(&json);
    walk(raw, &json);
    if envelope::is_batch(raw) {
        let all = raw.elements().count();
        assert_eq!(envelope::batch(raw).map_or(0, Iterator::count), all);
        raw.elements().for_each(|element| message(element, &json));
    }
    message(raw, &json);
}

/// Every value is a part of the whole, and its own text is JSON.
fn walk(raw: Raw<'_>, whole: &Json) {
    let part = raw.within(whole);
    let (outer, inner) = (whole.bytes().as_ptr_range(), part.bytes().as_ptr_range());
    assert!(outer.start <= inner.start && inner.end <= outer.end, "a copy was made");
    assert_eq!(raw.string().is_some(), raw.kind() == Kind::String);
    for member in raw.members() {
        let span = raw.as_str().get(member.value_start..).unwrap_or_default();
        assert!(span.starts_with(member.value.as_str()), "the span is another");
        walk(member.value, whole);
    }
    raw.elements().for_each(|element| walk(element, whole));
}

fn message(raw: Raw<'_>, whole: &Json) {
    let parsed = match Message::parse(raw) {
        Ok(parsed) => parsed,
        Err(malformed) => {
            if let Some(id) = &malformed.id {
                answered(id.borrow(), whole);
            }
            return;
        }
    };
    if let Some(id) = parsed.id() {
        answered(id, whole);
    }
    placed(&parsed);
    let params = parsed.params();
    parameters(params);
    match &parsed {
        Message::Response(response) => match response.outcome {
            Ok(result) => results(result, whole),
            Err(error) => assert!(ErrorObject::read(error).is_some(), "an error that is none"),
        },
        Message::Request(_) | Message::Notification(_) => {}
    }
}

/// An answer to this id carries it, byte for byte.
fn answered(id: Id<'_>, result: &Json) {
    let mut out = Vec::new();
    envelope::result(&mut out, id, result);
    let open = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, id.as_str());
    assert!(out.starts_with(open.as_bytes()), "the id was changed");
    assert!(out.get(open.len()..).is_some_and(|rest| rest.starts_with(result.bytes())));
}

fn parts(headers: HeaderMap) -> Option<Parts> {
    let (mut parts, ()) = Request::post("/mcp/main").body(()).ok()?.into_parts();
    parts.headers = headers;
    Some(parts)
}

/// With the headers made from it a message is admitted or refused, and a modern one never
/// without them.
fn placed(message: &Message<'_>) {
    let params = message.params();
    let version = Revision::V2026_07_28.name();
    let mirrored = header::mirror(version, message.method().unwrap_or_default(), params);
    let headers: HeaderMap = mirrored.into_iter().collect();
    let legacy = [Revision::V2025_03_26, Revision::V2025_11_25].map(Session::Known);
    for session in legacy.into_iter().chain([Session::Absent, Session::Unknown]) {
        if let (Some(with), Some(without)) = (parts(headers.clone()), parts(HeaderMap::new())) {
            drop(classify(&with, message, session));
            let bare = classify(&without, message, session);
            let is_request = matches!(message, Message::Request(_));
            let is_modern = matches!(bare, Ok(Incoming::Modern { .. }));
            assert!(!(is_request && is_modern), "admitted without its headers");
            let batch = classify_batch(&without, session).ok();
            assert!(batch.is_none_or(Revision::has_batching), "a batch in {batch:?}");
        }
    }
}

fn parameters(params: Option<Raw<'_>>) {
    if let Ok(call) = CallToolParams::read(params) {
        let apart = ["name", "arguments", "_meta", "inputResponses", "requestState"];
        assert!(call.more.iter().all(|(name, _)| !apart.contains(&&**name)), "named twice");
    }
    if let Ok(task) = TaskParams::read(params) {
        assert!(task.more.iter().all(|(name, _)| name != "_meta" && name != "taskId"));
    }
    drop(GetPromptParams::read(params));
    drop(ResourceParams::read(params));
    drop(CompleteParams::read(params));
    drop(SetLevelParams::read(params).map(|params| params.level));
    drop(ListParams::read(params));
    drop(CancelledParams::read(params));
    drop(InitializeParams::read(params));
    if let Ok(progress) = ProgressParams::read(params) {
        assert!(progress.progress.kind() == Kind::Number, "progress that is no number");
    }
    drop(Meta::of(params).trace());
    let Some(params) = params else { return };
    // Arguments of any form against the annotations of any schema.
    if let Some(schema) = params.get("inputSchema")
        && let Ok(mirrors) = HeaderParams::compile(schema)
    {
        let arguments = params.get("arguments");
        let headers: HeaderMap = mirrors.headers(arguments).collect();
        assert!(mirrors.agree(&headers, arguments).is_ok(), "its own headers disagree");
    }
}

fn results(result: Raw<'_>, whole: &Json) {
    drop(ResultPeek::read(result));
    drop(InitializeResult::read(result));
    drop(DiscoverResult::read(result));
    let Ok(connector) = ConnectorId::new("up") else { return };
    let page = result.within(whole);
    let mut listing = Listing::new(connector.clone());
    drop(listing.add_page(&page));
    let outer = whole.bytes().as_ptr_range();
    for listed in &listing.tools {
        let inner = listed.tool.definition.bytes().as_ptr_range();
        assert!(outer.start <= inner.start && inner.end <= outer.end, "a copy was made");
    }
    drop(Entries::prompts(connector.clone()).add_page(&page));
    drop(Entries::resources(connector.clone()).add_page(&page));
    drop(Entries::templates(connector).add_page(&page));
}
