//! Envelopes, as tables.

use std::collections::HashMap;

use tidegate_model::Json;

use super::*;

fn parse(text: &str) -> Result<Message<'_>, Malformed> {
    crate::json::check(text.as_bytes(), &crate::json::Limits::REQUEST).unwrap();
    Message::parse(Raw::from_checked(text))
}

#[test]
fn messages_are_told_apart() {
    let request = parse(
        r#"{"jsonrpc":"2.0","id":"a\"b","method":"tools/call","params":{"name": 1.0},"x":[0]}"#,
    );
    let Message::Request(request) = request.unwrap() else { panic!() };
    assert_eq!((request.id.as_str(), &*request.method), (r#""a\"b""#, "tools/call"));
    assert_eq!(request.params.unwrap().as_str(), r#"{"name": 1.0}"#);

    let notification = parse(r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#).unwrap();
    assert!(matches!(&notification, Message::Notification(n) if n.params.is_none()));
    assert_eq!(
        (notification.method(), notification.id()),
        (Some("notifications/initialized"), None)
    );

    let null = parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#).unwrap();
    assert_eq!(null.params(), None);

    let answer = parse(r#"{"jsonrpc":"2.0","id":7,"result":{"a": 1}}"#).unwrap();
    let Message::Response(answer) = answer else { panic!() };
    assert_eq!(answer.id.unwrap().number(), Some(7));
    assert_eq!(answer.outcome.unwrap().as_str(), r#"{"a": 1}"#);

    let error =
        parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#).unwrap();
    let Message::Response(error) = error else { panic!() };
    assert!(error.id.is_none() && error.outcome.is_err());
    assert!(parse(r#"{"jsonrpc":"2.0","error":{"code":1,"message":""}}"#).is_ok());
}

#[test]
fn escaped_member_names_are_the_same_members() {
    let request = parse(r#"{"\u006asonrpc":"\u0032.0","\u0069d":1,"method":"p\u0069ng"}"#).unwrap();
    assert_eq!((request.method(), request.id().unwrap().number()), (Some("ping"), Some(1)));
}

#[test]
fn malformed_envelopes_name_their_fault_and_keep_the_id() {
    use Fault::{Ambiguous, Batch, Case, Error, Id, Method, Neither, NotAnObject, Params, Version};
    let table: &[(&str, Fault, Option<&str>)] = &[
        ("1", NotAnObject, None),
        ("\"x\"", NotAnObject, None),
        ("null", NotAnObject, None),
        ("[]", Batch, None),
        (r#"{"id":1,"method":"ping"}"#, Version, Some("1")),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Version, Some("1")),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Version, Some("1")),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":"q","method":7}"#, Method, Some("\"q\"")),
        (r#"{"jsonrpc":"2.0","id":"q","method":""}"#, Method, Some("\"q\"")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, Params, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#, Params, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1}"#, Neither, Some("1")),
        ("{}", Version, None),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
            Ambiguous,
            Some("1"),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, Ambiguous, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":""}}"#, Error, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, Error, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, Error, Some("1")),
        (r#"{"jsonrpc":"2.0","result":{}}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":1.5,"error":{"code":1,"message":""}}"#, Id, None),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, Case, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","PARAMS":{}}"#, Case, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{}}"#, Case, Some("1")),
    ];
    for (text, fault, id) in table {
        let malformed = parse(text).unwrap_err();
        assert_eq!(malformed.fault, *fault, "{text}");
        assert_eq!(malformed.id.as_ref().map(OwnedId::as_str), *id, "{text}");
        assert_eq!(malformed.code(), code::INVALID_REQUEST);
    }
}

#[test]
fn batches_yield_each_message_or_its_fault() {
    let text =
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}, 7, [], {"jsonrpc":"2.0","method":"x"}]"#;
    let raw = Raw::from_checked(text);
    assert!(is_batch(raw) && !is_batch(Raw::from_checked("{}")));
    let messages: Vec<_> = batch(raw).unwrap().collect();
    assert_eq!(messages.len(), 4);
    assert!(messages[0].is_ok() && messages[3].is_ok());
    assert_eq!(messages[1].as_ref().unwrap_err().fault, Fault::NotAnObject);
    assert_eq!(messages[2].as_ref().unwrap_err().fault, Fault::Batch);
    let faults = ["[ ]", "{}"].map(|text| batch(Raw::from_checked(text)).err().unwrap().fault);
    assert_eq!(faults, [Fault::EmptyBatch, Fault::NotAnObject]);
}

#[test]
fn ids_are_echoed_as_written_and_compared_by_meaning() {
    for text in ["0", "-7", "123456789012345678901234567890", r#""""#, r#""\u0061""#] {
        let id = Id::read(Raw::from_checked(text)).unwrap();
        assert_eq!(id.as_str(), text);
        let mut out = Vec::new();
        result(&mut out, id, &Json::empty_object());
        let written = String::from_utf8(out).unwrap();
        assert_eq!(written, format!(r#"{{"jsonrpc":"2.0","id":{text},"result":{{}}}}"#));
    }
    let read = |text| Id::read(Raw::from_checked(text)).unwrap().into_owned();
    assert_eq!(read(r#""a""#), read(r#""\u0061""#));
    assert_ne!(read("1"), read(r#""1""#));
    assert_eq!(read("18"), OwnedId::from(18));
    assert_eq!(read(r#""a\"b""#), OwnedId::text("a\"b"));
    let map = HashMap::from([(read(r#""a""#), 1)]);
    assert_eq!(map.get(&read(r#""\u0061""#)), Some(&1));
}

#[test]
fn what_is_written_reads_back() {
    let params = Raw::from_checked(r#"{"big": 123456789012345678901234567890, "é": "\u00e9"}"#);
    let id = OwnedId::from(42);
    let mut out = Vec::new();
    request(&mut out, id.borrow(), "tools/\"call\n", Some(params));
    let text = String::from_utf8(out).unwrap();
    let Message::Request(read) = parse(&text).unwrap() else { panic!() };
    assert_eq!(
        (read.id, &*read.method, read.params),
        (id.borrow(), "tools/\"call\n", Some(params))
    );

    let mut out = Vec::new();
    notification(&mut out, "notifications/progress", None);
    assert_eq!(out, br#"{"jsonrpc":"2.0","method":"notifications/progress"}"#);

    let data = Json::parse(r#"{"supported": []}"#).unwrap();
    let mut out = Vec::new();
    error(&mut out, None, code::PARSE_ERROR, "no \"json\"", Some(&data));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no \"json\"","data":{"supported": []}}}"#
    );

    let mut out = Vec::new();
    let object = Raw::from_checked(r#"{"code":-5,"message":"m","vendor":{"x": 1}}"#);
    error_raw(&mut out, id.borrow(), object);
    let text = String::from_utf8(out).unwrap();
    let Message::Response(read) = parse(&text).unwrap() else { panic!() };
    assert_eq!(read.outcome, Err(object));
}
