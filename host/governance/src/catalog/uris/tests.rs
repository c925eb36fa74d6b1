//! The mapping as a table and as properties, and rewriting byte for byte.

use proptest::prelude::*;
use tidegate_model::{ConnectorId, Json, OrgId, VmcpId};
use tidegate_wire::json::{Limits, check};

use super::*;

fn vmcp(connectors: &[&str], identity: bool) -> VirtualMcp {
    VirtualMcp {
        org: OrgId::default_org(),
        id: VmcpId::new("sales").unwrap(),
        title: "Sales".into(),
        instructions: None,
        connectors: connectors.iter().map(|id| ConnectorId::new(id).unwrap()).collect(),
        identity,
        only: vec![],
        overrides: vec![],
        anonymous: false,
    }
}

fn crm() -> ConnectorId {
    ConnectorId::new("crm").unwrap()
}

fn prefixed() -> Uris {
    Uris::new(&vmcp(&["crm", "my-mail"], false))
}

#[test]
fn published_uris_carry_their_connector() {
    let uris = prefixed();
    for (connector, original, published) in [
        ("crm", "file:///a%20b?c#d", "mcp+crm:file:///a%20b?c#d"),
        ("my-mail", "mail+x.y-z://in/1", "mcp+my-mail:mail+x.y-z://in/1"),
        ("crm", "ui://view/main.html", "ui://crm/view/main.html"),
        ("my-mail", "ui://", "ui://my-mail/"),
        ("crm", "mcp+my-mail:file:///a", "mcp+crm:mcp+my-mail:file:///a"),
        ("crm", "ui://my-mail/x", "ui://crm/my-mail/x"),
        ("crm", "no uri at all", "mcp+crm:no uri at all"),
        ("crm", "", "mcp+crm:"),
    ] {
        let connector = ConnectorId::new(connector).unwrap();
        assert_eq!(uris.publish(&connector, original), published);
        let found = uris.locate(published).unwrap();
        assert_eq!((found.connector, &*found.uri), (connector, original), "{published}");
    }
    for none in [
        "",
        "file:///a",
        "mcp+crm",
        "mcp+other:file:///a",
        "mcp+CRM:file:///a",
        "MCP+crm:file:///a",
        "mcp+:x",
        "ui://crm",
        "ui://other/x",
        "ui://",
    ] {
        assert_eq!(uris.locate(none), None, "{none}");
    }
}

#[test]
fn what_no_list_could_hold_is_not_located() {
    let identity = Uris::new(&vmcp(&["crm"], true));
    for (length, fits) in [(8 * 1024, true), (8 * 1024 + 1, false), (1 << 20, false)] {
        let uri = format!("file:///{}", "a".repeat(length - 8));
        assert_eq!(identity.locate(&uri).is_some(), fits, "{length}");
        let published = prefixed().publish(&crm(), &uri).into_owned();
        assert_eq!(prefixed().locate(&published).is_some(), fits, "{length}");
    }
    for uri in ["file:///a\nb", "file:///\0", "file:///\u{85}"] {
        assert_eq!(identity.locate(uri), None, "{uri:?}");
        assert_eq!(prefixed().locate(&format!("mcp+crm:{uri}")), None, "{uri:?}");
    }
}

#[test]
fn with_one_connector_uris_stay_what_they_are() {
    let uris = Uris::new(&vmcp(&["crm"], true));
    for uri in ["file:///a", "ui://x/y", "mcp+other:x", "mcp+crm:x", "", "{+path}"] {
        assert_eq!(uris.publish(&crm(), uri), uri);
        assert_eq!(uris.publish_template(&crm(), uri), uri);
        let found = uris.locate(uri).unwrap();
        assert_eq!((found.connector, &*found.uri), (crm(), uri));
    }
    // Where several could be meant, identity would be ambiguous.
    assert!(!Uris::new(&vmcp(&["crm", "mail"], true)).is_identity());
    assert!(!Uris::new(&vmcp(&["crm"], false)).is_identity());
    assert_eq!(Uris::new(&vmcp(&[], true)).locate("file:///a"), None);
}

#[test]
fn a_template_expands_to_what_its_expansion_is_published_as() {
    let uris = prefixed();
    for (template, expression, value) in [
        ("file:///{name}.txt", "{name}", "a"),
        ("ui://view/{name}", "{name}", "main"),
        ("{+whole}", "{+whole}", "file:///a"),
        ("db://{table}/x{?q}", "{table}", "t"),
    ] {
        let expanded = |text: &str| text.replace(expression, value);
        let published = uris.publish_template(&crm(), template).into_owned();
        assert_eq!(expanded(&published), uris.publish(&crm(), &expanded(template)));
        let found = uris.locate(&published).unwrap();
        assert_eq!(&*found.uri, template, "a completion names the template itself");
    }
    // The scheme itself may be the variable; then the other form leads there too.
    assert_eq!(&*uris.locate("mcp+crm:ui://view/main").unwrap().uri, "ui://view/main");
}

proptest! {
    #[test]
    fn no_two_resources_meet_and_each_is_found_again(
        one in ("[a-z0-9][a-z0-9-]{0,8}", "(ui://|mcp\\+)?\\PC{0,20}"),
        other in ("[a-z0-9][a-z0-9-]{0,8}", "(ui://|mcp\\+)?\\PC{0,20}"),
    ) {
        let (a, b) = (ConnectorId::new(&one.0).unwrap(), ConnectorId::new(&other.0).unwrap());
        let uris = Uris::new(&vmcp(&[&one.0, &other.0], false));
        let (first, second) = (uris.publish(&a, &one.1), uris.publish(&b, &other.1));
        for ((connector, uri), published) in [((&a, &one.1), &first), ((&b, &other.1), &second)] {
            let found = uris.locate(published).unwrap();
            prop_assert_eq!((&found.connector, &*found.uri), (connector, uri.as_str()));
        }
        prop_assert_eq!(one == other, first == second);
        prop_assert_eq!(first.starts_with("ui://"), one.1.starts_with("ui://"));
    }

    /// Whatever the text, what comes out is JSON, and with no URI in it the very same text.
    #[test]
    fn rewriting_is_total(text in any_text(), which in 0..6_usize) {
        let what = [
            Rewrite::ToolResult,
            Rewrite::Task,
            Rewrite::PromptResult,
            Rewrite::ReadResult,
            Rewrite::Updated,
            Rewrite::Error,
        ][which];
        let json = Json::parse(text.clone()).unwrap();
        let rewritten = prefixed().rewrite(&crm(), what, &json);
        prop_assert_eq!(check(rewritten.bytes(), &Limits::REQUEST), Ok(()));
        if !text.contains("uri") {
            prop_assert_eq!(rewritten.as_str(), text);
        }
    }
}

/// Texts made of the members that matter, right or wrong.
fn any_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("7".to_owned()),
        Just("\"file:///a\"".to_owned()),
        Just("\"resource\"".to_owned()),
        Just("\"resource_link\"".to_owned()),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let key = prop::sample::select(vec![
            "uri", "type", "resource", "content", "contents", "messages", "_meta", "ui", "result",
            "data",
        ]);
        let members = prop::collection::btree_map(key, inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(" , "))),
            members.prop_map(|all| {
                let all = all.iter().map(|(key, value)| format!("\"{key}\": {value}"));
                format!("{{ {} }}", all.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

#[test]
fn only_the_uris_of_a_result_change() {
    let cases = [
        (
            Rewrite::ToolResult,
            r#"{"content":[ {"type":"text","text":"see \"uri\" file:///a"},{"uri": "file:///a" ,"type":"resource_link","name":"a","size":1.0}, {"type":"resource","resource":{"uri":"db:\/\/x","text":"uri"},"uri":"kept"}],"structuredContent":{"uri":"kept","type":"resource_link"},"isError":false}"#,
            r#"{"content":[ {"type":"text","text":"see \"uri\" file:///a"},{"uri": "mcp+crm:file:///a" ,"type":"resource_link","name":"a","size":1.0}, {"type":"resource","resource":{"uri":"mcp+crm:db://x","text":"uri"},"uri":"kept"}],"structuredContent":{"uri":"kept","type":"resource_link"},"isError":false}"#,
        ),
        (
            Rewrite::ToolResult,
            r#"{"content":[{"type":"resource_link","\u0075ri":"a:\u0062"}],"_meta":{"ui":{"resourceUri":"ui://v/1","x":[]},"ui/resourceUri":"ui://v/2"}}"#,
            r#"{"content":[{"type":"resource_link","\u0075ri":"mcp+crm:a:b"}],"_meta":{"ui":{"resourceUri":"ui://crm/v/1","x":[]},"ui/resourceUri":"ui://crm/v/2"}}"#,
        ),
        (
            Rewrite::Task,
            r#"{"taskId":"t","uri":"kept","result":{"content":[{"type":"resource_link","uri":"a:b"}]}}"#,
            r#"{"taskId":"t","uri":"kept","result":{"content":[{"type":"resource_link","uri":"mcp+crm:a:b"}]}}"#,
        ),
        (
            Rewrite::PromptResult,
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:b","blob":""}}},{"role":"user","content":[{"type":"text","text":"x"},{"type":"resource_link","uri":"a:c"}]}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"mcp+crm:a:b","blob":""}}},{"role":"user","content":[{"type":"text","text":"x"},{"type":"resource_link","uri":"mcp+crm:a:c"}]}]}"#,
        ),
        (
            Rewrite::ReadResult,
            r#"{"contents":[{"uri":"ui://v/1","mimeType":"text/html","text":"<a>","_meta":{"ui":{"csp":{}}}},{"uri":"say \"a\":\\"}],"ttlMs":5,"cacheScope":"private"}"#,
            r#"{"contents":[{"uri":"ui://crm/v/1","mimeType":"text/html","text":"<a>","_meta":{"ui":{"csp":{}}}},{"uri":"mcp+crm:say \"a\":\\"}],"ttlMs":5,"cacheScope":"private"}"#,
        ),
        (
            Rewrite::Updated,
            r#"{"uri":"file:///a","_meta":{"io.modelcontextprotocol/subscriptionId":"1"}}"#,
            r#"{"uri":"mcp+crm:file:///a","_meta":{"io.modelcontextprotocol/subscriptionId":"1"}}"#,
        ),
        (
            Rewrite::Error,
            r#"{"code":-32002,"message":"no file:///a","data":{"uri":"file:///a"}}"#,
            r#"{"code":-32002,"message":"no file:///a","data":{"uri":"mcp+crm:file:///a"}}"#,
        ),
        (Rewrite::Updated, r#"{"uri":7}"#, r#"{"uri":7}"#),
        (Rewrite::ReadResult, r#"{"contents":"uri","uri":"x"}"#, r#"{"contents":"uri","uri":"x"}"#),
        (
            Rewrite::ToolResult,
            r#"[{"type":"resource_link","uri":"x"}]"#,
            r#"[{"type":"resource_link","uri":"x"}]"#,
        ),
    ];
    let identity = Uris::new(&vmcp(&["crm"], true));
    for (what, text, expected) in cases {
        let json = Json::parse(text).unwrap();
        assert_eq!(prefixed().rewrite(&crm(), what, &json).as_str(), expected);
        let same = identity.rewrite(&crm(), what, &json);
        assert_eq!(same.as_str(), text);
        assert_eq!(same.bytes().as_ptr(), json.bytes().as_ptr(), "no copy");
    }
    // Nothing to do, nothing copied.
    let plain = Json::parse(r#"{"content":[{"type":"text","text":"uri"}]}"#).unwrap();
    let same = prefixed().rewrite(&crm(), Rewrite::ToolResult, &plain);
    assert_eq!(same.bytes().as_ptr(), plain.bytes().as_ptr());
}
