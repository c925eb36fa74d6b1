//! Edits, as tables and properties.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::json::{Limits, check};

fn raw(text: &str) -> Raw<'_> {
    Raw::from_checked(text)
}

#[test]
fn only_what_is_named_changes() {
    let set = |key, text| Edit::set(key, raw(text));
    let deep = [set("t", "7"), Edit::remove("x")];
    let only_remove = [Edit::remove("x")];
    let table: &[(&str, &[Edit<'_>], &str)] = &[
        ("{}", &[], "{}"),
        ("{ }", &[set("a", "1")], r#"{"a":1 }"#),
        ("{}", &[Edit::remove("a")], "{}"),
        ("{ }", &[Edit::remove("a")], "{ }"),
        (r#"{"a": 1 , "b" :2}"#, &[set("a", "[]")], r#"{"a": [] , "b" :2}"#),
        (r#"{"a": 1 , "b" :2}"#, &[set("b", "[]")], r#"{"a": 1 , "b" :[]}"#),
        (r#"{"a": 1 , "b" :2}"#, &[Edit::remove("a")], r#"{"b" :2}"#),
        (r#"{"a": 1 , "b" :2 }"#, &[Edit::remove("b")], r#"{"a": 1 }"#),
        (r#"{ "a": 1 }"#, &[Edit::remove("a")], "{  }"),
        (r#"{"a":1,"b":2,"c":3}"#, &[Edit::remove("b")], r#"{"a":1,"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &[Edit::remove("b"), Edit::remove("c")], r#"{"a":1}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &[Edit::remove("a"), Edit::remove("b")], r#"{"c":3}"#),
        (
            r#"{"a":1,"b":2,"c":3}"#,
            &[Edit::remove("a"), Edit::remove("b"), Edit::remove("c"), set("d", "4")],
            r#"{"d":4}"#,
        ),
        (r#"{"a":1,"b":2}"#, &[Edit::remove("b"), set("d", "4")], r#"{"a":1,"d":4}"#),
        (r#"{"n\u0061me":"x"}"#, &[set("name", "\"y\"")], r#"{"n\u0061me":"y"}"#),
        ("{}", &[set("q\"uote", "1")], r#"{"q\"uote":1}"#),
        (r#"{"m":{"t":1,"x":2, "y":3}}"#, &[Edit::within("m", &deep)], r#"{"m":{"t":7,"y":3}}"#),
        (r#"{"a":0}"#, &[Edit::within("m", &deep)], r#"{"a":0,"m":{"t":7}}"#),
        (r#"{"m":null,"a":0}"#, &[Edit::within("m", &deep)], r#"{"m":{"t":7},"a":0}"#),
        (r#"{"a":0}"#, &[Edit::within("m", &only_remove)], r#"{"a":0}"#),
        (r#"{"m": null}"#, &[Edit::within("m", &only_remove)], r#"{"m": null}"#),
        (r#"{"m":{"x":1}}"#, &[Edit::within("m", &only_remove)], r#"{"m":{}}"#),
        (
            r#"{"a":0,"m":{"x":1},"b":0}"#,
            &[Edit::remove("a"), Edit::within("m", &only_remove)],
            r#"{"m":{},"b":0}"#,
        ),
    ];
    for (text, edits, expected) in table {
        assert_eq!(object(raw(text), edits).unwrap().as_str(), *expected, "{text} {edits:?}");
    }
    for text in ["[]", "1", "null", "\"x\""] {
        assert_eq!(object(raw(text), &[]), Err(NotAnObject), "{text}");
    }
}

/// What the edits mean, on a tree.
fn model(mut map: Map<String, Value>, edits: &[(String, Option<Value>)]) -> Map<String, Value> {
    for (key, value) in edits {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
    map
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-e]|\\PC{0,3}", crate::json::any_value(), 0..7)
        .prop_map(|map| map.into_iter().collect())
}

fn any_edits() -> impl Strategy<Value = Vec<(String, Option<Value>)>> {
    let change = prop::option::of(crate::json::any_value());
    prop::collection::btree_map("[a-g]", change, 0..5).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn edits_mean_what_they_mean_on_a_tree(map in any_object(), changes in any_edits(), pretty: bool) {
        let value = Value::Object(map.clone());
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let texts: Vec<_> = changes.iter().map(|(_, value)| value.as_ref().map(Value::to_string)).collect();
        let edits: Vec<_> = changes.iter().zip(&texts).map(|((key, _), text)| match text {
            Some(text) => Edit::set(key, raw(text)),
            None => Edit::remove(key),
        }).collect();
        let spliced = object(raw(&text), &edits).unwrap();
        prop_assert_eq!(check(spliced.bytes(), &Limits::REQUEST), Ok(()));
        prop_assert_eq!(spliced.read::<Value>().unwrap(), Value::Object(model(map, &changes)));
        // What no edit names is there byte for byte, and in the same order.
        let untouched = |text: Raw<'_>| -> Vec<(String, String)> {
            text.members()
                .filter(|member| !changes.iter().any(|(key, _)| *key == member.key))
                .map(|member| (member.key.into_owned(), member.value.as_str().to_owned()))
                .collect()
        };
        prop_assert_eq!(untouched(raw(spliced.as_str())), untouched(raw(&text)));
    }

    #[test]
    fn no_edit_changes_no_byte(map in any_object()) {
        let text = serde_json::to_string_pretty(&Value::Object(map)).unwrap();
        let absent = [Edit::remove("not there")];
        for edits in [&[][..], &absent] {
            let spliced = object(raw(&text), edits).unwrap();
            prop_assert_eq!(spliced.as_str(), text.as_str());
        }
    }
}
