//! Tool lists, as tables.

use super::*;

fn page(text: &str) -> Json {
    crate::json::checked(text.to_owned().into(), &crate::json::Limits::RESPONSE).unwrap()
}

fn listing() -> Listing {
    Listing::new(ConnectorId::new("crm").unwrap())
}

#[test]
fn good_entries_are_kept_whatever_their_neighbours_are() {
    let first = page(
        r#"{"tools":[
            {"name":"get-sum", "inputSchema": {"type":"object", "x": 1.0},"vendor":{"k":[ ]}},
            7,
            {"inputSchema":{}},
            {"name":"","inputSchema":{}},
            {"name":"no-schema"},
            {"name":"list-schema","inputSchema":[]},
            {"name":"bad-output","inputSchema":{},"outputSchema":7},
            {"name":"bad-header","inputSchema":{"x-mcp-header":"A"}},
            {"name":"get-sum","inputSchema":{}},
            {"name":"no-output","inputSchema":{},"outputSchema":null}
        ],"nextCursor":"p2"}"#,
    );
    let second = page(
        r#"{"tools":[{"name":"no-output","inputSchema":{}},{"name":"$filter","inputSchema":{},"outputSchema": {"a":1}}]}"#,
    );
    let mut listing = listing();
    assert_eq!(listing.add_page(&first).unwrap().as_deref(), Some("p2"));
    assert_eq!(listing.add_page(&second), Ok(None));

    let names: Vec<_> = listing.tools.iter().map(|listed| listed.tool.name.as_str()).collect();
    assert_eq!(names, ["get-sum", "no-output", "$filter"]);
    let sum = &listing.tools[0].tool;
    assert_eq!(sum.input_schema.as_str(), r#"{"type":"object", "x": 1.0}"#);
    assert_eq!(
        sum.definition.as_str(),
        r#"{"name":"get-sum", "inputSchema": {"type":"object", "x": 1.0},"vendor":{"k":[ ]}}"#
    );
    let buffer = first.bytes().as_ptr_range();
    assert!(buffer.contains(&sum.definition.bytes().as_ptr()), "a copy was made");
    let outputs: Vec<_> = listing
        .tools
        .iter()
        .map(|listed| listed.tool.output_schema.as_ref().map(Json::as_str))
        .collect();
    assert_eq!(outputs, [None, None, Some(r#"{"a":1}"#)]);

    let skipped: Vec<_> = listing.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(
        skipped,
        [
            "tool 2 of the list was left out: it is no object",
            "tool 3 of the list was left out: it has no name",
            "tool 4 of the list (``) was left out: `` is not a valid tool name: use 1 to 256 characters without control characters",
            "tool 5 of the list (`no-schema`) was left out: its `inputSchema` is not an object",
            "tool 6 of the list (`list-schema`) was left out: its `inputSchema` is not an object",
            "tool 7 of the list (`bad-output`) was left out: its `outputSchema` is not an object",
            "tool 8 of the list (`bad-header`) was left out: `x-mcp-header` must stand on a property that only `properties` lead to",
            "tool 9 of the list (`get-sum`) was left out: an earlier tool has the same name",
            "tool 11 of the list (`no-output`) was left out: an earlier tool has the same name",
        ]
    );
}

#[test]
fn what_is_no_list_is_refused() {
    let table = [
        ("{}", PeekError::Missing("tools")),
        (r#"{"tools":{}}"#, PeekError::Type("tools", "an array")),
        (r#"{"tools":null}"#, PeekError::Type("tools", "an array")),
        ("[]", PeekError::Type("result", "an object")),
        (r#"{"tools":[],"nextCursor":7}"#, PeekError::Type("nextCursor", "a string")),
    ];
    for (text, expected) in table {
        assert_eq!(listing().add_page(&page(text)), Err(expected), "{text}");
    }
    assert_eq!(listing().add_page(&page(r#"{"tools":[]}"#)), Ok(None));
}

#[test]
fn hints_default_to_the_worst() {
    let class_of = |text| class(Raw::from_checked(text));
    let worst = ToolClass::default();
    let table = [
        ("{}", worst),
        ("7", worst),
        (r#"{"readOnlyHint":"true","destructiveHint":null,"openWorldHint":0}"#, worst),
        (r#"{"readOnlyHint":true}"#, ToolClass { read_only: true, destructive: false, ..worst }),
        (
            r#"{"readOnlyHint":true,"destructiveHint":true}"#,
            ToolClass { read_only: true, destructive: false, ..worst },
        ),
        (r#"{"destructiveHint":false}"#, ToolClass { destructive: false, ..worst }),
        (
            r#"{"idempotentHint":true,"openWorldHint":false}"#,
            ToolClass { idempotent: true, open_world: false, ..worst },
        ),
    ];
    for (text, expected) in table {
        assert_eq!(class_of(text), expected, "{text}");
    }
}
