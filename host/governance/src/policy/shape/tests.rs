//! What every construct of JSON Schema becomes.

use super::*;

/// The record of an input schema in one line: `name: type` or `name?: type`.
fn shown(schema: &str) -> String {
    let Shape::Record(record) = Shape::Record(Record::of_input(schema)) else { unreachable!() };
    members(&record)
}

fn members(record: &Record) -> String {
    let member = |(name, m): (&Arc<str>, &Member)| {
        let mark = if m.required { "" } else { "?" };
        let null = if m.nullable { "|null" } else { "" };
        format!("{name}{mark}: {}{null}", kind(&m.shape))
    };
    record.members.iter().map(member).collect::<Vec<_>>().join(", ")
}

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "Bool".into(),
        Shape::Long => "Long".into(),
        Shape::Decimal => "decimal".into(),
        Shape::Text => "String".into(),
        Shape::Set(item) => format!("Set<{}>", kind(item)),
        Shape::Record(record) => format!("{{{}}}", members(record)),
    }
}

#[test]
fn every_construct_is_mapped_or_left_out() {
    let cases = [
        // Plain types.
        (r#"{"type":"boolean"}"#, "a?: Bool"),
        (r#"{"type":"integer"}"#, "a?: Long"),
        (r#"{"type":"number"}"#, "a?: decimal"),
        (r#"{"type":"string","format":"date","pattern":"x"}"#, "a?: String"),
        (r#"{"type":"null"}"#, ""),
        (r#"{"type":"stringg"}"#, ""),
        (r#"{"type":7}"#, ""),
        ("{}", ""),
        ("true", ""),
        ("false", ""),
        ("[]", ""),
        // Several types.
        (r#"{"type":["string","null"]}"#, "a?: String|null"),
        (r#"{"type":["string","integer"]}"#, ""),
        (r#"{"type":["integer","number"]}"#, "a?: decimal"),
        (r#"{"type":[]}"#, ""),
        (r#"{"type":"string","nullable":true}"#, "a?: String|null"),
        // Enumerations.
        (r#"{"enum":["x","y"]}"#, "a?: String"),
        (r#"{"enum":["x",null]}"#, "a?: String|null"),
        (r#"{"enum":[1,2]}"#, "a?: Long"),
        (r#"{"enum":[1,2.5]}"#, "a?: decimal"),
        (r#"{"enum":["x",1]}"#, ""),
        (r#"{"enum":[]}"#, ""),
        (r#"{"enum":[{"x":1}]}"#, ""),
        (r#"{"type":"string","enum":["x"]}"#, "a?: String"),
        (r#"{"type":"integer","enum":["x"]}"#, ""),
        (r#"{"const":"x"}"#, "a?: String"),
        (r#"{"const":true}"#, "a?: Bool"),
        (r#"{"const":18446744073709551615}"#, "a?: decimal"),
        // Lists.
        (r#"{"type":"array","items":{"type":"string"}}"#, "a?: Set<String>"),
        (r#"{"items":{"type":"string"}}"#, "a?: Set<String>"),
        (r#"{"type":"array"}"#, ""),
        (r#"{"type":"array","items":true}"#, ""),
        (r#"{"type":"array","items":{}}"#, ""),
        (r#"{"type":"array","items":{"type":["string","null"]}}"#, ""),
        (
            r#"{"type":"array","prefixItems":[{"type":"integer"},{"type":"number"}]}"#,
            "a?: Set<decimal>",
        ),
        (r#"{"type":"array","items":[{"type":"string"},{"type":"integer"}]}"#, ""),
        (
            r#"{"type":"array","items":{"type":"array","items":{"type":"boolean"}}}"#,
            "a?: Set<Set<Bool>>",
        ),
        // Objects.
        (r#"{"type":"object"}"#, "a?: {}"),
        (r#"{"type":"object","additionalProperties":{"type":"string"}}"#, "a?: {}"),
        (r#"{"properties":{"b":{"type":"string"}},"required":["b","c"]}"#, "a?: {b: String}"),
        (
            r#"{"type":"object","properties":{"b":{"type":["string","null"]}},"required":["b"]}"#,
            "a?: {b?: String|null}",
        ),
        (r#"{"type":"object","properties":7,"required":7}"#, "a?: {}"),
        // Combinations.
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, "a?: String|null"),
        (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, ""),
        (r#"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#, "a?: decimal"),
        (r#"{"anyOf":[{"type":"string"},true]}"#, ""),
        (r#"{"type":"string","anyOf":[{"minLength":1},{"maxLength":0}]}"#, "a?: String"),
        (
            r#"{"anyOf":[{"properties":{"b":{"type":"string"},"c":{"type":"integer"}},"required":["b","c"]},
            {"properties":{"b":{"type":"string"},"c":{"type":"string"},"d":{"type":"boolean"}},"required":["b"]}]}"#,
            "a?: {b: String, d?: Bool}",
        ),
        (
            r#"{"allOf":[{"type":"object","properties":{"b":{"type":"string"}}},
            {"properties":{"c":{"type":"integer"}},"required":["c"]}]}"#,
            "a?: {b?: String, c: Long}",
        ),
        (r#"{"allOf":[{"type":"string"},{"type":"integer"}]}"#, ""),
        (r#"{"allOf":[{"type":"number"},{"type":"integer"}]}"#, "a?: Long"),
        (r#"{"allOf":[{"type":["string","null"]},{"type":"string"}]}"#, "a?: String"),
        (r#"{"not":{"type":"string"}}"#, ""),
        (r#"{"type":"string","if":{"const":"x"},"then":false}"#, "a?: String"),
        // References.
        (r##"{"$ref":"#/$defs/s"}"##, "a?: String"),
        (r##"{"$ref":"#/$defs/missing"}"##, ""),
        (r##"{"$ref":"https://example.com/s"}"##, ""),
        (r##"{"$ref":"#/$defs/loop"}"##, ""),
    ];
    for (schema, expected) in cases {
        let whole = format!(
            r##"{{"type":"object","properties":{{"a":{schema}}},
                "$defs":{{"s":{{"type":"string"}},"loop":{{"$ref":"#/$defs/loop"}}}}}}"##
        );
        assert_eq!(shown(&whole), expected, "{schema}");
    }
}

#[test]
fn a_recursive_object_ends_somewhere() {
    let tree =
        r##"{"type":"object","properties":{"name":{"type":"string"},"child":{"$ref":"#"}}}"##;
    let text = shown(tree);
    assert!(text.starts_with("child?: {child?: {"), "{text}");
    assert!(text.ends_with("name?: String"), "{text}");
}

#[test]
fn a_small_document_cannot_describe_an_enormous_one() {
    let wide: Vec<String> = (0..40).map(|n| format!(r##""p{n}":{{"$ref":"#"}}"##)).collect();
    let bomb = format!(r#"{{"type":"object","properties":{{{}}}}}"#, wide.join(","));
    assert!(shown(&bomb).len() < 200_000);
}

#[test]
fn anything_else_at_the_top_is_an_empty_record() {
    for schema in ["true", "[]", "7", "not json", r#"{"type":"string"}"#, "{}", ""] {
        assert_eq!(Record::of_input(schema), Record::default(), "{schema}");
    }
}
