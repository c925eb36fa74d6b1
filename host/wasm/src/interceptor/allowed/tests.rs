//! What is allowed and what is not, row by row.

use tidegate_model::Ask;

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

/// `text` is part of the reason; without one it is allowed.
fn is(said: Result<(), String>, part: Option<&str>, row: &str) {
    match (said, part) {
        (Ok(()), None) => {}
        (Err(why), Some(part)) if why.contains(part) => {}
        (said, _) => panic!("{row}: {said:?}, not {part:?}"),
    }
}

fn ask(message: String, schema: &str) -> Result<(), String> {
    let verdict = Verdict::Ask(Ask { message, schema: json(schema) });
    before(Event::Call, &json("{}"), &verdict)
}

fn of_properties(properties: &str) -> String {
    format!(r#"{{"type":"object","properties":{properties}}}"#)
}

#[test]
fn people_are_asked_flat_questions() {
    let primitive = Some("has no primitive type");
    let rows = [
        (r#"{"a":{"type":"string","enum":["x"]},"b":{"type":"boolean"}}"#, None),
        (r#"{"a":{"type":"number"},"b":{"type":"integer"}}"#, None),
        (r#"{"a":{"type":"array","items":{"type":"string","enum":["x","y"]}}}"#, None),
        (r#"{"a":{"type":"array","items":{"anyOf":[{"const":"x","title":"X"}]}}}"#, None),
        (r#"{"$ref":{"type":"string"}}"#, None),
        (r#"{"a":{"type":"object"}}"#, primitive),
        (r#"{"a":{"type":"null"}}"#, primitive),
        (r#"{"a":{"type":["string","null"]}}"#, primitive),
        (r#"{"a":{"enum":["x"]}}"#, primitive),
        (r#"{"a":{"type":"array"}}"#, primitive),
        (r#"{"a":{"type":"array","items":{"type":"string"}}}"#, primitive),
        (r#"{"a":{"type":"array","items":{"type":"object","enum":["x"]}}}"#, primitive),
        (r##"{"a":{"type":"array","items":{"$ref":"#/x","enum":["x"]}}}"##, primitive),
        (r##"{"a":{"type":"string","$ref":"#/x"}}"##, Some("`$ref`")),
        (r#"[]"#, Some("no object")),
    ];
    for (properties, part) in rows {
        is(ask("?".into(), &of_properties(properties)), part, properties);
    }
    is(ask("?".into(), r##"{"type":"object","$ref":"#/x"}"##), Some("`$ref`"), "of the whole");
    is(ask("?".into(), r#"{"type":"object"}"#), None, "without any");
    is(
        ask("?".into(), r#"{"type":"object","required":"a"}"#),
        Some("no list of names"),
        "required",
    );
}

#[test]
fn questions_have_bounds() {
    let many = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!(r#""p{n}":{{"type":"string"}}"#)).collect();
        of_properties(&format!("{{{}}}", all.join(",")))
    };
    is(ask("?".into(), &many(64)), None, "64 properties");
    is(ask("?".into(), &many(65)), Some("64 properties"), "65 properties");
    let required = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!(r#""p{n}""#)).collect();
        format!(r#"{{"type":"object","required":[{}]}}"#, all.join(","))
    };
    is(ask("?".into(), &required(64)), None, "64 names");
    is(ask("?".into(), &required(65)), Some("64 properties"), "65 names");
    is(ask("x".repeat(4 << 10), &many(1)), None, "4 KiB of message");
    is(ask("x".repeat((4 << 10) + 1), &many(1)), Some("message"), "more message");
    let long = |size: usize| {
        let title = "x".repeat(size);
        of_properties(&format!(r#"{{"a":{{"type":"string","title":"{title}"}}}}"#))
    };
    is(ask("?".into(), &long(60 << 10)), None, "60 KiB of schema");
    is(ask("?".into(), &long(64 << 10)), Some("65536 bytes"), "more schema");
}

#[test]
fn answers_are_results_of_their_method() {
    let rows = [
        (Event::Call, r#"{"structuredContent":{}}"#, None),
        (Event::Prompt, r#"{"messages":[]}"#, None),
        (Event::Prompt, "{}", Some("the answer is no `GetPromptResult`: it has no `messages`")),
        (Event::Read, r#"{"contents":[]}"#, None),
        (Event::Read, "{}", Some("the answer is no `ReadResourceResult`")),
        (Event::Completion, r#"{"completion":{}}"#, None),
        (Event::Completion, "{}", Some("the answer is no `CompleteResult`")),
    ];
    for (event, result, part) in rows {
        let said = before(event, &json("{}"), &Verdict::Answer(json(result)));
        is(said, part, result);
    }
    let said = after(
        Event::Prompt,
        &Answer::Result(json("{}")),
        &Verdict::Replace(json(r#"{"content":[]}"#)),
    );
    is(said, Some("the replacement is no `GetPromptResult`"), "on the way back");
}

#[test]
fn labels_have_their_types() {
    let rows = [
        (r#"{"title":"A","description":"B","icons":[{"src":"https://a.example/a.png"}]}"#, None),
        (r#"{"icons":[]}"#, None),
        (r#"{"title":1}"#, Some("`title`")),
        (r#"{"description":{"a":1}}"#, Some("`description`")),
        (r#"{"icons":{"src":"a"}}"#, Some("`icons`")),
        (r#"{"icons":["a"]}"#, Some("`icons`")),
        (r#"{"icons":[{"src":"a"},{"src":1}]}"#, Some("`icons`")),
        (r#"{"name":"other"}"#, Some("`name`")),
    ];
    for (members, part) in rows {
        is(relabel(&json(members)), part, members);
    }
}

#[test]
fn questions_keep_what_binds_them() {
    let elicitation = "elicitation/create";
    let old = r#"{"message":"?","mode":"form","requestedSchema":{"type":"object"}}"#;
    let rows = [
        (r#"{"mode":"form","requestedSchema":{ "type" : "object" },"message":"May I?"}"#, None),
        (r#"{"mode":"form","requestedSchema":{"type":"object"}}"#, None),
        (r#"{"mode":"url","requestedSchema":{"type":"object"}}"#, Some("`mode`")),
        (r#"{"message":"?","mode":"form"}"#, Some("`requestedSchema`")),
        (r#"{"mode":"form","requestedSchema":{"type":"object"},"url":"x"}"#, Some("`url`")),
    ];
    for (new, part) in rows {
        is(question(elicitation, &json(old), &Verdict::Replace(json(new))), part, new);
    }
    let many = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!(r#""m{n}":{n}"#)).collect();
        json(&format!("{{{}}}", all.join(",")))
    };
    let same = |count| question(elicitation, &many(count), &Verdict::Replace(many(count)));
    is(same(1_000), None, "1,000 members");
    is(same(1_001), Some("1000 members"), "1,001 members");
}
