//! Mirrored headers, as tables.

use proptest::prelude::*;

use super::*;

fn raw(text: &str) -> Raw<'_> {
    Raw::from_checked(text)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[test]
fn values_travel_plain_or_in_the_sentinel() {
    let table = [
        ("get-sum", "get-sum"),
        ("", ""),
        ("a b", "a b"),
        (" a", "=?base64?IGE=?="),
        ("a ", "=?base64?YSA=?="),
        ("a\tb", "=?base64?YQli?="),
        ("a\r\nX-Evil: 1", "=?base64?YQ0KWC1FdmlsOiAx?="),
        ("é", "=?base64?w6k=?="),
        ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ("=?base64?YQ==", "=?base64?YQ=="),
        ("=?BASE64?YQ==?=", "=?BASE64?YQ==?="),
    ];
    for (text, value) in table {
        assert_eq!(encode(text), value, "{text:?}");
        assert_eq!(decode(value).unwrap(), text);
    }
    for malformed in [
        "=?base64?YQ?=",
        "=?base64?YQ=?=",
        "=?base64?Y!==?=",
        "=?base64?_-8=?=",
        "=?base64?/w==?=",
        "=?base64?Y Q==?=",
        "=?base64?YR==?=",
    ] {
        assert_eq!(decode(malformed), None, "{malformed}");
    }
}

proptest! {
    #[test]
    fn every_text_survives_a_header(text: String) {
        let value = encode(&text);
        prop_assert_eq!(decode(value.to_str().unwrap()).unwrap(), text);
    }
}

const V: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");
const CALL: (&str, &str) = ("Mcp-Method", "tools/call");

#[test]
fn headers_and_body_must_agree() {
    use HeaderMismatch::{Disagrees, Malformed, Missing, Repeated};
    let body = raw(r#"{"name":"delete_all"}"#);
    let check =
        |pairs: &[(&str, &str)]| agree(&headers(pairs), "2026-07-28", "tools/call", Some(body));
    assert_eq!(check(&[V, CALL, ("mcp-NAME", "delete_all")]), Ok(()));
    assert_eq!(check(&[V, CALL, ("Mcp-Name", "=?base64?ZGVsZXRlX2FsbA==?=")]), Ok(()));
    let table: &[(&[(&str, &str)], HeaderMismatch)] = &[
        (&[], Missing(PROTOCOL_VERSION)),
        (&[CALL, ("Mcp-Name", "delete_all")], Missing(PROTOCOL_VERSION)),
        (&[("MCP-Protocol-Version", "2025-11-25"), CALL], Disagrees(PROTOCOL_VERSION)),
        (&[V, V, CALL], Repeated(PROTOCOL_VERSION)),
        (&[V], Missing(METHOD)),
        (&[V, ("Mcp-Method", "tools/list")], Disagrees(METHOD)),
        (&[V, ("Mcp-Method", "Tools/Call")], Disagrees(METHOD)),
        (&[V, ("Mcp-Method", "=?base64?dG9vbHMvY2FsbA==?=")], Disagrees(METHOD)),
        (&[V, CALL, CALL], Repeated(METHOD)),
        (&[V, CALL, ("Mcp-Method", "tools/list")], Repeated(METHOD)),
        (&[V, CALL], Missing(NAME)),
        (&[V, CALL, ("Mcp-Name", "get_sum")], Disagrees(NAME)),
        (&[V, CALL, ("Mcp-Name", "Delete_all")], Disagrees(NAME)),
        (&[V, CALL, ("Mcp-Name", "delete_all ")], Disagrees(NAME)),
        (&[V, CALL, ("Mcp-Name", "")], Disagrees(NAME)),
        (&[V, CALL, ("Mcp-Name", "delete_all"), ("Mcp-Name", "delete_all")], Repeated(NAME)),
        (&[V, CALL, ("Mcp-Name", "=?base64?ZGVsZXRlX2FsbA?=")], Malformed(NAME)),
        (&[V, CALL, ("Mcp-Name", "délété")], Malformed(NAME)),
        // Encoded twice: what comes out is a sentinel, not the name.
        (
            &[V, CALL, ("Mcp-Name", "=?base64?PT9iYXNlNjQ/WkdWc1pYUmxYMkZzYkE9PT89?=")],
            Disagrees(NAME),
        ),
    ];
    for (pairs, expected) in table {
        assert_eq!(check(pairs), Err(expected.clone()), "{pairs:?}");
    }

    let mut list = [V, ("Mcp-Method", "tools/list"), ("Mcp-Name", "ignored")];
    assert_eq!(agree(&headers(&list), "2026-07-28", "tools/list", None), Ok(()));
    list[1].1 = "resources/read";
    let uri = raw(r#"{"uri":"file:///a","name":"ignored"}"#);
    let found = agree(&headers(&list), "2026-07-28", "resources/read", Some(uri));
    assert_eq!(found, Err(Disagrees(NAME)));
}

#[test]
fn notifications_may_leave_headers_out() {
    let check = |pairs: &[(&str, &str)]| {
        agree_if_present(&headers(pairs), Some("2026-07-28"), "notifications/cancelled")
    };
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&[V, ("Mcp-Method", "notifications/cancelled")]), Ok(()));
    assert_eq!(check(&[CALL]), Err(HeaderMismatch::Disagrees(METHOD)));
    let old = ("MCP-Protocol-Version", "2025-11-25");
    assert_eq!(check(&[old]), Err(HeaderMismatch::Disagrees(PROTOCOL_VERSION)));
}

#[test]
fn what_is_mirrored_agrees() {
    let table = [
        ("tools/list", "{}", None),
        ("tools/call", r#"{"name":"é x"}"#, Some("=?base64?w6kgeA==?=")),
        ("prompts/get", r#"{"name":"p"}"#, Some("p")),
        ("resources/read", r#"{"uri":"u:x"}"#, Some("u:x")),
        ("tasks/get", r#"{"taskId":"t"}"#, Some("t")),
        ("tools/call", r#"{"name":7}"#, None),
    ];
    for (method, params, name) in table {
        let map: HeaderMap = mirror("2026-07-28", method, Some(raw(params))).into_iter().collect();
        assert_eq!(map.get(NAME).map(|value| value.to_str().unwrap()), name, "{method}");
        assert_eq!(agree(&map, "2026-07-28", method, Some(raw(params))), Ok(()));
    }
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "count":{"type":"integer","x-mcp-header":"Count"},
    "opts":{"type":"object","properties":{"dry":{"type":"boolean","x-mcp-header":"Dry-Run"}}},
    "x-mcp-header":{"type":"string"},
    "free":{"type":"object","default":{"x-mcp-header":"Data"},"examples":[{"x-mcp-header":1}]}
}}"#;

#[test]
fn parameters_are_mirrored_and_compared() {
    use HeaderMismatch::{Disagrees, Malformed, Missing, Repeated, Unexpected};
    let params = HeaderParams::compile(raw(SCHEMA)).unwrap();
    let name = |text: &'static str| HeaderName::from_static(text);
    let (region, count, dry) =
        (name("mcp-param-region"), name("mcp-param-count"), name("mcp-param-dry-run"));

    let arguments = raw(r#"{"region":"Zürich","count":42,"opts":{"dry":true},"x-mcp-header":"y"}"#);
    let made: HeaderMap = params.headers(Some(arguments)).collect();
    assert_eq!(
        (made.len(), &made[&region]),
        (3, &HeaderValue::from_static("=?base64?WsO8cmljaA==?="))
    );
    assert_eq!(
        (&made[&count], &made[&dry]),
        (&HeaderValue::from(42), &HeaderValue::from_static("true"))
    );
    assert_eq!(params.agree(&made, Some(arguments)), Ok(()));
    for nothing in [None, Some(raw("{}")), Some(raw(r#"{"region":null,"opts":7}"#))] {
        assert_eq!(params.headers(nothing).count(), 0);
        assert_eq!(params.agree(&HeaderMap::new(), nothing), Ok(()));
    }

    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Result<(), HeaderMismatch>);
    let table: &[Case<'_>] = &[
        (r#"{"region":"a"}"#, &[("Mcp-Param-Region", "a")], Ok(())),
        (r#"{"region":"a"}"#, &[("Mcp-Param-Region", "A")], Err(Disagrees(region.clone()))),
        (r#"{"region":"a"}"#, &[], Err(Missing(region.clone()))),
        (r#"{"region":null}"#, &[("Mcp-Param-Region", "a")], Err(Unexpected(region.clone()))),
        ("{}", &[("Mcp-Param-Region", "")], Err(Unexpected(region.clone()))),
        ("{}", &[("Mcp-Param-Other", "x"), ("Mcp-Param-Other", "y")], Ok(())),
        (
            r#"{"region":"a"}"#,
            &[("Mcp-Param-Region", "a"), ("mcp-param-region", "a")],
            Err(Repeated(region.clone())),
        ),
        (
            r#"{"region":"a"}"#,
            &[("Mcp-Param-Region", "=?base64?!?=")],
            Err(Malformed(region.clone())),
        ),
        (r#"{"region":{}}"#, &[("Mcp-Param-Region", "{}")], Err(Disagrees(region))),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "42.0")], Ok(())),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "4.2e1")], Ok(())),
        (r#"{"count":4.20E+1}"#, &[("Mcp-Param-Count", "42")], Ok(())),
        (r#"{"count":0}"#, &[("Mcp-Param-Count", "-0.0")], Ok(())),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "43")], Err(Disagrees(count.clone()))),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "-42")], Err(Disagrees(count.clone()))),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "042")], Err(Disagrees(count.clone()))),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "+42")], Err(Disagrees(count.clone()))),
        (r#"{"count":42}"#, &[("Mcp-Param-Count", "0x2a")], Err(Disagrees(count.clone()))),
        (
            r#"{"count":9007199254740993}"#,
            &[("Mcp-Param-Count", "9007199254740992")],
            Err(Disagrees(count.clone())),
        ),
        (r#"{"count":1e99999999999999999999}"#, &[("Mcp-Param-Count", "1")], Err(Disagrees(count))),
        (r#"{"opts":{"dry":false}}"#, &[("Mcp-Param-Dry-Run", "False")], Err(Disagrees(dry))),
    ];
    for (arguments, pairs, expected) in table {
        assert_eq!(
            params.agree(&headers(pairs), Some(raw(arguments))),
            *expected,
            "{arguments} {pairs:?}"
        );
    }
}

#[test]
fn annotations_that_cannot_be_followed() {
    use BadAnnotation::{Duplicate, NotAToken, TooMany, Type, Unreachable};
    let property = |text: &str| format!(r#"{{"properties":{{"a":{text}}}}}"#);
    let text = |text: &str| text.to_owned();
    let inner = r#"{"type":"string","x-mcp-header":"A"}"#;
    let table = [
        (format!(r#"{{"x-mcp-header":"A","properties":{}}}"#, "{}"), Unreachable),
        (format!(r#"{{"allOf":[{{"properties":{{"a":{inner}}}}}]}}"#), Unreachable),
        (format!(r#"{{"$defs":{{"a":{inner}}}}}"#), Unreachable),
        (format!(r#"{{"additionalProperties":{inner}}}"#), Unreachable),
        (format!(r#"{{"patternProperties":{{"^a":{inner}}}}}"#), Unreachable),
        (format!(r#"{{"if":{{"properties":{{"a":{inner}}}}}}}"#), Unreachable),
        (property(&format!(r#"{{"type":"array","items":{inner}}}"#)), Unreachable),
        (property(&format!(r#"{{"anyOf":[{inner}]}}"#)), Unreachable),
        (property(r#"{"type":"string","x-mcp-header":""}"#), NotAToken(text("\"\""))),
        (property(r#"{"type":"string","x-mcp-header":"A b"}"#), NotAToken(text("\"A b\""))),
        (property(r#"{"type":"string","x-mcp-header":"A:"}"#), NotAToken(text("\"A:\""))),
        (property(r#"{"type":"string","x-mcp-header":"é"}"#), NotAToken(text("\"é\""))),
        (property(r#"{"type":"string","x-mcp-header":"A\r\nB"}"#), NotAToken(text(r#""A\r\nB""#))),
        (property(r#"{"type":"string","x-mcp-header":7}"#), NotAToken(text("7"))),
        (property(r#"{"type":"string","\u0078-mcp-header":7}"#), NotAToken(text("7"))),
        (property(r#"{"type":"number","x-mcp-header":"A"}"#), Type(text("\"A\""))),
        (property(r#"{"type":"object","x-mcp-header":"A"}"#), Type(text("\"A\""))),
        (property(r#"{"type":["string","null"],"x-mcp-header":"A"}"#), Type(text("\"A\""))),
        (property(r#"{"x-mcp-header":"A"}"#), Type(text("\"A\""))),
        (
            format!(
                r#"{{"properties":{{"a":{inner},"b":{{"type":"string","x-mcp-header":"a"}}}}}}"#
            ),
            Duplicate(text("\"a\"")),
        ),
    ];
    for (schema, expected) in table {
        assert_eq!(HeaderParams::compile(raw(&schema)), Err(expected), "{schema}");
    }
    let many = |count: usize| {
        let all: Vec<_> = (0..count)
            .map(|n| format!(r#""p{n}":{{"type":"string","x-mcp-header":"P{n}"}}"#))
            .collect();
        format!(r#"{{"properties":{{{}}}}}"#, all.join(","))
    };
    assert!(HeaderParams::compile(raw(&many(64))).is_ok());
    assert_eq!(HeaderParams::compile(raw(&many(65))), Err(TooMany));
    for fine in ["{}", r#"{"properties":{"a":{"type":"string"}}}"#, r#"{"enum":["x-mcp-header"]}"#]
    {
        assert!(HeaderParams::compile(raw(fine)).unwrap().is_empty(), "{fine}");
    }
}
