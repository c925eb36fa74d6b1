//! Components that know nothing of Tidegate.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json as value};

use super::*;
use crate::{CallError, GuestConnector, LoadError};

async fn sample() -> GuestConnector {
    let component = load("any-sample").await;
    assert_eq!(component.version(), "none");
    assert_eq!(component.config_schema(), None);
    bound(&component)
}

/// As a connector, without any grant.
pub(super) fn bound(component: &Component) -> GuestConnector {
    let config = json("{}");
    let limits = Limits::CONNECTOR;
    GuestConnector::new(&Binding { limits, grants: Grants::NONE, ..binding(component, &config) })
        .unwrap()
}

pub(super) async fn tools(connector: &GuestConnector) -> Vec<Value> {
    let tools = connector.list(ListKind::Tools).await.unwrap();
    tools.iter().map(|tool| tool.read().unwrap()).collect()
}

fn everything() -> Value {
    value!({ "value": {
        "flag": true, "small": -8, "large": 18_446_744_073_709_551_615_u64, "ratio": 0.5,
        "letter": "ß", "names": ["a", ""], "pair": [7, "x"], "color": "green",
        "access": ["write"], "shape": { "square": 4 }, "maybe": null, "outcome": { "error": "no" },
        "deep": { "some": null }, "bytes": "AAEC/w==", "exact": "NaN",
        "least": -9_223_372_036_854_775_808_i64, "rows": [["a", null], ["b", true]],
        "chosen": ["red", "green", "red"], "done": { "ok": null },
    }})
}

#[tokio::test]
async fn functions_become_tools_with_schemas() {
    let connector = sample().await;
    let tools = tools(&connector).await;
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    // `slug` and `size` are there twice: the component's own keeps its name.
    assert_eq!(
        names,
        ["divide", "echo", "forget", "pop", "shelf.size", "shelf.slug", "slug", "stack.size"]
    );
    for tool in &tools {
        assert!(jsonschema::validator_for(&tool["inputSchema"]).is_ok(), "{tool}");
    }
    let echo = tools.iter().find(|tool| tool["name"] == "echo").unwrap();
    let schema = jsonschema::validator_for(&echo["inputSchema"]).unwrap();
    assert!(schema.is_valid(&everything()), "{echo}");
    let mut wrong = everything();
    wrong["value"]["small"] = value!(128);
    assert!(!schema.is_valid(&wrong));
    let divide = tools.iter().find(|tool| tool["name"] == "divide").unwrap();
    assert_eq!(divide["inputSchema"]["required"], value!(["a", "b"]));
    assert_eq!(divide.get("title"), None);
    assert_eq!(echo["title"], "shapes: echo");
    assert_eq!(echo["description"], "The function `echo` of `sample:text/shapes@1.0.0`.");
    assert!(tools.iter().all(|tool| tool.get("annotations").is_none()), "nothing is known");
}

#[tokio::test]
async fn what_is_no_tool_is_told_with_its_reason() {
    let component = load("any-sample").await;
    let mut refused: Vec<_> = component
        .refused()
        .iter()
        .map(|(function, reason)| (function.as_str(), reason.as_str()))
        .collect();
    refused.sort_unstable();
    let belongs = "it belongs to the resource `book`, which has no json";
    let uses = "it uses the resource `book`, which has no json";
    assert_eq!(
        refused,
        [
            ("sample:text/shelf@1.0.0#[method]book.title", belongs),
            ("sample:text/shelf@1.0.0#open", uses),
            ("sample:text/shelf@1.0.0#spines", uses),
        ]
    );
    assert!(load("hostile").await.refused().is_empty(), "built for the contract");
}

/// The file with a custom section after all that is there.
fn with_section(file: &Bytes, name: &str, body: &[u8]) -> Bytes {
    let length = u8::try_from(name.len()).unwrap();
    let content = [&[length][..], name.as_bytes(), body].concat();
    let size = [(content.len() & 0x7f) as u8 | 0x80, u8::try_from(content.len() >> 7).unwrap()];
    [&file[..], &[0], &size, &content].concat().into()
}

#[tokio::test]
async fn comments_in_the_file_become_descriptions() {
    let docs = value!({
        "worlds": { "sample": { "func_exports": { "slug": { "docs": "Makes a slug." } } } },
        "interfaces": { "shapes": { "funcs": { "echo": { "docs": "Says it again." } } } },
    });
    let body = [&[1][..], docs.to_string().as_bytes()].concat();
    let file = with_section(&guest("any-sample"), "package-docs", &body);
    let component = Sandbox::new(settings()).unwrap().load(file).await.unwrap();
    let tools = tools(&bound(&component)).await;
    let description = |name: &str| {
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        tool["description"].as_str().unwrap().to_owned()
    };
    assert_eq!(description("slug"), "Makes a slug.");
    assert_eq!(description("echo"), "Says it again.");
    assert_eq!(description("divide"), "The function `divide`.");
}

#[tokio::test]
async fn values_cross_both_ways_without_loss() {
    let connector = sample().await;
    let schema = {
        let tools = tools(&connector).await;
        let echo = tools.iter().find(|tool| tool["name"] == "echo").unwrap();
        jsonschema::validator_for(&echo["outputSchema"]).unwrap()
    };
    for (member, variation) in [
        ("flag", value!(false)),
        ("shape", value!("none")),
        ("shape", value!({ "circle": 1.5 })),
        ("maybe", value!(65_535)),
        ("outcome", value!({ "ok": 255 })),
        ("access", value!([])),
        ("large", value!(0)),
        ("large", value!(9_007_199_254_740_993_u64)),
        ("deep", value!(null)),
        ("deep", value!({ "some": 255 })),
        ("bytes", value!("")),
        ("exact", value!("-Infinity")),
        ("exact", value!(0.1)),
        ("ratio", value!("NaN")),
        ("done", value!({ "error": null })),
        ("rows", value!([])),
        ("names", value!(["", "\u{0}", "😀"])),
    ] {
        let mut arguments = everything();
        arguments["value"][member] = variation;
        let given = Json::of(&arguments).unwrap();
        let result = connector.call(&context("echo"), &given, None).await.unwrap();
        let result: Value = result.read().unwrap();
        assert_eq!(result["structuredContent"]["result"], arguments["value"], "{member}");
        assert!(schema.is_valid(&result["structuredContent"]), "{result}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_told_by_their_place() {
    let connector = sample().await;
    let table = [
        ("small", value!(128), "`value.small` must be an integer from -128 to 127"),
        ("small", value!("1"), "`value.small` must be an integer from -128 to 127"),
        ("large", value!("-1"), "`value.large` must be an integer from 0 to 18446744073709551615"),
        ("ratio", value!(1e39), "`value.ratio` must be a number that fits its type"),
        ("letter", value!("ab"), "`value.letter` must be one character"),
        ("color", value!("blue"), "`value.color` must be one of `red`, `green`"),
        ("access", value!(["read", "read"]), "`value.access[1]` is there twice"),
        ("shape", value!({ "oval": 1 }), "must be one of `circle`, `square`, `none`"),
        ("shape", value!("circle"), "the case `circle` is an object with the one member `circle`"),
        ("shape", value!({ "none": null }), "must be the string `none`"),
        ("pair", value!([1]), "must be an array of 2"),
        ("pair", value!([1, "x", 2]), "must be an array of 2"),
        ("names", value!(["a", 1]), "`value.names[1]` must be a string"),
        ("rows", value!([["a", 1]]), "`value.rows[0][1]` must be a boolean"),
        ("extra", value!(1), "`value` has no member `extra`"),
        ("outcome", value!({ "maybe": 1 }), "with the one member `ok` or `error`"),
        ("done", value!({ "ok": 1 }), "`value.done.ok` must be null"),
        ("deep", value!(1), "`value.deep` must be an object of one member"),
        ("deep", value!({ "none": 1 }), "must be null or an object with the one member `some`"),
        ("bytes", value!("a-b_"), "`value.bytes` must be base64"),
        ("exact", value!("inf"), "`value.exact` must be a number"),
    ];
    for (member, wrong, part) in table {
        let mut arguments = everything();
        arguments["value"][member] = wrong;
        let given = Json::of(&arguments).unwrap();
        let error = connector.call(&context("echo"), &given, None).await.unwrap_err();
        assert!(
            matches!(&error, CallError::InvalidArguments(text) if text.contains(part)),
            "{error}"
        );
    }
    for (arguments, part) in [
        (
            r#"{"text":"a","texts":"a"}"#,
            "the object of arguments has no member `texts`; there is `text`, `max`",
        ),
        (r#"{"max":1}"#, "`text` is missing"),
        ("[]", "the object of arguments must be an object"),
    ] {
        let error = connector.call(&context("slug"), &json(arguments), None).await.unwrap_err();
        assert_eq!(error.to_string(), format!("invalid arguments: {part}"));
    }
}

/// Numbers that only just fit, or that other software mangles.
fn integers() -> impl Strategy<Value = (u64, i64)> {
    (
        prop_oneof![any::<u64>(), (1_u64 << 53)..(1 << 53) + 10],
        prop_oneof![any::<i64>(), Just(i64::MIN)],
    )
}

/// Arguments of `echo` in the form in which results are written.
fn arguments() -> impl Strategy<Value = Value> {
    let plain = (any::<bool>(), any::<i8>(), integers(), any::<f32>(), any::<char>());
    let lists = (
        vec(any::<String>(), 0..4),
        vec((any::<String>(), option::of(any::<bool>())), 0..4),
        proptest::sample::subsequence(vec!["read", "write"], 0..=2),
    );
    let choices = (
        prop_oneof![
            any::<i32>().prop_map(|it| value!({ "circle": f64::from(it) / 8.0 })),
            any::<u32>().prop_map(|it| value!({ "square": it })),
            Just(value!("none")),
        ],
        option::of(any::<u16>()),
        prop_oneof![
            any::<u8>().prop_map(|it| value!({ "ok": it })),
            any::<String>().prop_map(|it| value!({ "error": it })),
        ],
        prop_oneof![
            Just(Value::Null),
            option::of(any::<u8>()).prop_map(|it| value!({ "some": it })),
        ],
    );
    (plain, lists, choices).prop_map(|(plain, lists, choices)| {
        let (flag, small, (large, least), ratio, letter) = plain;
        let (names, rows, access) = lists;
        let (shape, maybe, outcome, deep) = choices;
        // The text of a float of 32 bits, which is shorter than that of the same in 64.
        let ratio: Value = serde_json::from_str(&format!("{ratio:?}")).unwrap();
        let mut all = everything();
        let given = value!({
            "flag": flag, "small": small, "large": large, "least": least, "ratio": ratio,
            "letter": letter, "names": names, "rows": rows, "access": access, "shape": shape,
            "maybe": maybe, "outcome": outcome, "deep": deep,
        });
        all["value"].as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        all
    })
}

#[tokio::test]
async fn generated_values_cross_a_real_component_unchanged() {
    let connector = sample().await;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..200 {
        let arguments = arguments().new_tree(&mut runner).unwrap().current();
        let given = Json::of(&arguments).unwrap();
        let result = connector.call(&context("echo"), &given, None).await.unwrap();
        let result: Value = result.read().unwrap();
        assert_eq!(result["structuredContent"]["result"], arguments["value"]);
    }
}

#[tokio::test]
async fn long_integers_are_taken_as_strings_and_given_as_exact_numbers() {
    let connector = sample().await;
    let arguments = json(r#"{"a":"9223372036854775807","b":1.0}"#);
    let result = connector.call(&context("divide"), &arguments, None).await.unwrap();
    assert!(result.as_str().contains(r#""result":9223372036854775807}"#), "{}", result.as_str());
    let result: Value = result.read().unwrap();
    assert_eq!(result["content"][0]["text"], "9223372036854775807");
}

#[tokio::test]
async fn a_component_without_any_tool_is_refused_with_a_reason() {
    // A component that exports nothing at all.
    let empty = Bytes::from_static(b"\0asm\x0d\0\x01\0");
    let error = Sandbox::new(settings()).unwrap().load(empty).await.unwrap_err();
    assert!(matches!(error, LoadError::NothingExported), "{error}");
}

#[tokio::test]
async fn results_errors_and_silence_are_answers() {
    let connector = sample().await;
    let table = [
        ("slug", r#"{"text":"A b!"}"#, "a-b-", false),
        ("slug", r#"{"text":"A b!","max":1}"#, "a", false),
        ("divide", r#"{"a":7,"b":2}"#, "3", false),
        ("divide", r#"{"a":7,"b":0}"#, "7 cannot be divided by 0", true),
        ("forget", "{}", "done", false),
        ("pop", "{}", "the function failed without saying why", true),
        ("shelf.size", "{}", "7", false),
        ("stack.size", "{}", "0", false),
        ("shelf.slug", r#"{"text":"A b!"}"#, "A_b!", false),
    ];
    for (tool, arguments, text, failed) in table {
        let result = connector.call(&context(tool), &json(arguments), None).await.unwrap();
        let result: Value = result.read().unwrap();
        assert_eq!(result["content"][0]["text"], text, "{tool} {arguments}");
        assert_eq!(result["isError"] == true, failed, "{tool} {arguments}");
    }
    let error = connector.call(&context("nothing"), &json("{}"), None).await.unwrap_err();
    assert!(matches!(error, CallError::Unknown), "{error}");
}
