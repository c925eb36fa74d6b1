//! Which arguments can be judged, and as what.

use cedar_policy::Context;
use proptest::prelude::*;

use super::*;
use crate::policy::shape::Record;

const SCHEMA: &str = r#"{"type":"object","properties":{
    "text":{"type":"string"}, "flag":{"type":"boolean"}, "whole":{"type":"integer"},
    "number":{"type":"number"}, "maybe":{"type":["integer","null"]},
    "list":{"type":"array","items":{"type":"integer"}}, "anything":{},
    "inner":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]},
    "must":{"type":"integer"}},"required":["must"]}"#;

/// The value in Cedar's spelling, or what is wrong.
fn judged(name: &str, arguments: &str) -> String {
    let shape = Record::of_input(SCHEMA);
    let wanted = Attributes::Named([name.into()].into());
    match input(arguments, &shape, &wanted) {
        Ok(value) => {
            let context = Context::from_pairs([("input".to_owned(), value)]);
            context.unwrap().get("input").unwrap().to_string()
        }
        Err(unfit) => unfit.to_string(),
    }
}

#[test]
fn values_are_taken_exactly_or_refused() {
    let cases = [
        ("text", r#""x \u00e9\n""#, r#"{"text": "x é\n"}"#),
        ("text", "5", "`text` cannot be judged by a policy: it must be a text"),
        ("text", "null", "`text` cannot be judged by a policy: it must be a text"),
        ("flag", "true", r#"{"flag": true}"#),
        ("flag", r#""true""#, "`flag` cannot be judged by a policy: it must be `true` or `false`"),
        ("whole", "-7", r#"{"whole": -7}"#),
        ("whole", "7.0", r#"{"whole": 7}"#),
        ("whole", "0.7e1", r#"{"whole": 7}"#),
        ("whole", "7E+2", r#"{"whole": 700}"#),
        ("whole", "700e-2", r#"{"whole": 7}"#),
        ("whole", "-0.000e99999999999999999999", r#"{"whole": 0}"#),
        ("whole", "9223372036854775807", r#"{"whole": 9223372036854775807}"#),
        ("whole", "-9223372036854775808", r#"{"whole": -9223372036854775808}"#),
        (
            "whole",
            "9223372036854775808",
            "`whole` cannot be judged by a policy: the number is too large",
        ),
        ("whole", "9007199254740993.0", r#"{"whole": 9007199254740993}"#),
        ("whole", "1e19", "`whole` cannot be judged by a policy: the number is too large"),
        (
            "whole",
            "1e99999999999999999999",
            "`whole` cannot be judged by a policy: the number is too large",
        ),
        ("whole", "7.5", "`whole` cannot be judged by a policy: it must be a whole number"),
        ("whole", r#""7""#, "`whole` cannot be judged by a policy: it must be a number"),
        ("number", "1", r#"{"number": decimal("1.0000")}"#),
        ("number", "-0.5", r#"{"number": decimal("-0.5000")}"#),
        ("number", "1.23450", r#"{"number": decimal("1.2345")}"#),
        ("number", "12345e-4", r#"{"number": decimal("1.2345")}"#),
        (
            "number",
            "1.23456",
            "`number` cannot be judged by a policy: it has more than four digits after the point",
        ),
        ("number", "922337203685477.5807", r#"{"number": decimal("922337203685477.5807")}"#),
        (
            "number",
            "922337203685477.5808",
            "`number` cannot be judged by a policy: the number is too large",
        ),
        ("maybe", "null", "{}"),
        ("maybe", "3", r#"{"maybe": 3}"#),
        ("list", "[1,2]", r#"{"list": [1, 2]}"#),
        ("list", "[]", r#"{"list": []}"#),
        ("list", r#"[1,"x"]"#, "`list[1]` cannot be judged by a policy: it must be a number"),
        ("list", "{}", "`list` cannot be judged by a policy: it must be a list"),
        ("anything", "[{}]", "{}"),
        ("unheard-of", "1", "{}"),
        ("inner", r#"{"n":1,"undeclared":2}"#, r#"{"inner": {"n": 1}}"#),
        ("inner", "{}", "`inner.n` cannot be judged by a policy: it is required"),
        ("inner", r#"{"n":"x"}"#, "`inner.n` cannot be judged by a policy: it must be a number"),
        ("inner", "[]", "`inner` cannot be judged by a policy: it must be an object"),
    ];
    for (name, value, expected) in cases {
        let found = judged(name, &format!("{{\"{name}\": {value} }}"));
        assert_eq!(found.trim_start_matches("the argument "), expected, "{name} {value}");
    }
}

#[test]
fn arguments_as_a_whole_must_be_an_object_with_what_is_required() {
    let nothing = "the argument `must` cannot be judged by a policy: it is required";
    assert_eq!(judged("must", "{}"), nothing);
    assert_eq!(judged("text", "{}"), "{}");
    for odd in ["[]", "7", "null", "", "{"] {
        let found = judged("text", odd);
        assert_eq!(
            found,
            "the argument `arguments` cannot be judged by a policy: it must be an object"
        );
    }
    let twice = judged("text", r#"{"text":"a","te\u0078t":"b"}"#);
    assert!(twice.contains("a name appears in it twice"), "{twice}");
}

proptest! {
    #[test]
    fn numbers_survive_any_spelling(number in any::<i64>(), zeros in 0_usize..6, shift in 0_usize..6) {
        let text = format!("{number}{}e-{shift}", "0".repeat(shift));
        prop_assert_eq!(scaled(&text, 0), Ok(number));
        let text = format!("{number}.{}", "0".repeat(zeros + 1));
        prop_assert_eq!(scaled(&text, 0), Ok(number));
    }

    #[test]
    fn decimals_round_trip(number in any::<i64>()) {
        prop_assert_eq!(scaled(&decimal(number), FRACTION_DIGITS), Ok(number));
    }

    #[test]
    fn nothing_panics(text in "\\PC*") {
        let _ = judged("inner", &text);
        let _ = scaled(&text, 0);
    }
}
