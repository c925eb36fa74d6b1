//! Rules as a caller meets them.

use tidegate_plugin::double;

use super::*;

fn context(tool: &str, user: &str) -> Context {
    Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "crm".into(),
        target: tool.into(),
        method: "tools/call".into(),
        user: user.into(),
        groups: Vec::new(),
        client: None,
        trace_parent: None,
    }
}

/// `None` where the call proceeds, else what the caller is told.
fn refusal(config: &str, tool: &str, user: &str, arguments: &str) -> Option<String> {
    let guard = Guard::configure(config).unwrap();
    match guard.before_call(&context(tool, user), arguments, &Round::first()).decision {
        Decision::Proceed => None,
        Decision::Refuse(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_check_says_what_is_allowed() {
    let table = [
        (r#"{"pattern":"[a-z]+"}"#, r#""abc""#, r#""abc1""#, "must match `[a-z]+`"),
        (r#"{"pattern":"a|b"}"#, r#""b""#, r#""xb""#, "must match"),
        (r#"{"not_pattern":"(?i)drop"}"#, r#""fine""#, r#""a DROP""#, "must not match"),
        (r#"{"one_of":["a",1]}"#, "1", r#""1""#, "one of \"a\", 1"),
        (r#"{"min":1}"#, "1", "0.5", "at least 1"),
        (r#"{"max":100}"#, "1e2", "101", "at most 100"),
        (r#"{"max":9007199254740992}"#, "9007199254740992", "9007199254740993", "at most"),
        (r#"{"max":100}"#, "100", r#""100""#, "must be a number"),
        (r#"{"min_length":2}"#, "\"\u{e9}\u{e9}\"", "\"\u{e9}\"", "at least 2"),
        (r#"{"max_length":1}"#, "\"\u{e9}\"", r#""ab""#, "at most 1"),
        (r#"{"max_length":1}"#, r#""a""#, r#"["a"]"#, "must be a text"),
        (r#"{"max_items":1}"#, "[1]", "[1,2]", "at most 1 elements"),
        (r#"{"under":["/srv"]}"#, r#""/srv/a""#, r#""/srv/../a""#, "below /srv"),
        (r#"{"hosts":["a.org"]}"#, r#""https://a.org/""#, r#""https://b.org/""#, "a.org"),
        (
            r#"{"hosts":["a.org"],"schemes":["https"]}"#,
            r#""https://a.org/""#,
            r#""http://a.org/""#,
            "scheme https",
        ),
        (r#"{"sql":{}}"#, r#""SELECT 1""#, r#""DROP TABLE t""#, "only reads"),
        (r#"{"pattern":"("}"#, r#"{}"#, r#""a""#, "pattern is wrong"),
    ];
    for (check, good, bad, says) in table {
        let config = format!(r#"{{"rules":[{{"arguments":{{"x":{check}}}}}]}}"#);
        if good != "{}" {
            let told = refusal(&config, "t", "u", &format!(r#"{{"x":{good}}}"#));
            assert_eq!(told, None, "{check} {good}");
        }
        let told = refusal(&config, "t", "u", &format!(r#"{{"x":{bad}}}"#)).unwrap();
        assert!(told.contains(says) && told.contains("`x`") && told.contains("`t`"), "{told}");
    }
}

#[test]
fn arguments_are_named_by_path() {
    let table = [
        ("a.b", r#"{"a":{"b":9}}"#, false),
        ("a.b", r#"{"a":{"c":9}}"#, true),
        ("a.b", r#"{"a":9}"#, false),
        ("a.b", r#"{"a":[{"b":1}]}"#, false),
        ("a.b", r#"{"a":null}"#, true),
        ("a.b", "{}", true),
        ("a[]", r#"{"a":[1,9]}"#, false),
        ("a[]", r#"{"a":9}"#, false),
        ("a[].b", r#"{"a":[{"b":1},{"b":9}]}"#, false),
        ("a[][]", r#"{"a":[[1],[9]]}"#, false),
        ("*", r#"{"z":9}"#, false),
        ("a.*", r#"{"a":{"z":9}}"#, false),
        ("a", r#"{"A":9}"#, true),
    ];
    for (path, arguments, passes) in table {
        let config = format!(r#"{{"rules":[{{"arguments":{{"{path}":{{"max":5}}}}}}]}}"#);
        assert_eq!(refusal(&config, "t", "u", arguments).is_none(), passes, "{path} {arguments}");
    }
}

#[test]
fn rules_are_for_tools_by_name_and_all_of_them_hold() {
    let config = r#"{"rules":[
        {"tools":["get_*"],"arguments":{"n":{"max":5}}},
        {"tools":["get_all","put"],"arguments":{"n":{"min":3}},"message":"Ask the team."}]}"#;
    let table = [
        ("get_one", "1", true),
        ("get_one", "9", false),
        ("get_all", "4", true),
        ("get_all", "1", false),
        ("get_all", "9", false),
        ("put", "9", true),
        ("other", "99", true),
    ];
    for (tool, n, passes) in table {
        let told = refusal(config, tool, "u", &format!(r#"{{"n":{n}}}"#));
        assert_eq!(told.is_none(), passes, "{tool} {n}");
    }
    let told = refusal(config, "put", "u", r#"{"n":1}"#).unwrap();
    assert!(told.starts_with("Ask the team.") && told.contains("at least 3"), "{told}");
}

#[test]
fn required_and_only() {
    let config = r#"{"rules":[{"only":true,"arguments":{"q":{"required":true},"f.a":{"max":1}}}]}"#;
    assert_eq!(refusal(config, "t", "u", r#"{"q":null,"f":{"b":2}}"#), None);
    assert!(refusal(config, "t", "u", "{}").unwrap().contains("`q` is required"));
    let told = refusal(config, "t", "u", r#"{"q":1,"extra":1}"#).unwrap();
    assert!(told.contains("`extra`") && told.contains("f.a, q"), "{told}");
    for path in ["*", "*[]", "*.a"] {
        let config = format!(r#"{{"rules":[{{"only":true,"arguments":{{"{path}":{{}}}}}}]}}"#);
        assert_eq!(refusal(&config, "t", "u", r#"{"extra":{"a":1}}"#), None, "{path}");
    }
}

#[test]
fn calls_are_counted_for_whom_they_concern() {
    let table = [
        ("user_and_tool", [("a", "u"), ("b", "u"), ("a", "v")], [true, true, true]),
        ("user", [("a", "u"), ("b", "u"), ("a", "v")], [true, false, true]),
        ("tool", [("a", "u"), ("b", "u"), ("a", "v")], [true, true, false]),
        ("all", [("a", "u"), ("b", "u"), ("a", "v")], [true, false, false]),
    ];
    for (per, calls, expected) in table {
        double::reset();
        let config =
            format!(r#"{{"rules":[{{"rate":{{"calls":1,"seconds":60,"per":"{per}"}}}}]}}"#);
        for ((tool, user), passes) in calls.into_iter().zip(expected) {
            let told = refusal(&config, tool, user, "{}");
            assert_eq!(told.is_none(), passes, "{per} {tool} {user}: {told:?}");
        }
        assert!(
            refusal(&config, "a", "u", "{}").unwrap().contains("at most 1 calls in 60 seconds")
        );
    }
}

#[test]
fn what_is_refused_does_not_count_and_what_cannot_be_counted_is_refused() {
    double::reset();
    let config = r#"{"rules":[{"arguments":{"n":{"max":5}},"rate":{"calls":1,"seconds":60}}]}"#;
    assert!(refusal(config, "t", "u", r#"{"n":9}"#).is_some());
    assert_eq!(refusal(config, "t", "u", r#"{"n":1}"#), None);
    double::with(|double| double.state_fails = true);
    let told = refusal(config, "t", "v", "{}").unwrap();
    assert!(told.contains("cannot be counted") && !told.contains("double"), "{told}");
}

#[test]
fn long_names_keep_their_own_counts_within_the_limit_of_a_key() {
    double::reset();
    let config = r#"{"rules":[{"rate":{"calls":1,"seconds":60}}]}"#;
    let user = "\u{e9}".repeat(300);
    assert_eq!(refusal(config, "t", &format!("{user}1"), "{}"), None);
    assert_eq!(refusal(config, "t", &format!("{user}2"), "{}"), None);
    assert!(refusal(config, "t", &format!("{user}2"), "{}").is_some());
    double::with(|double| assert!(double.values.keys().all(|key| key.len() <= 256)));
}

#[test]
fn the_cases_hold() {
    cases::interceptor::<Guard>(env!("CARGO_MANIFEST_DIR"));
}
