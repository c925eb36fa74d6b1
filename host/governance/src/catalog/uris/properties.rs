//! Results with URIs in all their places, and in places that are none, as properties.
//!
//! A text is made of parts, so that what it has to become is known byte for byte.

use proptest::prelude::*;
use tidegate_model::{ConnectorId, Json, OrgId, VmcpId};
use tidegate_wire::json::write_string;

use super::*;

/// A piece of JSON text.
#[derive(Debug, Clone)]
enum Part {
    /// It stays.
    Text(String),
    /// A string, as it is spelled, where a URI stands.
    Uri(String),
}

type Parts = Vec<Part>;

fn text(text: impl Into<String>) -> Parts {
    vec![Part::Text(text.into())]
}

fn uri() -> BoxedStrategy<Parts> {
    let piece = prop_oneof![
        "[a-z:/.%{}#?-]{0,6}",
        prop::sample::select(vec![
            "ui://",
            "mcp+crm:",
            "mcp+my-mail:",
            "\\/",
            "\\u0061",
            "\\\"",
            "é"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4)
        .prop_map(|pieces| vec![Part::Uri(format!("\"{}\"", pieces.concat()))])
        .boxed()
}

/// What only looks like a URI, or like something with one.
fn decoy() -> BoxedStrategy<Parts> {
    prop::sample::select(vec![
        "null",
        "7.50",
        "\"file:///decoy\"",
        "\"resource_link\"",
        r#"{"uri":"file:///decoy", "type":"resource_link"}"#,
        r#"[ {"type":"resource","resource":{"uri":"d:e"}} ]"#,
        r#"{"ui":{"resourceUri":"ui://d"}}"#,
    ])
    .prop_map(text)
    .boxed()
}

/// A member that may be there, its key spelled in one way or another.
fn member(key: &'static str, value: BoxedStrategy<Parts>) -> BoxedStrategy<Option<Parts>> {
    let first = key.chars().next().unwrap();
    let spellings =
        vec![key.to_owned(), key.to_owned(), format!("\\u{:04x}{}", u32::from(first), &key[1..])];
    let spaces = prop::sample::select(vec!["", " ", "\n\t"]);
    let there = prop::bool::weighted(0.8);
    (prop::sample::select(spellings), spaces, there, value)
        .prop_map(|(key, space, there, value)| {
            let mut parts = text(format!("{space}\"{key}\"{space}:{space}"));
            parts.extend(value);
            there.then_some(parts)
        })
        .boxed()
}

/// A member that is always there and always spelled so.
fn constant(text_of_it: &'static str) -> BoxedStrategy<Option<Parts>> {
    Just(Some(text(text_of_it))).boxed()
}

/// An object of these members, in any order.
fn object(members: Vec<BoxedStrategy<Option<Parts>>>) -> BoxedStrategy<Parts> {
    members.prop_shuffle().prop_map(|all| joined("{", all.into_iter().flatten(), "}")).boxed()
}

fn array(element: BoxedStrategy<Parts>) -> BoxedStrategy<Parts> {
    prop::collection::vec(element, 0..4).prop_map(|all| joined("[", all.into_iter(), " ]")).boxed()
}

fn joined(open: &str, all: impl Iterator<Item = Parts>, close: &str) -> Parts {
    let mut parts = text(open);
    for (n, one) in all.enumerate() {
        parts.extend(text(if n == 0 { "" } else { " ," }));
        parts.extend(one);
    }
    parts.extend(text(close));
    parts
}

fn meta() -> BoxedStrategy<Option<Parts>> {
    let ui = object(vec![member("resourceUri", uri()), member("uri", decoy())]);
    let ui = prop_oneof![3 => ui, 1 => Just(text("\"resourceUri\""))].boxed();
    let all = object(vec![
        member("ui", ui),
        member("ui/resourceUri", uri()),
        member("resourceUri", decoy()),
        member("com.example/x", decoy()),
    ]);
    member("_meta", all)
}

fn block() -> BoxedStrategy<Parts> {
    let resource = object(vec![member("uri", uri()), member("text", decoy()), meta()]);
    let link = r#""type":"resource\u005flink""#;
    prop_oneof![
        object(vec![constant(link), member("uri", uri()), member("name", decoy()), meta()]),
        object(vec![
            constant("\"type\": \"resource\""),
            member("resource", resource),
            member("uri", decoy()),
            meta(),
        ]),
        object(vec![
            constant("\"type\":\"text\""),
            member("uri", decoy()),
            member("resource", decoy()),
            meta(),
        ]),
        object(vec![member("uri", decoy()), meta()]),
        Just(text("7")),
    ]
    .boxed()
}

fn tool_result() -> BoxedStrategy<Parts> {
    object(vec![
        member("content", array(block())),
        member("structuredContent", decoy()),
        member("contents", decoy()),
        member("uri", decoy()),
        meta(),
    ])
}

fn prompt_result() -> BoxedStrategy<Parts> {
    let content = prop_oneof![block(), array(block())].boxed();
    let message = object(vec![member("content", content), member("uri", decoy())]);
    object(vec![member("messages", array(message)), member("content", decoy()), meta()])
}

fn read_result() -> BoxedStrategy<Parts> {
    let contents = object(vec![member("uri", uri()), member("text", decoy()), meta()]);
    object(vec![member("contents", array(contents)), member("content", decoy()), meta()])
}

fn any_result() -> impl Strategy<Value = (Rewrite, Parts)> {
    let of = |what, parts: BoxedStrategy<Parts>| parts.prop_map(move |parts| (what, parts)).boxed();
    let about = object(vec![member("uri", uri()), member("x", decoy())]);
    prop_oneof![
        of(Rewrite::ToolResult, tool_result()),
        of(Rewrite::Task, object(vec![member("result", tool_result()), member("uri", decoy())])),
        of(Rewrite::PromptResult, prompt_result()),
        of(Rewrite::ReadResult, read_result()),
        of(Rewrite::Updated, about.clone()),
        of(Rewrite::Error, object(vec![member("data", about), member("uri", decoy())])),
    ]
}

fn uris(connectors: &[&str], identity: bool) -> Uris {
    Uris::new(&VirtualMcp {
        org: OrgId::default_org(),
        id: VmcpId::new("sales").unwrap(),
        title: "Sales".into(),
        instructions: None,
        connectors: connectors.iter().map(|id| ConnectorId::new(id).unwrap()).collect(),
        identity,
        only: vec![],
        overrides: vec![],
        anonymous: false,
    })
}

proptest! {
    #[test]
    fn uris_are_rewritten_where_they_stand_and_nothing_else_is((what, parts) in any_result()) {
        let (uris, identity) = (uris(&["crm", "my-mail"], false), uris(&["crm"], true));
        let crm = ConnectorId::new("crm").unwrap();
        let (mut before, mut after, mut back) = (String::new(), Vec::new(), 0);
        for part in &parts {
            match part {
                Part::Text(text) => {
                    before.push_str(text);
                    after.extend_from_slice(text.as_bytes());
                }
                Part::Uri(spelled) => {
                    before.push_str(spelled);
                    let original: String = serde_json::from_str(spelled).unwrap();
                    let published = uris.publish(&crm, &original);
                    let found = uris.locate(&published).unwrap();
                    prop_assert_eq!((&found.connector, &*found.uri), (&crm, original.as_str()));
                    write_string(&mut after, &published);
                    back += 1;
                }
            }
        }
        let json = Json::parse(before).unwrap();
        let rewritten = uris.rewrite(&crm, what, &json);
        prop_assert_eq!(rewritten.as_str(), std::str::from_utf8(&after).unwrap());
        let is_same = rewritten.bytes().as_ptr() == json.bytes().as_ptr();
        prop_assert_eq!(is_same, back == 0, "a copy is made where something changes");
        let same = identity.rewrite(&crm, what, &json);
        prop_assert_eq!(same.bytes().as_ptr(), json.bytes().as_ptr());
    }
}
