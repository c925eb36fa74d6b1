//! Cases as they are written and judged; what runs in a sandbox is tested through the program.

use serde_json::{Value, json};

use super::Case;

fn wrong(case: &Value) -> String {
    format!("{:#}", Case::parse(&case.to_string()).unwrap_err())
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (case, words) in [
        (json!({"event": "before-call", "expct": 1}), "unknown field `expct`"),
        (json!({"event": "before-all"}), "unknown variant `before-all`"),
        (json!({"event": "before-call", "context": {"usr": "x"}}), "context.usr: unknown field"),
        (json!({"event": "before-call", "grants": ["telepathy"]}), "unknown variant `telepathy`"),
        (json!({"event": "before-call", "arguments": []}), "`arguments` is no object"),
        (json!({"event": "before-read", "arguments": {}}), "`arguments`: the event `before-read`"),
        (json!({"event": "after-call"}), "`answer` is missing"),
        (json!({"event": "shown", "kind": "tools"}), "`items` is missing"),
        (json!({"event": "edits"}), "`tools` is missing"),
        (json!({"event": "after-call", "answer": {"result": {}, "error": {}}}), "answer"),
        (json!({"event": "before-call", "credentials": 7}), "expected a list of names"),
        (json!({"event": "after-call", "answer": {"result": {}}, "expect": {"ask": {}}}), "`ask`"),
        (json!({"event": "before-call", "expect": "refuse"}), "write \"proceed\" or an object"),
        (json!({"event": "before-call", "expect": {"refuse": "x", "ask": {}}}), "one of `replace`"),
        (json!({"event": "shown", "kind": "tools", "items": [], "expect": "show"}), "write a list"),
        (json!({"event": "call", "expect": {"refuse": "x"}}), "use `result`, `failure`"),
    ] {
        let said = wrong(&case);
        assert!(said.contains(words), "{case}: {said}");
    }
    let place = Case::parse("{\n  \"event\": \"call\",\n  \"nonsense\": 1\n}").unwrap_err();
    assert!(format!("{place:#}").contains("line 3 column 12"), "{place:#}");
    let two = Case::parse("{\"event\": \"call\"} {}").unwrap_err();
    assert!(format!("{two:#}").contains("trailing characters"), "{two:#}");
}

#[test]
fn texts_of_a_case_stay_as_they_are_written() {
    let text = r#"{"event": "before-call", "arguments": {"n":  1.0,"a":12345678901234567890123}}"#;
    let case = Case::parse(text).unwrap();
    let arguments = case.arguments.as_ref().unwrap();
    assert_eq!(arguments.as_str(), r#"{"n":  1.0,"a":12345678901234567890123}"#);
    assert!(!case.expects());
}

#[test]
fn the_examples_of_the_reference_are_cases() {
    let text = include_str!("../../../../plugins/cases/README.md");
    let mut blocks = 0;
    for block in text.split("```json\n").skip(1) {
        let json = block.split("```").next().unwrap();
        let case = Case::parse(json).unwrap_or_else(|error| panic!("{error:#}: {json}"));
        assert!(case.expects());
        blocks += 1;
    }
    assert_eq!(blocks, 3);
}
