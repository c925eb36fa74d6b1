//! The strict pass and the walk, against tables and against `serde_json`.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use super::{ViolationKind as K, *};

const SMALL: Limits =
    Limits { bytes: 1_000_000, depth: 4, members: 20, nodes: 60, string: 10, number: 8 };

fn verdict(text: impl AsRef<[u8]>) -> Result<(), K> {
    check(text.as_ref(), &Limits::REQUEST).map_err(|violation| violation.kind)
}

#[test]
fn documents_that_are_fine() {
    for text in [
        "{}",
        "[]",
        "0",
        "-0",
        "1.5e+10",
        "-0.0E-7",
        "\"\"",
        "true",
        "false",
        "null",
        " [ ] \r\n\t",
        "[1,2,[3,{\"a\":{}}],\"x\"]",
        "{\"a\":1,\"A\":2,\"\":3}",
        r#""\u00e9\n\/\\\"\b\f\t\r""#,
        r#""\ud83d\ude00""#,
        "\"\u{1f600}é\u{7f}\u{80}\u{2028}\"",
        "123456789012345678901234567890",
        r#"{"a":{"x":1},"b":{"x":1}}"#,
        r#"[{"x":1},{"x":1}]"#,
        r#""\u0000""#,
        "1e400",
        "{\"long enough to span several words of eight\":\"and so is this one, with é inside\"}",
    ] {
        assert_eq!(verdict(text), Ok(()), "{text}");
        serde_json::from_str::<&RawValue>(text).unwrap();
    }
}

#[test]
fn documents_that_are_not() {
    let table: &[(&[u8], K, usize)] = &[
        (b"", K::Truncated, 0),
        (b"  ", K::Truncated, 2),
        (b"{", K::Truncated, 1),
        (b"[1,", K::Truncated, 3),
        (b"[1", K::Truncated, 2),
        (b"{\"a\"", K::Truncated, 4),
        (b"{\"a\":", K::Truncated, 5),
        (b"\"abc", K::Truncated, 4),
        (b"\"abc\\", K::Truncated, 4),
        (b"[1,]", K::Unexpected, 3),
        (b"[,1]", K::Unexpected, 1),
        (b"[1 2]", K::Unexpected, 3),
        (b"{\"a\":1,}", K::Unexpected, 7),
        (b"{,}", K::Unexpected, 1),
        (b"{a:1}", K::Unexpected, 1),
        (b"{'a':1}", K::Unexpected, 1),
        (b"{\"a\" 1}", K::Unexpected, 5),
        (b"{\"a\"::1}", K::Unexpected, 5),
        (b"{1:1}", K::Unexpected, 1),
        (b"[}", K::Unexpected, 1),
        (b"{]", K::Unexpected, 1),
        (b"[1}", K::Unexpected, 2),
        (b"]", K::Unexpected, 0),
        (b"True", K::Unexpected, 0),
        (b"tru", K::Unexpected, 0),
        (b"nul", K::Unexpected, 0),
        (b"NaN", K::Unexpected, 0),
        (b"Infinity", K::Unexpected, 0),
        (b"+1", K::Unexpected, 0),
        (b".5", K::Unexpected, 0),
        (b"// c\n1", K::Unexpected, 0),
        (b"\x0b1", K::Unexpected, 0),
        ("\u{a0}1".as_bytes(), K::Unexpected, 0),
        (b"01", K::Number, 1),
        (b"-", K::Number, 1),
        (b"-01", K::Number, 2),
        (b"1.", K::Number, 2),
        (b"1.e5", K::Number, 2),
        (b"1e", K::Number, 2),
        (b"1e+", K::Number, 3),
        (b"-Infinity", K::Number, 1),
        (b"1 1", K::Trailing, 2),
        (b"{}{}", K::Trailing, 2),
        (b"0x10", K::Trailing, 1),
        (b"1_000", K::Trailing, 1),
        (b"nulll", K::Trailing, 4),
        (b"[]]", K::Trailing, 2),
        (b"1,", K::Trailing, 1),
        (b"null\0", K::Trailing, 4),
        (b"\"\\x\"", K::Escape, 1),
        (b"\"\\u12\"", K::Escape, 1),
        (b"\"\\u12g4\"", K::Escape, 1),
        (b"\"\\u+123\"", K::Escape, 1),
        (b"\"\\U0041\"", K::Escape, 1),
        (b"\"a\tb\"", K::Control, 2),
        (b"\"a\nb\"", K::Control, 2),
        (b"\"\0\"", K::Control, 1),
        (b"\"12345678\x1f\"", K::Control, 9),
        (b"\"\\ud800\"", K::Surrogate, 1),
        (b"\"\\udc00\"", K::Surrogate, 1),
        (b"\"\\ud800\\ud800\"", K::Surrogate, 1),
        (b"\"\\ud800\\u0041\"", K::Surrogate, 1),
        (b"\"\\ud800x\"", K::Surrogate, 1),
        (b"\"\\ude00\\ud83d\"", K::Surrogate, 1),
        (b"{\"\\ud800\":1}", K::Surrogate, 2),
        (b"\xef\xbb\xbf{}", K::ByteOrderMark, 0),
        (b"\xff\xfe{\0}\0", K::Encoding, 0),
        (b"\"\xff\"", K::Encoding, 1),
        (b"\"\xc0\xaf\"", K::Encoding, 1),
        (b"\"\xed\xa0\x80\"", K::Encoding, 1),
        (b"\"\xf4\x90\x80\x80\"", K::Encoding, 1),
        (b"{\"a\":1,\"a\":1}", K::DuplicateKey, 7),
        (b"{\"a\":1,\"\\u0061\":1}", K::DuplicateKey, 7),
        (b"{\"\\u0061\":1,\"b\":{},\"a\":1}", K::DuplicateKey, 19),
        (b"{\"/\":1,\"\\/\":1}", K::DuplicateKey, 7),
        (b"{\"\":1,\"\":1}", K::DuplicateKey, 6),
        (b"{\"x\":{\"y\":[{\"k\":1,\"k\":2}]}}", K::DuplicateKey, 18),
        (b"{\"a\":{\"b\":1},\"c\":{\"b\":1},\"a\":0}", K::DuplicateKey, 25),
        ("{\"\u{1f600}\":1,\"\\ud83d\\ude00\":1}".as_bytes(), K::DuplicateKey, 10),
    ];
    for (text, kind, offset) in table {
        let shown = String::from_utf8_lossy(text);
        let violation = check(text, &Limits::REQUEST).unwrap_err();
        assert_eq!((violation.kind, violation.offset), (*kind, *offset), "{shown}");
        if kind.is_grammar() && !matches!(kind, K::Surrogate) {
            assert!(serde_json::from_slice::<Value>(text).is_err(), "{shown}");
        }
    }
}

#[test]
fn each_limit_lets_through_what_just_fits() {
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let members = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", all.join(","))
    };
    let nodes = |count: usize| format!("[{}]", vec!["0"; count - 1].join(","));
    let quote = |length: usize| format!("\"{}\"", "x".repeat(length));
    let table = [
        (nest(4), Ok(())),
        (nest(5), Err(K::TooDeep)),
        (members(20), Ok(())),
        (members(21), Err(K::TooManyMembers)),
        (nodes(60), Ok(())),
        (nodes(61), Err(K::TooManyNodes)),
        (quote(10), Ok(())),
        (quote(11), Err(K::StringTooLong)),
        (format!("{{{}:1}}", quote(11)), Err(K::StringTooLong)),
        ("12345678".to_owned(), Ok(())),
        ("123456789".to_owned(), Err(K::NumberTooLong)),
        (format!("{}1", " ".repeat(999_999)), Ok(())),
        (format!("{}1", " ".repeat(1_000_000)), Err(K::TooLarge)),
    ];
    for (text, expected) in table {
        let found = check(text.as_bytes(), &SMALL).map_err(|violation| violation.kind);
        assert_eq!(found, expected, "{}", text.chars().take(80).collect::<String>());
    }
}

#[test]
fn hostile_documents_end_quickly_and_without_recursion() {
    assert_eq!(verdict("[".repeat(1_000_000)), Err(K::TooDeep));
    assert_eq!(verdict("{\"a\":".repeat(500_000)), Err(K::TooDeep));
    let deep = Limits { depth: usize::MAX, nodes: usize::MAX, ..Limits::REQUEST };
    let nested = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(check(nested.as_bytes(), &deep), Ok(()));

    let mut keys: Vec<_> = (0..10_000).map(|n| format!("\"key{n}\":{n}")).collect();
    assert_eq!(verdict(format!("{{{}}}", keys.join(","))), Ok(()));
    keys[9_999] = "\"k\\u0065y17\":0".to_owned();
    assert_eq!(verdict(format!("{{{}}}", keys.join(","))), Err(K::DuplicateKey));
    let million: Vec<_> = (0..200_000).map(|n| format!("\"{n}\":0")).collect();
    assert_eq!(verdict(format!("{{{}}}", million.join(","))), Err(K::TooManyMembers));
}

#[test]
fn duplicates_are_found_wherever_the_key_set_changes_its_form() {
    for count in 3..40 {
        for twin in [0, count / 2, count - 2] {
            let mut keys: Vec<_> = (0..count).map(|n| format!("\"k{n}\":{{\"k0\":0}}")).collect();
            assert_eq!(verdict(format!("{{{}}}", keys.join(","))), Ok(()));
            keys[count - 1] = format!("\"k{twin}\":0");
            let text = format!("{{{}}}", keys.join(","));
            assert_eq!(verdict(&text), Err(K::DuplicateKey), "{text}");
        }
    }
}

#[test]
fn checked_text_shares_its_buffer() {
    let bytes = Bytes::from_static(b" \n{\"a\": [1, {\"b\": \"c\"}]}\t ");
    let json = checked(bytes.clone(), &Limits::REQUEST).unwrap();
    assert_eq!(json.as_str(), "{\"a\": [1, {\"b\": \"c\"}]}");
    let inner = Raw::from(&json).get("a").unwrap().elements().nth(1).unwrap();
    let part = inner.within(&json);
    assert_eq!(part.as_str(), "{\"b\": \"c\"}");
    assert!(bytes.as_ptr_range().contains(&part.bytes().as_ptr()), "a copy was made");
    let stranger = Raw::from_checked("[7]").within(&json);
    assert_eq!(stranger.as_str(), "[7]");
}

#[test]
fn values_are_read_by_kind() {
    let raw = Raw::from_checked(
        r#" {"s":"a\u0062","n":-12,"f":1.5,"t":true,"z":null,"big":99999999999999999999} "#,
    );
    assert_eq!(raw.get("s").unwrap().string().unwrap(), "ab");
    assert_eq!(raw.get("n").unwrap().integer(), Some(-12));
    assert_eq!(raw.get("f").unwrap().integer(), None);
    assert_eq!(raw.get("big").unwrap().integer(), None);
    assert_eq!(raw.get("t").unwrap().boolean(), Some(true));
    assert!(raw.get("z").unwrap().is_null());
    assert_eq!(raw.get("S"), None);
    assert_eq!(raw.get("s").unwrap().members().count(), 0);
    let kinds: Vec<_> = raw.members().map(|member| member.value.kind()).collect();
    use Kind::{Bool, Null, Number, String};
    assert_eq!(kinds, [String, Number, Number, Bool, Null, Number]);
}

/// Rebuilds a tree with nothing but the walk.
fn rebuild(raw: Raw<'_>) -> Value {
    match raw.kind() {
        Kind::Object => {
            raw.members().map(|member| (member.key.into_owned(), rebuild(member.value))).collect()
        }
        Kind::Array => raw.elements().map(rebuild).collect(),
        Kind::String => raw.string().unwrap().into(),
        _ => raw.read().unwrap(),
    }
}

/// Visits everything that text could pretend to hold.
fn visit(raw: Raw<'_>, depth: usize) -> usize {
    if depth == 0 {
        return 1;
    }
    let members: usize = raw.members().map(|member| visit(member.value, depth - 1)).sum();
    let elements: usize = raw.elements().map(|element| visit(element, depth - 1)).sum();
    let _ = (raw.string(), raw.boolean(), raw.integer());
    1 + members + elements
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map: BTreeMap<_, _>| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Text that is often nearly JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"b\"", "\\", "\\u0061", "\\ud800",
        "\\udc00", "0", "1", "-", ".", "e", "+", "true", "false", "null", " ", "\n", "\u{1}", "é",
        "\u{feff}",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

fn agrees_with_serde(text: &str) -> Result<(), TestCaseError> {
    let serde = serde_json::from_str::<&RawValue>(text).is_ok();
    match verdict(text) {
        Ok(()) => prop_assert!(serde, "accepted what serde_json refuses: {text:?}"),
        Err(kind @ (K::Surrogate | K::ByteOrderMark)) => {
            // Stricter than serde_json's skipping, or cut short before its verdict.
            prop_assert!(text.contains("\\u") || kind == K::ByteOrderMark);
        }
        Err(kind) if kind.is_grammar() => {
            prop_assert!(!serde, "refused as {kind:?} what serde_json accepts: {text:?}");
        }
        Err(_) => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_pass_agrees_with_serde_on_noise(text in nearly_json()) {
        agrees_with_serde(&text)?;
    }

    #[test]
    fn the_pass_agrees_with_serde_on_one_changed_byte(
        value in any_value(), at in any::<prop::sample::Index>(), byte in 0_u8..128,
    ) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            agrees_with_serde(text)?;
        }
    }

    #[test]
    fn what_serde_writes_is_accepted_and_walked_right(value in any_value()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert_eq!(verdict(&text), Ok(()));
            prop_assert_eq!(&rebuild(Raw::from_checked(&text)), &value);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = check(&bytes, &Limits::REQUEST);
    }

    #[test]
    fn the_walk_over_anything_ends_within_the_text(text in nearly_json()) {
        prop_assert!(visit(Raw::from_checked(&text), 6) <= (text.len() + 1) * 8);
    }

    #[test]
    fn strings_are_written_as_serde_reads_them(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        prop_assert_eq!(verdict(&out), Ok(()));
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
        let json = String::from_utf8(out).unwrap();
        prop_assert_eq!(Raw::from_checked(&json).string().unwrap(), text);
    }

    #[test]
    fn escapes_are_read_as_serde_reads_them(units in prop::collection::vec(any::<char>(), 0..12)) {
        let mut json = String::from("\"");
        for unit in units.iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
            json.push_str(&format!("\\u{unit:04x}"));
        }
        json.push('"');
        prop_assert_eq!(verdict(&json), Ok(()));
        let expected = serde_json::from_str::<String>(&json).unwrap();
        prop_assert_eq!(Raw::from_checked(&json).string().unwrap(), expected);
    }
}
